"""A worker claims an event, ``202`` → ``102``; keeps its claim; and ends it, ``102`` → the outcome's status."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import peewee

from pacifica.dispatcher._queue import history
from pacifica.dispatcher._queue.failures import failure_group
from pacifica.dispatcher._queue.record import (
    CLAIMED, PROCESSING, TABLE, WAITING, placeholders, route_key, storable, timestamp,
)
from pacifica.dispatcher._queue.session import Session
from pacifica.dispatcher._queue.status import FINAL, Status
from pacifica.dispatcher._queue.transitions import line
from pacifica.dispatcher._queue.transitions.accept import Accept
from pacifica.dispatcher._queue.transitions.output import write_output
from pacifica.dispatcher._queue.values import ClaimedEvent, Outcome, Place, Places, QueueName

_DUE = f'{WAITING} AND priority = ? AND due > 0 AND due <= ?'
_COLUMNS = ('uuid, task_id, attempts, event_data, result, history, destination, waiting_since, cancelled_by, created,'
            ' postponed, lane, priority, parameters')
_LANE, _STANDING, _RUNNING = 11, 14, 15


@dataclass(frozen=True, slots=True)
class Claim:
    """Claim an event that is due: ``202`` → ``102``, its attempt counted. Results in it, or ``None``.

    ``lease`` is the seconds until the claim is over unless it is renewed; ``owner`` says who has it, for people;
    ``worker_id`` is the id of its heartbeats, if it sends any; ``places`` what routes say of limits, if they do. Rows
    are taken to be in their places: who gets an event asks its route, and may :func:`move` it.

    ``unanswered`` are the tokens under which earlier tries, of this claim or others, may have claimed events that
    nobody knows of, because the answer to a commit was lost. They go back into the line first, as if never claimed:
    otherwise they would wait for the end of a lease that nobody renews, one attempt poorer, and fill their lanes.
    """

    queue: QueueName
    owner: str
    lease: float
    worker_id: str = ''
    places: Places | None = None
    nonce: str = field(default_factory=lambda: secrets.token_hex(16), compare=False)
    unanswered: set[str] = field(default_factory=set, compare=False)

    @property
    def token(self) -> str:
        """What proves the claim. Begins with the worker's id, so that what a dead one has claimed is found."""
        return (self.worker_id + self.nonce)[:32]

    def begin_try(self, session: Session) -> None:
        """Undo what earlier tries may have done, and note that this one may do something."""
        if self.unanswered:
            session.execute(
                f'UPDATE {TABLE} SET task_status = ?, attempts = attempts - 1, updated = ?, claim_token = NULL,'
                f' claim_owner = NULL, lease_expires = NULL WHERE {PROCESSING}'
                f' AND claim_token IN ({placeholders(len(self.unanswered))})',
                (Status.ACCEPTED.value, timestamp(session.now()), *self.queue, *self.unanswered))
        self.unanswered.add(self.token)

    @staticmethod
    def run(session: Session, operations: Sequence[Claim]) -> Sequence[ClaimedEvent | None]:
        """Claim as many events as there are operations, of the highest priority the longest due first."""
        groups: dict[Claim, list[int]] = {}
        for operation in operations:
            operation.begin_try(session)
        for index, operation in enumerate(operations):
            groups.setdefault(operation, []).append(index)
        results: list[ClaimedEvent | None] = [None] * len(operations)
        for wanted, indexes in groups.items():
            for index, claimed in zip(indexes, wanted._take(session, len(indexes))):
                results[index] = claimed
        return results

    def _take(self, session: Session, count: int) -> list[ClaimedEvent]:
        now = session.now()
        if self.places is None:
            return _claim(session, now, self._due(session, now, count, ()), self)
        limited = _Limited(session, now, self, self.places)
        if count > 1:
            limited.look_for_full_lanes()
        claimed: list[ClaimedEvent] = []
        while len(claimed) < count and (rows := self._due(session, now, count - len(claimed), limited.full)):
            claimed += limited.claim(rows)
        return claimed

    def _due(self, session: Session, now: float, count: int, full: Sequence[str]) -> Sequence[Any]:
        """Return the next of the line, leaving out lanes that are full."""
        out = f' AND (lane IS NULL OR lane NOT IN ({placeholders(len(full))}))' if full else ''
        columns, parameters = self._columns(now, alone=count == 1)
        prioritized = self.places is not None and self.places.prioritized
        for priority in line.priorities(session, self.queue) if prioritized else (0,):
            rows = session.execute(
                f'SELECT {columns} FROM {TABLE} WHERE {_DUE}{out} ORDER BY due LIMIT {count:d}'
                f' {session.dialect.skip_locked}', (*parameters, *self.queue, priority, now, *full)).fetchall()
            if rows:
                return list(rows)
        return []

    def _columns(self, now: float, *, alone: bool) -> tuple[str, tuple[float, ...]]:
        """Return what a claim reads of a row, and the parameters of that; of a row *alone* what it counts of its lane.

        For several rows one statement that counts all lanes costs less, and one for each that lets the next in.
        """
        if alone and self.places is not None:
            return f'{_COLUMNS}, {line.STANDING}, {line.RUNNING}', (now,)
        return f'{_COLUMNS}, NULL, 0', ()


