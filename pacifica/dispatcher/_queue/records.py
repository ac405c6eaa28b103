"""Reading records: what ``/status``, ``/get`` and the list show; and how any list selects and shows them.

Never writes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from pacifica.dispatcher._queue import history
from pacifica.dispatcher._queue.connections import Connections
from pacifica.dispatcher._queue.output import KeptOutput, outputs
from pacifica.dispatcher._queue.record import NEWEST_FIRST, TABLE, WAITING, as_text, event_key, placeholders, storable
from pacifica.dispatcher._queue.schema import PREFIX_CHARACTERS, PREFIXED, prefix
from pacifica.dispatcher._queue.session import Session
from pacifica.dispatcher._queue.status import Status
from pacifica.dispatcher._queue.values import QueueName

# key of the /get object, column
_FIELDS = (
    ('eventType', 'event_type'),
    ('eventTypeVersion', 'event_type_version'),
    ('source', 'source'),
    ('eventID', 'event_id'),
    ('eventTime', 'event_time'),
    ('schemaURL', 'schema_url'),
    ('contentType', 'content_type'),
    ('eventData', 'event_data'),
    ('data', 'data'),
    ('taskID', 'task_id'),
    ('taskStatus', 'task_status'),
    ('taskApplicationName', 'task_application_name'),
    ('taskName', 'task_name'),
    ('exceptionType', 'exc_type'),
    ('exceptionValue', 'exc_value'),
    ('exceptionTraceback', 'exc_traceback'),
    ('created', 'created'),
    ('updated', 'updated'),
    ('deleted', 'deleted'),
    ('attempts', 'attempts'),
    ('result', 'result'),
    ('route', 'route'),
    ('finalized', 'finalized'),
    ('transactionID', 'transaction_id'),
    ('parentTransactionID', 'parent_transaction'),
    ('skipped', 'skipped'),
    ('parameters', 'parameters'),
    ('history', 'history'),
    ('project', 'project'),
    ('instrument', 'instrument'),
    ('submitter', 'submitter'),
    ('fileCount', 'file_count'),
    ('fileBytes', 'file_bytes'),
)
_LISTED = (('taskID', 'task_id'), ('created', 'created'), ('updated', 'updated'), ('deleted', 'deleted'))
_TIMES = frozenset({'created', 'updated', 'deleted', 'finalized'})


class Conditions:
    """SQL conditions, and their parameters in order."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.texts: list[str] = []
        self.parameters: tuple[Any, ...] = ()

    def add(self, text: str, *parameters: Any) -> None:
        """Add a condition."""
        self.texts.append(text)
        self.parameters += parameters

    def equal(self, column: str, value: str) -> None:
        """Let *column* be *value*; long texts are found by their beginnings."""
        text = storable(value) or ''
        if column in PREFIXED:
            self.add(f'{prefix(column)} = ? AND {self._session.dialect.equals.format(column=column)}',
                     text[:PREFIX_CHARACTERS], text)
        else:
            self.add(f'{column} = ?', text)

    def older(self, created: Any, task_id: Any) -> None:
        """Leave out the event of this time and task id, and all newer ones."""
        # Not a comparison of pairs, for which MySQL uses no index.
        self.add('created <= ? AND (created < ? OR task_id < ?)', created, created, task_id)

    def __and__(self, others: Conditions) -> Conditions:
        both = Conditions(self._session)
        both.texts = self.texts + others.texts
        both.parameters = self.parameters + others.parameters
        return both

    @property
    def where(self) -> str:
        """The clause, empty without conditions."""
        return f' WHERE {" AND ".join(self.texts)}' if self.texts else ''


class Running(NamedTuple):
    """An attempt that runs: by whom, since when in seconds since 1970, for how long, and how long its lease holds."""

    worker: str
    since: float
    seconds: float
    lease: float


