"""``serve`` and ``work``, from the command to the record of an event, and to a clean stop."""

from __future__ import annotations

import http.client
import json
import signal
import sqlite3
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from uuid import UUID

import pytest
from playhouse import db_url

from pacifica.dispatcher.receiver import create_peewee_model
from pacifica.dispatcher.router import Router
from support.command_line import Running, run, started
from support.events import wait_until
from support.staging import DEMO_EVENT, write_demo_files

ROUTES = '''
from pathlib import Path as FilePath
from threading import Event as Never
from jsonpath2.path import Path
from pacifica.dispatcher._cli.demo_handler import Uppercase
from pacifica.dispatcher.downloader_runners import LocalDownloaderRunner
from pacifica.dispatcher.event_handlers import EventHandler, ExceptionEventHandler
from pacifica.dispatcher.router import Router
from pacifica.dispatcher.staging import StagedEventHandler
from pacifica.dispatcher.uploader_runners import LocalUploaderRunner

class Hangs(EventHandler):
    def handle(self, event):
        FilePath('hangs').touch()
        Never().wait()

def route(event_type, handler):
    router.add_route(Path.parse_str('$[?(@["eventType"] = "%s")]' % event_type), handler)

router = Router()
route('org.pacifica.metadata.ingest',
      StagedEventHandler(LocalDownloaderRunner('archive'), Uppercase(), LocalUploaderRunner('bundles')))
route('fails', ExceptionEventHandler())
route('hangs', Hangs())
'''
SERVE = ('serve', 'routes:router', '--database', 'sqlite:///events.db', '--port', '0')
WORK = ('work', 'routes:router', '--database', 'sqlite:///events.db')


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with a module ``routes``, and the files of the demo's event in ``archive``."""
    (tmp_path / 'routes.py').write_text(ROUTES)
    write_demo_files(tmp_path / 'archive')
    return tmp_path


def event(event_type: str, event_id: str = 'one') -> bytes:
    return json.dumps({**json.loads(DEMO_EVENT), 'eventType': event_type, 'eventID': event_id}).encode()


def address(service: Running) -> str:
    """Return where *service* listens, once it does."""
    return service.expect(r'listening: POST events to (http://127\.0\.0\.1:\d+)/receive')[1]


def ended(service: Running, url: str, task_id: str) -> dict[str, Any]:
    """Return the record once its event has ended."""
    final = {'200 OK', '422 Unprocessable Entity', '500 Internal Server Error'}
    wait_until(lambda: service.call(f'{url}/status/{task_id}') in final)
    record: dict[str, Any] = service.call(f'{url}/get/{task_id}')
    return record


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_serve_takes_an_event_runs_it_and_stops_cleanly(directory: Path, number: signal.Signals) -> None:
    with started(*SERVE, cwd=directory) as service:
        url = address(service)
        task_id = service.call(f'{url}/receive', DEMO_EVENT)
        record = ended(service, url, task_id)
        assert (record['taskStatus'], record['exceptionType']) == ('200 OK', None)
        assert (record['taskApplicationName'], record['taskName']) == ('routes', 'routes.receive')
        assert json.loads(record['data']) == json.loads(DEMO_EVENT)['data']
        assert len(list(directory.glob('bundles/*.tar'))) == 1
        assert service.stop(number) == 0
        assert service.output.rstrip().endswith('stopping\nstopped\n(end of output)')
    assert 'Traceback' not in service.output


def test_serve_says_what_it_runs(directory: Path) -> None:
    with started(*SERVE, cwd=directory) as service:
        address(service)
        first = '  1. $[?(@["eventType"] = "org.pacifica.metadata.ingest")] → Uppercase\n'
        assert f'routes:router, routes:\n{first}' in service.output
        assert 'events are kept in events.db\n' in service.output


@pytest.mark.parametrize('host, warned', [('127.0.0.1', False), ('localhost', False), ('0.0.0.0', True)])
def test_serve_warns_if_it_lets_in_whoever_reaches_it(directory: Path, host: str, warned: bool) -> None:
    with started(*SERVE, '--host', host, '--insecure', cwd=directory) as service:
        service.expect('listening: POST events to http://')
        assert ('no authentication: whoever reaches this address' in service.output) is warned


def test_serve_asks_who_comes_in(directory: Path) -> None:
    (directory / 'access.py').write_text(
        'from pacifica.dispatcher.authentication import BearerTokens, Secret\n'
        "token = BearerTokens(Secret.from_environment('TOKEN'))\n")
    options = ('--host', '0.0.0.0', '--authenticate', 'access:token')
    with started(*SERVE, *options, cwd=directory, env={'TOKEN': 'open sesame'}) as service:
        service.expect('listening: POST events to http://')
        assert 'no authentication' not in service.output
        port = service.output.rpartition(':')[2].partition('/')[0]
        statuses = []
        for headers in ({}, {'Authorization': 'Bearer open sesame'}):
            connection = http.client.HTTPConnection('127.0.0.1', int(port), timeout=20)
            connection.request('GET', '/', headers=headers)
            statuses.append(connection.getresponse().status)
            connection.close()
        assert statuses == [401, 200]
        assert 'sesame' not in service.output