class _Limited:
    """Claims rows within the limits of their lanes, in one transaction."""

    def __init__(self, session: Session, now: float, wanted: Claim, places: Places) -> None:
        self._session, self._now, self._wanted, self._places = session, now, wanted, places
        if places.limited:
            line.lock(session, wanted.queue)
        self._running: dict[str, int] = {}
        self._counted = False
        self.full: list[str] = []

    def claim(self, rows: Sequence[Any]) -> list[ClaimedEvent]:
        """Claim those of *rows* whose lanes have room; let the next of these lanes into the line."""
        taken = [row for row in rows if self._has_room(row)]
        claimed = _claim(self._session, self._now, taken, self._wanted)
        line.let_in(self._session, self._wanted.queue, self._wanted_in_line(taken), self._now)
        if len(taken) < len(rows):
            self.look_for_full_lanes()
        return claimed

    def _has_room(self, row: Any) -> bool:
        lane = row[_LANE]
        if lane is None:
            return True
        if not self._places.room(lane, self._running.setdefault(lane, row[_RUNNING])):
            return False
        self._running[lane] += 1
        return True

    @staticmethod
    def _wanted_in_line(taken: Sequence[Any]) -> Mapping[str, int]:
        """Return how many of each lane are to be let in after *taken* rows: one for each.

        Where it is known how many stand in line, it is filled up once it is half empty, by fewer statements.
        """
        wanted: Counter[str] = Counter()
        for row in taken:
            lane, standing = row[_LANE], row[_STANDING]
            if lane is None:
                continue
            if standing is None:
                wanted[lane] += 1
            elif standing - 1 <= line.IN_LINE // 2:
                wanted[lane] = line.IN_LINE - (standing - 1)
        return wanted

    def look_for_full_lanes(self) -> None:
        """Have the next rows be of other lanes."""
        if self._places.limited:
            if not self._counted:  # from then on only this claim adds to them
                self._running, self._counted = line.running(self._session, self._wanted.queue), True
            self.full = [lane for lane, running in self._running.items() if not self._places.room(lane, running)]


def claim_task(session: Session, task_id: UUID, wanted: Claim) -> ClaimedEvent | None:
    """Claim one certain event, if it is due: ``202`` → ``102``, as :class:`Claim` does."""
    wanted.begin_try(session)
    now = session.now()
    columns, counting = wanted._columns(now, alone=True)
    rows = session.execute(
        f'SELECT {columns} FROM {TABLE} WHERE task_id = ? AND {WAITING} AND due > 0 AND due <= ?'
        f' {session.dialect.skip_locked}', (*counting, session.dialect.uuid(task_id), *wanted.queue, now)).fetchall()
    if wanted.places is None:
        claimed = _claim(session, now, rows, wanted)
    else:
        claimed = _Limited(session, now, wanted, wanted.places).claim(rows)
    return claimed[0] if claimed else None


