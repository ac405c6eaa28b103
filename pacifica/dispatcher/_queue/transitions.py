"""Every statement that writes a row of the queue: the one place where a status changes.

Each class is an :class:`~._queue.writer.Operation`: a value that says what is wanted, and a ``run`` that does it for
all of its kind at once inside the writer's transaction. Each change is an ``UPDATE`` guarded by the status it moves
from and, once a worker holds the event, by the token of its claim; its row count says whether it happened.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

import peewee

from pacifica.dispatcher._events import ReceivedEvent
from pacifica.dispatcher._queue.connections import Session
from pacifica.dispatcher._queue.outcome import Outcome
from pacifica.dispatcher._queue.record import TABLE, timestamp
from pacifica.dispatcher._queue.status import FINAL, Status
from pacifica.dispatcher._queue.text import storable
from pacifica.dispatcher.exceptions import InvalidEventError

__all__ = [
    'Accept', 'Announce', 'Claim', 'ClaimTask', 'Finish', 'Held', 'Prune', 'QueueName', 'Release', 'Renew', 'Rescue',
    'SaveResult',
]

_INSERT_ROWS = 200
_STATEMENT_REST = 600_000  # bytes for the attributes, of which each may have 16,000 characters, and the SQL
_INSERT_CHARACTERS = 1_000_000  # keeps a statement well under MySQL's max_allowed_packet
_ACCEPT_COLUMNS = (
    'uuid', 'event_type', 'event_type_version', 'cloud_events_version', 'source', 'event_id', 'event_time',
    'schema_url', 'content_type', 'event_data', 'data', 'task_id', 'task_application_name', 'task_name',
    'task_status', 'exc_traceback', 'created', 'updated', 'due', 'lease_expires', 'event_key',
)
_OF_QUEUE = 'task_status = ? AND task_application_name = ? AND task_name = ?'
_HELD = 'uuid = ? AND task_status = ? AND claim_token = ?'


class QueueName(NamedTuple):
    """Whose events these are: several applications may keep theirs in one table."""

    application: str
    task: str


@dataclass(frozen=True, slots=True)
class Held:
    """An event that a worker has claimed, and the token that proves it."""

    uuid: Any  # as the driver reads the column
    task_id: UUID
    token: str
    attempt: int
    event_data: str
    result: str | None


def _placeholders(count: int) -> str:
    return ', '.join('?' * count)


@dataclass(frozen=True, slots=True)
class Accept:
    """Store an event: nothing → ``202``. Results in the task id: of the first to come, if it has been here before.

    ``key`` identifies the event among all that were ever accepted; ``None`` if each arrival is an event of its own.
    ``announced`` is the seconds for which a message about it is taken to be on its way (see :class:`Announce`).
    """

    queue: QueueName
    event: ReceivedEvent
    task_id: UUID
    key: str | None
    announced: float | None = None

    @staticmethod
    def run(session: Session, operations: Sequence[Accept]) -> Sequence[UUID]:
        """Insert all rows, those with a known key excepted, whose first task ids are looked up."""
        now = session.now()
        inserted = 0
        if session.statement_limit is not None:
            for operation in operations:
                operation._check_size(session.statement_limit)
        for chunk in _chunks(operations):
            rows = [row for operation in chunk for row in operation._row(session, now)]
            values = ', '.join([f'({_placeholders(len(_ACCEPT_COLUMNS))})'] * len(chunk))
            inserted += session.execute(
                f'INSERT INTO {TABLE} ({", ".join(_ACCEPT_COLUMNS)}) VALUES {values} {session.dialect.on_duplicate}',
                rows,
            ).rowcount
        if inserted == len(operations):
            return [operation.task_id for operation in operations]
        keys = [operation.key for operation in operations if operation.key is not None]
        found = session.execute(
            f'SELECT event_key, task_id FROM {TABLE} WHERE event_key IN ({_placeholders(len(keys))})', keys
        ).fetchall()
        first = {key: UUID(str(task_id)) for key, task_id in found}
        return [first.get(operation.key or '', operation.task_id) for operation in operations]

    def _check_size(self, limit: int) -> None:
        texts = (self.event.event_json, self.event.data_json)
        if sum(map(len, texts)) * 8 < limit:  # four bytes a character, each escaped
            return
        # Quotes and backslashes are sent with a backslash before each.
        size = sum(len(text.encode()) + text.count('"') + text.count('\\') + text.count("'") for text in texts)
        if size + _STATEMENT_REST > limit:
            raise InvalidEventError(
                'the event is larger than the database of this receiver takes (its max_allowed_packet is less than '
                'twice the event)', status=413,
            )

    def _row(self, session: Session, now: float) -> Iterator[Any]:
        event, task_id, time = self.event, session.dialect.uuid(self.task_id), timestamp(now)
        yield task_id
        for text in (event.event_type, event.event_type_version, event.cloud_events_version, event.source,
                     event.event_id, event.event_time, event.schema_url, event.content_type):
            yield storable(text)
        yield from (event.event_json, event.data_json, task_id, *self.queue, Status.ACCEPTED.value, '',
                    time, time, now, None if self.announced is None else now + self.announced, self.key)


def _chunks(operations: Sequence[Accept]) -> Iterator[list[Accept]]:
    chunk: list[Accept] = []
    size = 0
    for operation in operations:
        length = len(operation.event.event_json) + len(operation.event.data_json)
        if chunk and (len(chunk) == _INSERT_ROWS or size + length > _INSERT_CHARACTERS):
            yield chunk
            chunk, size = [], 0
        chunk.append(operation)
        size += length
    if chunk:
        yield chunk


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
            f'SELECT uuid, task_id, attempts, event_data, result FROM {TABLE}'
            f' WHERE {_OF_QUEUE} AND due > 0 AND due <= ?'
            f' ORDER BY due LIMIT {count:d} {session.dialect.skip_locked}',
            (Status.ACCEPTED.value, *self.queue, now),
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
            f'SELECT uuid, task_id, attempts, event_data, result FROM {TABLE}'
            f' WHERE task_id = ? AND {_OF_QUEUE} AND due > 0 AND due <= ? {session.dialect.skip_locked}',
            (session.dialect.uuid(self.task_id), Status.ACCEPTED.value, *self.queue, now),
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
        f' lease_expires = ?, updated = ? WHERE uuid IN ({_placeholders(len(rows))}) AND task_status = ?',
        (Status.PROCESSING.value, token, owner, now + lease, timestamp(now),
         *(row[0] for row in rows), Status.ACCEPTED.value),
    ).rowcount
    if claimed != len(rows):  # another worker came between, which the locks rule out: leave all, try again
        raise peewee.OperationalError(f'{len(rows)} events were to be claimed, {claimed} were')
    return [
        Held(uuid=row[0], task_id=UUID(str(row[1])), token=token, attempt=row[2] + 1, event_data=row[3], result=row[4])
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
            f'SELECT uuid, task_id FROM {TABLE} WHERE {_OF_QUEUE} AND due > 0 AND due <= ?'
            f' AND (lease_expires IS NULL OR lease_expires < ?)'
            f' ORDER BY due LIMIT {self.limit:d} {session.dialect.skip_locked}',
            (Status.ACCEPTED.value, *self.queue, now, now),
        ).fetchall()
        if rows:
            session.execute(
                f'UPDATE {TABLE} SET lease_expires = ?'
                f' WHERE uuid IN ({_placeholders(len(rows))}) AND task_status = ?',
                (now + self.again, *(row[0] for row in rows), Status.ACCEPTED.value),
            )
        return [UUID(str(row[1])) for row in rows]


@dataclass(frozen=True, slots=True)
class Finish:
    """Write how an attempt ended: ``102`` → the outcome's status. Results in whether the claim still held."""

    held: Held
    outcome: Outcome

    @staticmethod
    def run(session: Session, operations: Sequence[Finish]) -> Sequence[bool]:
        """Write each outcome whose claim still holds."""
        now = session.now()
        return [operation._write(session, now) for operation in operations]

    def _write(self, session: Session, now: float) -> bool:
        outcome = self.outcome
        cursor = session.execute(
            f'UPDATE {TABLE} SET task_status = ?, exc_type = ?, exc_value = ?, exc_traceback = ?, route = ?, due = ?,'
            ' finalized = ?, updated = ?, claim_token = NULL, claim_owner = NULL, lease_expires = NULL'
            f' WHERE {_HELD}',
            (outcome.status.value, storable(outcome.exc_type), storable(outcome.exc_value),
             storable(outcome.exc_traceback, limit=None), storable(outcome.route), now + (outcome.delay or 0.0),
             timestamp(now) if outcome.status in FINAL else None, timestamp(now),
             self.held.uuid, Status.PROCESSING.value, self.held.token),
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
                f' claim_token = NULL, claim_owner = NULL, lease_expires = NULL WHERE {_HELD}',
                (Status.ACCEPTED.value, now, timestamp(now),
                 operation.held.uuid, Status.PROCESSING.value, operation.held.token),
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
                f'UPDATE {TABLE} SET lease_expires = ? WHERE {_HELD}',
                (now + operation.lease, operation.held.uuid, Status.PROCESSING.value, operation.held.token),
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
                f'UPDATE {TABLE} SET result = ?, updated = ? WHERE {_HELD}',
                (operation.result, now, operation.held.uuid, Status.PROCESSING.value, operation.held.token),
            ).rowcount)
            for operation in operations
        ]


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
            f'SELECT uuid, claim_token, attempts, claim_owner FROM {TABLE} WHERE {_OF_QUEUE} AND lease_expires < ?'
            f' ORDER BY lease_expires LIMIT {self.limit:d} {session.dialect.skip_locked}',
            (Status.PROCESSING.value, *self.queue, now),
        ).fetchall()
        counts = [0, 0]
        for uuid, token, attempts, owner in rows:
            last = attempts >= self.max_attempts
            counts[last] += session.execute(
                f'UPDATE {TABLE} SET task_status = ?, exc_type = ?, exc_value = ?, exc_traceback = ?, due = ?,'
                ' finalized = ?, updated = ?, claim_token = NULL, claim_owner = NULL, lease_expires = NULL'
                f' WHERE {_HELD}',
                ((Status.FAILED if last else Status.ACCEPTED).value, 'WorkerLostError',
                 f'worker {owner} died or hung in attempt {attempts} of {self.max_attempts}', '',
                 now + self._stagger(attempts),
                 timestamp(now) if last else None, timestamp(now), uuid, Status.PROCESSING.value, token),
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
            f'DELETE FROM {TABLE} WHERE uuid IN ({_placeholders(len(rows))})', [row[0] for row in rows]
        ).rowcount)
