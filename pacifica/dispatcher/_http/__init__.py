"""The front door: CherryPy resources that take events and show what became of them.

CherryPy enters here and in what serves it; events are stored and looked up by what :func:`create_application` is given.
"""

from __future__ import annotations

from pacifica.dispatcher._http.application import FrontDoor, StartRefusedError, WorkerPlugin, create_application
from pacifica.dispatcher._http.dashboard import Dashboard
from pacifica.dispatcher._http.webhook import is_loopback

__all__ = ['Dashboard', 'FrontDoor', 'StartRefusedError', 'WorkerPlugin', 'create_application', 'is_loopback']
