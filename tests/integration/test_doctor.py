"""``doctor`` finds what is not there, says what to do about it, changes nothing and shows no password."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import sqlite3
import sys
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import peewee
import pytest

from pacifica.dispatcher._cli import main
from pacifica.dispatcher._cli.doctor import CHECKS
from pacifica.dispatcher._cli.doctor_database import skew
from pacifica.dispatcher._cli.doctor_disks import filesystem_of
from pacifica.dispatcher._cli.doctor_findings import Address, DoctorCheck, Settings, address, ok, run_checks
from pacifica.dispatcher._queue.record import WORKERS
from support import brokers
from support.command_line import ROUTES
from support.databases import KINDS, model_in, temporary_database
from support.disks import fill
from support.events import ingest_event
from support.fake_notifications import FakeNotifications, FakeReceiver, dead_port
from support.fakes import status

VARIABLES = ('DATABASE_URL', 'CELERY_BROKER_URL', 'NOTIFICATIONS_URL', 'NOTIFICATIONS_USER', *(
    f'{service}_{part}' for service in ('CARTD', 'INGEST', 'POLICY') for part in ('PROTO', 'ADDR', 'PORT')))


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Be in a directory with a module ``routes``, with nothing configured, not even by default."""
    (tmp_path / 'routes.py').write_text(f"{ROUTES}empty = Router()\nprint('this module prints')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'path', sys.path[:])
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    yield tmp_path
    sys.modules.pop('routes', None)


class Doctor:
    """Runs ``doctor --json`` and keeps what it found."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> dict[str, Any]:
        """Return the findings by the names of their checks; the exit status is what they deserve."""
        with pytest.raises(SystemExit) as exit_:
            main(['doctor', '--json', *arguments])
        self.output = self._capsys.readouterr().out
        report = json.loads(self.output)
        found = {each['check']: each for each in report['checks']}
        assert report['ok'] is all(each['status'] != 'failed' for each in report['checks'])
        assert exit_.value.code == (0 if report['ok'] else 1)
        assert all(each['advice'] for each in report['checks'] if each['status'] in ('warning', 'failed'))
        return found


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str]) -> Doctor:
    return Doctor(capsys)


def migrate(url: str) -> None:
    """Make the table."""
    with pytest.raises(SystemExit) as exit_:
        main(['migrate', '--database', url])
    assert exit_.value.code == 0


def statuses(found: dict[str, Any], *names: str) -> list[str]:
    """Return the statuses of these checks."""
    return [found[name]['status'] for name in names]


DATABASE = ('database', 'schema', 'clock', 'sqlite-file', 'filesystem')


# The database


def test_a_file_that_is_not_there_is_not_made(doctor: Doctor, directory: Path) -> None:
    found = doctor('--database', 'sqlite:///events.db')
    assert statuses(found, 'database', 'schema', 'sqlite-file') == ['warning', 'warning', 'ok']
    assert str(directory / 'events.db') in found['database']['found']
    assert not (directory / 'events.db').exists()


def test_a_directory_that_is_not_there_is_named(doctor: Doctor, directory: Path) -> None:
    found = doctor('--database', 'sqlite:///nowhere/events.db')
    assert found['database'] == {'check': 'database', 'status': 'failed', 'found': (
        f'there is no directory {directory}/nowhere for events.db'
    ), 'advice': 'make it, or correct --database or DATABASE_URL'}
    assert statuses(found, 'schema', 'sqlite-file') == ['skipped', 'skipped']


def test_what_is_no_sqlite_file_has_no_host_and_no_password(doctor: Doctor, directory: Path) -> None:
    (directory / 'events.db').write_text('something else' * 100)
    found = doctor('--database', 'sqlite:///events.db')['database']
    assert found['status'] == 'failed' and 'host' not in found['advice'] and 'SQLite file' in found['advice']


@pytest.mark.parametrize('kind', KINDS)
def test_a_database_is_named_with_its_version_and_the_state_of_its_table(
    kind: str, doctor: Doctor, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    with temporary_database(kind, tmp_path) as url:
        if kind != 'sqlite':
            before = doctor('--database', url)
            assert statuses(before, 'database', 'schema') == ['ok', 'warning']
            assert before['schema']['found'] == 'there is no table yet'
        migrate(url)
        capsys.readouterr()
        found = doctor('--database', url)
    product = {'sqlite': 'SQLite 3.', 'postgresql': 'PostgreSQL ', 'mysql': 'Ma'}[kind]
    assert found['database']['found'].startswith(product)
    assert statuses(found, *DATABASE) == ['ok', 'ok', *(
        ['skipped', 'ok', 'ok'] if kind == 'sqlite' else ['ok', 'skipped', 'skipped'])]


@pytest.mark.parametrize('statement, state, words', [
    ('DROP INDEX receivetaskmodel_event_key', 'warning', '0.2 series'),
    ('DROP INDEX receivetaskmodel_line', 'warning', 'missing'),
    ('ALTER TABLE receivetaskmodel DROP COLUMN result', 'warning', 'missing'),
    ('DROP TABLE {workers}', 'warning', 'missing'),
    ('ALTER TABLE receivetaskmodel RENAME COLUMN task_name TO other', 'failed', 'not the dispatcher'),
])
def test_a_table_that_is_not_current_is_told_and_left_alone(
    statement: str, state: str, words: str, doctor: Doctor, directory: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    migrate('sqlite:///events.db')
    database = sqlite3.connect('events.db')
    database.execute('PRAGMA journal_mode = DELETE')
    database.execute(statement.format(workers=WORKERS))
    database.commit()
    database.close()
    before = hashlib.sha256((directory / 'events.db').read_bytes()).digest()
    capsys.readouterr()

    found = doctor('--database', 'sqlite:///events.db')

    assert found['schema']['status'] == state
    assert words in found['schema']['found']
    assert 'turned from delete to WAL at the next start' in found['sqlite-file']['found']
    assert hashlib.sha256((directory / 'events.db').read_bytes()).digest() == before
    assert [each.name for each in directory.glob('events.db*')] == ['events.db']


def test_a_file_that_is_no_database(doctor: Doctor, directory: Path) -> None:
    (directory / 'events.db').write_text('this is text, ' * 100)
    found = doctor('--database', 'sqlite:///events.db')
    assert statuses(found, 'database', 'schema') == ['failed', 'skipped']
    assert 'file is not a database' in found['database']['found']


def test_a_database_in_memory(doctor: Doctor) -> None:
    assert 'in memory' in doctor('--database', 'sqlite:///:memory:')['database']['found']


def test_a_directory_that_may_not_be_written(
    doctor: Doctor, directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    migrate('sqlite:///events.db')
    capsys.readouterr()
    access = os.access  # asked in place of a real one: these tests may run as root, who may write everything
    monkeypatch.setattr(os, 'access', lambda path, mode: Path(path) != directory and access(path, mode))
    found = doctor('--database', 'sqlite:///events.db')['sqlite-file']
    assert found['status'] == 'failed'
    assert str(directory) in found['found'] and '-wal' in found['advice']


def test_a_file_that_another_process_is_writing(
    doctor: Doctor, capsys: pytest.CaptureFixture[str],
) -> None:
    migrate('sqlite:///events.db')
    capsys.readouterr()
    other = sqlite3.connect('events.db', isolation_level=None)
    other.execute('BEGIN IMMEDIATE')
    found = doctor('--database', 'sqlite:///events.db', '--timeout', '0.5')
    other.close()
    assert statuses(found, 'database', 'schema', 'sqlite-file') == ['ok', 'ok', 'warning']


@pytest.mark.parametrize('place, kind', [('/', 'warning'), ('/somewhere/else', 'ok')])
def test_a_network_filesystem_is_warned_of(
    doctor: Doctor, directory: Path, monkeypatch: pytest.MonkeyPatch, place: str, kind: str,
) -> None:
    (directory / 'mounts').write_text(f'/dev/sda1 / ext4 rw 0 0\nserver:/export {place} nfs4 rw 0 0\n')
    monkeypatch.setattr('pacifica.dispatcher._cli.doctor_disks._MOUNTS', directory / 'mounts')
    assert doctor('--database', 'sqlite:///events.db')['filesystem']['status'] == kind


def test_the_filesystem_of_a_path_is_that_of_the_innermost_mount() -> None:
    mounts = ('/dev/a / ext4 rw 0 0\nhost:/a /data nfs4 rw 0 0\n/dev/b /data/my\\040disk xfs rw 0 0\n'
              'tmpfs /tmp tmpfs rw 0 0\n/dev/c /tmp ext4 rw 0 0\n')
    assert [filesystem_of(Path(path), mounts) for path in (
        '/home', '/data/x', '/data/my disk/x', '/database', '/tmp/x')] == ['ext4', 'nfs4', 'xfs', 'ext4', 'ext4']


@pytest.mark.parametrize('seconds, uncertain, state', [
    (1.9, 0, 'ok'), (-2.1, 0, 'warning'), (3600, 1, 'warning'), (4, 3, 'ok'),
])
def test_clocks_that_differ_are_warned_of(seconds: float, uncertain: float, state: str) -> None:
    assert skew(seconds, uncertain).status == state


@pytest.mark.parametrize('url', ['postgresql://me:hush%2Fhush@127.0.0.1:{}/name', 'mysql://me:hush@127.0.0.1:{}/name'])
def test_a_database_server_that_is_down(url: str, doctor: Doctor) -> None:
    with dead_port() as port:
        found = doctor('--database', url.format(port))
    assert statuses(found, *DATABASE) == ['failed', 'skipped', 'skipped', 'skipped', 'skipped']
    assert 'refused' in found['database']['found']
    assert 'hush' not in doctor.output


def test_a_password_that_is_refused_is_not_shown(doctor: Doctor, mariadb_url: str) -> None:
    parts = urlsplit(mariadb_url)
    url = urlunsplit(parts._replace(netloc=f'nobody:hush-hush@{parts.hostname}:{parts.port}'))
    found = doctor('--database', url)
    assert 'denied' in found['database']['found']
    assert 'hush' not in doctor.output


def test_a_missing_driver_is_named_with_the_extra_to_install(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('peewee.mysql', None)
    found = doctor('--database', 'mysql://root@127.0.0.1/test')['database']
    assert 'pip install "pacifica-dispatcher[mysql]"' in found['advice']


# The broker


@pytest.mark.parametrize('broker, product', [(brokers.shared_redis, 'Redis '), (brokers.shared_rabbitmq, 'RabbitMQ ')])
def test_a_broker_is_named_with_its_version(broker: Any, product: str, doctor: Doctor) -> None:
    pytest.importorskip('kombu')
    found = doctor('--broker', broker(), '--timeout', '60')['broker']  # which a busy machine may need
    assert found['status'] == 'ok'
    assert found['found'].startswith(product)
    assert 'guest@' not in found['found'].replace('guest:***@', '')


@pytest.mark.parametrize('broker', ['redis://:hush@127.0.0.1:{}/0', 'amqp://me:hush@127.0.0.1:{}//', 'no:hush@such//'])
def test_a_broker_that_cant_be_used(broker: str, doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip('kombu')
    with dead_port() as port:
        monkeypatch.setenv('CELERY_BROKER_URL', broker.format(port))
        found = doctor()['broker']
    assert found['status'] == 'failed'
    assert 'hush' not in doctor.output


def test_celery_that_is_missing_is_told(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('kombu', 'kombu.connection'):
        monkeypatch.setitem(sys.modules, name, None)
    found = doctor('--broker', 'redis://127.0.0.1/0')['broker']
    assert found['status'] == 'failed'
    assert 'pip install "pacifica-dispatcher[celery]"' in found['advice']


# The services


SERVICES = ('cartd', 'ingest', 'policy', 'notifications', 'receiver')
CHECKED = ('cartd', 'ingest', 'policy', 'notifications', 'receiver-alive')


def options(url: str) -> list[str]:
    """Return options that say that each service is there."""
    return [word for name in SERVICES for word in (f'--{name}', url)]


def test_services_that_are_down(doctor: Doctor) -> None:
    with dead_port() as port:
        found = doctor(*options(f'http://127.0.0.1:{port}'))
    assert statuses(found, *CHECKED) == ['failed'] * 5
    assert statuses(found, 'subscription', 'receiver-ready') == ['skipped', 'skipped']
    assert all('refused' in found[name]['found'] for name in CHECKED)


def test_what_is_something_else_is_told(doctor: Doctor) -> None:
    with FakeReceiver(health=False) as other:
        found = doctor(*options(other.url))
    assert statuses(found, *CHECKED) == ['failed'] * 5


def test_another_service_is_not_taken_for_the_one_that_was_named(doctor: Doctor) -> None:
    with FakeReceiver() as other:
        other.fail('GET', *[status(200, b'{"message": "Pacifica Status Up and Running"}')] * 10)
        found = doctor(*options(other.url))
    assert statuses(found, *CHECKED) == ['failed'] * 5


def test_a_receiver_of_the_0_2_series_is_one() -> None:
    with FakeReceiver() as receiver:
        receiver.fail('GET', status(404, b'null'), status(200, b'[]'))
        settings = Settings(peewee.SqliteDatabase('x'), *[Address('', False)] * 3, receiver=receiver.url)
        [(_, found)] = run_checks([check for check in CHECKS if check.name == 'receiver-alive'], settings)
    assert found.status == 'ok'


def test_what_is_silent_costs_its_time_once(doctor: Doctor) -> None:
    with socket.create_server(('127.0.0.1', 0), backlog=64) as silent:
        host = f'127.0.0.1:{silent.getsockname()[1]}'
        begun = time.monotonic()
        found = doctor(*options(f'http://{host}'), '--timeout', '2', '--database', f'mysql://me:hush@{host}/name',
                       '--broker', f'amqp://me:hush@{host}//')
        took = time.monotonic() - begun
    assert statuses(found, 'database', *CHECKED) == ['failed'] * 6
    assert 'hush' not in doctor.output
    assert took < 15  # and not two seconds for each of the eight


def test_a_default_that_does_not_answer_is_skipped() -> None:
    with dead_port() as port:
        settings = Settings(peewee.SqliteDatabase('x'), *[Address(f'http://127.0.0.1:{port}', False)] * 3)
        found = dict(run_checks([check for check in CHECKS if check.name in CHECKED], settings))
    assert {each.status for each in found.values()} == {'skipped'}


def test_where_services_are_is_read_as_the_clients_read_it() -> None:
    cases: list[tuple[str | None, dict[str, str], Address]] = [
        (None, {}, Address('http://127.0.0.1:8066', False)),
        (None, {'INGEST_PORT': '80', 'INGEST_ADDR': 'host'}, Address('http://host:80', True)),
        (None, {'INGEST_PROTO': 'https'}, Address('https://127.0.0.1:8066', True)),
        (None, {'INGEST_UPLOAD_URL': 'https://host/ingest/upload', 'INGEST_PORT': '1'},
         Address('https://host/ingest', True)),
        ('https://other/', {'INGEST_PORT': '80'}, Address('https://other', True)),
    ]
    for given, environment, expected in cases:
        assert address(given, 'INGEST', 8066, 'INGEST_UPLOAD_URL', environment) == expected


# The subscription and the receiver


def subscribe(notifications: FakeNotifications, receiver: str, capsys: pytest.CaptureFixture[str], *more: str) -> None:
    with pytest.raises(SystemExit):
        main(['subscribe', '--receiver', receiver, '--notifications', notifications.url, '--jsonpath', '$', '--name',
              'mine', *more])
    capsys.readouterr()


def test_a_subscription(
    notifications: FakeNotifications, receiver: FakeReceiver, doctor: Doctor, capsys: pytest.CaptureFixture[str],
) -> None:
    asked = ('--notifications', notifications.url, '--receiver', receiver.url, '--name', 'mine', '--user', 'me')
    names = ('notifications', 'subscription', 'receiver-alive', 'receiver-ready')

    found = doctor(*asked)
    assert statuses(found, *names) == ['ok', 'failed', 'ok', 'ok']
    assert 'pacifica-dispatcher subscribe --name mine' in found['subscription']['advice']

    subscribe(notifications, 'http://127.0.0.1:1/other', capsys, '--user', 'me')
    assert 'http://127.0.0.1:1/other/receive, not to' in doctor(*asked)['subscription']['found']

    subscribe(notifications, receiver.url, capsys, '--user', 'me')
    assert statuses(doctor(*asked), *names) == ['ok', 'ok', 'ok', 'ok']

    receiver.fail('POST', status(401, b'who are you'))
    notifications.send(ingest_event())
    found = doctor(*asked)
    assert statuses(found, *names) == ['ok', 'failed', 'ok', 'ok']
    assert 'disabled since' in found['subscription']['found'] and 'who are you' in found['subscription']['found']

    subscribe(notifications, receiver.url, capsys)
    found = doctor(*asked[:-2])
    assert found['subscription']['status'] == 'warning'
    assert '--user' in found['subscription']['advice']


def test_a_receiver_that_is_not_ready(receiver: FakeReceiver, doctor: Doctor) -> None:
    receiver.ready = False
    found = doctor('--receiver', receiver.url)
    assert statuses(found, 'receiver-alive', 'receiver-ready') == ['ok', 'failed']
    assert 'unavailable' in found['receiver-ready']['found']


# The router and the rest


@pytest.mark.parametrize('reference, state, words', [
    ('routes:router', 'ok', 'routes:router, 1 route'),
    ('routes:empty', 'warning', 'no routes'),
    ('routes:missing', 'failed', 'routes in it'),
    ('nowhere:router', 'failed', 'there is no module'),
])
def test_the_router_is_imported(reference: str, state: str, words: str, doctor: Doctor) -> None:
    found = doctor(reference)['router']  # what the module prints does not spoil the JSON
    assert found['status'] == state
    assert words in found['found'].replace('routers in it', 'routes in it')


def test_a_disk_that_is_almost_full_is_warned_of(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple('usage', 'total used free')
    monkeypatch.setattr('shutil.disk_usage', lambda path: usage(1 << 40, 1 << 40, 5 << 20))
    assert doctor()['temporary-directory']['status'] == 'warning'


def test_a_directory_for_temporary_files_that_python_replaced_is_told(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:
    monkeypatch.setenv('TMPDIR', str(tmp_path / 'none'))
    monkeypatch.setattr('tempfile.tempdir', None)  # which Python chooses once a process
    found = doctor()['temporary-directory']
    assert found['status'] == 'warning'
    assert f'TMPDIR names {tmp_path}/none, where no file can be made (No such file or directory)' in found['found']


STAGING = """
from jsonpath2.path import Path
from pacifica.dispatcher.event_handlers import NoopEventHandler, StagedEventHandler
from pacifica.dispatcher.router import Router

first, second = (StagedEventHandler(None, NoopEventHandler(), None, directory=each) for each in {directories!r})
router = Router()
router.add_route(Path.parse_str('$'), first, name='first')
router.add_route(Path.parse_str('$'), second, name='second')
"""


@pytest.fixture(params=['routes:router', 'routes.toml'])
def staging(request: pytest.FixtureRequest, directory: Path) -> Callable[[object, object], str]:
    """Lay out two routes that stage in these directories, and return what the router is called."""
    def lay_out(*directories: object) -> str:
        (directory / 'routes.py').write_text(STAGING.format(directories=[each and str(each) for each in directories]))
        (directory / 'routes.toml').write_text(''.join(
            f'[[route]]\nname = "{name}"\njsonpath = "$"\nhandler = "routes:{name}"\n'
            for name in ('first', 'second')))
        return str(request.param)

    return lay_out


@pytest.mark.parametrize('of_first, of_second, state, told', [
    (None, None, 'skipped', 'no route has one of its own'),
    ('', None, 'ok', 'can be written; [0-9.]+ GiB free'),
    ('', 'none', 'failed', "there is no directory .*/none, where the route 'second' stages files"),
    ('routes.py', '', 'failed', "there is no directory .*/routes.py, where the route 'first' stages files"),
])
def test_where_routes_stage_files_is_looked_at(
    doctor: Doctor, directory: Path, staging: Callable[[object, object], str],
    of_first: str | None, of_second: str | None, state: str, told: str,
) -> None:
    reference = staging(*(None if each is None else directory / each for each in (of_first, of_second)))

    found = doctor(reference)['staging-directories']

    assert found['status'] == state
    assert re.search(told, found['found'])


def test_a_disk_without_room_for_a_route_s_files_is_told(
    doctor: Doctor, small_disk: Path, staging: Callable[[object, object], str],
) -> None:
    fill(small_disk)

    found = doctor(staging(small_disk, None))['staging-directories']

    assert found['status'] == 'failed'
    assert f"in {small_disk}, where the route 'first' stages files (No space left on device)" in found['found']
    assert 'StagedEventHandler(directory=)' in found['advice']


def test_the_cure_for_a_full_disk_is_room(doctor: Doctor, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with model_in(f'sqlite:///{small_disk}/events.db') as model:
        model.create_table()
    fill(small_disk)
    monkeypatch.setenv('TMPDIR', str(small_disk))
    monkeypatch.setattr('tempfile.tempdir', None)  # which Python chooses once a process
    found = doctor('--database', f'sqlite:///{small_disk}/events.db')
    advice = {name: each['advice'] or '' for name, each in found.items()}
    assert {found[name]['status'] for name in ('database', 'sqlite-file')} <= {'failed', 'skipped', 'ok'}
    assert 'make room on the disk of the database' in advice['database'] + advice['sqlite-file']
    assert 'password' not in advice['database']
    assert found['temporary-directory']['status'] != 'ok'
    assert 'No space left on device' in found['temporary-directory']['found']


def test_a_check_that_fails_in_an_unforeseen_way_does_not_hide_the_others() -> None:
    def broken(settings: Settings) -> Any:
        raise RuntimeError('hush\nhush')

    settings = Settings(peewee.MySQLDatabase('x', password='hush'), *[Address('http://127.0.0.1:1', False)] * 3)
    (_, first), (_, second) = run_checks(
        [DoctorCheck('a', broken), DoctorCheck('b', lambda settings: ok('fine'))], settings)
    assert (first.status, first.found) == ('failed', 'RuntimeError: *** ***')
    assert second.status == 'ok'


def test_the_table_says_what_was_found_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(['doctor', 'nowhere:router'])
    output = capsys.readouterr().out
    assert exit_.value.code == 1
    assert '→ correct MODULE:ROUTER, or the module' in output
    assert [line.split()[0] for line in output.splitlines() if line[0] != ' '] == ['check', *(
        check.name for check in CHECKS)]


def test_a_url_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(['doctor', '--database', 'nonsense'])
    assert exit_.value.code == 2
    assert capsys.readouterr().err.startswith("pacifica-dispatcher: Invalid value for '--database'")
