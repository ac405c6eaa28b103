"""Reading records: what ``/status``, ``/get`` and the list show.

Called by the front door and the command line; never writes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from pacifica.dispatcher._queue import history
from pacifica.dispatcher._queue.connections import Connections
from pacifica.dispatcher._queue.reading import read
from pacifica.dispatcher._queue.record import TABLE, as_text
from pacifica.dispatcher._queue.schema import PREFIX_CHARACTERS, prefix
from pacifica.dispatcher._queue.session import Session
from pacifica.dispatcher._queue.status import Status
from pacifica.dispatcher._queue.text import storable
from pacifica.dispatcher._queue.transitions import QueueName
from pacifica.dispatcher._queue.transitions.values import WAITING, placeholders

__all__ = ['Records']

T = TypeVar('T')

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
    ('history', 'history'),
)
_TIMES = frozenset({'created', 'updated', 'deleted', 'finalized'})
_LISTED = ('taskID', 'created', 'updated', 'deleted')
_COLUMN = dict(_FIELDS)


class Records:
    """The records of one table, those of every queue in it."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def status(self, task_id: UUID) -> str | None:
        """Return the status string of the task, or ``None`` if it is unknown."""
        row = self._read(lambda session: session.execute(
            f'SELECT task_status FROM {TABLE} WHERE task_id = ?', (session.dialect.uuid(task_id),)
        ).fetchone())
        return None if row is None else str(row[0])

    def get(self, task_id: UUID) -> Mapping[str, Any] | None:
        """Return the whole record as a JSON object, or ``None`` if the task is unknown."""
        columns = ', '.join(column for _, column in _FIELDS)
        row = self._read(lambda session: session.execute(
            f'SELECT {columns} FROM {TABLE} WHERE task_id = ?', (session.dialect.uuid(task_id),)
        ).fetchone())
        return None if row is None else {key: _json(key, value) for (key, _), value in zip(_FIELDS, row)}

    def event_json(self, task_id: UUID) -> str | None:
        """Return the event alone, the JSON object it was received as, or ``None`` if the task is unknown."""
        row = self._read(lambda session: session.execute(
            f'SELECT event_data FROM {TABLE} WHERE task_id = ?', (session.dialect.uuid(task_id),)
        ).fetchone())
        return None if row is None else str(row[0])

    def known(self, event_keys: Sequence[str]) -> set[str]:
        """Return those of the keys (see :mod:`.event_key`) under which an event has come."""
        rows = self._read(lambda session: session.execute(
            f'SELECT event_key FROM {TABLE} WHERE event_key IN ({placeholders(len(event_keys))})', event_keys,
        ).fetchall())
        return {row[0] for row in rows}

    def has_waiting(self, queue: QueueName, count: int) -> bool:
        """Return whether at least *count* events of *queue* are waiting; reads no more index entries than that."""
        return self._read(lambda session: session.execute(
            f'SELECT 1 FROM {TABLE} WHERE {WAITING} LIMIT 1 OFFSET {count - 1:d}', tuple(queue),
        ).fetchone()) is not None

    def waiting(self, queue: QueueName, task_ids: Sequence[UUID]) -> set[UUID]:
        """Return those of the tasks that wait in *queue*."""
        rows = self._read(lambda session: session.execute(
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
        source: str | None = None,
        event_type: str | None = None,
    ) -> Sequence[Mapping[str, Any]]:
        """Return at most *limit* records, newest first, as ``{taskID, created, updated, deleted}``.

        :param after: only records older than this one, whose task id came last on the page before.
        :param status: only records in this status; another text than a status string raises :class:`ValueError`.
        :param since: only records created at this UTC time or later, ``YYYY-MM-DD HH:MM:SS.ffffff``.
        """
        columns = ', '.join(_COLUMN[key] for key in _LISTED)
        in_status = [] if status is None else [f"task_status = '{Status(status)}'"]  # written out, for partial indexes

        def query(session: Session) -> Any:
            conditions, parameters = _conditions(session, {'source': source, 'event_type': event_type}, since)
            conditions += in_status
            if after is not None:
                last = session.execute(
                    f'SELECT created, task_id FROM {TABLE} WHERE task_id = ?', (session.dialect.uuid(after),)
                ).fetchone()
                if last is None:
                    return []
                # Not a comparison of pairs, for which MySQL uses no index.
                conditions.append('created <= ? AND (created < ? OR task_id < ?)')
                parameters += [last[0], *last]
            condition = f' WHERE {" AND ".join(conditions)}' if conditions else ''
            return session.execute(
                f'SELECT {columns} FROM {TABLE}{condition} ORDER BY created DESC, task_id DESC LIMIT {limit:d}',
                parameters,
            ).fetchall()

        return [{key: _json(key, value) for key, value in zip(_LISTED, row)} for row in self._read(query)]

    def _read(self, query: Callable[[Session], T]) -> T:
        return read(self._connections, query)


def _conditions(
    session: Session, equal: Mapping[str, str | None], since: str | None,
) -> tuple[list[str], list[Any]]:
    """Return SQL conditions and their parameters for what is wanted; long texts are found by their beginnings."""
    conditions: list[str] = []
    parameters: list[Any] = []
    for column, value in equal.items():
        if value is None:
            continue
        text = storable(value) or ''
        conditions.append(f'{prefix(column)} = ? AND {session.dialect.equals.format(column=column)}')
        parameters += [text[:PREFIX_CHARACTERS], text]
    if since is not None:
        conditions.append('created >= ?')
        parameters.append(since)
    return conditions, parameters


def _json(key: str, value: Any) -> Any:
    if key == 'taskID':
        return str(UUID(str(value)))
    if key == 'history':
        return history.read(value)
    if key == 'result':
        return None if value is None else json.loads(value)
    if key == 'skipped':
        return bool(value)
    return as_text(value) if key in _TIMES else value
