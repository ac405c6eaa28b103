"""The tables in the database: made if they are absent, upgraded in place if they are of the 0.2 series.

Used by the connections, once a process, before the first statement. Runs under a lock of the database, so that any
number of processes may start at once, and is idempotent.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import peewee

from pacifica.dispatcher._queue.facts import Facts
from pacifica.dispatcher._queue.record import (
    OUTAGES, OUTPUTS, PREVIEWS, RECONCILIATIONS, TABLE, WORKERS, DocumentField, Record,
)
from pacifica.dispatcher._queue.session import Session
from pacifica.dispatcher._queue.status import Status
from pacifica.dispatcher._queue.upgrade import fill_in, fill_in_facts, fill_in_failure_groups, widen

_Column = tuple[str, str, str]

_KINDS = {
    peewee.UUIDField: 'uuid', DocumentField: 'document', peewee.TextField: 'text', peewee.DateTimeField: 'time',
    peewee.IntegerField: 'integer', peewee.BigIntegerField: 'bytes', peewee.DoubleField: 'seconds',
}
_KINDS_OF_CHARACTERS = {255: 'name', 64: 'key', 32: 'token'}


def _column(field: Any) -> _Column:
    """Return the column of a field: its name, its kind (see :class:`Dialect`), its constraint in a new table."""
    kind = _KINDS.get(type(field)) or _KINDS_OF_CHARACTERS[field.max_length]
    if field.null:
        return field.name, kind, ''
    return field.name, kind, 'NOT NULL' + ' PRIMARY KEY' * field.primary_key + ' DEFAULT 0' * (field.default == 0)


_COLUMNS = tuple(map(_column, Record._meta.sorted_fields))
_COLUMNS_0_2, _COLUMNS_0_3 = _COLUMNS[:21], _COLUMNS[21:]  # the latter from Record.attempts on
_WORKER_COLUMNS = (
    ('id', 'token', 'NOT NULL PRIMARY KEY'),
    ('owner', 'name', 'NOT NULL'),
    ('task_application_name', 'name', 'NOT NULL'),
    ('task_name', 'name', 'NOT NULL'),
    ('engine', 'name', 'NOT NULL'),
    ('concurrency', 'integer', 'NOT NULL'),
    ('lease', 'seconds', 'NOT NULL'),
    ('started', 'seconds', 'NOT NULL'),
    ('seen', 'seconds', 'NOT NULL'),
    ('machine', 'name', ''),
    ('pid', 'integer', ''),
    ('process_started', 'name', ''),
)
_RECONCILIATION_COLUMNS = (
    ('id', 'key', 'NOT NULL PRIMARY KEY'),
    ('since', 'time', ''),
    ('due', 'seconds', 'NOT NULL'),
    ('lease_expires', 'seconds', ''),
    ('claim_token', 'token', ''),
)
_OUTAGE_COLUMNS = (
    ('id', 'key', 'NOT NULL PRIMARY KEY'),
    ('service', 'name', 'NOT NULL'),
    ('fault', 'text', 'NOT NULL'),
    ('since', 'seconds', 'NOT NULL'),
    ('pause', 'seconds', 'NOT NULL'),
    ('due', 'seconds', 'NOT NULL'),
)
_OUTPUT_COLUMNS = (
    ('id', 'key', 'NOT NULL PRIMARY KEY'),  # see transitions.output
    ('uuid', 'uuid', 'NOT NULL'),
    ('attempt', 'integer', 'NOT NULL'),
    ('began', 'seconds', 'NOT NULL'),
    ('updated', 'seconds', 'NOT NULL'),
    ('head', 'document', 'NOT NULL'),
    ('tail', 'document', 'NOT NULL'),
    ('omitted', 'bytes', 'NOT NULL'),
    ('progress', 'seconds', ''),
    ('progress_text', 'text', 'NOT NULL'),
)
_PREVIEW_COLUMNS = (
    ('id', 'key', 'NOT NULL PRIMARY KEY'),  # see transitions.previews
    ('uuid', 'uuid', 'NOT NULL'),
    ('number', 'integer', 'NOT NULL'),
    ('claim_token', 'token', 'NOT NULL'),
    ('route', 'name', 'NOT NULL'),
    ('instrument', 'key', 'NOT NULL'),
    ('name', 'name', 'NOT NULL'),
    ('media', 'key', 'NOT NULL'),
    ('size', 'integer', 'NOT NULL'),
    ('created', 'seconds', 'NOT NULL'),
    ('content', 'binary', 'NOT NULL'),  # last: what lists the others does not read through it
)
_OTHER_TABLES = {
    WORKERS: _WORKER_COLUMNS, RECONCILIATIONS: _RECONCILIATION_COLUMNS, OUTAGES: _OUTAGE_COLUMNS,
    OUTPUTS: _OUTPUT_COLUMNS, PREVIEWS: _PREVIEW_COLUMNS,
}
# name → the table, its columns
_OTHER_INDEXES = {
    f'{OUTPUTS}_uuid': (OUTPUTS, 'uuid'),
    f'{PREVIEWS}_uuid': (PREVIEWS, 'uuid'),
    f'{PREVIEWS}_created': (PREVIEWS, 'created, size'),
    f'{PREVIEWS}_route': (PREVIEWS, 'route, created'),
    f'{PREVIEWS}_instrument': (PREVIEWS, 'instrument, created'),
}
PREFIXED = frozenset({'source', 'event_type', 'event_id'})
"""Columns found by their first ``PREFIX_CHARACTERS``: no database indexes texts of any length."""

PREFIX_CHARACTERS = 200

_QUEUE = 'task_status, task_application_name, task_name'
# name, unique, columns, the rows it holds where the database has partial indexes; {…} is the beginning of a column
_INDEXES = (
    ('task_id', True, 'task_id', ''),
    ('created', False, 'created, task_id', ''),
    ('failed', False, 'task_status, created, task_id', f"task_status = '{Status.FAILED}'"),
    ('unrouted', False, 'task_status, created, task_id', f"task_status = '{Status.UNPROCESSABLE}'"),
    ('failure_group', False, 'failure_group, created, task_id, finalized', 'failure_group IS NOT NULL'),
    ('source', False, '{source}, created, task_id', ''),
    ('event_type', False, '{event_type}, created, task_id', ''),
    ('event_id', False, '{event_id}', ''),
    ('transaction', False, 'transaction_id, created, task_id', 'transaction_id IS NOT NULL'),
    ('parent', False, 'parent_transaction, created, task_id', 'parent_transaction IS NOT NULL'),
    ('project', False, 'project, created, task_id', 'project IS NOT NULL'),
    ('instrument', False, 'instrument, created, task_id', 'instrument IS NOT NULL'),
    ('submitter', False, 'submitter, created, task_id', 'submitter IS NOT NULL'),
    ('skipped', False, 'skipped', 'skipped IS NOT NULL'),
    ('awaits', False, 'awaits, claimed', 'awaits IS NOT NULL'),
    ('line', False, f'{_QUEUE}, priority, due', f"task_status = '{Status.ACCEPTED}'"),
    ('lane', False, 'lane, due', f"task_status = '{Status.ACCEPTED}' AND lane IS NOT NULL"),
    ('leased', False, f'{_QUEUE}, lease_expires', f"task_status = '{Status.PROCESSING}'"),
    ('ended', False, 'finalized, task_status, created, route_key', 'finalized IS NOT NULL'),
    ('event_key', True, 'event_key', ''),  # last, see ensure_schema
)
_OBSOLETE_INDEXES = ('claimable', 'finalized')


def ensure_schema(session: Session) -> str:
    """Make or upgrade the table and its indexes; return ``'created'``, ``'upgraded'`` or ``'current'``.

    :raises peewee.PeeweeException: what the database raises; nothing is half done where its DDL is transactional.
    """
    dialect = session.dialect
    for statement in dialect.lock_schema:
        session.execute(statement)
    try:
        columns, indexes = _existing(session)
        # The unique index comes last: while it is missing, an upgrade has not begun or was cut off.
        old = TABLE in columns and f'{TABLE}_event_key' not in indexes
        missing = [column for column in _COLUMNS_0_3 if column[0] not in columns[TABLE]] if TABLE in columns else []
        if old or missing:
            _upgrade(session, missing, old)
        for table, wanted in {TABLE: _COLUMNS, **_OTHER_TABLES}.items():
            if table not in columns:
                _create(session, table, wanted)
            elif table != TABLE:
                _add(session, table, [column for column in wanted if column[0] not in columns[table]])
        _create_indexes(session, _existing(session).indexes if old else indexes)
        for statement in dialect.unlock_schema:
            session.execute(statement)
    except BaseException:
        session.rollback()
        session.disconnect()  # which also gives up a lock that is no transaction's
        raise
    return 'upgraded' if missing or old else 'current' if TABLE in columns else 'created'


def state_of_schema(session: Session) -> str:
    """Return what :func:`ensure_schema` would find, changing nothing.

    ``'absent'``; ``'old'``: of the 0.2 series, or its upgrade was cut off; ``'incomplete'``: a column, an index or
    another table is missing; ``'foreign'``: a table of this name, but not of ours; or ``'current'``.
    """
    columns, indexes = _existing(session)
    if TABLE not in columns:
        return 'absent'
    if not columns[TABLE].issuperset(name for name, _, _ in _COLUMNS_0_2):
        return 'foreign'
    if f'{TABLE}_event_key' not in indexes:
        return 'old'
    whole = indexes.issuperset(each.name for each in _indexes(session)) and all(
        columns.get(table, set()).issuperset(name for name, _, _ in wanted)
        for table, wanted in {TABLE: _COLUMNS, **_OTHER_TABLES}.items())
    return 'current' if whole else 'incomplete'


def select_nothing(session: Session) -> None:
    """Name every column of every table, and read no row: cheap enough for a probe that comes every second.

    :raises peewee.PeeweeException: if any is missing.
    """
    for table, columns in {TABLE: _COLUMNS, **_OTHER_TABLES}.items():
        session.execute(f'SELECT {", ".join(name for name, _, _ in columns)} FROM {table} WHERE 1 = 0').fetchall()


def try_writing(session: Session) -> None:
    """Write a row and delete it, which leaves nothing behind, and needs as much room as any small change."""
    name = f'attempt.{secrets.token_hex(16)}'
    session.execute(f'INSERT INTO {RECONCILIATIONS} (id, due) VALUES (?, 0)', (name,))
    session.execute(f'DELETE FROM {RECONCILIATIONS} WHERE id = ?', (name,))


def prefix(column: str) -> str:
    """Return the SQL of the beginning of *column*, as indexes hold it."""
    return f'substr({column}, 1, {PREFIX_CHARACTERS})'


class _Existing(NamedTuple):
    """The names of the columns of each table that is there, and of their indexes."""

    columns: dict[str, set[str]]
    indexes: set[str]


def _existing(session: Session) -> _Existing:
    """Return what there is, by two cheap statements: each process asks at its start."""
    tables = ', '.join(f"'{table}'" for table in (TABLE, *_OTHER_TABLES))
    columns: dict[str, set[str]] = {}
    for table, name in session.execute(session.dialect.columns.format(tables=tables)).fetchall():
        columns.setdefault(table, set()).add(name)
    indexes = session.execute(session.dialect.indexes.format(tables=tables)).fetchall()
    return _Existing(columns, {name for _, name in indexes})


def _add(session: Session, table: str, columns: Sequence[_Column]) -> None:
    for name, kind, constraint in columns:
        session.execute(f'ALTER TABLE {table} ADD COLUMN {name} {session.dialect.types[kind]} {constraint}')


def _create(session: Session, table: str, columns: Sequence[_Column]) -> None:
    types = session.dialect.types
    listed = ', '.join(f'{name} {types[kind]} {constraint}' for name, kind, constraint in columns)
    session.execute(f'CREATE TABLE {table} ({listed}) {session.dialect.table_options}')


def _upgrade(session: Session, missing: Sequence[_Column], old: bool) -> None:
    """Let the columns of an *old* table hold what comes, add those that are missing, and fill them in."""
    if old:
        for index in session.database.get_indexes(TABLE):
            # The 0.2 series indexed every column; an index of a text limits what the text may hold.
            if not index.unique:
                session.execute(session.dialect.drop_index.format(index=index.name, table=TABLE))
        widen(session, _COLUMNS_0_2)
    _add(session, TABLE, missing)
    if old:
        fill_in(session)
    names = {name for name, _, _ in missing}
    if names.intersection(Facts._fields):
        fill_in_facts(session)
    if 'failure_group' in names:
        fill_in_failure_groups(session)


def _create_indexes(session: Session, existing: set[str]) -> None:
    missing = [each for each in _indexes(session) if each.name not in existing]
    if session.dialect.indexes_together:
        for table in dict.fromkeys(each.table for each in missing):
            added = [f'ADD {each.kind} {each.name} {each.columns}' for each in missing if each.table == table]
            session.execute(f'ALTER TABLE {table} {", ".join(added)}')
    else:
        for each in missing:
            session.execute(f'CREATE {each.kind} {each.name} ON {each.table} {each.columns}')
    for name in _OBSOLETE_INDEXES:
        if (index := f'{TABLE}_{name}') in existing:
            session.execute(session.dialect.drop_index.format(index=index, table=TABLE))


class _Index(NamedTuple):
    """An index: ``INDEX`` or ``UNIQUE INDEX``, its table, and its columns, with a condition if it is partial."""

    name: str
    kind: str
    table: str
    columns: str


def _indexes(session: Session) -> Iterator[_Index]:
    """Yield each index that this kind of database has."""
    for name, (table, columns) in _OTHER_INDEXES.items():
        yield _Index(name, 'INDEX', table, f'({columns})')
    dialect = session.dialect
    beginnings = {
        column: dialect.prefix_index.format(column=column, length=PREFIX_CHARACTERS, expression=prefix(column))
        for column in PREFIXED
    }
    whole: set[str] = set()
    for name, unique, columns, rows in _INDEXES:
        if not dialect.partial_indexes:
            if rows.startswith('task_status') and not columns.startswith('task_status'):
                columns = f'task_status, {columns}'  # so that the rows that a partial one would hold lie together
            if columns in whole:
                continue  # differs from the other in the rows it holds, which here are all
            whole.add(columns)
        where = f' WHERE {rows}' if rows and dialect.partial_indexes else ''
        kind = 'UNIQUE INDEX' if unique else 'INDEX'
        yield _Index(f'{TABLE}_{name}', kind, TABLE, f'({columns.format(**beginnings)}){where}')
