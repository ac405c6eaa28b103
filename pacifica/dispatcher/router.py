"""Ordered routes: which handler an event goes to.

A route is a JSONPath (:class:`jsonpath2.path.Path`) and an :class:`~pacifica.dispatcher.event_handlers.EventHandler`.
An event goes to the first route whose path matches the event's JSON, in the form in which it was received.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jsonpath2.path import Path

from pacifica.dispatcher._events import to_event
from pacifica.dispatcher.event_handlers import EventHandler
from pacifica.dispatcher.exceptions import ConfigurationError, RouteNotFoundRouterError, RouterError

__all__ = ['Route', 'RouteNotFoundRouterError', 'Router', 'RouterError']


class Route:
    """One JSONPath and the handler of the events it matches; call it with an event's dict to handle that event.

    :param path: the JSONPath, for example ``Path.parse_str('$[?(@["eventType"] = "org.pacifica.metadata.ingest")]')``.
    :param event_handler: the handler; both are kept as attributes of the same name.
    """

    def __init__(self, path: Path, event_handler: EventHandler) -> None:
        self.path = path
        self.event_handler = event_handler

    @classmethod
    def parse(cls, path: str, event_handler: EventHandler) -> Route:
        """Return the route of a JSONPath that is given as text.

        :raises ConfigurationError: if it is no JSONPath; the message says where it goes wrong.
        """
        try:
            return cls(Path.parse_str(path), event_handler)
        except ValueError as exc:
            raise ConfigurationError(f'{path!r} is no JSONPath: {exc}') from exc

    def __repr__(self) -> str:
        return f'Route({self.path}, {type(self.event_handler).__name__})'

    def __call__(self, event_data: Mapping[str, Any]) -> None:
        """Handle the event, without asking whether it matches; what the handler raises goes through."""
        self.event_handler.handle(to_event(event_data))

    def match(self, event_data: Mapping[str, Any]) -> bool:
        """Return whether the path selects anything in *event_data*, the event's JSON object as a dict."""
        return any(True for _ in self.path.match(event_data))


class Router:
    """Routes in the order in which they were added; call it with an event's dict to handle that event."""

    def __init__(self) -> None:
        self._routes: list[Route] = []

    def __call__(self, event_data: Mapping[str, Any]) -> None:
        """Hand the event to the first route that matches.

        :raises RouteNotFoundRouterError: if none does.
        """
        self.match_first_or_raise(event_data)(event_data)

    def __iter__(self) -> Iterator[Route]:
        return iter(self._routes)

    def __len__(self) -> int:
        return len(self._routes)

    def add_route(self, *args: Any, **kwargs: Any) -> None:
        """Append ``Route(*args, **kwargs)``; routes are asked in the order in which they were added."""
        self._routes.append(Route(*args, **kwargs))

    def match(self, event_data: Mapping[str, Any]) -> Iterator[Route]:
        """Yield every route that matches *event_data*, in order."""
        return (route for route in self._routes if route.match(event_data))

    def match_first_or_raise(self, event_data: Mapping[str, Any]) -> Route:
        """Return the first route that matches *event_data*.

        :raises RouteNotFoundRouterError: if none does.
        """
        for route in self.match(event_data):
            return route
        raise RouteNotFoundRouterError(self, event_data)
