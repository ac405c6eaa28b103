"""How routes are shown to people."""

from __future__ import annotations

from pacifica.dispatcher.conditions import Condition
from pacifica.dispatcher.event_handlers import CommandEventHandler, StagedEventHandler
from pacifica.dispatcher.router import Route


def route_label(route: Route) -> str:
    """Return what a route matches and runs, whatever it is called."""
    path = repr(route.path) if isinstance(route.path, Condition) else str(route.path)
    return f'{path} → {handler_name(route)}'


def handler_name(route: Route) -> str:
    """Return what a route runs: the name of its program, or of its handler's class; of what files are staged for."""
    handler = route.event_handler
    if isinstance(handler, StagedEventHandler):
        handler = handler.event_handler
    return handler.program if isinstance(handler, CommandEventHandler) else type(handler).__name__
