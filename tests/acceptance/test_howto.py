"""What the how-to pages show works as it stands there, and the reference names every error."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import requests
from playhouse.db_url import connect

from pacifica.dispatcher import exceptions
from pacifica.dispatcher._routes.checking import check
from pacifica.dispatcher._routes.lines import parse
from pacifica.dispatcher._routes.values import schema
from pacifica.dispatcher.receiver import create_peewee_model
from pacifica.dispatcher.router import Router
from support.command_line import started
from support.documents import PROJECT, rst_blocks
from support.environments import without_pytest
from support.events import ingest_event, wait_until
from support.services import RABBITMQ, require

DOCS = PROJECT / 'docs'


def written(page: str, directory: Path) -> Path:
    """Write the programs of a page into *directory*, each under the name in its caption."""
    for name, text in rst_blocks(DOCS / page, 'python').items():
        (directory / name).write_text(text, 'utf-8')
    return directory


def run(*command: str, cwd: Path) -> str:
    """Return what a Python program printed, which must have ended well."""
    done = subprocess.run(
        [sys.executable, *command], cwd=cwd, check=False, timeout=150, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, env=without_pytest(),
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_handlers_pass_their_tests(tmp_path: Path) -> None:
    printed = run('-m', 'pytest', '-q', '-p', 'no:cacheprovider', 'test_handlers.py',
                  cwd=written('howto/handlers.rst', tmp_path))
    assert '9 passed' in printed


def test_a_worker_of_ones_own_imports_the_router_into_handlers_processes(tmp_path: Path) -> None:
    written('howto/handlers.rst', tmp_path)
    worker = subprocess.Popen([sys.executable, 'worker.py'], cwd=tmp_path, env=without_pytest())
    try:
        model = create_peewee_model(connect(f'sqlite:///{tmp_path}/events.db'))
        queue = model.create_queue(Router(), 'my.app', 'my.tasks.receive')
        task_id = queue.delay(ingest_event()).id
        wait_until(lambda: model.get(model.task_id == task_id).finalized, 60)
        assert model.get(model.task_id == task_id).task_status == '200 OK'
        model.close_connections()
    finally:
        worker.terminate()
        assert worker.wait(60) == 0


def test_a_program_accepts_and_runs_an_event(tmp_path: Path) -> None:
    assert '200 OK' in run('program.py', cwd=written('howto/mount.rst', tmp_path))


def test_the_application_answers_beside_the_one_it_is_mounted_in(tmp_path: Path) -> None:
    written('howto/mount.rst', tmp_path)
    (tmp_path / 'check.py').write_text('''
import json, urllib.request, cherrypy, service
cherrypy.config.update({'server.socket_port': 0, 'log.screen': False})
cherrypy.engine.start()
host, port = cherrypy.server.bound_addr
base = f'http://{host}:{port}'
assert b'here before' in urllib.request.urlopen(base + '/').read()
assert json.load(urllib.request.urlopen(base + '/events/')) == []
cherrypy.engine.exit()
''')
    run('check.py', cwd=tmp_path)


def test_the_celery_page_runs_an_event(tmp_path: Path) -> None:
    broker = require(RABBITMQ)
    written('howto/celery.rst', tmp_path)
    tasks = tmp_path / 'tasks.py'
    tasks.write_text(tasks.read_text().replace('amqp://guest:guest@127.0.0.1:5672', broker))
    (tmp_path / 'check.py').write_text('''
import json, sys, tasks
tasks.celery_app.conf.task_always_eager = True
task_id = tasks.celery_app.tasks['my.tasks.receive'].delay(json.loads(sys.argv[1])).id
print(tasks.ReceiveTaskModel.get(task_id=task_id).task_status)
''')
    assert '200 OK' in run('check.py', json.dumps(ingest_event()), cwd=tmp_path)


def test_the_schemes_serve(tmp_path: Path) -> None:
    written('howto/authenticate.rst', tmp_path)
    written('howto/mount.rst', tmp_path)
    for name in ('token', 'token.new'):
        (tmp_path / name).write_text(name * 8)
    env = {'WEBHOOK_SECRET': 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'SCIENTIST_PASSWORD': 'reads',
           'OPERATOR_PASSWORD': 'acts', 'DATABASE_URL': ''}
    with started('serve', 'service:router', '--port', '0', '--authenticate', 'access:schemes',
                 cwd=tmp_path, env=env) as service:
        url = service.expect(r'listening: POST events to (\S+)/receive')[1]
        answers = {
            user: requests.get(url, auth=(user, password), timeout=10).status_code
            for user, password in (('scientist', 'reads'), ('operator', 'acts'))
        }
        by_token = requests.get(url, headers={'Authorization': f'Bearer {"token" * 8}'}, timeout=10).status_code
    assert answers == {'scientist': 200, 'operator': 200}
    assert by_token == 403


def test_the_routes_file_of_the_page_runs_its_script(tmp_path: Path) -> None:
    page = DOCS / 'howto' / 'routes-file.rst'
    for language in ('sh', 'toml'):
        for name, text in rst_blocks(page, language).items():
            (tmp_path / 'scripts').mkdir(exist_ok=True)
            (tmp_path / name).write_text(text, 'utf-8')
    (tmp_path / 'scripts' / 'run').chmod(0o755)
    (tmp_path / 'archive').mkdir()
    (tmp_path / 'archive' / 'a.csv').write_text('a,b')
    event = ingest_event()
    event['data'].append({'destinationTable': 'Files', '_id': 1, 'name': 'a.csv', 'subdir': '', 'size': 3})
    queue = create_peewee_model(connect(f'sqlite:///{tmp_path}/events.db')).create_queue(
        Router.from_file(tmp_path / 'routes.toml'), 'my.app', 'my.tasks.receive')
    queue.delay(event)
    assert queue.create_worker().run_once()
    [bundle] = (tmp_path / 'bundles').iterdir()
    with tarfile.open(bundle) as tar:
        assert 'data/md5sums.txt' in tar.getnames()


def test_every_key_of_a_routes_file_is_in_the_reference() -> None:
    page = (DOCS / 'reference' / 'routes-file.rst').read_text('utf-8')
    for table in schema()['$defs'].values():
        for key in table.get('properties', ()):
            assert f'``{key}``' in page or f'``[{key}]``' in page or f'``[[{key}]]``' in page, key


def test_the_routes_of_the_reference_are_right() -> None:
    for text in rst_blocks(DOCS / 'reference' / 'routes-file.rst', 'toml').values():
        if 'route' in parse(text):
            assert not check(parse(text)).faults


def _programs() -> list[tuple[str, str]]:
    return [(str(page.relative_to(DOCS)), text)
            for page in sorted(DOCS.rglob('*.rst')) if '_build' not in page.parts
            for text in rst_blocks(page, 'python').values()]


@pytest.mark.parametrize(('page', 'text'), _programs())
def test_every_program_in_the_documents_is_one(page: str, text: str) -> None:
    ast.parse(text)


def test_every_error_is_explained() -> None:
    explained = re.findall(r'^``(\w+)``', (DOCS / 'reference' / 'errors.rst').read_text('utf-8'), re.MULTILINE)
    assert sorted(explained) == sorted(exceptions.__all__)
