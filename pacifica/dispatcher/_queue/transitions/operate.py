"""What a person does with an event: run it again, or have it not run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pacifica.dispatcher._queue import history
from pacifica.dispatcher._queue.record import TABLE, timestamp
from pacifica.dispatcher._queue.session import Session
from pacifica.dispatcher._queue.status import FINAL, Status
from pacifica.dispatcher._queue.text import storable
from pacifica.dispatcher._queue.transitions.values import placeholders

__all__ = ['Cancel', 'Retry']

_FINAL = tuple(sorted(status.value for status in FINAL))

_RESULT = 'CASE WHEN skipped IS NULL THEN result END'  # what no handler has saved is none's to find


@dataclass(frozen=True, slots=True)
class Retry:
    """Run an event again that has ended: final → ``202``, due at once, its attempts counted anew.

    What its handler has saved (see ``save_result``) is kept, so that an upload that is done is not done twice, unless
    it is to start ``afresh``. Results in whether it had ended.
    """

    task_id: UUID
    by: str | None = None
    afresh: bool = False

    @staticmethod
    def run(session: Session, operations: Sequence[Retry]) -> Sequence[bool]:
        """Run each event again that has ended."""
        now = session.now()
        return [operation._write(session, now) for operation in operations]

    def _write(self, session: Session, now: float) -> bool:
        row = _lock(session, self.task_id, f'task_status IN ({placeholders(len(_FINAL))})', _FINAL)
        if row is None:
            return False
        entry = history.act('replay' if self.afresh else 'retry', now, self.by)
        return bool(session.execute(
            f'UPDATE {TABLE} SET task_status = ?, attempts = 0, due = ?, finalized = NULL, updated = ?, history = ?,'
            f' lease_expires = NULL, result = {"NULL" if self.afresh else _RESULT}, skipped = NULL'
            f' WHERE uuid = ? AND task_status IN ({placeholders(len(_FINAL))})',
            (Status.ACCEPTED.value, now, timestamp(now), history.extend(row[1], entry), row[0], *_FINAL),
        ).rowcount)


@dataclass(frozen=True, slots=True)
class Cancel:
    """Have an event not run that waits: ``202`` → ``500``. Results in whether it was waiting."""

    task_id: UUID
    by: str | None = None

    @staticmethod
    def run(session: Session, operations: Sequence[Cancel]) -> Sequence[bool]:
        """End each event that waits."""
        now = session.now()
        return [operation._write(session, now) for operation in operations]

    def _write(self, session: Session, now: float) -> bool:
        row = _lock(session, self.task_id, 'task_status = ?', (Status.ACCEPTED.value,))
        if row is None:
            return False
        message = f'cancelled{f" by {self.by}" if self.by else ""} while it waited'
        return bool(session.execute(
            f'UPDATE {TABLE} SET task_status = ?, exc_type = ?, exc_value = ?, exc_traceback = ?, finalized = ?,'
            ' updated = ?, history = ?, lease_expires = NULL WHERE uuid = ? AND task_status = ?',
            (Status.FAILED.value, 'CancelledError', storable(message), '', timestamp(now), timestamp(now),
             history.extend(row[1], history.act('cancel', now, self.by)), row[0], Status.ACCEPTED.value),
        ).rowcount)


def _lock(session: Session, task_id: UUID, condition: str, parameters: Sequence[Any]) -> Any:
    """Return ``(uuid, history)`` of the event, the row locked for this transaction; ``None`` if it is not as wanted."""
    return session.execute(
        f'SELECT uuid, history FROM {TABLE} WHERE task_id = ? AND {condition} {session.dialect.skip_locked}',
        (session.dialect.uuid(task_id), *parameters),
    ).fetchone()
