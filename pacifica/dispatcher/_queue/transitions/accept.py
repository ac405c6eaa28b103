"""Events come in: nothing → ``202``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pacifica.dispatcher._events import ReceivedEvent
from pacifica.dispatcher._queue.facts import Facts
from pacifica.dispatcher._queue.record import TABLE, placeholders, storable, timestamp
from pacifica.dispatcher._queue.session import Session
from pacifica.dispatcher._queue.status import Status
from pacifica.dispatcher._queue.transitions import line
from pacifica.dispatcher._queue.values import Place, QueueName
from pacifica.dispatcher.exceptions import InvalidEventError

_INSERT_ROWS = 200
_STATEMENT_REST = 600_000  # bytes for the attributes, of which each may have 16,000 characters, and the SQL
_INSERT_CHARACTERS = 1_000_000  # keeps a statement well under MySQL's max_allowed_packet
_COLUMNS = (
    'uuid', 'event_type', 'event_type_version', 'cloud_events_version', 'source', 'event_id', 'event_time',
    'schema_url', 'content_type', 'event_data', 'data', 'task_id', 'task_application_name', 'task_name',
    'task_status', 'exc_traceback', 'created', 'updated', 'due', 'lease_expires', 'event_key', 'destination',
    *Place._fields, *Facts._fields,
)
_INSERT = f'INSERT INTO {TABLE} ({", ".join(_COLUMNS)}) VALUES '
_VALUES = f'({placeholders(len(_COLUMNS))})'


@dataclass(frozen=True, slots=True)
class Accept:
    """Store an event: nothing → ``202``. Results in the task id: of the first arrival, if it is a repeated one.

    ``key`` identifies the event among all that were ever accepted; ``None`` if each arrival is an event of its own.
    ``announced`` is the seconds for which a message about it is taken to be on its way (see ``announce``);
    ``delay`` the seconds until it is due. ``destination`` says where it is sent to, if it is an outgoing event;
    ``place`` where it stands in line.
    """

    queue: QueueName
    event: ReceivedEvent
    task_id: UUID
    key: str | None
    announced: float | None = None
    delay: float = 0.0
    destination: str | None = None
    place: Place = Place()

    @staticmethod
    def run(session: Session, operations: Sequence[Accept]) -> Sequence[UUID]:
        """Insert all rows, those with a known key excepted, whose first task ids are looked up."""
        now = session.now()
        inserted = 0
        if session.statement_limit is not None:
            for operation in operations:
                operation._check_size(session.statement_limit)
        parked = _parked(session, operations, now)
        for chunk in _chunks(operations):
            rows = [row for operation in chunk for row in operation._row(session, now, operation.task_id in parked)]
            ending = session.dialect.on_duplicate.format(key='uuid')
            inserted += session.execute(f'{_INSERT}{", ".join([_VALUES] * len(chunk))} {ending}', rows).rowcount
        keys = [operation.key for operation in operations if operation.key is not None]
        if inserted == len(operations) or not keys:
            return [operation.task_id for operation in operations]
        found = session.execute(
            f'SELECT event_key, task_id FROM {TABLE} WHERE event_key IN ({placeholders(len(keys))})', keys
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

    def _row(self, session: Session, now: float, park: bool) -> Iterator[Any]:
        event, task_id, time = self.event, session.dialect.uuid(self.task_id), timestamp(now)
        yield task_id
        for text in (event.event_type, event.event_type_version, event.cloud_events_version, event.source,
                     event.event_id, event.event_time, event.schema_url, event.content_type):
            yield storable(text)
        yield from (event.event_json, event.data_json, task_id, *self.queue, Status.ACCEPTED.value, '',
                    time, time, -(now + self.delay) if park else now + self.delay,
                    None if self.announced is None else now + self.announced, self.key,
                    self.destination, *self.place, *Facts.of(self.event.data_json))


def _parked(session: Session, operations: Sequence[Accept], now: float) -> set[UUID]:
    """Return the task ids of those that aren't to stand in line, because enough of their lanes do."""
    parked = set()
    for queue in {operation.queue for operation in operations if operation.place.lane is not None}:
        own = [(each, each.place.lane) for each in operations if each.queue == queue and each.place.lane is not None]
        counts = line.in_line(session, queue, sorted({lane for _, lane in own}), now)
        for operation, lane in own:
            if not line.places_left(counts, lane):
                parked.add(operation.task_id)
            counts[lane] = counts.get(lane, 0) + 1
    return parked


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
