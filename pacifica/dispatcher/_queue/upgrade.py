"""What happens to the rows of a 0.2 table when it is upgraded in place; used by the schema alone, under its lock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pacifica.dispatcher._queue.facts import Facts
from pacifica.dispatcher._queue.failures import failure_group
from pacifica.dispatcher._queue.record import TABLE, event_key, timestamp
from pacifica.dispatcher._queue.session import Session
from pacifica.dispatcher._queue.status import FINAL, Status

_PAGE = 1000
_PAGE_WITH_DATA = 50  # each of which may have megabytes
_STOPPED = 'it was being processed when the 0.2 series stopped; whether it was done is not known'


def widen(session: Session, columns: Sequence[tuple[str, str, str]]) -> None:
    """Give the columns of the 0.2 series types that hold what comes, where the old ones would not."""
    types = session.dialect.types
    changes = [
        session.dialect.alter_type.format(
            name=name, type=types[kind], null='NOT NULL' if 'NOT NULL' in constraint else 'NULL')
        for name, kind, constraint in columns if kind in session.dialect.widened and session.dialect.alter_type
    ]
    if changes:
        session.execute(f'ALTER TABLE {TABLE} {", ".join([*changes, *session.dialect.convert_table])}')


def fill_in(session: Session) -> None:
    """Give every row of the 0.2 series what the queue needs to know of it.

    What was accepted is run; what was being processed when an old worker died ends; the first arrival of each event
    is the one whose task later arrivals get.
    """
    now = session.now()
    session.execute(f'UPDATE {TABLE} SET due = ? WHERE task_status = ?', (now, Status.ACCEPTED.value))
    session.execute(
        f'UPDATE {TABLE} SET task_status = ?, exc_type = ?, exc_value = ?, updated = ? WHERE task_status = ?',
        (Status.FAILED.value, 'WorkerLostError', _STOPPED, timestamp(now), Status.PROCESSING.value),
    )
    final = sorted(status.value for status in FINAL)
    session.execute(f'UPDATE {TABLE} SET finalized = updated WHERE task_status IN (?, ?, ?)', final)
    position: tuple[Any, ...] | None = None
    while True:
        rows = _page(session, 'source, event_id', _PAGE, position)
        _set_keys(session, rows)
        if len(rows) < _PAGE:
            return
        position = rows[-1][:2]


def fill_in_facts(session: Session) -> None:
    """Give every row what its event says of itself."""
    change = ', '.join(f'{name} = ?' for name in Facts._fields)
    position: tuple[Any, ...] | None = None
    while True:
        rows = _page(session, 'data', _PAGE_WITH_DATA, position)
        for _, uuid, data in rows:
            facts = Facts.of(data)
            if any(facts):
                session.execute(f'UPDATE {TABLE} SET {change} WHERE uuid = ?', (*facts, uuid))
        if len(rows) < _PAGE_WITH_DATA:
            return
        position = rows[-1][:2]


def fill_in_failure_groups(session: Session) -> None:
    """Give every row that failed the group of its failure."""
    rows: Sequence[Any] = ()
    while not rows or len(rows) == _PAGE:
        rows = session.execute(
            f"SELECT uuid, route, exc_type, exc_value FROM {TABLE} WHERE task_status = '{Status.FAILED}'"
            f'{" AND uuid > ?" if rows else ""} ORDER BY uuid LIMIT {_PAGE}', [row[0] for row in rows[-1:]]).fetchall()
        if not rows:
            return
        for uuid, *failure in rows:
            session.execute(f'UPDATE {TABLE} SET failure_group = ? WHERE uuid = ?', (failure_group(*failure), uuid))


def _page(session: Session, columns: str, size: int, position: tuple[Any, ...] | None) -> list[tuple[Any, ...]]:
    where = '' if position is None else ' WHERE (created, uuid) > (?, ?)'
    return list(session.execute(
        f'SELECT created, uuid, {columns} FROM {TABLE}{where} ORDER BY created, uuid LIMIT {size:d}',
        position or (),
    ).fetchall())


def _set_keys(session: Session, rows: Sequence[tuple[Any, ...]]) -> None:
    keys: dict[str, Any] = {}
    for _, uuid, source, event_id in rows:
        if source is not None and event_id is not None:
            keys.setdefault(event_key(source, event_id), uuid)
    if not keys:
        return
    taken = session.execute(
        f'SELECT event_key FROM {TABLE} WHERE event_key IN ({", ".join("?" * len(keys))})', tuple(keys)
    ).fetchall()
    for key in set(keys).difference(key for key, in taken):
        session.execute(f'UPDATE {TABLE} SET event_key = ? WHERE uuid = ?', (key, keys[key]))
