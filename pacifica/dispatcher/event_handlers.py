"""What a user subclasses: :class:`EventHandler`; two ready ones for tests; the staging handler; and any program."""

from __future__ import annotations

from cloudevents.model import Event

from pacifica.dispatcher._command import CommandEventHandler
from pacifica.dispatcher._handler import EventHandler
from pacifica.dispatcher.staging import StagedEventHandler

__all__ = [
    'CommandEventHandler', 'EventHandler', 'ExceptionEventHandler', 'NoopEventHandler', 'StagedEventHandler',
]


class NoopEventHandler(EventHandler):
    """Does nothing: for routes that should end events in ``200 OK``, or only download and upload."""

    def handle(self, event: Event) -> None:
        """Do nothing, intentionally."""


class ExceptionEventHandler(EventHandler):
    """Fails on every event: for testing how errors are shown."""

    def handle(self, event: Event) -> None:
        """Raise an :class:`Exception`."""
        raise Exception(f'{type(self).__name__} has raised an exception.')
