"""What a worker does with an event it holds: keep it (``102``), end it, or give it back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pacifica.dispatcher._queue import history
from pacifica.dispatcher._queue.outcome import Outcome
from pacifica.dispatcher._queue.record import TABLE, timestamp
from pacifica.dispatcher._queue.session import Session
from pacifica.dispatcher._queue.status import FINAL, Status
from pacifica.dispatcher._queue.text import storable
from pacifica.dispatcher._queue.transitions.accept import Accept
from pacifica.dispatcher._queue.transitions.values import HELD, Held

__all__ = ['Finish', 'Release', 'Renew', 'SaveResult']


@dataclass(frozen=True, slots=True)
class Finish:
    """Write how an attempt ended: ``102`` → the outcome's status. Results in whether the claim still held.

    If it did, the events of ``outgoing`` are stored with it.
    """

    held: Held
    outcome: Outcome
    outgoing: tuple[Accept, ...] = ()

    @staticmethod
    def run(session: Session, operations: Sequence[Finish]) -> Sequence[bool]:
        """Write each outcome whose claim still holds."""
        now = session.now()
        written = [operation._write(session, now) for operation in operations]
        outgoing = [accept for operation, held in zip(operations, written) if held for accept in operation.outgoing]
        if outgoing:
            Accept.run(session, outgoing)
        return written

    def _write(self, session: Session, now: float) -> bool:
        outcome, held = self.outcome, self.held
        attempt = history.attempt(
            held.attempt, held.owner, held.claimed, now, outcome.status.value, route=outcome.route,
            exc_type=outcome.exc_type, exc_value=outcome.exc_value, stages=outcome.stages,
        )
        time = timestamp(now)
        cursor = session.execute(
            f'UPDATE {TABLE} SET task_status = ?, exc_type = ?, exc_value = ?, exc_traceback = ?, route = ?, due = ?,'
            ' finalized = ?, updated = ?, history = ?, claim_token = NULL, claim_owner = NULL, lease_expires = NULL'
            f'{", skipped = 1, result = ?" if outcome.skipped else ""} WHERE {HELD}',
            (outcome.status.value, storable(outcome.exc_type), storable(outcome.exc_value),
             storable(outcome.exc_traceback, limit=None), storable(outcome.route), now + (outcome.delay or 0.0),
             time if outcome.status in FINAL else None, time,
             history.extend(held.history, attempt), *([outcome.result] if outcome.skipped else ()),
             held.uuid, held.token),
        )
        return bool(cursor.rowcount)


@dataclass(frozen=True, slots=True)
class Release:
    """Give an event back unfinished: ``102`` → ``202``, its attempt not counted. Results in whether it was held."""

    held: Held

    @staticmethod
    def run(session: Session, operations: Sequence[Release]) -> Sequence[bool]:
        """Give each event back whose claim still holds."""
        now = session.now()
        return [
            bool(session.execute(
                f'UPDATE {TABLE} SET task_status = ?, attempts = attempts - 1, due = ?, updated = ?,'
                f' claim_token = NULL, claim_owner = NULL, lease_expires = NULL WHERE {HELD}',
                (Status.ACCEPTED.value, now, timestamp(now),
                 operation.held.uuid, operation.held.token),
            ).rowcount)
            for operation in operations
        ]


@dataclass(frozen=True, slots=True)
class Renew:
    """Keep a claim for ``lease`` more seconds: stays ``102``. Results in whether the claim still held."""

    held: Held
    lease: float

    @staticmethod
    def run(session: Session, operations: Sequence[Renew]) -> Sequence[bool]:
        """Move the end of each lease that still holds."""
        now = session.now()
        return [
            bool(session.execute(
                f'UPDATE {TABLE} SET lease_expires = ? WHERE {HELD}',
                (now + operation.lease, operation.held.uuid, operation.held.token),
            ).rowcount)
            for operation in operations
        ]


@dataclass(frozen=True, slots=True)
class SaveResult:
    """Keep what an attempt knows so far (JSON): stays ``102``. Results in whether the claim still held."""

    held: Held
    result: str

    @staticmethod
    def run(session: Session, operations: Sequence[SaveResult]) -> Sequence[bool]:
        """Write each result whose claim still holds."""
        now = timestamp(session.now())
        return [
            bool(session.execute(
                f'UPDATE {TABLE} SET result = ?, updated = ? WHERE {HELD}',
                (operation.result, now, operation.held.uuid, operation.held.token),
            ).rowcount)
            for operation in operations
        ]
