"""What made a result is known from the real archive alone; PACIFICA_STACK says how to start it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from playhouse.db_url import connect

from pacifica.dispatcher._transfers.metadata import Metadata
from pacifica.dispatcher.models import Transaction
from pacifica.dispatcher.receiver import create_peewee_model
from pacifica.dispatcher.router import Router
from pacifica.dispatcher.uploader_runners import RemoteUploaderRunner
from support.command_line import run, started
from support.queues import drain
from support.stack import Stack

# One set of services at a time, in one process of the test run.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.xdist_group('services')]
PREFIX = 'Pacifica.Dispatcher.'
ROUTES = '''
import os
from jsonpath2.path import Path
from pacifica.downloader import Downloader
from pacifica.uploader import Uploader
from pacifica.dispatcher.downloader_runners import RemoteDownloaderRunner
from pacifica.dispatcher.event_handlers import EventHandler, StagedEventHandler
from pacifica.dispatcher.router import Router
from pacifica.dispatcher.uploader_runners import RemoteUploaderRunner

class Cut(EventHandler):
    def handle(self, event):
        for file in event.files:
            with event.open(file) as source, event.create(file.path) as target:
                target.write(source.read()[:event.parameters['most']])

router = Router()
router.add_route(
    Path.parse_str('$'),
    StagedEventHandler(
        RemoteDownloaderRunner(Downloader(addr='127.0.0.1', port=os.environ['CARTD_PORT'])), Cut(),
        RemoteUploaderRunner(Uploader(addr='127.0.0.1', port=os.environ['INGEST_PORT']))),
    name='cut', parameters={'most': 100, 'mode': 'fast'})
'''


def checkout(root: Path) -> str:
    """Put the routes under version control; return the commit."""
    (root / 'cutting.py').write_text(ROUTES)
    git = ['git', '-c', 'user.name=a', '-c', 'user.email=a@example.org', '-c', 'commit.gpgsign=false']
    for arguments in (['init', '-q'], ['add', 'cutting.py'], ['commit', '-q', '-m', 'All']):
        subprocess.run([*git, *arguments], cwd=root, check=True)
    return subprocess.run(
        [*git, 'rev-parse', 'HEAD'], cwd=root, check=True, capture_output=True, text=True).stdout.strip()


def install(root: Path) -> None:
    """Let the routes be those of a distribution of version 1.2.0, installed editably."""
    found = root / 'facility_cutting-1.2.0.dist-info'
    found.mkdir()
    (found / 'METADATA').write_text('Metadata-Version: 2.1\nName: facility-cutting\nVersion: 1.2.0\n')
    (found / 'top_level.txt').write_text('cutting\n')
    (found / 'direct_url.json').write_text(json.dumps({'url': root.as_uri(), 'dir_info': {'editable': True}}))


def upload(stack: Stack, root: Path) -> int:
    (root / 'up').mkdir()
    (root / 'up' / 'notes.txt').write_text('sample 7')
    _, transaction, _ = RemoteUploaderRunner(stack.uploader()).upload(
        str(root / 'up'), Transaction(submitter=10, instrument=54, project='1234a'))
    assert transaction is not None
    return transaction


def test_a_dry_run_adds_nothing_and_a_result_says_what_made_it(stack: Stack, tmp_path: Path) -> None:
    commit = checkout(tmp_path)
    install(tmp_path)
    metadata = Metadata(stack.url('metadata'), 30)
    source = upload(stack, tmp_path)
    model = create_peewee_model(connect(f'sqlite:///{tmp_path}/events.db'))
    queue = model.create_queue(Router(), 'facility', 'facility.receive')
    task_id = queue.delay(metadata.event_of(source)).id
    drain(queue.create_worker())  # it ends without a route, and can be retried
    model.close_connections()
    env = {'DATABASE_URL': 'sqlite:///events.db', 'PACIFICA_DISPATCHER_NAME': 'facility', **{
        f'{name.upper()}_PORT': str(stack.ports[name]) for name in ('cartd', 'ingest', 'metadata')}}

    def transactions() -> int:
        return int(stack.rows('metadata', 'SELECT COUNT(*) FROM transactions')[0][0])

    before = transactions()
    dry = run('run', 'cutting:router', task_id, '--dry-run', '--set', 'most=6', '--keep', 'kept', cwd=tmp_path, env=env)
    assert dry.returncode == 0, dry.stderr
    assert transactions() == before
    [staged] = (tmp_path / 'kept').glob('pacifica-*')
    assert (staged / 'output/notes.txt').read_text() == 'sample'

    run('retry', task_id, '--set', 'most=3', cwd=tmp_path, env=env)
    with started('work', 'cutting:router', '--concurrency', '1', cwd=tmp_path, env=env) as worker:
        worker.expect('event.finished .*handler=cutting:Cut .*status=200')
        worker.stop()

    shown = run('show', task_id, cwd=tmp_path, env=env).stdout
    record: Any = json.loads(run('show', task_id, '--json', cwd=tmp_path, env=env).stdout)
    result = record['result']['uploads'][0]['job_id']
    made = {row['key'].removeprefix(PREFIX): row['value'] for row in metadata.event_of(result)['data'] if 'key' in row}
    assert transactions() == before + 1
    assert made['source_transaction'] == str(source)
    assert made['handler'] == f'cutting:Cut 1.2.0 {commit[:12]}'
    assert json.loads(made['parameters']) == {'most': 3, 'mode': 'fast'}
    assert made['lineage.1'] == 'facility/cut'
    assert stack.archived(result) == {'notes.txt': b'sam'}
    assert f'handler: {made["handler"]}\n' in shown
    assert f'parameters: {made["parameters"]}\n' in shown
    assert f'Transaction   {source}\n' in shown
    assert record['history'][-1]['code'] == {'name': 'cutting:Cut', 'version': '1.2.0', 'commit': commit}
