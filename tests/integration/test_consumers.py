"""Consumers of the 0.2 series run unchanged, whatever part of it they used."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4
from wsgiref.util import setup_testing_defaults

import cherrypy
import peewee
import pytest
import requests
from jsonpath2.path import Path as JsonPath

from pacifica.dispatcher.downloader_runners import LocalDownloaderRunner
from pacifica.dispatcher.event_handlers import EventHandler, ExceptionEventHandler
from pacifica.dispatcher.models import File, Transaction, TransactionKeyValue
from pacifica.dispatcher.receiver import create_peewee_model
from pacifica.dispatcher.router import Router
from pacifica.dispatcher.uploader_runners import LocalUploaderRunner
from support.environments import PROJECT, Environment, copy_of_project
from support.events import ingest_event, wait_until
from support.processes import free_port

EXAMPLES = PROJECT / 'docs' / 'examples'
FILE = {'destinationTable': 'Files', '_id': 103, 'name': 'first.txt', 'subdir': 'a', 'size': 5,
        'mimetype': 'text/plain'}


class Uppercase(EventHandler):
    """A handler as the 0.2 series wants it: it calls the runners itself."""

    def __init__(self, downloader_runner: Any, uploader_runner: Any) -> None:
        super().__init__()
        self.downloader_runner = downloader_runner
        self.uploader_runner = uploader_runner
        self.bundles: list[Any] = []

    def handle(self, event: Any) -> None:
        """Download, convert, upload."""
        transaction = Transaction.from_cloudevents_model(event)
        with tempfile.TemporaryDirectory() as down, tempfile.TemporaryDirectory() as up:
            [opener] = self.downloader_runner.download(down, File.from_cloudevents_model(event))
            with opener() as source, open(os.path.join(up, 'out.txt'), 'w', encoding='utf-8') as target:
                target.write(source.read().upper())
            bundle, job_id, state = self.uploader_runner.upload(
                up, transaction=Transaction(submitter=transaction.submitter, instrument=transaction.instrument,
                                            project=transaction.project),
                transaction_key_values=[TransactionKeyValue(key='k', value='v')])
            assert (job_id, state) == (None, {})
            self.bundles.append(bundle)


def call(method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Call what is mounted in CherryPy's tree; return status and JSON."""
    data = json.dumps(body).encode()
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    environ.update(REQUEST_METHOD=method, PATH_INFO=path, CONTENT_TYPE='application/json',
                   CONTENT_LENGTH=str(len(data)), **{'wsgi.input': BytesIO(data), 'REMOTE_ADDR': '127.0.0.1'})
    answered: list[str] = []
    content = b''.join(cherrypy.tree(environ, lambda status, headers, *_: answered.append(status)))
    return int(answered[0][:3]), json.loads(content)


class TestStyle:
    """A test of a 0.2 service: its own SQLite database, Celery eagerly, CherryPy's tree."""

    @pytest.fixture
    def service(self, tmp_path: Path) -> Iterator[tuple[Any, Any, Uppercase]]:
        archive = tmp_path / 'archive' / 'a'
        archive.mkdir(parents=True)
        (archive / 'first.txt').write_text('light')
        database = peewee.SqliteDatabase(str(tmp_path / 'db.sqlite3'))
        model: Any = create_peewee_model(database)
        handler = Uppercase(LocalDownloaderRunner(str(tmp_path / 'archive')), LocalUploaderRunner())
        router = Router()
        router.add_route(JsonPath.parse_str('$[?(@["eventType"] = "org.pacifica.metadata.ingest")]'), handler)
        router.add_route(JsonPath.parse_str('$[?(@["eventType"] = "bad")]'), ExceptionEventHandler())
        celery_app = model.create_celery_app(
            router, 'my.app', 'my.tasks.receive', backend='cache+memory://', broker='memory://',
            task_always_eager=True, set_as_current=False)
        application = model.create_cherrypy_app(celery_app.tasks['my.tasks.receive'])
        database.connect()
        database.create_tables([model])
        cherrypy.tree.mount(application, '/', config={'/': {'tools.trailing_slash.on': False}})
        yield model, database, handler
        del cherrypy.tree.apps['']
        model.close_connections()
        database.close()

    def test_post_status_get_and_list(self, service: Any) -> None:
        model, _, handler = service
        data = [*ingest_event()['data'], FILE]

        status, task_id = call('POST', '/receive', ingest_event(data=data))

        assert status == 200
        row = model.get(model.task_id == UUID(task_id))
        assert (row.task_status, row.exc_value) == ('200 OK', None)
        assert call('GET', f'/status/{task_id}') == (200, '200 OK')
        assert call('GET', f'/get/{task_id}')[1]['taskStatus'] == '200 OK'
        assert [record['taskID'] for record in call('GET', '/')[1]] == [task_id]
        assert call('GET', f'/status/{uuid4()}')[0] == 404
        assert len(handler.bundles) == 1

    def test_failures_and_queries(self, service: Any) -> None:
        model = service[0]
        ids = [call('POST', '/receive', ingest_event(eventType=kind))[1] for kind in ('bad', 'unknown')]

        assert [call('GET', f'/status/{task_id}')[1] for task_id in ids] == [
            '500 Internal Server Error', '422 Unprocessable Entity']
        newest = model.select().order_by(model.created.desc()).get()
        assert newest.exc_type == 'RouteNotFoundRouterError'
        assert model.select().where(model.task_status.startswith('500')).count() == 1
        newest.delete_instance()
        assert call('GET', f'/status/{ids[1]}')[0] == 404

    def test_tables_are_dropped_and_made_between_tests(self, service: Any) -> None:
        model, database, _ = service
        call('POST', '/receive', ingest_event(eventType='unknown'))

        database.drop_tables([model])
        database.create_tables([model])

        assert model.select().count() == 0
        assert call('POST', '/receive', ingest_event(eventType='unknown'))[0] == 200
        assert model.select().count() == 1


