"""Ordered routes: which handler an event goes to.

A route is a JSONPath (:class:`jsonpath2.path.Path`) and an :class:`~pacifica.dispatcher.event_handlers.EventHandler`.
An event goes to the first route whose path matches the event's JSON, in the form in which it was received.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Container, Iterator, Mapping
from functools import cached_property
from typing import Any

from jsonpath2.path import Path

from pacifica.dispatcher._code import code_of, handler_name
from pacifica.dispatcher._events import to_event
from pacifica.dispatcher._lineage import Code
from pacifica.dispatcher._parameters import checked, overlaid
from pacifica.dispatcher._routes.document import Document
from pacifica.dispatcher._routes.following import RoutesFile
from pacifica.dispatcher._routes.settings import require_possible
from pacifica.dispatcher._routing import AskedEvent, parse, selects
from pacifica.dispatcher.event_handlers import EventHandler
from pacifica.dispatcher.exceptions import ConfigurationError, RouteNotFoundRouterError, RouterError
from pacifica.dispatcher.task_context import current_task

__all__ = ['Route', 'RouteNotFoundRouterError', 'Router', 'RouterError']


class Route:
    """One JSONPath and the handler of the events it matches; call it with an event's dict to handle that event.

    :param path: the JSONPath, for example ``Path.parse_str('$[?(@["eventType"] = "org.pacifica.metadata.ingest")]')``.
    :param event_handler: the handler; both are kept as attributes of the same name.
    :param name: what the route is called on records, in metrics and in the lineage of uploads, at most 255 characters;
        by default ``PATH → CLASS`` of its path and its handler's class. The router makes two alike differ.
    :param loops: ``'stop'``: an event of an upload that this route has led to is not handled, but ends in ``200 OK``
        with a result that says so. ``'allow'``: it is, until 16 routes have led to it.
    :param timeout: seconds after which the handler is killed, with all that it started, and the event ends in ``500``;
        by default as the worker's ``handler_timeout`` says, which it can't exceed. For handlers in processes.
    :param memory_limit: bytes of address space of the handler's process, and of each that it starts, likewise.
    :param concurrency: how many of its events run at once, over all workers of the queue; by default any number.
    :param concurrency_key: ``'project'``, ``'instrument'``, ``'submitter'`` or ``'kv:NAME'``: *concurrency* is for each
        value of this field of the event's transaction, or of this key-value, and all values get their turns, however
        many events of one wait.
    :param priority: events of a higher one run first; a whole number.
    :param parameters: the parameters of its handler, with their defaults: texts, numbers, booleans, lists and objects.
        It reads them from ``event.parameters`` if it is staged, else from ``current_task().parameters``; an event that
        is run again may have others.
    :raises ConfigurationError: for a name, a *loops*, a limit or parameters that can't be.
    """

    loops = 'stop'
    timeout: float | None = None
    memory_limit: int | None = None
    concurrency: int | None = None
    concurrency_key: str | None = None
    priority: int = 0
    parameters: Mapping[str, Any] = {}
    _name: str | None = None

    def __init__(
        self, path: Path, event_handler: EventHandler, *, name: str | None = None, loops: str = 'stop',
        timeout: float | None = None, memory_limit: int | None = None, concurrency: int | None = None,
        concurrency_key: str | None = None, priority: int = 0, parameters: Mapping[str, Any] | None = None,
    ) -> None:
        require_possible('loops', loops)
        for setting, value in (('name', name), ('timeout', timeout), ('memory_limit', memory_limit),
                               ('concurrency', concurrency), ('concurrency_key', concurrency_key)):
            if value is not None:
                require_possible(setting, value)
        self.path = path
        self.event_handler = event_handler
        self._name = name
        self.loops = loops
        self.timeout = timeout
        self.memory_limit = memory_limit
        self.concurrency = concurrency
        self.concurrency_key = concurrency_key
        self.priority = priority
        self.parameters = checked(parameters or {})

    @classmethod
    def parse(cls, path: str, event_handler: EventHandler, *, name: str | None = None, loops: str = 'stop') -> Route:
        """Return the route of a JSONPath that is given as text.

        :raises ConfigurationError: if it is no JSONPath; the message says what to write, or where it goes wrong.
        """
        return cls(parse(path), event_handler, name=name, loops=loops)

    @property
    def name(self) -> str:
        """What the route is called."""
        if self._name is None:  # once: writing a path out takes longer than all else in routing
            # A stranger's path may have no text but one with its address, which differs after each start.
            path = str(self.path) if isinstance(self.path, Path) else type(self.path).__name__
            self._name = f'{path} → {type(self.event_handler).__name__}'
        return self._name

    @property
    def handler_name(self) -> str:
        """What people call its handler: the class of the innermost one, or the program that it runs."""
        return handler_name(self.event_handler)

    @cached_property
    def code(self) -> Code:
        """Which code its handler is, as it was when this was first asked."""
        return code_of(self.event_handler)

    def __repr__(self) -> str:
        return f'Route({self.path}, {self.handler_name})'

    def __call__(self, event_data: Mapping[str, Any]) -> None:
        """Handle the event, without asking whether it matches; what the handler raises goes through."""
        event, task = to_event(event_data), current_task()
        vars(event)['parameters'] = overlaid(self.parameters, {} if task is None else task.parameters)
        self.event_handler.handle(event)

    def match(self, event_data: Mapping[str, Any]) -> bool:
        """Return whether the path selects anything in *event_data*, the event's JSON object as a dict."""
        return any(True for _ in self.path.match(event_data))


