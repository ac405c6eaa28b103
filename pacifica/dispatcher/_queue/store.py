"""The queue in the database: what the engines and the front door may ask of it.

Speaks in values; the statements are in :mod:`.transitions`, the transaction that they share is :mod:`.writer`'s.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from pacifica.dispatcher._events import ReceivedEvent
from pacifica.dispatcher._queue import transitions
from pacifica.dispatcher._queue.record import event_key, new_task_id
from pacifica.dispatcher._queue.records import Records
from pacifica.dispatcher._queue.transitions import Accept, Claim, Heartbeat, Process, Reconciliation, Rescued
from pacifica.dispatcher._queue.values import (
    ClaimedEvent, Outage, Outcome, Outgoing, Place, Places, Preview, QueueName, RunOutput,
)
from pacifica.dispatcher._queue.wakeups import Wakeups
from pacifica.dispatcher._queue.writer import Operation, Writer
from pacifica.dispatcher.exceptions import DatabaseUnavailableError, LeaseLostError, QueueFullError
from pacifica.dispatcher.hooks import FinishedTask

_BACKLOG_CHECK_SECONDS = 1.0
_RETRY_AFTER_SECONDS = 30


class Store:
    """One queue: the events of one application's task in the table.

    :param writer: the way into the database, shared by all queues in it.
    :param name: which application and task.
    :param deduplicate: whether an event with the source and id of an earlier one is that event again.
    :param max_backlog: how many events may wait before more are refused; ``None`` for any number.
    :param places: returns what routes say of limits and priorities now; ``None`` if nothing.
    :param keep_previews: bytes of images that are kept in all; a process looks again after each sixty-fourth of that.
    """

    def __init__(
        self, writer: Writer, name: QueueName, *, deduplicate: bool = True, max_backlog: int | None = None,
        places: Callable[[], Places | None] = lambda: None, keep_previews: int = 1_000_000_000,
    ) -> None:
        self.connections = writer.connections
        self.name = name
        self.deduplicate = deduplicate
        self._max_backlog = max_backlog
        self._backlog_checked = float('-inf')
        self._backlog_full = False
        self._writer = writer
        self._places = places
        self._most_previews, self._preview_room = keep_previews, 0
        self._listeners: list[Callable[[int], bool]] = []
        self._unanswered: set[str] = set()
        self._wakeups = Wakeups(self.connections, name)

    def __reduce__(self) -> tuple[Any, ...]:
        """Go to another process without the listeners of this one."""
        return partial(Store, deduplicate=self.deduplicate, max_backlog=self._max_backlog,
                       keep_previews=self._most_previews), (self._writer, self.name)

    def subscribe(self, listener: Callable[[int], bool]) -> None:
        """Call *listener* with the number of events that this process has just stored to be run, after their commit.

        It returns whether it will see to all of them; if none does, workers of other processes are woken.
        """
        self._listeners.append(listener)

    def unsubscribe(self, listener: Callable[[int], bool]) -> None:
        """Undo :meth:`subscribe`."""
        self._listeners.remove(listener)

    def _notify(self, count: int) -> None:
        if count and not any([listener(count) for listener in self._listeners]):
            self._wakeups.send()

    def wakeups(self, stopping: socket.socket, idle: Callable[[], bool]) -> Iterator[None]:
        """Yield when other processes may have made events due; see :meth:`Wakeups.receive`."""
        return self._wakeups.receive(stopping, idle)

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
        :param deduplicate: ``False`` if each is an event of its own, whatever was accepted before.
        :raises QueueFullError: if ``max_backlog`` events are waiting; nothing was stored.
        :raises DatabaseUnavailableError: if the database did not take them.
        """
        if self._max_backlog is not None:
            self._check_backlog(self._max_backlog)
        places = self._places()
        task_ids = self._writer.run(*(
            Accept(self.name, event, task_id or new_task_id(),
                   event_key(event.source, event.event_id) if deduplicate and self.deduplicate else None,
                   announced, delay, place=Place() if places is None else places.of(event.event_json))
            for event in events
        ))
        if announced is None and delay <= 0:
            self._notify(len(events))
        return task_ids

    def _check_backlog(self, most: int) -> None:
        """Ask the database once a second, so that the limit costs next to nothing and is exceeded by little."""
        now = time.monotonic()
        if now >= self._backlog_checked + _BACKLOG_CHECK_SECONDS:
            self._backlog_checked = now
            self._backlog_full = Records(self.connections).has_waiting(self.name, most)
        if self._backlog_full:
            raise QueueFullError(f'{most} events are waiting, and more are not taken', retry_after=_RETRY_AFTER_SECONDS)

    def claim(self, owner: str, lease: float, worker_id: str = '') -> ClaimedEvent | None:
        """Claim the event that is due the longest, for *lease* seconds; ``None`` if none is due.

        :param owner: who that is, for people.
        :param worker_id: the id of its heartbeats, by which others on its machine know what it has claimed.
        """
        claim = self._claim(owner, lease, worker_id)
        return self._in_place(self._run_claim(claim, claim)[0], claim)

    def _in_place(
        self, claimed: ClaimedEvent | None, claim: Claim, operation: Callable[[Claim], Operation] = lambda claim: claim,
    ) -> ClaimedEvent | None:
        """Return *claimed* if it stood where its route wants it; else move it there and claim another by *operation*.

        Routes may have changed since it was stored, and who stored it need not have had any. They are asked outside of
        the claim's transaction, which others wait for: an event of 10,000 files takes 10 ms to decode. If the database
        goes away meanwhile, the event runs when its lease is over.
        """
        while claimed is not None and claimed.destination is None and claim.places is not None:
            place = claim.places.of(claimed.event_data)
            if place == claimed.place:
                break
            claim = self._claim(claim.owner, claim.lease, claim.worker_id)
            move = partial(transitions.move, queue=self.name, claimed=claimed, place=place)
            claimed = self._run_claim(claim, move, operation(claim))[1]
        return claimed

    def _claim(self, owner: str, lease: float, worker_id: str) -> Claim:
        return Claim(self.name, owner, lease, worker_id, self._places(), unanswered=set(self._unanswered))

    def _run_claim(self, claim: Claim, *operations: Operation) -> list[Any]:
        """Run *operations*, which make the claim; without an answer the next claim undoes what it may have done."""
        try:
            results = self._writer.run(*operations, waits=True)
        except DatabaseUnavailableError:  # which all callers of a transaction get, or none: nobody has an event of it
            self._unanswered |= claim.unanswered
            raise
        self._unanswered -= claim.unanswered
        return results

    def claim_task(self, task_id: UUID, owner: str, lease: float, worker_id: str = '') -> ClaimedEvent | None:
        """Claim the event with this id, if it is due, as :meth:`claim` does."""
        def operation(claim: Claim) -> Operation:
            return lambda session: transitions.claim_task(session, task_id, claim)

        claim = self._claim(owner, lease, worker_id)
        return self._in_place(self._run_claim(claim, operation(claim))[0], claim, operation)

    def count_due(self, most: int) -> int:
        """Return how many events are due, or *most* if there are more."""
        return int(self._run(transitions.count_due, self.name, most))

    def announce(self, again: float, limit: int) -> list[UUID]:
        """Return at most *limit* events that are due without a message on its way; not again for *again* seconds."""
        task_ids: list[UUID] = self._run(transitions.announce, self.name, again, limit)
        return task_ids

    def waiting(self, task_ids: Sequence[UUID]) -> set[UUID]:
        """Return those of the tasks that wait, as far as can be told without a lock."""
        return Records(self.connections).waiting(self.name, task_ids)

    def finish(self, claimed: ClaimedEvent, outcome: Outcome, outgoing: Iterable[Outgoing] = ()) -> bool:
        """Write how the attempt ended, and store *outgoing* with it; return whether the claim still held.

        If it did not, nothing was written.
        """
        return bool(self._finish(claimed, outcome, outgoing)[0])

    def finish_and_claim(
        self, claimed: ClaimedEvent, outcome: Outcome, owner: str, lease: float, outgoing: Iterable[Outgoing] = (),
        worker_id: str = '',
    ) -> tuple[bool, ClaimedEvent | None]:
        """Do :meth:`finish` and :meth:`claim` in one transaction."""
        claim = self._claim(owner, lease, worker_id)
        written, following = self._finish(claimed, outcome, outgoing, claim)
        return written, self._in_place(following, claim)

    def _finish(
        self, claimed: ClaimedEvent, outcome: Outcome, outgoing: Iterable[Outgoing], *claim: Claim,
    ) -> list[Any]:
        accepts = self._accepts(outgoing)
        end = (
            partial(transitions.wait, claimed=claimed, outcome=outcome) if outcome.waits else
            partial(transitions.finish, claimed=claimed, outcome=outcome, outgoing=accepts)
        )
        results = self._run_claim(*claim, end, *claim) if claim else self._writer.run(end, waits=True)
        if results[0]:
            self._notify(len(accepts))
            lane = claimed.place.lane
            if lane is not None and not (claim and results[1] and results[1].place.lane == lane):
                for listener in self._listeners:  # its lane has room for another; nobody else is told
                    listener(1)
        return results

    def _accepts(self, outgoing: Iterable[Outgoing]) -> list[Accept]:
        # Without a key: a receiver that keeps its events in the same table must not take it for one it has.
        return [Accept(self.name, each.event, new_task_id(), None, destination=each.destination) for each in outgoing]

    def release(self, claimed: Sequence[ClaimedEvent]) -> list[bool]:
        """Give the events back, their attempts not counted; return which claims still held."""
        held: list[bool] = self._run(transitions.release, claimed)
        self._notify(sum(held))
        return held

    def renew(self, claimed: Sequence[ClaimedEvent], lease: float) -> list[bool]:
        """Keep the events for *lease* more seconds; return which claims still held."""
        held: list[bool] = self._run(transitions.renew, claimed, lease)
        return held

    def cancelled(self, claimed: Sequence[ClaimedEvent]) -> list[tuple[ClaimedEvent, str]]:
        """Return those of the claims whose events somebody wants to end, and who that is."""
        return self.connections.read(lambda session: transitions.cancelled(session, claimed)) if claimed else []

    def hold(self, claimed: ClaimedEvent) -> bool:
        """Keep the event for another lease, if the claim still holds; return whether it did."""
        return self.renew([claimed], claimed.lease)[0]

    def save_result(self, claimed: ClaimedEvent, result: Mapping[str, Any]) -> str:
        """Keep *result* with the event, committed when this returns; return it as JSON.

        :raises LeaseLostError: if the claim no longer holds.
        :raises TypeError, ValueError: if *result* is no JSON value.
        """
        text = json.dumps(result, allow_nan=False)
        if not self._run(transitions.save_result, claimed, text):
            raise LeaseLostError(f'task {claimed.task_id}: its lease is over, another worker may be running it')
        return text

    def keep_output(self, claimed: ClaimedEvent, output: RunOutput) -> bool:
        """Write what a run has printed so far; return whether its claim still held."""
        return bool(self._run(transitions.keep_output, claimed, output))

    def keep_preview(self, claimed: ClaimedEvent, preview: Preview) -> str | None:
        """Keep an image with the event; return why it was not kept, ``None`` if it was."""
        if not self._most_previews:
            return 'no images are kept: keep_previews is 0'
        reason: str | None = self._run(transitions.keep_preview, claimed, preview)
        if reason is None:
            self._preview_room -= len(preview.content)
            if self._preview_room < 0:
                self._run(transitions.trim_previews, self._most_previews)
                self._preview_room = self._most_previews // 64
        return reason

    def rescue(
        self, max_attempts: int, asked: float | None = None,
        outgoing: Callable[[FinishedTask], Iterable[Outgoing]] = lambda task: (), worker_id: str | None = None,
    ) -> Rescued:
        """Take events from workers that are gone; return how many run again, and what has ended.

        :param asked: when, by the monotonic clock, a lease must have been over; by default now. Time that goes by
            from then on because the database does not answer is held against no worker.
        :param outgoing: makes the events that are stored with the end of one.
        :param worker_id: take those of this worker alone, which is known to be dead, whatever their leases.
        """
        rescued: Rescued = self._run(
            transitions.rescue, self.name, max_attempts, time.monotonic() if asked is None else asked,
            lambda task: self._accepts(outgoing(task)), worker_id)
        self._notify(rescued.again + len(rescued.tasks))  # of which each may have left an outgoing event
        return rescued

    def outages(self) -> list[Outage]:
        """Return the services that are known to be away."""
        return self.connections.read(transitions.outages)

    def begin_outage(self, service: str, fault: str) -> bool:
        """Note that a service is away; return whether that was not known."""
        return bool(self._run(transitions.begin_outage, service, fault))

    def end_outage(self, service: str) -> tuple[Outage, int] | None:
        """Note that a service is back; return the outage and how many events go on, ``None`` if there was none."""
        ended: tuple[Outage, int] | None = self._run(transitions.end_outage, service)
        if ended is not None:
            self._notify(ended[1])
            self._wakeups.send(to_all=True)  # it may be that of other queues' events
        return ended

    def take_probe(self, service: str) -> bool:
        """Take the turn to ask a service that is away; ``False`` if it is another's, or not time yet."""
        return bool(self._run(transitions.take_probe, service))

    def probe_outages(self) -> None:
        """Make one event due for each service that is to be asked again."""
        if self.outages():  # a read: what is mostly nothing costs no turn of a keeper a transaction
            self._notify(self._run(transitions.probe_outages, self.name))

    def straighten_line(self) -> None:
        """Let events that wait for a limit into the line where nobody else has; see :mod:`.transitions.line`."""
        places = self._places()
        if any(self.connections.read(lambda session: transitions.astray(session, self.name, places))):
            self._notify(self._run(transitions.straighten, self.name, places))

    def prune(self, older_than: float, limit: int = 1000, *, unrouted: bool = False) -> int:
        """Delete at most *limit* events that ended more than *older_than* seconds ago; return how many were.

        :param unrouted: whether only those that no route matched.
        """
        return int(self._run(transitions.prune, self.name, older_than, limit, unrouted))

    def beat(self, heartbeat: Heartbeat) -> None:
        """Note that a worker is alive."""
        self._run(transitions.beat, heartbeat)

    def workers_on(self, machine: str) -> list[tuple[str, Process]]:
        """Return the workers of this queue on a machine: their ids and their processes."""
        return self.connections.read(lambda session: transitions.workers_on(session, self.name, machine))

    def note_death(self, worker_id: str) -> None:
        """Have nobody look for a dead worker's process any more."""
        self._run(transitions.note_death, worker_id)

    def deregister(self, worker_id: str) -> None:
        """Forget a worker that has stopped."""
        self._run(transitions.deregister, worker_id)

    def claim_reconciliation(self, token: str, lease: float, early: float = 0.0) -> Reconciliation | None:
        """Take the turn to reconcile for *lease* seconds; ``None`` if another has it, or it is not due.

        :param token: proves the claim.
        :param early: seconds before it is due at which it may be taken.
        """
        turn: Reconciliation | None = self._run(transitions.claim_reconciliation, self.name, token, lease, early)
        return turn

    def renew_reconciliation(self, token: str, lease: float) -> bool:
        """Keep the turn for *lease* more seconds; return whether the claim still held."""
        return bool(self._run(transitions.renew_reconciliation, self.name, token, lease))

    def finish_reconciliation(self, token: str, again: float, since: datetime | None = None) -> None:
        """End the turn, unless it was lost; the next is due in *again* seconds.

        :param since: from when on it asks, by the archive's clock; ``None`` for the same time as this one.
        """
        self._run(transitions.finish_reconciliation, self.name, token, again, since)

    def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return the result of a transition, once it is committed."""
        return self._writer.run(lambda session: function(session, *arguments), waits=True)[0]
