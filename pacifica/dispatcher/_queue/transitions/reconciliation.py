"""Whose turn it is to ask Metadata for what was never delivered, and from when on: once for all services of a queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pacifica.dispatcher._queue.event_key import event_key
from pacifica.dispatcher._queue.record import RECONCILIATIONS, as_text
from pacifica.dispatcher._queue.session import Session
from pacifica.dispatcher._queue.transitions.values import QueueName

__all__ = ['ClaimReconciliation', 'Reconciliation', 'RenewReconciliation']


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """A turn that was claimed.

    :param since: from when on to ask, UTC by the archive's clock; ``None`` if none was finished before.
    """

    since: datetime | None


@dataclass(frozen=True, slots=True)
class ClaimReconciliation:
    """Take the turn for ``lease`` seconds, if it is due in ``early`` seconds and nobody has it."""

    queue: QueueName
    token: str
    lease: float
    early: float = 0.0

    @staticmethod
    def run(session: Session, operations: Sequence[ClaimReconciliation]) -> Sequence[Reconciliation | None]:
        """Take each turn that may be taken."""
        return [operation._take(session) for operation in operations]

    def _take(self, session: Session) -> Reconciliation | None:
        key, now = event_key(*self.queue), session.now()
        session.execute(
            f'INSERT INTO {RECONCILIATIONS} (id, due) VALUES (?, ?) {session.dialect.on_duplicate.format(key="id")}',
            (key, now))
        taken = session.execute(
            f'UPDATE {RECONCILIATIONS} SET claim_token = ?, lease_expires = ? WHERE id = ? AND due <= ?'
            ' AND (lease_expires IS NULL OR lease_expires <= ?)',
            (self.token, now + self.lease, key, now + self.early, now)).rowcount
        if not taken:
            return None
        (since,), = session.execute(f'SELECT since FROM {RECONCILIATIONS} WHERE id = ?', (key,)).fetchall()
        return Reconciliation(None if since is None else datetime.fromisoformat(as_text(since)))


@dataclass(frozen=True, slots=True)
class RenewReconciliation:
    """Keep the turn for ``lease`` more seconds; or end it, due again in ``again`` seconds, the next from ``since`` on.

    Results in whether the turn was still this one's, else nothing was written.
    """

    queue: QueueName
    token: str
    lease: float | None = None
    again: float = 0.0
    since: datetime | None = None

    @staticmethod
    def run(session: Session, operations: Sequence[RenewReconciliation]) -> Sequence[bool]:
        """Keep or end each turn."""
        return [operation._write(session) for operation in operations]

    def _write(self, session: Session) -> bool:
        now = session.now()
        since = None if self.since is None else self.since.isoformat(' ', 'microseconds')
        return bool(session.execute(
            f'UPDATE {RECONCILIATIONS} SET lease_expires = ?, due = ?, since = COALESCE(?, since)'
            ' WHERE id = ? AND claim_token = ? AND lease_expires IS NOT NULL',
            (None if self.lease is None else now + self.lease, now + self.again, since, event_key(*self.queue),
             self.token)).rowcount)