class Records:
    """The records of one table, those of every queue in it."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def status(self, task_id: UUID) -> str | None:
        """Return the status string of the task, or ``None`` if it is unknown."""
        row = self._connections.read(lambda session: row_of(session, 'task_status', task_id))
        return None if row is None else str(row[0])

    def get(self, task_id: UUID) -> Mapping[str, Any] | None:
        """Return the whole record as a JSON object, or ``None`` if the task is unknown."""
        columns = ', '.join(column for _, column in _FIELDS)
        row = self._connections.read(lambda session: row_of(session, columns, task_id))
        return None if row is None else as_json(_FIELDS, row)

    def running(self, task_id: UUID) -> Running | None:
        """Return which worker runs the task, since when and until when it holds it; ``None`` if none does."""
        def query(session: Session) -> Running | None:
            row = session.execute(
                f'SELECT claim_owner, claimed, lease_expires FROM {TABLE} WHERE task_id = ?'
                f" AND task_status = '{Status.PROCESSING}' AND claimed IS NOT NULL AND lease_expires IS NOT NULL",
                (session.dialect.uuid(task_id),)).fetchone()
            if row is None:
                return None
            now = session.now()
            return Running(row[0] or '', row[1], max(0.0, now - row[1]), row[2] - now)

        return self._connections.read(query)

    def outputs(self, task_id: UUID) -> list[KeptOutput] | None:
        """Return what each run of the task has printed, the oldest first, or ``None`` if the task is unknown."""
        return self._connections.read(lambda session: outputs(session, task_id))

    def event_json(self, task_id: UUID) -> str | None:
        """Return the event alone, the JSON object it was received as, or ``None`` if the task is unknown."""
        row = self._connections.read(lambda session: row_of(session, 'event_data', task_id))
        return None if row is None else str(row[0])

    def known(self, events: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        """Return those of the *events*, a source and an id each, that have come, also to a worker of the 0.2 series."""
        by_key = {event_key(*each): each for each in events}
        ids = [event_id for _, event_id in events]

        def query(session: Session) -> set[tuple[str, str]]:
            marks = placeholders(len(events))
            keys = session.execute(
                f'SELECT event_key FROM {TABLE} WHERE event_key IN ({marks})', list(by_key)).fetchall()
            # One that is still alive gives its rows no key.
            others = session.execute(
                f'SELECT source, event_id FROM {TABLE} WHERE {prefix("event_id")} IN ({marks})'
                f' AND event_id IN ({marks}) AND event_key IS NULL',
                [*(each[:PREFIX_CHARACTERS] for each in ids), *ids]).fetchall()
            return {by_key[key] for key, in keys} | {(source, each) for source, each in others}.intersection(events)

        return self._connections.read(query)

    def has_waiting(self, queue: QueueName, count: int) -> bool:
        """Return whether at least *count* events of *queue* are waiting; reads no more index entries than that."""
        return self._connections.read(lambda session: session.execute(
            f'SELECT 1 FROM {TABLE} WHERE {WAITING} LIMIT 1 OFFSET {count - 1:d}', tuple(queue),
        ).fetchone()) is not None

    def waiting(self, queue: QueueName, task_ids: Sequence[UUID]) -> set[UUID]:
        """Return those of the tasks that wait in *queue*."""
        rows = self._connections.read(lambda session: session.execute(
            f'SELECT task_id FROM {TABLE} WHERE task_id IN ({placeholders(len(task_ids))}) AND {WAITING}',
            (*map(session.dialect.uuid, task_ids), *queue),
        ).fetchall())
        return {UUID(str(row[0])) for row in rows}

    def page(
        self,
        *,
        limit: int,
        after: UUID | None = None,
        status: str | None = None,
        since: str | None = None,
        **equal: str | None,
    ) -> Sequence[Mapping[str, Any]]:
        """Return at most *limit* records, newest first, as ``{taskID, created, updated, deleted}``.

        :param after: only records older than this one, whose task id came last on the page before.
        :param status: only records in this status; another text than a status string raises :class:`ValueError`.
        :param since: only records created at this UTC time or later, ``YYYY-MM-DD HH:MM:SS.ffffff``.
        :param equal: only records in which the columns of these names have these values; ``None`` for any.
        """
        in_status = None if status is None else f"task_status = '{Status(status)}'"  # written out, for partial indexes

        def query(session: Session) -> Any:
            conditions = Conditions(session)
            for column, value in equal.items():
                if value is not None:
                    conditions.equal(column, value)
            if since is not None:
                conditions.add('created >= ?', since)
            if in_status is not None:
                conditions.add(in_status)
            if after is not None:
                last = row_of(session, 'created, task_id', after)
                if last is None:
                    return []
                conditions.older(*last)
            columns = ', '.join(column for _, column in _LISTED)
            return session.execute(
                f'SELECT {columns} FROM {TABLE}{conditions.where} {NEWEST_FIRST} LIMIT {limit:d}',
                conditions.parameters,
            ).fetchall()

        return [as_json(_LISTED, row) for row in self._connections.read(query)]


def row_of(session: Session, columns: str, task_id: UUID) -> Any:
    """Return *columns* of the task's row, ``None`` if it is unknown."""
    return session.execute(
        f'SELECT {columns} FROM {TABLE} WHERE task_id = ?', (session.dialect.uuid(task_id),)).fetchone()


def as_json(fields: Sequence[tuple[str, str]], row: Sequence[Any]) -> dict[str, Any]:
    """Return a row as a JSON object.

    :param fields: its keys, each with the column it shows.
    """
    return {key: _json(key, value) for (key, _), value in zip(fields, row)}


def _json(key: str, value: Any) -> Any:
    if key == 'taskID':
        return str(UUID(str(value)))
    if key == 'history':
        return history.read(value)
    if key in ('result', 'parameters'):
        return None if value is None else json.loads(value)
    if key == 'skipped':
        return bool(value)
    return as_text(value) if key in _TIMES else value
