"""All that ``doctor`` looks at: functions that take the ``Settings``, return a ``Finding``, and change nothing.

A SQLite file is opened as it is: it is neither made, nor turned to WAL, which the queue does at its start.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import peewee

from pacifica.dispatcher._cli.doctor_disks import (
    check_filesystem, check_staging_directories, check_temporary_directory, room,
)
from pacifica.dispatcher._cli.doctor_findings import (
    Address, DoctorCheck, Finding, Settings, failed, ok, skipped, warning,
)
from pacifica.dispatcher._cli.references import find_router, is_routes_file
from pacifica.dispatcher._cli.table import driver_of
from pacifica.dispatcher._clients import ClientError
from pacifica.dispatcher._clients.http import HttpClient
from pacifica.dispatcher._clients.receiver_client import ReceiverClient
from pacifica.dispatcher._clients.subscription import NOBODY, Notifications, disabled_reason
from pacifica.dispatcher._operate.words import one_line, without_password
from pacifica.dispatcher._queue.connections import sqlite_path
from pacifica.dispatcher._queue.dialect import Fault, dialect_of
from pacifica.dispatcher._queue.schema import state_of_schema
from pacifica.dispatcher._queue.session import Session
from pacifica.dispatcher.exceptions import ConfigurationError

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


def check_router(settings: Settings) -> Finding:
    if settings.router is None:
        return skipped('no MODULE:ROUTER was given')
    try:
        found = find_router(settings.router)
    except ConfigurationError as exc:
        wrong = 'the file' if is_routes_file(settings.router) else 'MODULE:ROUTER, or the module'
        return failed(str(exc), f'correct {wrong}')
    routes = len(list(found.router))
    if not routes:
        return warning(f'{found} has no routes: every event will end in 422', 'add routes with add_route()')
    if found.router.warnings:
        return warning(f'{found}: {"; ".join(found.router.warnings)}', 'see whether it is meant')
    return ok(f'{found}, {routes} {"route" if routes == 1 else "routes"}')


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


def check_broker(settings: Settings) -> Finding:
    if settings.broker is None:
        return skipped('no --broker: needed with create_celery_app only')
    try:
        from kombu.connection import Connection
    except ImportError:
        return failed('Celery is not installed here', 'install it: pip install "pacifica-dispatcher[celery]"')
    seconds = settings.timeout
    try:
        connection = Connection(settings.broker, connect_timeout=seconds, transport_options={
            'socket_connect_timeout': seconds, 'socket_timeout': seconds,
        })
        with connection:
            connection.connect()
            channel = connection.channel()  # Redis is spoken to only now
            return ok(f'{_product(connection, channel)}, {without_password(settings.broker)}')
    except ImportError as exc:
        return failed(f'the library for this broker is missing: {exc}', 'install it, for Redis: pip install redis')
    except Exception as exc:  # each transport has errors of its own, and of its library's
        return failed(
            f'the broker can\'t be used: {settings.told(exc)}',
            'check that it is up, and --broker or CELERY_BROKER_URL: host, port, user and password')


def _product(connection: Any, channel: Any) -> str:
    properties = getattr(connection.connection, 'server_properties', None)  # AMQP
    if properties:
        return f'{properties.get("product", "AMQP")} {properties.get("version", "")}'.strip()
    client = getattr(channel, 'client', None)
    if connection.transport.driver_type == 'redis' and client is not None:
        return f'Redis {client.info("server").get("redis_version", "")}'.strip()
    return str(connection.transport.driver_type)


def _service(name: str, address_of: Callable[[Settings], Address]) -> Callable[[Settings], Finding]:
    def check(settings: Settings) -> Finding:
        how = f'--{name.lower()}, or {name.upper()}_ADDR and {name.upper()}_PORT'
        url, configured = address_of(settings)
        try:
            answer = HttpClient(timeout=settings.timeout).request('GET', f'{url}/')
        except ClientError as exc:
            if not configured:
                return skipped(f'not configured, and nothing is at the default {url}', f'say where it is with {how}')
            return failed(exc.message, f'start it, or correct {how}')
        if answer.status_code == 200 and f'Pacifica {name}' in answer.text:
            return ok(f'answers at {url}')
        if not configured:
            return skipped(
                f'not configured, and something else is at the default {url}', f'say where it is with {how}')
        if answer.status_code in (401, 403):
            return warning(f'{url} wants to know who asks ({answer.status_code})', 'see whether a transfer works')
        return failed(f'{url} was answered {answer.status_code}, not as {name} does', f'correct {how}')
    return check


def check_notifications(settings: Settings) -> Finding:
    if settings.notifications is None:
        return skipped('not configured', 'say where they are with --notifications or NOTIFICATIONS_URL')
    try:
        Notifications(settings.notifications, settings.user, settings.timeout).subscriptions()
    except ClientError as exc:
        return failed(exc.message, 'start it, or correct --notifications')
    return ok(f'answers at {settings.notifications}')


def check_subscription(settings: Settings) -> Finding:
    if settings.notifications is None or (settings.receiver is None and settings.name is None):
        return skipped('not configured', 'say which it is with --notifications, --receiver, --name and --user')
    try:
        records = Notifications(settings.notifications, settings.user, settings.timeout).subscriptions()
    except ClientError:
        return skipped('see "notifications"')
    target = _receiver(settings).target_url if settings.receiver else None
    found = [each for each in records if target in (None, each.get('target_url'))
             and settings.name in (None, each.get('name'))]
    if not found:
        others = [str(each.get('target_url')) for each in records if each.get('name') == settings.name]
        return failed(
            f'it sends events to {others[0]}, not to {target}' if others else
            f'user {settings.user or NOBODY} has no such subscription', f'make it: {_subscribe(settings)}')
    record = min(found, key=lambda each: each.get('disabled') is not None)
    if record.get('disabled') is not None:
        return failed(
            f'it is disabled since {record["disabled"]}, by the clock of Notifications: '
            f'{disabled_reason(record.get("error"))}',
            f'let the receiver take events, then enable it: {_subscribe(settings)}; with --keep that happens by itself')
    if record.get('user') == NOBODY:
        return warning(f'it belongs to {NOBODY!r}: the first event will disable it', 'make one with --user')
    return ok(f'{record.get("name")!r} of {record.get("user")} sends events to {record.get("target_url")}')


def _subscribe(settings: Settings) -> str:
    return f'pacifica-dispatcher subscribe --name {settings.name or "NAME"} --receiver {settings.receiver or "URL"} …'


def _receiver(settings: Settings) -> ReceiverClient:
    return ReceiverClient.mounted_at(settings.receiver or '', HttpClient(timeout=settings.timeout))


def check_receiver_alive(settings: Settings) -> Finding:
    if settings.receiver is None:
        return skipped('not configured', 'say where it is with --receiver')
    receiver = _receiver(settings)
    try:
        answer = receiver.get('/health/live')
        if answer.status_code == 404:  # of the 0.2 series, which answers a list of tasks
            answer = receiver.get('/')
        said = answer.json()
    except ClientError as exc:
        return failed(exc.message, 'start it, or correct --receiver')
    except ValueError:
        said = None
    if answer.status_code == 200 and (said == {'status': 'ok'} or isinstance(said, list)):
        return ok(f'answers at {receiver.url_of("")}')
    if answer.status_code in (401, 403):
        return warning(
            f'{receiver.url_of("")} wants to know who asks ({answer.status_code})', 'see whether events come')
    return failed(
        f'{receiver.url_of("")} was answered {answer.status_code}, not as a receiver does',
        'see its log; correct --receiver: where it is mounted')


def check_receiver_ready(settings: Settings) -> Finding:
    """Ask the receiver whether it can take events, if it is one that says so."""
    if settings.receiver is None:
        return skipped('not configured', 'say where it is with --receiver')
    try:
        answer = _receiver(settings).get('/health/ready')
    except ClientError:
        return skipped('see "receiver-alive"')
    if answer.status_code == 200:
        return ok('can take events')
    if answer.status_code >= 500:
        return failed(
            f'can\'t take events ({answer.status_code}): {one_line(answer.text)[:300]}',
            'put right what it says is not ready, and see its log')
    return skipped(f'does not say ({answer.status_code} for /health/ready)')


CHECKS = (
    DoctorCheck('router', check_router, in_main_thread=True),
    DoctorCheck('database', check_database),
    DoctorCheck('schema', check_schema),
    DoctorCheck('clock', check_clock),
    DoctorCheck('sqlite-file', check_sqlite_file),
    DoctorCheck('filesystem', check_filesystem),
    DoctorCheck('temporary-directory', check_temporary_directory),
    DoctorCheck('staging-directories', check_staging_directories, in_main_thread=True),
    DoctorCheck('broker', check_broker),
    DoctorCheck('cartd', _service('Cartd', lambda settings: settings.cartd)),
    DoctorCheck('ingest', _service('Ingest', lambda settings: settings.ingest)),
    DoctorCheck('policy', _service('Policy', lambda settings: settings.policy)),
    DoctorCheck('notifications', check_notifications),
    DoctorCheck('subscription', check_subscription),
    DoctorCheck('receiver-alive', check_receiver_alive),
    DoctorCheck('receiver-ready', check_receiver_ready),
)
