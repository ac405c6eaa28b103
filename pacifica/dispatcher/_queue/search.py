"""Finding events: the lists of the dashboard and the command line, newest first, a page at a time.

However many events there are, a page costs about the same: it looks at ``WINDOW`` events at most, those that one index
finds in the order of the list, and says how far it has looked. A page may therefore hold few events, or none, and still
have older ones after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from pacifica.dispatcher._queue.connections import Connections
from pacifica.dispatcher._queue.filter import Filter, Page
from pacifica.dispatcher._queue.reading import read
from pacifica.dispatcher._queue.record import TABLE, as_text
from pacifica.dispatcher._queue.schema import PREFIX_CHARACTERS, prefix
from pacifica.dispatcher._queue.session import Session
from pacifica.dispatcher._queue.status import Status
from pacifica.dispatcher._queue.text import storable

__all__ = ['WINDOW', 'Filter', 'Page', 'Search']

T = TypeVar('T')

WINDOW = 2000

# key, column
_FIELDS = (
    ('taskID', 'task_id'), ('taskStatus', 'task_status'), ('eventType', 'event_type'), ('source', 'source'),
    ('eventID', 'event_id'), ('transactionID', 'transaction_id'), ('route', 'route'), ('attempts', 'attempts'),
    ('skipped', 'skipped'),
    ('exceptionType', 'exc_type'), ('exceptionValue', 'exc_value'), ('created', 'created'), ('updated', 'updated'),
    ('finalized', 'finalized'), ('taskApplicationName', 'task_application_name'), ('taskName', 'task_name'),
)
_COLUMNS = ', '.join(column for _, column in _FIELDS)
_ORDER = 'ORDER BY created DESC, task_id DESC'
_TEXTS = ('event_id', 'source', 'event_type', 'route', 'exc_type', 'exc_value')
#: Statuses in which there are few events as a rule, or that have an index in the order of the list.
_INDEXED = frozenset({Status.FAILED, Status.UNPROCESSABLE})
_SORTABLE = 5000  # so many rows are sorted in no time
_FEW = frozenset({Status.ACCEPTED, Status.PROCESSING})


class _Conditions:
    """SQL conditions, and their parameters in order."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.parameters: list[Any] = []

    def add(self, text: str, *parameters: Any) -> None:
        self.texts.append(text)
        self.parameters += parameters


