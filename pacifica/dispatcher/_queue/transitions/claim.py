"""Workers take events, and are told of them: ``202`` → ``102``."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import peewee

from pacifica.dispatcher._queue.record import TABLE, timestamp
from pacifica.dispatcher._queue.session import Session
from pacifica.dispatcher._queue.status import Status
from pacifica.dispatcher._queue.transitions.values import WAITING, Held, QueueName, placeholders

__all__ = ['Announce', 'Claim', 'ClaimTask', 'CountDue']


@dataclass(frozen=True, slots=True)
class Claim:
    """Take an event that is due: ``202`` → ``102``, its attempt counted. Results in it, or ``None``.

    ``lease`` is the seconds until the claim is over unless it is renewed; ``owner`` says who holds it, for people.
    """

    queue: QueueName
    owner: str
    lease: float

    @staticmethod
    def run(session: Session, operations: Sequence[Claim]) -> Sequence[Held | None]:
        """Take as many events as there are operations, the longest due first."""
        groups: dict[Claim, list[int]] = {}
        for index, operation in enumerate(operations):
            groups.setdefault(operation, []).append(index)
        results: list[Held | None] = [None] * len(operations)
        for wanted, indexes in groups.items():
            for index, held in zip(indexes, wanted._take(session, len(indexes))):
                results[index] = held
        return results

    def _take(self, session: Session, count: int) -> list[Held]:
        now = session.now()
        rows = session.execute(
            f'SELECT uuid, task_id, attempts, event_data, result, history, destination, created FROM {TABLE}'
            f' WHERE {WAITING} AND due > 0 AND due <= ?'
            f' ORDER BY due LIMIT {count:d} {session.dialect.skip_locked}',
            (*self.queue, now),
        ).fetchall()
        return _hold(session, now, rows, self.owner, self.lease)


@dataclass(frozen=True, slots=True)
class ClaimTask:
    """Take one certain event, if it is due: ``202`` → ``102``, as :class:`Claim` does."""

    queue: QueueName
    task_id: UUID
    owner: str
    lease: float

    @staticmethod
    def run(session: Session, operations: Sequence[ClaimTask]) -> Sequence[Held | None]:
        """Take each event that is due."""
        now = session.now()
        return [operation._take(session, now) for operation in operations]

    def _take(self, session: Session, now: float) -> Held | None:
        rows = session.execute(
            f'SELECT uuid, task_id, attempts, event_data, result, history, destination, created FROM {TABLE}'
            f' WHERE task_id = ? AND {WAITING} AND due > 0 AND due <= ? {session.dialect.skip_locked}',
            (session.dialect.uuid(self.task_id), *self.queue, now),
        ).fetchall()
        held = _hold(session, now, rows, self.owner, self.lease)
        return held[0] if held else None


def _hold(session: Session, now: float, rows: Sequence[Any], owner: str, lease: float) -> list[Held]:
    """Move *rows*, which this transaction has selected to change, from ``202`` to ``102``."""
    if not rows:
        return []
    token = secrets.token_hex(16)
    claimed = session.execute(
        f'UPDATE {TABLE} SET task_status = ?, attempts = attempts + 1, claim_token = ?, claim_owner = ?,'
        f' claimed = ?, lease_expires = ?, updated = ? WHERE uuid IN ({placeholders(len(rows))}) AND task_status = ?',
        (Status.PROCESSING.value, token, owner, now, now + lease, timestamp(now),
         *(row[0] for row in rows), Status.ACCEPTED.value),
    ).rowcount
    if claimed != len(rows):  # another worker came between, which the locks rule out: leave all, try again
        raise peewee.OperationalError(f'{len(rows)} events were to be claimed, {claimed} were')
    return [
        Held(uuid=row[0], task_id=UUID(str(row[1])), token=token, attempt=row[2] + 1, event_data=row[3],
             result=row[4], history=row[5], owner=owner, claimed=now, destination=row[6], created=row[7])
        for row in rows
    ]


@dataclass(frozen=True, slots=True)
class Announce:
    """Find events that are due and of which no message is on its way: stays ``202``. Results in their task ids.

    Only engines whose workers wait for messages need this. While an event waits, ``lease_expires`` is when the last
    message about it counts as lost; this moves it ``again`` seconds on.
    """

    queue: QueueName
    again: float
    limit: int

    @staticmethod
    def run(session: Session, operations: Sequence[Announce]) -> Sequence[list[UUID]]:
        """Find the events of each queue."""
        return [operation._find(session) for operation in operations]

    def _find(self, session: Session) -> list[UUID]:
        now = session.now()
        rows = session.execute(
            f'SELECT uuid, task_id FROM {TABLE} WHERE {WAITING} AND due > 0 AND due <= ?'
            f' AND (lease_expires IS NULL OR lease_expires < ?)'
            f' ORDER BY due LIMIT {self.limit:d} {session.dialect.skip_locked}',
            (*self.queue, now, now),
        ).fetchall()
        if rows:
            session.execute(
                f'UPDATE {TABLE} SET lease_expires = ?'
                f' WHERE uuid IN ({placeholders(len(rows))}) AND task_status = ?',
                (now + self.again, *(row[0] for row in rows), Status.ACCEPTED.value),
            )
        return [UUID(str(row[1])) for row in rows]


@dataclass(frozen=True, slots=True)
class CountDue:
    """Count the events that are due: changes nothing. Results in how many, ``most`` at most."""

    queue: QueueName
    most: int

    @staticmethod
    def run(session: Session, operations: Sequence[CountDue]) -> Sequence[int]:
        """Count the events of each queue, by the clock that claims go by."""
        now = session.now()
        return [
            int(session.execute(
                f'SELECT COUNT(*) FROM (SELECT 1 AS one FROM {TABLE} WHERE {WAITING} AND due > 0 AND due <= ?'
                f' LIMIT {operation.most:d}) AS waiting', (*operation.queue, now),
            ).fetchone()[0])
            for operation in operations
        ]
