"""Workers tell that they are there. Nothing depends on it: it is for people, who want to know who works."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pacifica.dispatcher._queue.record import WORKERS
from pacifica.dispatcher._queue.session import Session
from pacifica.dispatcher._queue.transitions.values import QueueName

__all__ = ['Farewell', 'Heartbeat']

_REMEMBERED = 86_400.0  # seconds for which a worker that died is shown


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Note that a worker is there. ``worker_id`` is its own, ``owner`` says to people where it runs."""

    worker_id: str
    queue: QueueName
    owner: str
    engine: str
    concurrency: int
    lease: float

    @staticmethod
    def run(session: Session, operations: Sequence[Heartbeat]) -> Sequence[None]:
        """Note each worker; forget those that died long ago."""
        now = session.now()
        for operation in operations:
            operation._write(session, now)
        return [None] * len(operations)

    def _write(self, session: Session, now: float) -> None:
        seen = session.execute(f'UPDATE {WORKERS} SET seen = ? WHERE id = ?', (now, self.worker_id)).rowcount
        if not seen:
            session.execute(f'DELETE FROM {WORKERS} WHERE seen < ?', (now - _REMEMBERED,))
            session.execute(
                f'INSERT INTO {WORKERS} (id, owner, task_application_name, task_name, engine, concurrency, lease,'
                ' started, seen) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
                (self.worker_id, self.owner, *self.queue, self.engine, self.concurrency, self.lease, now, now),
            )


@dataclass(frozen=True, slots=True)
class Farewell:
    """Note that a worker has stopped."""

    worker_id: str

    @staticmethod
    def run(session: Session, operations: Sequence[Farewell]) -> Sequence[None]:
        """Forget each worker."""
        for operation in operations:
            session.execute(f'DELETE FROM {WORKERS} WHERE id = ?', (operation.worker_id,))
        return [None] * len(operations)
