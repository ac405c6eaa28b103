"""Finding events: the lists of the dashboard and the command line, newest first, a page at a time.

However many events there are, a page costs about the same: it looks at ``WINDOW`` events at most, those that one index
finds in the order of the list, and says how far it has looked. A page may therefore hold few events, or none, and still
have older ones after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pacifica.dispatcher._queue.connections import Connections
from pacifica.dispatcher._queue.facts import matcher
from pacifica.dispatcher._queue.filters import Filter, conditions_of
from pacifica.dispatcher._queue.record import NEWEST_FIRST, TABLE, placeholders
from pacifica.dispatcher._queue.records import Conditions, as_json, row_of
from pacifica.dispatcher._queue.session import Session

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
    driving, rest = conditions_of(session, wanted, position, most=WINDOW)
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


def _cursor(row: Mapping[str, Any]) -> str:
    return f'{row["created"]}~{row["taskID"]}'


def _position(cursor: str) -> tuple[str, UUID]:
    created, _, task_id = cursor.partition('~')
    return datetime.fromisoformat(created).isoformat(' ', 'microseconds'), UUID(task_id)
