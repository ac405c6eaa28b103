"""What the front door needs of the rest, as protocols: it knows no database, no queue and no engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from pacifica.dispatcher._events import ReceivedEvent
from pacifica.dispatcher._queue.filter import Filter, Page
from pacifica.dispatcher._queue.status import Status

if TYPE_CHECKING:
    from pacifica.dispatcher._queue.overview import Bucket, QueueState, WorkerState

__all__ = ['Accept', 'Metrics', 'Operator', 'Overview', 'Ready', 'Records', 'Search', 'Worker']


class Accept(Protocol):
    """Stores events."""

    def __call__(self, events: Sequence[ReceivedEvent], /) -> Sequence[str]:
        """Store all of *events* durably, in one transaction, and return their task ids in order.

        :raises QueueFullError: too many events are waiting; none was stored.
        :raises DatabaseUnavailableError: the database did not answer; none was stored.
        """


class Records(Protocol):
    """Looks stored events up."""

    def status(self, task_id: UUID, /) -> str | None:
        """Return the status string of a task, ``None`` if there is no such task."""

    def get(self, task_id: UUID, /) -> Mapping[str, Any] | None:
        """Return the record of a task as ``/get`` answers it, JSON-ready, ``None`` if there is no such task."""

    def page(
        self,
        *,
        limit: int,
        after: UUID | None = None,
        status: str | None = None,
        since: str | None = None,
        source: str | None = None,
        event_type: str | None = None,
    ) -> Sequence[Mapping[str, Any]]:
        """Return up to *limit* objects ``{taskID, created, updated, deleted}``, JSON-ready, newest first.

        :param after: only those that come after this task in that order.
        :param status: only those with this status string.
        :param since: only those created at this time or later, UTC, ``YYYY-MM-DD HH:MM:SS.ffffff``.
        :param source: only those with this source.
        :param event_type: only those with this event type.
        """


class Metrics(Protocol):
    """Shows what is counted, and counts what was received."""

    def expose(self, accept: str, /) -> tuple[str, bytes]:
        """Return the content type and the text of all metrics, in the format that the ``Accept`` header asks for."""

    def received(self, status: int, events: int, /) -> None:
        """Count a delivery by the HTTP status of its answer, and the events in it that were accepted."""


class Ready(Protocol):
    """Tells whether events can be taken and looked up."""

    def __call__(self) -> Mapping[str, bool]:
        """Return the name of each check, and whether it passes; answers within a few seconds, and never raises."""


class Search(Protocol):
    """Finds events."""

    def page(self, wanted: Filter, *, limit: int, before: str | None = None) -> Page:
        """Return at most *limit* events, newest first; *before* is ``older`` of the page before this one.

        :raises ValueError: if *before* is no such text.
        :raises DatabaseUnavailableError: the database did not answer.
        """


class Overview(Protocol):
    """Tells the state of the whole table. What it says comes from the database, which may be unavailable."""

    count_limit: int
    """A count that reaches this means: so many or more."""

    def counts(self) -> Mapping[Status, int]:
        """Return how many events are in each status."""

    def skipped(self) -> int:
        """Return how many events are results of their own routes, so that no handler ran for them."""

    def unrouted(self) -> Mapping[str, int]:
        """Count the latest events that no route matched by their type; return the types that are the most."""

    def queues(self) -> Sequence[QueueState]:
        """Return each queue in which something waits."""

    def workers(self) -> Sequence[WorkerState]:
        """Return the workers that have told lately that they are there."""

    def ended(self, width: float, number: int) -> Sequence[Bucket]:
        """Return what ended in the last *number* spans of *width* seconds, the oldest first."""


class Operator(Protocol):
    """Does with events what a person wants done."""

    def retry(self, task_ids: Sequence[UUID], *, by: str | None = None) -> Sequence[bool]:
        """Run events again that have ended; return which had."""

    def cancel(self, task_ids: Sequence[UUID], *, by: str | None = None) -> Sequence[bool]:
        """Have waiting events not run; return which were waiting."""


class Worker(Protocol):
    """Handles stored events, in threads or processes of its own."""

    def start(self) -> None:
        """Begin to take events; returns at once."""

    def stop(self) -> None:
        """Take no more events, and return when the running ones have come to an end."""
