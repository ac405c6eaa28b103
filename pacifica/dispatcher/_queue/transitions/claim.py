"""A worker claims an event, ``202`` → ``102``; keeps its claim; and ends it, ``102`` → the outcome's status."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import peewee

from pacifica.dispatcher._queue import history
from pacifica.dispatcher._queue.record import CLAIMED, TABLE, WAITING, placeholders, storable, timestamp
from pacifica.dispatcher._queue.session import Session
from pacifica.dispatcher._queue.status import FINAL, Status
from pacifica.dispatcher._queue.transitions.accept import Accept
from pacifica.dispatcher._queue.values import ClaimedEvent, Outcome, QueueName

_DUE = f'{WAITING} AND due > 0 AND due <= ?'
_COLUMNS = 'uuid, task_id, attempts, event_data, result, history, destination, waiting_since, cancelled_by, created'


@dataclass(frozen=True, slots=True)
class Claim:
    """Claim an event that is due: ``202`` → ``102``, its attempt counted. Results in it, or ``None``.

    ``lease`` is the seconds until the claim is over unless it is renewed; ``owner`` says who has it, for people;
    ``worker_id`` is the id of its heartbeats, if it sends any.
    """

    queue: QueueName
    owner: str
    lease: float
    worker_id: str = ''

    @staticmethod
    def run(session: Session, operations: Sequence[Claim]) -> Sequence[ClaimedEvent | None]:
        """Claim as many events as there are operations, the longest due first."""
        groups: dict[Claim, list[int]] = {}
        for index, operation in enumerate(operations):
            groups.setdefault(operation, []).append(index)
        results: list[ClaimedEvent | None] = [None] * len(operations)
        for wanted, indexes in groups.items():
            for index, claimed in zip(indexes, wanted._take(session, len(indexes))):
                results[index] = claimed
        return results

    def _take(self, session: Session, count: int) -> list[ClaimedEvent]:
        now = session.now()
        rows = session.execute(
            f'SELECT {_COLUMNS} FROM {TABLE} WHERE {_DUE} ORDER BY due LIMIT {count:d} {session.dialect.skip_locked}',
            (*self.queue, now),
        ).fetchall()
        return _claim(session, now, rows, self)


def claim_task(session: Session, task_id: UUID, wanted: Claim) -> ClaimedEvent | None:
    """Claim one certain event, if it is due: ``202`` → ``102``, as :class:`Claim` does."""
    now = session.now()
    rows = session.execute(
        f'SELECT {_COLUMNS} FROM {TABLE} WHERE task_id = ? AND {_DUE} {session.dialect.skip_locked}',
        (session.dialect.uuid(task_id), *wanted.queue, now),
    ).fetchall()
    claimed = _claim(session, now, rows, wanted)
    return claimed[0] if claimed else None


def _claim(session: Session, now: float, rows: Sequence[Any], wanted: Claim) -> list[ClaimedEvent]:
    """Move *rows*, which this transaction has selected to change, from ``202`` to ``102``."""
    if not rows:
        return []
    # Begins with the worker's id, so that what a dead one has claimed is found.
    token = (wanted.worker_id + secrets.token_hex(16))[:32]
    changed = session.execute(
        f'UPDATE {TABLE} SET task_status = ?, attempts = attempts + 1, claim_token = ?, claim_owner = ?,'
        f' claimed = ?, lease_expires = ?, updated = ? WHERE uuid IN ({placeholders(len(rows))}) AND task_status = ?',
        (Status.PROCESSING.value, token, wanted.owner, now, now + wanted.lease, timestamp(now),
         *(row[0] for row in rows), Status.ACCEPTED.value),
    ).rowcount
    if changed != len(rows):  # another worker came between, which the locks rule out: leave all, try again
        raise peewee.OperationalError(f'{len(rows)} events were to be claimed, {changed} were')
    return [
        ClaimedEvent(uuid, UUID(str(task_id)), token, attempts + 1, event_data, result, so_far, wanted.owner, now,
                     created, destination, waiting_since, cancelled_by, wanted.lease)
        for uuid, task_id, attempts, event_data, result, so_far, destination, waiting_since, cancelled_by, created
        in rows
    ]


def announce(session: Session, queue: QueueName, again: float, limit: int) -> list[UUID]:
    """Return at most *limit* events that are due and of which no message is on its way: stays ``202``.

    Only engines whose workers wait for messages need this. While an event waits, ``lease_expires`` is when the last
    message about it counts as lost; this moves it *again* seconds on.
    """
    now = session.now()
    rows = session.execute(
        f'SELECT uuid, task_id FROM {TABLE} WHERE {_DUE} AND (lease_expires IS NULL OR lease_expires < ?)'
        f' ORDER BY due LIMIT {limit:d} {session.dialect.skip_locked}', (*queue, now, now),
    ).fetchall()
    if rows:
        session.execute(
            f'UPDATE {TABLE} SET lease_expires = ? WHERE uuid IN ({placeholders(len(rows))}) AND task_status = ?',
            (now + again, *(row[0] for row in rows), Status.ACCEPTED.value),
        )
    return [UUID(str(row[1])) for row in rows]


def count_due(session: Session, queue: QueueName, most: int) -> int:
    """Return how many events are due by the clock that claims go by, *most* at most; changes nothing."""
    return int(session.execute(
        f'SELECT COUNT(*) FROM (SELECT 1 AS one FROM {TABLE} WHERE {_DUE} LIMIT {most:d}) AS waiting',
        (*queue, session.now()),
    ).fetchone()[0])


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

    If it did, the events of *outgoing* are stored with the end.
    """
    now = session.now()
    attempt = history.attempt(
        claimed.attempt, claimed.owner, claimed.claimed_at, now, outcome.status.value, route=outcome.route,
        exc_type=outcome.exc_type, exc_value=outcome.exc_value, stages=outcome.stages,
    )
    time = timestamp(now)
    written = bool(session.execute(
        f'UPDATE {TABLE} SET task_status = ?, exc_type = ?, exc_value = ?, exc_traceback = ?, route = ?,'
        ' due = CASE WHEN cancelled_by IS NULL THEN ? ELSE 1 END,'  # the next claim ends what was cancelled
        ' finalized = ?, updated = ?, history = ?, claim_token = NULL, claim_owner = NULL, lease_expires = NULL,'
        ' awaits = NULL, waiting_since = NULL'
        f'{", skipped = 1, result = ?" if outcome.skipped else ""} WHERE {CLAIMED}',
        (outcome.status.value, storable(outcome.exc_type), storable(outcome.exc_value),
         storable(outcome.exc_traceback, limit=None), storable(outcome.route), now + (outcome.delay or 0.0),
         time if outcome.status in FINAL else None, time, history.extend(claimed.history, attempt),
         *([outcome.result] if outcome.skipped else ()), claimed.uuid, claimed.token),
    ).rowcount)
    if written and outgoing:
        Accept.run(session, outgoing)
    return written


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