class Search:
    """Finds events of every queue in the table."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def page(self, wanted: Filter, *, limit: int, before: str | None = None) -> Page:
        """Return at most *limit* events, newest first.

        :param before: ``older`` of the page before this one.
        :raises ValueError: if *before* is no such text.
        :raises DatabaseUnavailableError: if the database does not answer.
        """
        position = None if before is None else _position(before)
        return self._read(lambda session: _page(session, wanted, limit, position))

    def cursor(self, task_id: UUID) -> str | None:
        """Return where the page after this event begins, as ``before`` of :meth:`page`; ``None`` if it is unknown.

        :raises DatabaseUnavailableError: if the database does not answer.
        """
        row = self._read(lambda session: session.execute(
            f'SELECT created FROM {TABLE} WHERE task_id = ?', (session.dialect.uuid(task_id),)).fetchone())
        return None if row is None else _cursor({'created': as_text(row[0]), 'taskID': str(task_id)})

    def _read(self, query: Callable[[Session], T]) -> T:
        return read(self._connections, query)


def _page(session: Session, wanted: Filter, limit: int, position: tuple[str, UUID] | None) -> Page:
    if wanted.text and position is None:
        rows = _by_identifier(session, wanted, limit)
        if rows:
            return Page(rows)
    driving, rest = _conditions(session, wanted)
    if position is not None:
        created, task_id = position
        # Not a comparison of pairs, for which MySQL uses no index.
        driving.add('created <= ? AND (created < ? OR task_id < ?)', created, created, session.dialect.uuid(task_id))
    last = _last_of_window(session, driving) if rest.texts else None
    if last is not None:
        rest.add('created >= ? AND (created > ? OR task_id >= ?)', last[0], *last)
    found = session.execute(
        f'SELECT {_COLUMNS} FROM {TABLE}{_where(driving, rest)} {_ORDER} LIMIT {limit + 1:d}',
        [*driving.parameters, *rest.parameters],
    ).fetchall()
    rows = [_as_json(row) for row in found[:limit]]
    if len(found) > limit:
        return Page(rows, _cursor(rows[-1]))
    if last is None:
        return Page(rows)
    reached = {'created': as_text(last[0]), 'taskID': str(UUID(str(last[1])))}
    return Page(rows, _cursor(reached), reached['created'])


def _last_of_window(session: Session, driving: _Conditions) -> Any:
    """Return ``(created, task_id)`` of the oldest event that the page may look at, ``None`` if it may look at all."""
    rows = session.execute(
        f'SELECT created, task_id FROM {TABLE}{_where(driving)} {_ORDER} LIMIT 2 OFFSET {WINDOW - 1}',
        driving.parameters,
    ).fetchall()
    return rows[0] if len(rows) == 2 else None


def _where(*conditions: _Conditions) -> str:
    texts = [text for each in conditions for text in each.texts]
    return f' WHERE {" AND ".join(texts)}' if texts else ''


def _by_identifier(session: Session, wanted: Filter, limit: int) -> list[Mapping[str, Any]]:
    """Return the events whose task id, event id or transaction id the text is."""
    text = (wanted.text or '').strip()
    found: dict[str, Mapping[str, Any]] = {}
    try:
        task_id = session.dialect.uuid(UUID(text))
    except ValueError:
        task_id = None
    for column, value in (('task_id', task_id), ('transaction_id', text), ('event_id', text)):
        if value is None:
            continue
        by_identifier, (driving, rest) = _Conditions(), _conditions(session, replace(wanted, text=None))
        _equal(session, by_identifier, column, value)
        order = _ORDER if column == 'transaction_id' else ''  # of which alone there may be many, and an ordered index
        # The identifier first: with all conditions side by side, one for which there is an ordered index would drive.
        for row in session.execute(
            f'SELECT {_COLUMNS} FROM (SELECT {_COLUMNS} FROM {TABLE}{_where(by_identifier)} {order} LIMIT {WINDOW})'
            f' AS known{_where(driving, rest)} {_ORDER} LIMIT {limit:d}',
            [*by_identifier.parameters, *driving.parameters, *rest.parameters],
        ).fetchall():
            shown = _as_json(row)
            found[shown['taskID']] = shown
    return sorted(found.values(), key=lambda row: (row['created'], row['taskID']), reverse=True)[:limit]


def _conditions(session: Session, wanted: Filter) -> tuple[_Conditions, _Conditions]:
    """Return the conditions that choose the window, for which there is an index, and those for the rows in it."""
    driving, rest = _Conditions(), _Conditions()
    equal = [('transaction_id', wanted.transaction_id), ('parent_transaction', wanted.parent_transaction),
             ('source', wanted.source), ('event_type', wanted.event_type)]
    given = [(column, value) for column, value in equal if value is not None]
    if wanted.status is not None:
        by_status = wanted.transaction_id is None and wanted.parent_transaction is None and (
            wanted.status in _INDEXED or (wanted.status in _FEW and _is_rare(session, wanted.status)))
        (driving if by_status else rest).add(f"task_status = '{wanted.status}'")  # written out, for partial indexes
        if by_status:
            given, others = [], given
        else:
            given, others = given[:1], given[1:]
    else:
        given, others = given[:1], given[1:]
    for conditions, pairs in ((driving, given), (rest, others)):
        for column, value in pairs:
            _equal(session, conditions, column, value)
    if wanted.since is not None:
        driving.add('created >= ?', wanted.since)
    if wanted.until is not None:
        driving.add('created < ?', wanted.until)
    if wanted.routed:
        rest.add(f"task_status <> '{Status.UNPROCESSABLE}'")
    if wanted.text:
        escaped = wanted.text.strip().replace('!', '!!').replace('%', '!%').replace('_', '!_')
        texts = ' OR '.join(session.dialect.contains.format(column=column) for column in _TEXTS)
        rest.add(f'({texts})', *[f'%{storable(escaped)}%'] * len(_TEXTS))
    return driving, rest


def _is_rare(session: Session, status: Status) -> bool:
    """Return whether the events in *status* are so few that sorting all of them costs little."""
    return session.execute(
        f"SELECT 1 FROM {TABLE} WHERE task_status = '{status}' LIMIT 1 OFFSET {_SORTABLE}").fetchone() is None


def _equal(session: Session, conditions: _Conditions, column: str, value: str) -> None:
    text = storable(value) or ''
    if column in ('task_id', 'transaction_id', 'parent_transaction'):
        conditions.add(f'{column} = ?', text)
        return
    conditions.add(f'{prefix(column)} = ? AND {session.dialect.equals.format(column=column)}',
                   text[:PREFIX_CHARACTERS], text)


def _as_json(row: Sequence[Any]) -> dict[str, Any]:
    shown = {key: value for (key, _), value in zip(_FIELDS, row)}
    shown['taskID'] = str(UUID(str(shown['taskID'])))
    shown['skipped'] = bool(shown['skipped'])
    for key in ('created', 'updated', 'finalized'):
        shown[key] = as_text(shown[key])
    return shown


def _cursor(row: Mapping[str, Any]) -> str:
    return f'{row["created"]}~{row["taskID"]}'


def _position(cursor: str) -> tuple[str, UUID]:
    created, _, task_id = cursor.partition('~')
    return datetime.fromisoformat(created).isoformat(' ', 'microseconds'), UUID(task_id)
