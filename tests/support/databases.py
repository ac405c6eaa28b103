"""A database of its own for each test that asks for one, on every kind that the queue supports."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

from playhouse.db_url import connect

from pacifica.dispatcher.receiver import create_peewee_model
from support import services

KINDS = ('sqlite', 'postgresql', 'mysql')
_SERVICES = {'postgresql': services.POSTGRESQL, 'mysql': services.MARIADB}


@contextmanager
def temporary_database(kind: str, directory: Path) -> Iterator[str]:
    """Yield the URL of a new, empty database of *kind*; it is dropped afterwards."""
    if kind == 'sqlite':
        yield f'sqlite:///{directory / "events.db"}'
        return
    server = services.require(_SERVICES[kind])
    name = f'dispatcher_test_{uuid4().hex}'
    _administrate(server, f'CREATE DATABASE {name}')
    try:
        yield urlunsplit(urlsplit(server)._replace(path=f'/{name}'))
    finally:
        _administrate(server, f'DROP DATABASE {name}' + (' WITH (FORCE)' if kind == 'postgresql' else ''))


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


def _administrate(server: str, statement: str) -> None:
    database = connect(server)
    try:
        database.execute_sql(statement)
    finally:
        database.close()