class Router:
    """Routes in the order in which they were added; call it with an event's dict to handle that event."""

    #: The file that the routes are from; ``None`` if it is none.
    file: pathlib.Path | None = None

    def __init__(self) -> None:
        self._routes: list[Route] = []

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Router:
        """Return the router of a routes file, which is TOML; see :doc:`reference/routes-file`.

        It follows its file: before an event is routed it looks, once a second, whether the file has changed, and takes
        a change that is good. What is wrong is refused and logged (``routes.refused``), and the routes stay.

        :raises ConfigurationError: if it can't be read, or is wrong; names every fault with its line.
        """
        return _FileRouter(RoutesFile(path))

    @property
    def warnings(self) -> list[str]:
        """What is doubtful about the file of the routes, though it can be; each with its line."""
        return []

    def refresh(self) -> None:
        """Take what the file of the routes says now, if there is one and it has changed; events do so themselves."""

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
        """Append ``Route(*args, **kwargs)``; routes are asked in the order in which they were added.

        :raises ConfigurationError: if a route has the same ``name=`` already.
        """
        route = Route(*args, **kwargs)
        names = {each.name for each in self._routes}
        if kwargs.get('name') is None:
            route._name = _unlike(route.name, names)
        elif route.name in names:
            raise ConfigurationError(f'there is a route {route.name!r} already: its name tells it from others')
        self._routes.append(route)

    def match(self, event_data: Mapping[str, Any]) -> Iterator[Route]:
        """Yield every route that matches *event_data*, in order."""
        event = AskedEvent(event_data)
        for route in self._routes:
            if selects(route, event) if type(route) is Route else route.match(event_data):
                yield route
                event = AskedEvent(event_data)  # which whoever got the route may have changed

    def match_first_or_raise(self, event_data: Mapping[str, Any]) -> Route:
        """Return the first route that matches *event_data*.

        :raises RouteNotFoundRouterError: if none does.
        """
        for route in self.match(event_data):
            return route
        raise RouteNotFoundRouterError(self, event_data)


class _FileRouter(Router):
    """The routes of a file, as it is now, or was when it was good."""

    def __init__(self, file: RoutesFile) -> None:
        super().__init__()
        self._file = file
        self.file = file.path
        self._put(file.document)

    def __reduce__(self) -> tuple[Any, ...]:
        return _FileRouter, (self._file,)

    def add_route(self, *args: Any, **kwargs: Any) -> None:
        raise ConfigurationError(f'these are the routes of {self.file}: add one there')

    def __iter__(self) -> Iterator[Route]:
        self.refresh()
        return super().__iter__()

    def match(self, event_data: Mapping[str, Any]) -> Iterator[Route]:
        self.refresh()
        return super().match(event_data)

    def refresh(self) -> None:
        document = self._file.look()
        if document is not None:
            self._put(document)

    @property
    def warnings(self) -> list[str]:
        return self._file.document.warnings

    def _put(self, document: Document) -> None:
        self._routes = [Route(**each) for each in document.routes]  # whoever goes through the old ones keeps them


def _unlike(name: str, names: Container[str]) -> str:
    """Return *name*, or the first of ``name (2)``, ``name (3)`` … that is none of *names*."""
    found, number = name, 1
    while found in names:
        number += 1
        found = f'{name} ({number})'
    return found
