"""Checks of the database: reachable, its table, its clock. Nothing is changed in it.

A SQLite file is opened as it is: neither made if it isn't there, nor turned to WAL, which the queue does at its start.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import peewee

from pacifica.dispatcher._cli.doctor.finding import Finding, failed, ok, skipped, warning
from pacifica.dispatcher._cli.doctor.settings import Settings
from pacifica.dispatcher._cli.tables import driver_of
from pacifica.dispatcher._queue.dialect import dialect_of
from pacifica.dispatcher._queue.schema import state_of_schema
from pacifica.dispatcher._queue.session import Session

__all__ = ['check_clock', 'check_database', 'check_schema', 'connected', 'sqlite_path']

_SKEW_SECONDS = 2.0
_VERSION = {'sqlite': 'SELECT sqlite_version()', 'postgresql': 'SHOW server_version', 'mysql': 'SELECT version()'}
# The oldest that know SKIP LOCKED and, SQLite, ON CONFLICT.
_OLDEST = {'SQLite': (3, 24), 'PostgreSQL': (9, 5), 'MariaDB': (10, 6), 'MySQL': (8, 0)}
_READ = {'sqlite': 'PRAGMA schema_version'}  # SQLite reads nothing of the file for its version

_SCHEMA = {
    'absent': warning('there is no table yet', 'it is made at the first start, or by "pacifica-dispatcher migrate"'),
    'old': warning(
        'the table is of the 0.2 series',
        'it is upgraded at the next start; to do it at a time of your choice, stop the workers of the 0.2 series and '
        'run "pacifica-dispatcher migrate"'),
    'incomplete': warning(
        'a column, an index or the table of workers is missing',
        'it is made at the next start, or by "pacifica-dispatcher migrate"'),
    'foreign': failed('there is a table of this name that is not the dispatcher\'s', 'use another database'),
    'current': ok('the table is up to date'),
}


class NotConnectedError(Exception):
    """The database can't be used.

    :param finding: why, kept as ``finding``.
    """

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.found)
        self.finding = finding


def check_database(settings: Settings) -> Finding:
    """Look whether the database can be reached, and which it is."""
    try:
        with connected(settings) as session:
            name = session.dialect.name
            version = str(session.execute(_VERSION[name]).fetchone()[0])
            session.execute(_READ.get(name, 'SELECT 1')).fetchone()
    except NotConnectedError as exc:
        return exc.finding
    product = {'sqlite': 'SQLite', 'postgresql': 'PostgreSQL'}.get(name, 'MariaDB' if 'Maria' in version else 'MySQL')
    found = f'{product} {version}, {_where(settings.database)}'
    numbers = tuple(int(number) for number in re.findall(r'\d+', version)[:2])
    if numbers < _OLDEST[product]:
        oldest = '.'.join(map(str, _OLDEST[product]))
        return failed(found, f'use {product} {oldest} or newer')
    return ok(found)


def check_schema(settings: Settings) -> Finding:
    """Look whether the table is there, and of which version."""
    try:
        with connected(settings) as session:
            return _SCHEMA[state_of_schema(session)]
    except NotConnectedError as exc:
        return _SCHEMA['absent'] if exc.finding.status == 'warning' else skipped('see "database"')


def check_clock(settings: Settings) -> Finding:
    """Compare the database's clock with this machine's."""
    if dialect_of(settings.database).clock is None:
        return skipped('a SQLite file has no clock but this machine\'s')
    try:
        with connected(settings) as session:
            before = time.time()
            there = float(session.execute(str(session.dialect.clock)).fetchone()[0])
            after = time.time()
    except NotConnectedError:
        return skipped('see "database"')
    return skew(there - (before + after) / 2, (after - before) / 2)


def skew(seconds: float, uncertain: float) -> Finding:
    """Judge how far the database's clock is ahead."""
    found = f'the database\'s clock is {abs(seconds):.1f} s {"ahead of" if seconds > 0 else "behind"} this machine\'s'
    if abs(seconds) <= _SKEW_SECONDS + uncertain:
        return ok('the clocks of the database and of this machine agree')
    return warning(found, 'let both set their clocks (NTP): leases go by the database\'s, logs and signed webhooks by '
                          'this machine\'s')


@contextmanager
def connected(settings: Settings) -> Iterator[Session]:
    """Yield a session on a connection of this thread's, which was opened without changing anything.

    :raises NotConnectedError: if it can't be opened or used.
    """
    try:
        database = _openable(settings)
        database.connect(reuse_if_open=True)
        try:
            yield Session(database, dialect_of(database))
        finally:
            database.close()
    except peewee.ImproperlyConfigured as exc:
        raise NotConnectedError(failed(settings.told(exc), f'install its driver: {driver_of(settings.database)}')) \
            from exc
    except peewee.PeeweeException as exc:
        raise NotConnectedError(failed(
            f'{_where(settings.database)} can\'t be used: {settings.told(exc)}',
            'check that it is up, and --database or DATABASE_URL: host, port, name, user and password',
        )) from exc


def sqlite_path(database: Any) -> Path | None:
    """Return the file of a SQLite database, ``None`` if it has none."""
    if not isinstance(database, peewee.SqliteDatabase):
        return None
    name = str(database.database)
    return None if name == ':memory:' or name.startswith('file:') else Path(name).absolute()


def _openable(settings: Settings) -> Any:
    database, path = settings.database, sqlite_path(settings.database)
    if isinstance(database, peewee.SqliteDatabase):
        if path is None:
            raise NotConnectedError(failed(
                'a database in memory is seen by one thread only', 'use a file, for example sqlite:///events.db'))
        if not path.exists() and path.parent.is_dir():
            raise NotConnectedError(warning(
                f'there is no file {path} yet', 'it is made at the first start; if there should be one, check '
                '--database or DATABASE_URL, and the current directory'))
        return peewee.SqliteDatabase(f'file:{quote(str(path))}?mode=rw', uri=True, timeout=settings.timeout)
    seconds = max(2, int(settings.timeout))  # PostgreSQL's client takes one second for two
    database.connect_params.setdefault('connect_timeout', seconds)
    return database


def _where(database: Any) -> str:
    path, host = sqlite_path(database), database.connect_params.get('host')
    return f'file {path}' if path is not None else f'database {database.database!r} on {host or "this machine"}'
