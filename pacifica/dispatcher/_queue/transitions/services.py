"""What the services of a queue share: the heartbeats of their workers, and the turn to reconcile."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from pacifica.dispatcher._queue.record import RECONCILIATIONS, WORKERS, as_text, event_key
from pacifica.dispatcher._queue.session import Session
from pacifica.dispatcher._queue.values import QueueName

_REMEMBERED = 86_400.0  # seconds for which a worker that died is shown
_TURN_HOLDS = 'id = ? AND claim_token = ? AND lease_expires IS NOT NULL'


class Process(NamedTuple):
    """A process of a machine: which machine, its id there, and its start; ``None`` if the system won't say."""

    machine: str | None
    pid: int
    started: str | None


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A worker that is alive. ``worker_id`` is its own, ``owner`` says to people where it runs, ``process`` to others
    on its machine.
    """

    worker_id: str
    queue: QueueName
    owner: str
    engine: str
    concurrency: int
    lease: float
    process: Process = Process(None, 0, None)


def beat(session: Session, heartbeat: Heartbeat) -> None:
    """Note that a worker is alive; forget those that died long ago."""
    now = session.now()
    seen = session.execute(f'UPDATE {WORKERS} SET seen = ? WHERE id = ?', (now, heartbeat.worker_id)).rowcount
    if not seen:
        session.execute(f'DELETE FROM {WORKERS} WHERE seen < ?', (now - _REMEMBERED,))
        session.execute(
            f'INSERT INTO {WORKERS} (id, owner, task_application_name, task_name, engine, concurrency, lease,'
            ' started, seen, machine, pid, process_started) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
            (heartbeat.worker_id, heartbeat.owner, *heartbeat.queue, heartbeat.engine, heartbeat.concurrency,
             heartbeat.lease, now, now, *heartbeat.process),
        )


def workers_on(session: Session, queue: QueueName, machine: str) -> list[tuple[str, Process]]:
    """Return the workers of a queue on a machine: their ids and their processes."""
    return [(worker_id, Process(machine, pid, started)) for worker_id, pid, started in session.execute(
        f'SELECT id, pid, process_started FROM {WORKERS} WHERE machine = ? AND task_application_name = ?'
        ' AND task_name = ?', (machine, *queue)).fetchall()]


def note_death(session: Session, worker_id: str) -> None:
    """Have nobody look for a dead worker's process any more; people are shown the worker for a day."""
    session.execute(f'UPDATE {WORKERS} SET machine = NULL WHERE id = ?', (worker_id,))


def deregister(session: Session, worker_id: str) -> None:
    """Forget a worker that has stopped."""
    session.execute(f'DELETE FROM {WORKERS} WHERE id = ?', (worker_id,))


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """A turn that was claimed.

    :param since: from when on to ask, UTC by the archive's clock; ``None`` if none was finished before.
    """

    since: datetime | None


def claim_reconciliation(
    session: Session, queue: QueueName, token: str, lease: float, early: float,
) -> Reconciliation | None:
    """Take the turn for *lease* seconds, if it is due in *early* seconds and nobody has it."""
    key, now = event_key(*queue), session.now()
    session.execute(
        f'INSERT INTO {RECONCILIATIONS} (id, due) VALUES (?, ?) {session.dialect.on_duplicate.format(key="id")}',
        (key, now))
    taken = session.execute(
        f'UPDATE {RECONCILIATIONS} SET claim_token = ?, lease_expires = ? WHERE id = ? AND due <= ?'
        ' AND (lease_expires IS NULL OR lease_expires <= ?)', (token, now + lease, key, now + early, now)).rowcount
    if not taken:
        return None
    (since,), = session.execute(f'SELECT since FROM {RECONCILIATIONS} WHERE id = ?', (key,)).fetchall()
    return Reconciliation(None if since is None else datetime.fromisoformat(as_text(since)))


def renew_reconciliation(session: Session, queue: QueueName, token: str, lease: float) -> bool:
    """Keep the turn for *lease* more seconds; return whether the claim still held."""
    now = session.now()
    return bool(session.execute(
        f'UPDATE {RECONCILIATIONS} SET lease_expires = ?, due = ? WHERE {_TURN_HOLDS}',
        (now + lease, now, event_key(*queue), token)).rowcount)


def finish_reconciliation(session: Session, queue: QueueName, token: str, again: float, since: datetime | None) -> None:
    """End the turn, unless it was lost; the next is due in *again* seconds and asks from *since* on, if given."""
    session.execute(
        f'UPDATE {RECONCILIATIONS} SET lease_expires = NULL, due = ?, since = COALESCE(?, since) WHERE {_TURN_HOLDS}',
        (session.now() + again, None if since is None else since.isoformat(' ', 'microseconds'), event_key(*queue),
         token))