def _claim(session: Session, now: float, rows: Sequence[Any], wanted: Claim) -> list[ClaimedEvent]:
    """Move *rows*, which this transaction has selected to change, from ``202`` to ``102``."""
    if not rows:
        return []
    changed = session.execute(
        f'UPDATE {TABLE} SET task_status = ?, attempts = attempts + 1, claim_token = ?, claim_owner = ?,'
        f' claimed = ?, lease_expires = ?, updated = ? WHERE uuid IN ({placeholders(len(rows))}) AND task_status = ?',
        (Status.PROCESSING.value, wanted.token, wanted.owner, now, now + wanted.lease, timestamp(now),
         *(row[0] for row in rows), Status.ACCEPTED.value),
    ).rowcount
    if changed != len(rows):  # another worker came between, which the locks rule out: leave all, try again
        raise peewee.OperationalError(f'{len(rows)} events were to be claimed, {changed} were')
    return [
        ClaimedEvent(uuid, UUID(str(task_id)), wanted.token, attempts + 1, event_data, result, so_far, wanted.owner,
                     now, created, destination, waiting_since, cancelled_by, Place(lane, priority), postponed,
                     parameters, wanted.lease)
        for uuid, task_id, attempts, event_data, result, so_far, destination, waiting_since, cancelled_by, created,
        postponed, lane, priority, parameters, *_ in rows
    ]


def announce(session: Session, queue: QueueName, again: float, limit: int) -> list[UUID]:
    """Return at most *limit* events that are due and of which no message is on its way: stays ``202``.

    Only engines whose workers wait for messages need this. While an event waits, ``lease_expires`` is when the last
    message about it counts as lost; this moves it *again* seconds on.
    """
    now = session.now()
    rows: list[Any] = []
    for priority in line.priorities(session, queue):
        rows += session.execute(
            f'SELECT uuid, task_id FROM {TABLE} WHERE {_DUE} AND (lease_expires IS NULL OR lease_expires < ?)'
            f' ORDER BY due LIMIT {limit - len(rows):d} {session.dialect.skip_locked}', (*queue, priority, now, now),
        ).fetchall()
        if len(rows) >= limit:
            break
    if rows:
        session.execute(
            f'UPDATE {TABLE} SET lease_expires = ? WHERE uuid IN ({placeholders(len(rows))}) AND task_status = ?',
            (now + again, *(row[0] for row in rows), Status.ACCEPTED.value),
        )
    return [UUID(str(row[1])) for row in rows]


def count_due(session: Session, queue: QueueName, most: int) -> int:
    """Return how many events are due by the clock that claims go by, *most* at most; changes nothing."""
    now, found = session.now(), 0
    for priority in line.priorities(session, queue):
        found += session.execute(
            f'SELECT COUNT(*) FROM (SELECT 1 AS one FROM {TABLE} WHERE {_DUE} LIMIT {most - found:d}) AS waiting',
            (*queue, priority, now),
        ).fetchone()[0]
        if found >= most:
            break
    return found


def renew(session: Session, claimed: Sequence[ClaimedEvent], lease: float) -> list[bool]:
    """Keep claims for *lease* more seconds: stays ``102``. Return which of them still held."""
    expires = session.now() + lease
    return [
        bool(session.execute(
            f'UPDATE {TABLE} SET lease_expires = ? WHERE {CLAIMED}', (expires, one.uuid, one.token)).rowcount)
        for one in claimed
    ]


def cancelled(session: Session, claimed: Sequence[ClaimedEvent]) -> list[tuple[ClaimedEvent, str]]:
    """Return those of the claims whose events somebody wants to end, and who that is."""
    by_uuid = {one.uuid: one for one in claimed}
    rows = session.execute(
        f'SELECT uuid, claim_token, cancelled_by FROM {TABLE} WHERE uuid IN ({placeholders(len(by_uuid))})'
        ' AND cancelled_by IS NOT NULL', tuple(by_uuid)).fetchall()
    return [(by_uuid[uuid], by) for uuid, token, by in rows if by_uuid[uuid].token == token]


def save_result(session: Session, claimed: ClaimedEvent, result: str) -> bool:
    """Keep what an attempt knows so far, JSON: stays ``102``. Return whether the claim still held."""
    return bool(session.execute(
        f'UPDATE {TABLE} SET result = ?, updated = ? WHERE {CLAIMED}',
        (result, timestamp(session.now()), claimed.uuid, claimed.token)).rowcount)


