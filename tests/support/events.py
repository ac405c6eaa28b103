"""Events for tests: what Pacifica Notifications sends, and receivers that handle them."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from typing import Any

from jsonpath2.path import Path

from pacifica.dispatcher._events import ReceivedEvent, from_dict
from pacifica.dispatcher.event_handlers import EventHandler
from pacifica.dispatcher.router import Router

_NUMBERS = itertools.count(1000)  # smaller ones are those that tests name themselves


def ingest_event(**attributes: Any) -> dict[str, Any]:
    """Return a new event of an ingest; *attributes* replace its own."""
    number = next(_NUMBERS)
    return {
        'cloudEventsVersion': '0.1',
        'eventType': 'org.pacifica.metadata.ingest',
        'source': f'http://metadata.pacifica.org/transactions?_id={number}',
        'eventID': f'metadata.ingest.{number}',
        'eventTime': '2026-11-24T08:54:35',
        'extensions': {},
        'contentType': 'application/json',
        'data': [
            {'destinationTable': 'Transactions.submitter', 'value': 10},
            {'destinationTable': 'Transactions.instrument', 'value': 54},
            {'destinationTable': 'Transactions.project', 'value': '1234a'},
            {'destinationTable': 'Transactions._id', 'value': number},
        ],
        **attributes,
    }


def received(**attributes: Any) -> ReceivedEvent:
    """Return :func:`ingest_event` as the front door hands it on."""
    return from_dict(ingest_event(**attributes))


class Calling(EventHandler):
    """Calls a function with each event."""

    def __init__(self, function: Callable[[Any], object]) -> None:
        self._function = function

    def handle(self, event: Any) -> None:
        """Call the function; what it raises goes on."""
        self._function(event)


def router_to(function: Callable[[Any], object], path: str = '$') -> Router:
    """Return a router that calls *function* with every event that *path* matches."""
    router = Router()
    router.add_route(Path.parse_str(path), Calling(function))
    return router


def wait_until(condition: Callable[[], Any], seconds: float = 100.0) -> Any:
    """Return what *condition* returns once that is true; fail if it does not become so in *seconds*.

    Looking takes a quarter of the time at most: what is waited for has the processors.
    """
    deadline = time.monotonic() + seconds
    while True:
        began = time.monotonic()
        if value := condition():
            return value
        ended = time.monotonic()
        if ended > deadline:
            raise AssertionError(f'not so within {seconds:g} seconds: {condition}')
        time.sleep(min(max(0.01, 3 * (ended - began)), 0.5))


def dumps(value: Any) -> str:
    """Return *value* as JSON."""
    return json.dumps(value)
