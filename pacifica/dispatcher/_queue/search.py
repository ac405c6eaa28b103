"""Finding events: the lists of the dashboard and the command line, newest first, a page at a time.

However many events there are, a page costs about the same: it looks at ``WINDOW`` events at most, those that one index
finds in the order of the list, and says how far it has looked. A page may therefore hold few events, or none, and still
have older ones after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pacifica.dispatcher._queue.connections import Connections
from pacifica.dispatcher._queue.facts import matcher
from pacifica.dispatcher._queue.record import NEWEST_FIRST, TABLE, placeholders, storable
from pacifica.dispatcher._queue.records import Conditions, as_json, row_of
from pacifica.dispatcher._queue.session import Session
from pacifica.dispatcher._queue.status import Status

WINDOW = 2000
_MOST_DATA = 20_000_000  # characters of the data of events that a page reads, where it has to
_BATCH, _MOST_BATCH = 20, 100  # events whose data are read together: at first, and once they are known to be small

# key, column
_FIELDS = (
    ('taskID', 'task_id'), ('taskStatus', 'task_status'), ('eventType', 'event_type'), ('source', 'source'),
    ('eventID', 'event_id'), ('transactionID', 'transaction_id'), ('route', 'route'), ('attempts', 'attempts'),
    ('skipped', 'skipped'), ('project', 'project'), ('instrument', 'instrument'), ('submitter', 'submitter'),
    ('fileCount', 'file_count'), ('fileBytes', 'file_bytes'),
    ('exceptionType', 'exc_type'), ('exceptionValue', 'exc_value'), ('created', 'created'), ('updated', 'updated'),
    ('deleted', 'deleted'), ('finalized', 'finalized'),
    ('taskApplicationName', 'task_application_name'), ('taskName', 'task_name'),
)
_COLUMNS = ', '.join(column for _, column in _FIELDS)
_PLACE = (('created', 'created'), ('taskID', 'task_id'))
_TEXTS = ('event_id', 'source', 'event_type', 'route', 'exc_type', 'exc_value')
#: Statuses in which there are few events as a rule, or that have an index in the order of the list.
_INDEXED = frozenset({Status.FAILED, Status.UNPROCESSABLE})
_SORTABLE = 5000  # so many rows are sorted in no time
_FEW = frozenset({Status.ACCEPTED, Status.PROCESSING})


@dataclass(frozen=True)
class Filter:
    """Which events are wanted: those that fit everything given.

    :param status: a status string.
    :param event_type: the event's type, whole.
    :param source: the event's source, whole.
    :param transaction_id: the id of the Pacifica transaction that the event is about.
    :param parent_transaction: the id of the Pacifica transaction that the event's was made from.
    :param project: the project of the transaction that the event is about.
    :param instrument: its instrument.
    :param submitter: who submitted it.
    :param route: the name of the route that has run it.
    :param key_value: one of its key-values, ``KEY=VALUE``.
    :param file: the name or the path of one of its files; ``*``, ``?`` and ``[…]`` stand for other characters.
    :param since: created at this UTC time or later, ``YYYY-MM-DD HH:MM:SS.ffffff``.
    :param until: created before this time.
    :param group: failed as others did, see :class:`~pacifica.dispatcher._queue.failing.FailureGroup`.
    :param routed: leaves out events that no route matched.
    :param text: the whole of a task id, event id or transaction id; else what occurs, in upper or lower case, in the
        event's id, source, type or route, or in its error.
    """

    status: Status | None = None
    event_type: str | None = None
    source: str | None = None
    transaction_id: str | None = None
    parent_transaction: str | None = None
    project: str | None = None
    instrument: str | None = None
    submitter: str | None = None
    route: str | None = None
    key_value: str | None = None
    file: str | None = None
    since: str | None = None
    until: str | None = None
    text: str | None = None
    routed: bool = False
    group: str | None = None

    @property
    def of_data(self) -> bool:
        """Whether the data of events are to be read to know which fit."""
        return self.key_value is not None or self.file is not None


@dataclass(frozen=True)
class Page:
    """Events as ``Search`` finds them.

    :param rows: each an object with ``taskID``, ``taskStatus``, ``eventType`` and so on, as ``/get`` names them.
    :param older: where the next page begins; ``None`` if there are none that are older.
    :param looked_back_to: the time of creation of the oldest event looked at, if there are older ones and the page is
        not full.
    """

    rows: Sequence[Mapping[str, Any]]
    older: str | None = None
    looked_back_to: str | None = None

    @property
    def last(self) -> UUID | None:
        """The event after which the next page begins; it need not be on this one."""
        return None if self.older is None else _position(self.older)[1]


class Search:
    """Finds events of every queue in the table.

    Each method raises ``DatabaseUnavailableError`` if the database does not answer.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def page(self, wanted: Filter, *, limit: int, before: str | None = None) -> Page:
        """Return at most *limit* events, newest first.

        :param before: ``older`` of the page before this one.
        :raises ValueError: if *before* is no such text.
        """
        position = None if before is None else _position(before)
        return self._connections.read(lambda session: _page(session, wanted, limit, position))

    def cursor(self, task_id: UUID) -> str | None:
        """Return where the page after this event begins, as ``before`` of :meth:`page`; ``None`` if it is unknown."""
        row = self._connections.read(lambda session: row_of(session, 'created, task_id', task_id))
        return None if row is None else _cursor(as_json(_PLACE, row))