# --- the example, as it is installed

@contextmanager
def program(environment: Environment, folder: Path, settings: dict[str, str], *command: str) -> Iterator[None]:
    """Run a program of *environment* while the ``with`` block runs; show what it said if that fails."""
    log = folder / f'{command[0]}.log'
    foreign = ('PYTHON', 'COVERAGE', 'VIRTUAL')
    clean = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    with log.open('wb') as output:
        process = subprocess.Popen(
            [environment.bin / command[0], *command[1:]], cwd=folder, env={**clean, **settings},
            stdout=output, stderr=output)
    try:
        yield
    except BaseException:
        print(log.read_text())
        raise
    finally:
        process.terminate()
        process.wait(60)


def handled(port: int, event: dict[str, Any]) -> str:
    """Send *event*, once the receiver listens; return its task id, once it was handled."""
    def post() -> Any:
        try:
            return requests.post(f'http://127.0.0.1:{port}/receive', json=event, timeout=30)
        except requests.ConnectionError:
            return None

    answer: requests.Response = wait_until(post, 120)
    assert answer.status_code == 200, answer.text
    task_id = str(answer.json())
    url = f'http://127.0.0.1:{port}/get/{task_id}'
    record = wait_until(lambda: next(
        (found for found in [requests.get(url, timeout=30).json()] if not found['taskStatus'].startswith(('1', '202'))),
        None), 60)
    assert record['taskStatus'] == '200 OK', record
    return task_id


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_example_of_0_2_runs_unchanged_and_its_successor_takes_over(tmp_path: Path) -> None:
    environment = Environment(tmp_path / 'environment')
    environment.pip('install', '-q', f'{copy_of_project(tmp_path / "project")}[celery]')
    for example in ('uppercase_0_2', 'uppercase'):
        subprocess.run(['cp', '-r', EXAMPLES / example, tmp_path], check=True)
    (tmp_path / 'archive' / 'a').mkdir(parents=True)
    (tmp_path / 'archive' / 'a' / 'first.txt').write_text('light')
    for name in ('messages', 'processed'):
        (tmp_path / name).mkdir()
    event = ingest_event(data=[*ingest_event()['data'], FILE])
    port = free_port()
    settings = {
        'DATABASE_URL': f'sqlite:///{tmp_path / "events.db"}', 'LOCAL_DIRECTORY': str(tmp_path / 'archive'),
        'BROKER_URL': 'filesystem://', 'BROKER_DIRECTORY': str(tmp_path / 'messages'),
        'BROKER_DIRECTORY_PROCESSED': str(tmp_path / 'processed'), 'LISTEN_PORT': str(port),
    }

    environment.pip('install', '-q', '--no-deps', str(tmp_path / 'uppercase_0_2'))
    worker = ('celery', '-A', 'pacifica.dispatcher_uppercase.receiver', 'worker', '-c', '2', '-l', 'INFO')
    with program(environment, tmp_path, settings, 'python', '-m', 'pacifica.dispatcher_uppercase'), \
            program(environment, tmp_path, settings, *worker):
        task_id = handled(port, event)

    environment.pip('install', '-q', '--no-deps', str(tmp_path / 'uppercase'))
    served = (
        'pacifica-dispatcher', 'serve', 'pacifica.dispatcher_uppercase:router', '--port', str(port),
        '--name', 'pacifica.dispatcher_uppercase.app', '--task-name', 'pacifica.dispatcher_uppercase.tasks.receive',
    )
    with program(environment, tmp_path, settings, *served):
        assert handled(port, event) == task_id  # the same event: the same task, which was handled
        assert handled(port, ingest_event(data=event['data'])) != task_id


def test_the_successor_has_a_third_of_the_lines() -> None:
    def lines(example: str) -> int:
        return sum(len(path.read_text().splitlines()) for path in (EXAMPLES / example / 'pacifica').rglob('*.py'))

    assert lines('uppercase') * 3 <= lines('uppercase_0_2')
