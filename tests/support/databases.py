"""A database of its own for each test that asks for one, on every kind that the queue supports."""

from __future__ import annotations

import atexit
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

from playhouse.db_url import connect

from pacifica.dispatcher._queue.connections import Connections
from pacifica.dispatcher._queue.dialect import dialect_of
from pacifica.dispatcher._queue.schema import ensure_schema
from pacifica.dispatcher.receiver import create_peewee_model
from support import services

KINDS = ('sqlite', 'postgresql', 'mysql')
_SERVICES = {'postgresql': services.POSTGRESQL, 'mysql': services.MARIADB}
# Servers write much to the disk whenever a database or a table is made, so they are used again.
_DISCONNECT = {
    'postgresql': 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity'
                  ' WHERE datname = current_database() AND pid <> pg_backend_pid()',
}
_EMPTY = {
    'postgresql': 'DROP SCHEMA public CASCADE; CREATE SCHEMA public',
    'mysql': 'DROP DATABASE {name}; CREATE DATABASE {name}',
}
_spare: dict[tuple[str, bool], list[str]] = {(kind, tables): [] for kind in _EMPTY for tables in (False, True)}


@contextmanager
def temporary_database(kind: str, directory: Path, *, tables: bool = False) -> Iterator[str]:
    """Yield the URL of an empty database of *kind* that nobody else uses; afterwards all in it is dropped.

    :param tables: whether our tables may be there already, without a row.
    """
    if kind == 'sqlite':
        yield f'sqlite:///{directory / "events.db"}'
        return
    server = services.require(_SERVICES[kind])
    pool = _spare[kind, tables] or _spare[kind, False]
    name = pool.pop() if pool else _created(kind, server)
    url = urlunsplit(urlsplit(server)._replace(path=f'/{name}'))
    try:
        yield url
    finally:
        _spare[kind, _cleaned(kind, url, name, keep=tables)].append(name)


def _created(kind: str, server: str) -> str:
    """Make a database, to be dropped when this process ends; return its name."""
    name = f'dispatcher_test_{uuid4().hex}'
    _administrate(server, f'CREATE DATABASE {name}')
    force = ' WITH (FORCE)' if kind == 'postgresql' else ''
    atexit.register(_administrate, server, f'DROP DATABASE {name}{force}')
    return name


@contextmanager
def model_in(url: str) -> Iterator[Any]:
    """Yield the model class of the table in the database at *url*; its connections are closed afterwards."""
    database = connect(url)
    model = create_peewee_model(database)
    try:
        yield model
    finally:
        model.close_connections()
        database.close()


@contextmanager
def table_in(kind: str, directory: Path) -> Iterator[tuple[str, Any]]:
    """Yield the URL of a new database of *kind*, and the model class of the table in it."""
    with temporary_database(kind, directory) as url, model_in(url) as model:
        model.create_table()
        yield url, model


@contextmanager
def connections_to(model: Any) -> Iterator[Connections]:
    """Yield connections to the database of *model* that are the caller's own, as another process has them.

    Their clock may differ from that of the model's by as long as the database takes to answer: what is due by one may
    be so by the other a moment later.
    """
    connections = Connections(model._meta.database, ensure_schema)
    try:
        yield connections
    finally:
        connections.close()


def _cleaned(kind: str, url: str, name: str, *, keep: bool) -> bool:
    """Leave no row of our tables, if they are to be kept and are as we make them; else nothing; return which it was."""
    with closing(connect(url)) as database:
        if kind in _DISCONNECT:
            database.execute_sql(_DISCONNECT[kind])
        if keep and _columns(database) == _columns_as_made():
            for table in {column[0] for column in _columns_as_made()}:
                database.execute_sql(f'DELETE FROM {table}')
            return True
        for statement in _EMPTY[kind].format(name=name).split('; '):
            database.execute_sql(statement)
        return False


@cache
def _columns_as_made() -> set[tuple[str, str]]:
    with model_in('sqlite:///:memory:') as model:
        model.create_table()
        return _columns(model._meta.database)


def _columns(database: Any) -> set[tuple[str, str]]:
    """Return the table and the name of each column of a database."""
    tables = ', '.join(f"'{table}'" for table in ('', *database.get_tables()))
    return set(database.execute_sql(dialect_of(database).columns.format(tables=tables)).fetchall())


def _administrate(url: str, *statements: str) -> None:
    database = connect(url)
    try:
        for statement in statements:
            database.execute_sql(statement)
    finally:
        database.close()