def _page(session: Session, wanted: Filter, limit: int, position: tuple[str, UUID] | None) -> Page:
    driving, rest = _conditions(session, wanted, position)
    last = _last_of_window(session, driving) if rest.texts or wanted.of_data else None
    if last is not None:
        rest.add('created >= ? AND (created > ? OR task_id >= ?)', last[0], *last)
    both = driving & rest
    stopped: Mapping[str, Any] | None  # the last event looked at, if there are older ones
    if wanted.of_data:
        rows, stopped = _by_data(session, wanted, both, limit)
    else:
        found = _rows(session, both, limit + 1)
        rows = found[:limit]
        stopped = rows[-1] if len(found) > limit else None
    if stopped is None and last is not None:
        stopped = as_json(_PLACE, last)
    if stopped is None:
        return Page(rows)
    return Page(rows, _cursor(stopped), stopped['created'] if len(rows) < limit else None)


def _rows(session: Session, conditions: Conditions, limit: int) -> list[Mapping[str, Any]]:
    found = session.execute(
        f'SELECT {_COLUMNS} FROM {TABLE}{conditions.where} {NEWEST_FIRST} LIMIT {limit:d}', conditions.parameters,
    ).fetchall()
    return [as_json(_FIELDS, row) for row in found]


def _by_data(
    session: Session, wanted: Filter, conditions: Conditions, limit: int,
) -> tuple[list[Mapping[str, Any]], Mapping[str, Any] | None]:
    """Return at most *limit* events whose data fit; and the last one looked at if it stopped there."""
    fitting, stopped = _fitting(session, wanted, conditions, limit)
    these = Conditions(session)
    these.add(f'task_id IN ({placeholders(len(fitting))})', *[task_id for _, task_id in fitting])
    return _rows(session, these, limit) if fitting else [], None if stopped is None else as_json(_PLACE, stopped)


def _fitting(session: Session, wanted: Filter, conditions: Conditions, limit: int) -> tuple[list[Any], Any]:
    """Return ``(created, task_id)`` of at most *limit* events whose data fit; and of where it stopped, if it did."""
    matches, found, characters = matcher(wanted.key_value, wanted.file), list[Any](), 0
    left, batch = conditions, _BATCH
    while True:
        rows = session.execute(
            f'SELECT created, task_id, data FROM {TABLE}{left.where} {NEWEST_FIRST} LIMIT {batch}', left.parameters,
        ).fetchall()
        found += [row[:2] for row in rows if matches(row[2])]
        if len(found) > limit:
            return found[:limit], found[limit - 1]
        if len(rows) < batch:
            return found, None
        last = rows[-1][:2]
        characters += sum(len(data) for _, _, data in rows)
        if characters > _MOST_DATA:
            return found, last
        older = Conditions(session)
        older.older(*last)  # not an offset, for which those before would be read again
        left, batch = conditions & older, min(2 * batch, _MOST_BATCH)


