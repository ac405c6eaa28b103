"""The dashboard: pages that show people what became of events, and let operators run them again.

Made by the server, readable without JavaScript. What they show and do is that of :mod:`pacifica.dispatcher._operate`.
"""

from __future__ import annotations

from pacifica.dispatcher._http.dashboard.resources import Dashboard

__all__ = ['Dashboard']
