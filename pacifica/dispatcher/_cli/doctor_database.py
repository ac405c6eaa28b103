"""What ``doctor`` looks at in the database: its server, the table, the clocks, and the file of a SQLite database.

That is opened as it is: it is neither made, nor turned to WAL, which the queue does at its start.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import peewee

from pacifica.dispatcher._cli.doctor_disks import room
from pacifica.dispatcher._cli.doctor_findings import Finding, Settings, failed, ok, skipped, warning
from pacifica.dispatcher._cli.table import driver_of
from pacifica.dispatcher._queue.dialect import Fault, dialect_of
from pacifica.dispatcher._queue.schema import state_of_schema
from pacifica.dispatcher._queue.session import Session
from pacifica.dispatcher._queue.sqlite import sqlite_path

_SKEW_SECONDS = 2.0
_VERSION = {
    'sqlite': 'SELECT sqlite_version(), count(*) FROM sqlite_master',  # which reads the file too
    'postgresql': 'SHOW server_version',
    'mysql': 'SELECT version()',
}
# The oldest that know SKIP LOCKED; SQLite, ON CONFLICT; PostgreSQL, plan_cache_mode.
_OLDEST = {'SQLite': (3, 24), 'PostgreSQL': (12,), 'MariaDB': (10, 6), 'MySQL': (8, 0)}

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

_SERVER_CURE = 'check that it is up, and --database or DATABASE_URL: host, port, name, user and password'
_FILE_CURE = 'check --database or DATABASE_URL, and that it is a SQLite file that this user may read and write'
_CURES: dict[Fault, str] = {
    'full': 'make room on the disk of the database: until then no event is stored',
    'read-only': 'see the rights of its user, the disk, and whether the server is a replica that takes no changes',
}


class NotConnectedError(Exception):
    """The database can't be used; ``finding`` says why, and ``fault`` what kind of fault of the database it is."""

    def __init__(self, finding: Finding, fault: Fault | None = None) -> None:
        super().__init__(finding.found)
        self.finding = finding
        self.fault = fault


def check_database(settings: Settings) -> Finding:
    try:
        with connected(settings) as session:
            name = session.dialect.name
            version = str(session.execute(_VERSION[name]).fetchone()[0])
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
    try:
        with connected(settings) as session:
            return _SCHEMA[state_of_schema(session)]
    except NotConnectedError as exc:
        return _SCHEMA['absent'] if exc.finding.status == 'warning' else skipped('see "database"')


def check_clock(settings: Settings) -> Finding:
    if dialect_of(settings.database).clock is None:
        return skipped('a SQLite file has no clock but this machine\'s')
    try:
        with connected(settings) as session:
            before = time.time()
            theirs = float(session.execute(str(session.dialect.clock)).fetchone()[0])
            after = time.time()
    except NotConnectedError:
        return skipped('see "database"')
    return skew(theirs - (before + after) / 2, (after - before) / 2)


def skew(seconds: float, uncertain: float) -> Finding:
    """Return what to say of a database's clock that is so many *seconds* ahead, by an *uncertain* measurement."""
    found = f'the database\'s clock is {abs(seconds):.1f} s {"ahead of" if seconds > 0 else "behind"} this machine\'s'
    if abs(seconds) <= _SKEW_SECONDS + uncertain:
        return ok('the clocks of the database and of this machine agree')
    return warning(found, 'let both set their clocks (NTP): leases go by the database\'s, logs and signed webhooks by '
                          'this machine\'s')


@contextmanager
def connected(settings: Settings) -> Iterator[Session]:
    """Yield a session on a connection of this thread's, which was opened without changing anything."""
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
        fault = dialect_of(settings.database).fault_of(exc)
        raise NotConnectedError(failed(
            f'{_where(settings.database)} can\'t be used: {settings.told(exc)}',
            _CURES.get(fault, _SERVER_CURE if sqlite_path(settings.database) is None else _FILE_CURE)), fault) from exc


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
        if not path.exists():
            raise NotConnectedError(failed(
                f'there is no directory {path.parent} for {path.name}',
                'make it, or correct --database or DATABASE_URL'))
        return peewee.SqliteDatabase(f'file:{quote(str(path))}?mode=rw', uri=True, timeout=settings.timeout)
    seconds = max(2, int(settings.timeout))  # PostgreSQL's client takes one second for two
    database.connect_params.setdefault('connect_timeout', seconds)
    return database


def _where(database: Any) -> str:
    path, host = sqlite_path(database), database.connect_params.get('host')
    return f'file {path}' if path is not None else f'database {database.database!r} on {host or "this machine"}'


def check_sqlite_file(settings: Settings) -> Finding:
    path = sqlite_path(settings.database)
    if path is None:
        return skipped('the events are in no SQLite file')
    if not path.parent.is_dir():
        return skipped('see "database"')
    beside = [path, Path(f'{path}-wal'), Path(f'{path}-shm')]
    closed = [each for each in beside if each.exists() and not os.access(each, os.W_OK)]
    if not os.access(path.parent, os.W_OK | os.X_OK):
        closed.append(path.parent)
    if closed:
        return failed(
            f'this user may not write {", ".join(map(str, closed))}',
            'let the dispatcher\'s user write the file and its directory: SQLite makes files beside it (-wal, -shm)')
    return _begin(settings, path) if path.exists() else ok(f'can be made in {path.parent}')


def _begin(settings: Settings, path: Path) -> Finding:
    """Check that a transaction can begin, and write nothing."""
    try:
        with connected(settings) as session:
            mode = session.execute('PRAGMA journal_mode').fetchone()[0]
            session.execute('BEGIN IMMEDIATE')
            session.execute('ROLLBACK')
    except NotConnectedError as exc:
        if exc.fault == 'busy':
            return warning(f'another process has been writing {path} for {settings.timeout:g} s', 'see which it is')
        return skipped('see "database"') if exc.fault != 'read-only' else exc.finding
    found = 'can be written' if mode == 'wal' else f'can be written; turned from {mode} to WAL at the next start'
    return room(path.parent, found, _CURES['full'])
