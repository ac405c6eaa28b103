"""The front door: CherryPy resources that take events and show what became of them.

CherryPy is known here and nowhere else. What the door leads to is given to it, as the protocols in
:mod:`~pacifica.dispatcher._http.ports`.
"""

from __future__ import annotations

from pacifica.dispatcher._http.application import FrontDoor, StartRefusedError, create_application
from pacifica.dispatcher._http.dashboard import Dashboard
from pacifica.dispatcher._http.plugins import WorkerPlugin
from pacifica.dispatcher._http.ports import Accept, Metrics, Ready, Records, Worker
from pacifica.dispatcher._http.webhook import is_loopback

__all__ = [
    'Accept', 'Dashboard', 'FrontDoor', 'Metrics', 'Ready', 'Records', 'StartRefusedError', 'Worker', 'WorkerPlugin',
    'create_application', 'is_loopback',
]