def test_a_handler_that_fails_and_an_event_without_route_end_in_their_status(directory: Path) -> None:
    with started(*SERVE, cwd=directory) as service:
        url = address(service)
        failed = ended(service, url, service.call(f'{url}/receive', event('fails', 'one')))
        unknown = ended(service, url, service.call(f'{url}/receive', event('unknown', 'two')))
    assert (failed['taskStatus'], failed['exceptionType']) == ('500 Internal Server Error', 'Exception')
    assert unknown['taskStatus'] == '422 Unprocessable Entity'
    assert unknown['exceptionType'] == 'RouteNotFoundRouterError'


def test_the_default_database_is_a_file_here(directory: Path) -> None:
    with started('serve', 'routes:router', '--port', '0', cwd=directory, env={'DATABASE_URL': ''}) as service:
        address(service)
        assert service.stop() == 0
    with sqlite3.connect(directory / 'pacifica-dispatcher.db') as connection:
        assert connection.execute('select count(*) from receivetaskmodel').fetchone() == (0,)
    connection.close()


def test_a_second_signal_stops_at_once_and_gives_the_event_back(directory: Path) -> None:
    with started(*SERVE, cwd=directory) as service:
        url = address(service)
        task_id = service.call(f'{url}/receive', event('hangs'))
        wait_until((directory / 'hangs').exists)
        service.process.send_signal(signal.SIGTERM)
        service.expect('stopping')
        assert service.stop(signal.SIGTERM) == 0
    model = create_peewee_model(db_url.connect(f'sqlite:///{directory}/events.db'))
    assert model.get(model.task_id == UUID(task_id)).task_status == '202 Accepted'
    model._meta.database.close()
    model.close_connections()


SETTINGS = """
[service]
database = "sqlite:///events.db"
isolation = "process"
handler_timeout = 1
max_attempts = 1
max_backlog = 1000
lease = "1m"
grace = 20
retention = "90d"
keep_unrouted = "12h"
concurrency = 1
"""


@pytest.mark.slow
def test_serve_runs_with_the_settings_of_a_file(directory: Path) -> None:
    (directory / 'dispatcher.toml').write_text(SETTINGS)
    environment = {'PACIFICA_DISPATCHER_CONFIG': 'dispatcher.toml', 'PACIFICA_DISPATCHER_PORT': '0'}
    with started('serve', 'routes:router', cwd=directory, env=environment) as service:
        url = address(service)
        record = ended(service, url, service.call(f'{url}/receive', event('hangs')))
        assert record['exceptionType'] == 'HandlerTimeoutError'
        assert record['taskID'] in run('list', cwd=directory, env=environment).stdout
        assert service.stop() == 0


def test_serve_refuses_what_would_make_its_backlog_longer_than_it_was_told(directory: Path) -> None:
    environment = {'PACIFICA_DISPATCHER_MAX_BACKLOG': '1', 'PACIFICA_DISPATCHER_CONCURRENCY': '1'}
    with started(*SERVE, '--isolation', 'thread', cwd=directory, env=environment) as service:
        url = address(service)

        def refused() -> bool:
            try:
                service.call(f'{url}/receive', event('hangs', 'another'))  # the same each time
            except HTTPError as exc:
                exc.close()
                return exc.code == 429
            return False

        service.call(f'{url}/receive', event('hangs'))
        wait_until((directory / 'hangs').exists)
        wait_until(refused)


def test_work_runs_with_the_settings_of_a_file(directory: Path) -> None:
    (directory / 'dispatcher.toml').write_text(SETTINGS)
    with started('work', 'routes:router', '--config', 'dispatcher.toml', cwd=directory) as worker:
        worker.expect('events are kept in events.db\n')
        worker.expect('working\n')
        assert worker.stop() == 0


def test_work_runs_what_another_process_accepted_and_stops_cleanly(directory: Path) -> None:
    model = create_peewee_model(db_url.connect(f'sqlite:///{directory}/events.db'))
    queue = model.create_queue(Router(), 'routes', 'routes.receive')
    task_id = queue.delay(json.loads(DEMO_EVENT)).id
    with started(*WORK, cwd=directory) as worker:
        wait_until(lambda: model.get(model.task_id == UUID(task_id)).task_status == '200 OK')
        worker.expect('working\n')
        assert worker.stop(signal.SIGINT) == 0
        assert worker.output.endswith('stopping\nstopped\n(end of output)\n')
    model._meta.database.close()
    model.close_connections()


def test_python_m_and_the_script_are_one_program(tmp_path: Path) -> None:
    assert run('--version', cwd=tmp_path).stdout == 'pacifica-dispatcher, version 0.3.0\n'
