"""What nobody holds any more: events of workers that are gone, and events that ended long ago."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from pacifica.dispatcher._queue import history
from pacifica.dispatcher._queue.record import TABLE, timestamp
from pacifica.dispatcher._queue.session import Session
from pacifica.dispatcher._queue.status import Status
from pacifica.dispatcher._queue.transitions.values import HELD, PROCESSED, QueueName, placeholders

__all__ = ['Prune', 'Rescue']


@dataclass(frozen=True, slots=True)
class Rescue:
    """Take events from workers that are gone: ``102`` with its lease over → ``202``, or ``500`` after the last attempt.

    Results in how many run again and how many don't.
    """

    queue: QueueName
    max_attempts: int
    limit: int = 100

    @staticmethod
    def run(session: Session, operations: Sequence[Rescue]) -> Sequence[tuple[int, int]]:
        """Rescue the events of each queue."""
        return [operation._rescue(session) for operation in operations]

    def _rescue(self, session: Session) -> tuple[int, int]:
        now = session.now()
        rows = session.execute(
            f'SELECT uuid, claim_token, attempts, claim_owner, claimed, history FROM {TABLE}'
            f' WHERE {PROCESSED} AND lease_expires < ?'
            f' ORDER BY lease_expires LIMIT {self.limit:d} {session.dialect.skip_locked}',
            (*self.queue, now),
        ).fetchall()
        counts = [0, 0]
        for uuid, token, attempts, owner, claimed, so_far in rows:
            last = attempts >= self.max_attempts
            status = (Status.FAILED if last else Status.ACCEPTED).value
            message = f'worker {owner} died or hung in attempt {attempts} of {self.max_attempts}'
            entry = history.attempt(
                attempts, owner, claimed, now, status, exc_type='WorkerLostError', exc_value=message)
            counts[last] += session.execute(
                f'UPDATE {TABLE} SET task_status = ?, exc_type = ?, exc_value = ?, exc_traceback = ?, due = ?,'
                ' finalized = ?, updated = ?, history = ?, claim_token = NULL, claim_owner = NULL, lease_expires = NULL'
                f' WHERE {HELD}',
                (status, 'WorkerLostError', message, '', now + self._stagger(attempts),
                 timestamp(now) if last else None, timestamp(now), history.extend(so_far, entry), uuid, token),
            ).rowcount
        return counts[0], counts[1]

    @staticmethod
    def _stagger(attempts: int) -> float:
        """Return seconds to wait: none at first; later some, so that what died together is not run together again."""
        return random.uniform(0.0, 10.0) if attempts > 1 else 0.0


@dataclass(frozen=True, slots=True)
class Prune:
    """Delete events that ended more than ``older_than`` seconds ago: final → gone. Results in how many."""

    queue: QueueName
    older_than: float
    limit: int

    @staticmethod
    def run(session: Session, operations: Sequence[Prune]) -> Sequence[int]:
        """Delete at most ``limit`` events of each queue, the oldest first."""
        return [operation._delete(session) for operation in operations]

    def _delete(self, session: Session) -> int:
        rows = session.execute(
            f'SELECT uuid FROM {TABLE} WHERE finalized < ? AND task_application_name = ? AND task_name = ?'
            f' ORDER BY finalized LIMIT {self.limit:d} {session.dialect.skip_locked}',
            (timestamp(session.now() - self.older_than), *self.queue),
        ).fetchall()
        if not rows:
            return 0
        return int(session.execute(
            f'DELETE FROM {TABLE} WHERE uuid IN ({placeholders(len(rows))})', [row[0] for row in rows]
        ).rowcount)
