"""The queue in the database: what the engines and the front door may ask of it.

Called by the event queue (accept), the workers (claim, finish, renew, release, save) and the janitor (rescue). Speaks
in values; the statements are in :mod:`._queue.transitions`, the transaction they share is :mod:`._queue.writer`'s.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from pacifica.dispatcher._events import ReceivedEvent
from pacifica.dispatcher._queue.ending import ended
from pacifica.dispatcher._queue.event_key import event_key
from pacifica.dispatcher._queue.identifiers import new_task_id
from pacifica.dispatcher._queue.outcome import Outcome
from pacifica.dispatcher._queue.query import Records
from pacifica.dispatcher._queue.transitions import (
    Accept, Announce, Claim, ClaimReconciliation, ClaimTask, CountDue, Farewell, Finish, Heartbeat, Held, Outgoing,
    Prune, QueueName, Reconciliation, Release, Renew, RenewReconciliation, Rescue, Rescued, SaveResult,
)
from pacifica.dispatcher._queue.writer import Writer
from pacifica.dispatcher.exceptions import LeaseLostError, QueueFullError
from pacifica.dispatcher.hooks import FinishedTask

__all__ = ['Store']

_BACKLOG_CHECK_SECONDS = 1.0
_RETRY_AFTER_SECONDS = 30


class Store:
    """One queue: the events of one application's task in the table.

    :param writer: the way into the database, shared by all queues in it.
    :param name: which application and task.
    :param deduplicate: whether an event with a source and id that were here before is that event again.
    :param max_backlog: how many events may wait before more are refused; ``None`` for any number.
    :param outgoing: makes the events that are stored in the transaction that ends an event; must not fail.
    """

    def __init__(
        self,
        writer: Writer,
        name: QueueName,
        *,
        deduplicate: bool = True,
        max_backlog: int | None = None,
        outgoing: Callable[[FinishedTask], Sequence[Outgoing]] | None = None,
    ) -> None:
        self.connections = writer.connections
        self.name = name
        self._deduplicate = deduplicate
        self._max_backlog = max_backlog
        self._outgoing = outgoing
        self._backlog_checked = float('-inf')
        self._backlog_full = False
        self._writer = writer
        self._listeners: list[Callable[[int], None]] = []

    def __reduce__(self) -> tuple[Any, ...]:
        """Go to another process, which ends no events, without what is of this one: listeners, outgoing events."""
        build = partial(Store, deduplicate=self._deduplicate, max_backlog=self._max_backlog)
        return build, (self._writer, self.name)

    @property
    def deduplicates(self) -> bool:
        """Whether an event with a source and id that were here before is that event again."""
        return self._deduplicate

    def subscribe(self, listener: Callable[[int], None]) -> None:
        """Call *listener* with the number of events that this process has just accepted, after their commit."""
        self._listeners.append(listener)

    def unsubscribe(self, listener: Callable[[int], None]) -> None:
        """Undo :meth:`subscribe`."""
        self._listeners.remove(listener)

    def accept(
        self,
        events: Sequence[ReceivedEvent],
        *,
        task_id: UUID | None = None,
        announced: float | None = None,
        delay: float = 0.0,
        deduplicate: bool = True,
    ) -> list[UUID]:
        """Store *events*, all or none; return their task ids in order once they are committed.

        :param task_id: the id to give to a single event; by default each gets a new one.
        :param announced: seconds for which messages about them are taken to be on their way.
        :param delay: seconds until they are due.
        :param deduplicate: ``False`` if each is an event of its own, whatever was here before.
        :raises QueueFullError: if ``max_backlog`` events are waiting; nothing was stored.
        :raises DatabaseUnavailableError: if the database did not take them.
        """
        if self._max_backlog is not None:
            self._check_backlog(self._max_backlog)
        task_ids = self._writer.run(*(
            Accept(self.name, event, task_id or new_task_id(),
                   event_key(event.source, event.event_id) if deduplicate and self._deduplicate else None,
                   announced, delay)
            for event in events
        ))
        self._tell(len(events))
        return task_ids

    def claim(self, owner: str, lease: float) -> Held | None:
        """Take the event that is due the longest, for *lease* seconds; ``None`` if none is due."""
        held: Held | None = self._writer.run(Claim(self.name, owner, lease))[0]
        return held

    def claim_task(self, task_id: UUID, owner: str, lease: float) -> Held | None:
        """Take the event with this id, if it is due, for *lease* seconds."""
        held: Held | None = self._writer.run(ClaimTask(self.name, task_id, owner, lease))[0]
        return held

    def count_due(self, most: int) -> int:
        """Return how many events are due, or *most* if there are more."""
        return int(self._writer.run(CountDue(self.name, most))[0])

    def announce(self, again: float, limit: int) -> list[UUID]:
        """Return at most *limit* events that are due without a message on its way; not again for *again* seconds."""
        task_ids: list[UUID] = self._writer.run(Announce(self.name, again, limit))[0]
        return task_ids

    def waiting(self, task_ids: Sequence[UUID]) -> set[UUID]:
        """Return those of the tasks that wait, as far as can be told without a lock."""
        return Records(self.connections).waiting(self.name, task_ids)

    def finish(self, held: Held, outcome: Outcome) -> bool:
        """Write how the attempt ended; return whether the claim still held, else nothing was written."""
        finish = self._finish(held, outcome)
        finished = bool(self._writer.run(finish)[0])
        if finished and finish.outgoing:
            self._tell(len(finish.outgoing))
        return finished

    def finish_and_claim(self, held: Held, outcome: Outcome, owner: str, lease: float) -> tuple[bool, Held | None]:
        """Do both in one transaction."""
        finish = self._finish(held, outcome)
        finished, following = self._writer.run(finish, Claim(self.name, owner, lease))
        if finished and finish.outgoing:
            self._tell(len(finish.outgoing))
        return bool(finished), following

    def _finish(self, held: Held, outcome: Outcome) -> Finish:
        """Return what writes the outcome, and beside it what is to be sent because of that."""
        task = None if self._outgoing is None else ended(held, outcome)
        return Finish(held, outcome) if task is None else Finish(held, outcome, tuple(self._about(task)))

    def _about(self, task: FinishedTask) -> Iterator[Accept]:
        """Yield what stores the outgoing events about *task*."""
        for outgoing in () if self._outgoing is None else self._outgoing(task):
            # Without a key: a receiver that keeps its events in the same table must not take it for one it has.
            yield Accept(self.name, outgoing.event, new_task_id(), None, destination=outgoing.destination)

    def _tell(self, count: int) -> None:
        for listener in self._listeners:
            listener(count)

    def release(self, held: Sequence[Held]) -> list[bool]:
        """Give the events back, their attempts not counted; return which claims still held."""
        return self._writer.run(*map(Release, held))

    def renew(self, held: Sequence[Held], lease: float) -> list[bool]:
        """Keep the events for *lease* more seconds; return which claims still held."""
        return self._writer.run(*(Renew(one, lease) for one in held))

    def save_result(self, held: Held, result: Mapping[str, Any]) -> str:
        """Keep *result* with the event, committed when this returns; return it as JSON.

        :raises LeaseLostError: if the claim no longer holds.
        :raises TypeError, ValueError: if *result* is no JSON value.
        """
        text = json.dumps(result, allow_nan=False)
        if not self._writer.run(SaveResult(held, text))[0]:
            raise LeaseLostError(f'task {held.task_id}: its lease is over, another worker may be running it')
        return text

    def rescue(self, max_attempts: int, asked: float | None = None) -> Rescued:
        """Take events from workers that are gone; return how many run again, and what has ended.

        :param asked: when, by the monotonic clock, a lease must have been over; by default now. Time that goes by
            from then on because the database does not answer is held against no worker.
        """
        asked = time.monotonic() if asked is None else asked
        rescued: Rescued = self._writer.run(Rescue(self.name, max_attempts, asked, self._about))[0]
        waiting = rescued.again + (len(rescued.tasks) if self._outgoing is not None else 0)
        if waiting:
            self._tell(waiting)
        return rescued

    def note(self, presence: Heartbeat | Farewell) -> None:
        """Note that a worker is there, or has stopped."""
        self._writer.run(presence)

    def claim_reconciliation(self, token: str, lease: float, early: float = 0.0) -> Reconciliation | None:
        """Take the turn to reconcile for *lease* seconds; ``None`` if another has it, or it is not due.

        :param token: proves the claim.
        :param early: seconds before it is due at which it may be taken.
        """
        taken: Reconciliation | None = self._writer.run(ClaimReconciliation(self.name, token, lease, early))[0]
        return taken

    def renew_reconciliation(self, token: str, lease: float) -> bool:
        """Keep the turn for *lease* more seconds; return whether the claim still held."""
        return bool(self._writer.run(RenewReconciliation(self.name, token, lease))[0])

    def finish_reconciliation(self, token: str, again: float, since: datetime | None = None) -> None:
        """End the turn, unless it was lost; the next is due in *again* seconds.

        :param since: from when on it asks, by the archive's clock; ``None`` for the same time as this one.
        """
        self._writer.run(RenewReconciliation(self.name, token, again=again, since=since))

    def _check_backlog(self, most: int) -> None:
        """Ask the database once a second, so that the limit costs next to nothing and is exceeded by little."""
        now = time.monotonic()
        if now >= self._backlog_checked + _BACKLOG_CHECK_SECONDS:
            self._backlog_checked = now
            self._backlog_full = Records(self.connections).has_waiting(self.name, most)
        if self._backlog_full:
            raise QueueFullError(f'{most} events are waiting, and more are not taken', retry_after=_RETRY_AFTER_SECONDS)

    def prune(self, older_than: float, limit: int = 1000, *, unrouted: bool = False) -> int:
        """Delete at most *limit* events that ended more than *older_than* seconds ago; return how many were.

        :param unrouted: whether only those that no route matched.
        """
        return int(self._writer.run(Prune(self.name, older_than, limit, unrouted))[0])