def finish(session: Session, claimed: ClaimedEvent, outcome: Outcome, outgoing: Sequence[Accept]) -> bool:
    """Write how an attempt ended: ``102`` → the outcome's status. Return whether the claim still held.

    If it did, the events of *outgoing* are stored with the end, and what is left of its output to write. It did, too,
    if this very end was written before, by a try whose commit was done and its answer lost.
    """
    now = session.now()
    attempt = history.attempt(
        claimed.attempt, claimed.owner, claimed.claimed_at, now, outcome.status.value, route=outcome.route,
        exc_type=outcome.exc_type, exc_value=outcome.exc_value, stages=outcome.stages, made_by=outcome.made_by,
    )
    time = timestamp(now)
    failed = outcome.status is Status.FAILED
    group = failure_group(outcome.route, outcome.exc_type, outcome.exc_value) if failed else None
    written = bool(session.execute(
        f'UPDATE {TABLE} SET task_status = ?, exc_type = ?, exc_value = ?, exc_traceback = ?, route = ?,'
        ' route_key = ?, failure_group = ?,'
        ' due = CASE WHEN cancelled_by IS NULL THEN ? ELSE 1 END,'  # the next claim ends what was cancelled
        ' finalized = ?, updated = ?, history = ?, claim_token = NULL, claim_owner = NULL, lease_expires = NULL,'
        ' awaits = NULL, postponed = postponed + ?,'
        ' waiting_since = CASE WHEN ? THEN COALESCE(waiting_since, claimed) END'
        f'{", skipped = 1, result = ?" if outcome.skipped else ""} WHERE {CLAIMED}',
        (outcome.status.value, storable(outcome.exc_type), storable(outcome.exc_value),
         storable(outcome.exc_traceback, limit=None), storable(outcome.route),
         route_key(outcome.route), group, now + (outcome.delay or 0.0), time if outcome.status in FINAL else None, time,
         history.extend(claimed.history, attempt), int(outcome.postpones), outcome.postpones,
         *([outcome.result] if outcome.skipped else ()), claimed.uuid, claimed.token),
    ).rowcount)
    if written and outcome.output is not None:
        write_output(session, claimed, outcome.output)
    if written and outgoing:
        Accept.run(session, outgoing)
    return written or is_written(session, claimed, attempt)


def is_written(session: Session, claimed: ClaimedEvent, attempt: dict[str, Any]) -> bool:
    """Return whether the event's history has the end of this attempt, which only its own claim can have written."""
    row = session.execute(f'SELECT history FROM {TABLE} WHERE uuid = ?', (claimed.uuid,)).fetchone()
    return row is not None and history.holds(row[0], attempt)


def release(session: Session, claimed: Sequence[ClaimedEvent]) -> list[bool]:
    """Give events back unfinished: ``102`` → ``202``, their attempts not counted. Return which claims still held."""
    now = session.now()
    return [
        bool(session.execute(
            f'UPDATE {TABLE} SET task_status = ?, attempts = attempts - 1, due = ?, updated = ?,'
            f' claim_token = NULL, claim_owner = NULL, lease_expires = NULL WHERE {CLAIMED}',
            (Status.ACCEPTED.value, now, timestamp(now), one.uuid, one.token)).rowcount)
        for one in claimed
    ]


def move(session: Session, queue: QueueName, claimed: ClaimedEvent, place: Place) -> bool:
    """Give an event back, in its right place: ``102`` → ``202``, its attempt not counted.

    It keeps the time from which it waits. Return whether the claim still held.
    """
    now = session.now()
    counts = line.in_line(session, queue, [] if place.lane is None else [place.lane], now)
    park = not line.places_left(counts, place.lane)
    return bool(session.execute(
        f'UPDATE {TABLE} SET task_status = ?, attempts = attempts - 1, lane = ?, priority = ?, updated = ?,'
        f' due = {"CASE WHEN cancelled_by IS NULL THEN -due ELSE due END" if park else "due"},'
        f' claim_token = NULL, claim_owner = NULL, lease_expires = NULL WHERE {CLAIMED}',
        (Status.ACCEPTED.value, *place, timestamp(now), claimed.uuid, claimed.token)).rowcount)