def _last_of_window(session: Session, driving: Conditions) -> Any:
    """Return ``(created, task_id)`` of the oldest event that the page may look at, ``None`` if it may look at all."""
    rows = session.execute(
        f'SELECT created, task_id FROM {TABLE}{driving.where} {NEWEST_FIRST} LIMIT 2 OFFSET {WINDOW - 1}',
        driving.parameters,
    ).fetchall()
    return rows[0] if len(rows) == 2 else None


def _conditions(
    session: Session, wanted: Filter, position: tuple[str, UUID] | None,
) -> tuple[Conditions, Conditions]:
    """Return the conditions that choose the window, for which there is an index, and those for the rows in it."""
    text = (wanted.text or '').strip()
    identified = _identified(session, text, position) if text else None
    driving, rest = identified or Conditions(session), Conditions(session)
    equal = [('failure_group', wanted.group), ('transaction_id', wanted.transaction_id),
             ('parent_transaction', wanted.parent_transaction), ('submitter', wanted.submitter),
             ('project', wanted.project), ('instrument', wanted.instrument),
             ('source', wanted.source), ('event_type', wanted.event_type)]
    if wanted.status is not None:
        fewer = identified, wanted.group, wanted.transaction_id, wanted.parent_transaction
        by_status = not any(each is not None for each in fewer) and (
            wanted.status in _INDEXED or (wanted.status in _FEW and _is_rare(session, wanted.status)))
        (driving if by_status else rest).add(f"task_status = '{wanted.status}'")  # written out, for partial indexes
    for column, value in equal:
        if value is not None:
            (rest if driving.texts else driving).equal(column, value)
    if wanted.since is not None:
        driving.add('created >= ?', wanted.since)
    if wanted.until is not None:
        driving.add('created < ?', wanted.until)
    if wanted.route is not None:
        rest.equal('route', wanted.route)
    if wanted.routed:
        rest.add(f"task_status <> '{Status.UNPROCESSABLE}'")
    if position is not None:
        driving.older(position[0], session.dialect.uuid(position[1]))
    if text and identified is None:
        escaped = text.replace('!', '!!').replace('%', '!%').replace('_', '!_')
        texts = ' OR '.join(session.dialect.contains.format(column=column) for column in _TEXTS)
        rest.add(f'({texts})', *[f'%{storable(escaped)}%'] * len(_TEXTS))
    return driving, rest


def _identified(session: Session, text: str, position: tuple[str, UUID] | None) -> Conditions | None:
    """Return the condition that chooses the events whose task id, event id or transaction id *text* is, if any.

    :param position: passes over events that have come since its, so that a page searches as the one before it did.
    """
    texts, parameters = list[str](), list[Any]()
    if _having(session, 'transaction_id', text, position, 1):
        texts.append('transaction_id = ?')
        parameters.append(text)
    # Not by the event id itself, whose index isn't in the order of the list: one that is would be gone through.
    task_ids = _having(session, 'event_id', text, position, WINDOW)
    with suppress(ValueError):
        task_ids += _having(session, 'task_id', session.dialect.uuid(UUID(text)), position, 1)
    if task_ids:
        texts.append(f'task_id IN ({placeholders(len(task_ids))})')
        parameters += task_ids
    if not texts:
        return None
    conditions = Conditions(session)
    conditions.add(f'({" OR ".join(texts)})', *parameters)
    return conditions


def _having(session: Session, column: str, value: str, position: tuple[str, UUID] | None, limit: int) -> list[Any]:
    """Return the task ids of at most *limit* events that have *value* and aren't newer than *position*."""
    conditions = Conditions(session)
    conditions.equal(column, value)
    if position is not None:
        conditions.add('created <= ?', position[0])
    return [row[0] for row in session.execute(
        f'SELECT task_id FROM {TABLE}{conditions.where} LIMIT {limit:d}', conditions.parameters).fetchall()]


def _is_rare(session: Session, status: Status) -> bool:
    """Return whether the events in *status* are so few that sorting all of them costs little."""
    return session.execute(
        f"SELECT 1 FROM {TABLE} WHERE task_status = '{status}' LIMIT 1 OFFSET {_SORTABLE}").fetchone() is None


def _cursor(row: Mapping[str, Any]) -> str:
    return f'{row["created"]}~{row["taskID"]}'


def _position(cursor: str) -> tuple[str, UUID]:
    created, _, task_id = cursor.partition('~')
    return datetime.fromisoformat(created).isoformat(' ', 'microseconds'), UUID(task_id)
