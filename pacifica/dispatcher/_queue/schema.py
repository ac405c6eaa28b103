"""The table in the database: made when it isn't there, upgraded in place when it is of the 0.2 series.

Used by the store, once a process, before the first statement; and by ``migrate``. Runs under a lock of the database,
so that any number of processes may start at once, and is idempotent: what it finds done it leaves alone.
"""

from __future__ import annotations

import peewee

from pacifica.dispatcher._queue.connections import Session
from pacifica.dispatcher._queue.record import TABLE, timestamp
from pacifica.dispatcher._queue.status import Status

__all__ = ['ensure_schema']

# column, kind (see Dialect.types), constraint when the table is new
_COLUMNS_0_2 = (
    ('uuid', 'uuid', 'NOT NULL PRIMARY KEY'),
    ('event_type', 'text', ''),
    ('event_type_version', 'text', ''),
    ('cloud_events_version', 'text', ''),
    ('source', 'text', ''),
    ('event_id', 'text', ''),
    ('event_time', 'text', ''),
    ('schema_url', 'text', ''),
    ('content_type', 'text', ''),
    ('event_data', 'document', 'NOT NULL'),
    ('data', 'document', 'NOT NULL'),
    ('task_id', 'uuid', 'NOT NULL'),
    ('task_application_name', 'name', 'NOT NULL'),
    ('task_name', 'name', 'NOT NULL'),
    ('task_status', 'name', 'NOT NULL'),
    ('exc_type', 'text', ''),
    ('exc_value', 'text', ''),
    ('exc_traceback', 'document', 'NOT NULL'),
    ('created', 'time', 'NOT NULL'),
    ('updated', 'time', 'NOT NULL'),
    ('deleted', 'time', ''),
)
# Each with a default or nullable, so that a row written by the 0.2 series during a rolling upgrade is still valid.
_COLUMNS_0_3 = (
    ('attempts', 'integer', 'NOT NULL DEFAULT 0'),
    ('due', 'seconds', 'NOT NULL DEFAULT 0'),
    ('lease_expires', 'seconds', ''),
    ('claim_token', 'token', ''),
    ('claim_owner', 'name', ''),
    ('finalized', 'time', ''),
    ('result', 'document', ''),
    ('route', 'text', ''),
    ('event_key', 'key', ''),
)
_QUEUE = 'task_status, task_application_name, task_name'
# name, unique, columns, the rows it holds where the database has partial indexes
_INDEXES = (
    ('task_id', True, 'task_id', ''),
    ('event_key', True, 'event_key', ''),
    ('created', False, 'created', ''),
    ('claimable', False, f'{_QUEUE}, due', f"task_status = '{Status.ACCEPTED}'"),
    ('leased', False, f'{_QUEUE}, lease_expires', f"task_status = '{Status.PROCESSING}'"),
)


def ensure_schema(session: Session) -> None:
    """Make or upgrade the table and its indexes.

    :raises peewee.PeeweeException: what the database raises.
    """
    dialect = session.dialect
    for statement in dialect.lock_schema:
        session.execute(statement)
    try:
        existing = {column.name for column in _columns(session)}
        if not existing:
            _create(session)
        elif not existing.issuperset(name for name, _, _ in _COLUMNS_0_3):
            _upgrade(session, existing)
        _create_indexes(session)
        for statement in dialect.unlock_schema:
            session.execute(statement)
    except BaseException:
        session.rollback()
        session.disconnect()  # which also gives up a lock that is no transaction's
        raise


def _columns(session: Session) -> list[peewee.ColumnMetadata]:
    database = session.database
    return list(database.get_columns(TABLE)) if TABLE in database.get_tables() else []


def _create(session: Session) -> None:
    types = session.dialect.types
    columns = ', '.join(f'{name} {types[kind]} {constraint}' for name, kind, constraint in _COLUMNS_0_2 + _COLUMNS_0_3)
    options = ' DEFAULT CHARACTER SET utf8mb4' if session.dialect.name == 'mysql' else ''
    session.execute(f'CREATE TABLE {TABLE} ({columns}){options}')


def _upgrade(session: Session, existing: set[str]) -> None:
    """Add what the 0.2 table lacks, and give an end to what an old crash left in the middle of processing."""
    types = session.dialect.types
    for name, kind, constraint in _COLUMNS_0_3:
        if name not in existing:
            session.execute(f'ALTER TABLE {TABLE} ADD COLUMN {name} {types[kind]} {constraint}')
    session.execute(
        f'UPDATE {TABLE} SET task_status = ?, exc_type = ?, exc_value = ?, finalized = ?'
        ' WHERE task_status = ? AND claim_token IS NULL',
        (Status.FAILED.value, 'WorkerLostError', 'processing was under way when the 0.2 series stopped; run it again '
         'if it is needed', timestamp(session.now()), Status.PROCESSING.value),
    )


def _create_indexes(session: Session) -> None:
    existing = {index.name for index in session.database.get_indexes(TABLE)}
    for name, unique, columns, rows in _INDEXES:
        index = f'{TABLE}_{name}'
        if index not in existing:
            where = f' WHERE {rows}' if rows and session.dialect.partial_indexes else ''
            session.execute(f'CREATE {"UNIQUE " if unique else ""}INDEX {index} ON {TABLE} ({columns}){where}')
