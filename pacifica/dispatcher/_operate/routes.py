"""How routes are shown to people."""

from __future__ import annotations

from pacifica.dispatcher.conditions import Condition
from pacifica.dispatcher.router import Route


def route_label(route: Route) -> str:
    """Return what a route matches and runs, whatever it is called."""
    path = repr(route.path) if isinstance(route.path, Condition) else str(route.path)
    return f'{path} → {route.handler_name}'
