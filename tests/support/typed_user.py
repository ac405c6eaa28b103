"""A user's program under ``mypy --strict``: the type hints of the installed package reach it (``tox -e types``)."""

from __future__ import annotations

from typing import Any

from cloudevents.model import Event
from typing_extensions import assert_type

from pacifica.dispatcher.event_handlers import EventHandler, StagedEventHandler
from pacifica.dispatcher.models import File, Transaction
from pacifica.dispatcher.router import Route, Router
from pacifica.dispatcher.staging import StagedEvent
from pacifica.dispatcher.uploader_runners import LocalUploaderRunner


class Counts(EventHandler):
    """Counts the files of events."""

    files = 0

    def handle(self, event: Event) -> None:
        """Count."""
        found = File.from_cloudevents_model(event)
        assert_type(found, list[File])
        assert_type(Transaction.from_cloudevents_model(event), Transaction)
        self.files += len(found)


class Uppercase(EventHandler):
    """Writes each file in capital letters."""

    def handle(self, event: StagedEvent) -> None:
        """Write."""
        assert_type(event.files, list[File])
        assert_type(event.transaction, Transaction)
        for file in event.files:
            with event.open(file) as source, event.create(file.path) as target:
                target.write(source.read().upper())


def route_of(router: Router, event: dict[str, Any]) -> Route:
    """Return the route of *event*."""
    route = router.match_first_or_raise(event)
    assert_type(route, Route)
    return route


runner = LocalUploaderRunner('bundles')
handler = StagedEventHandler(None, Uppercase(), runner, stage_in=['*.csv'])
