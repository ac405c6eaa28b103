"""``run`` runs one event here and now, stored or in a file, and stores nothing; a dry run uploads nothing either."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from pacifica.dispatcher._cli import main
from pacifica.dispatcher._queue.operator import Operator
from pacifica.dispatcher._queue.writer import Writer
from support.command_line import refusal, run, run_on_terminal
from support.databases import connections_to, model_in
from support.queues import drain, queue_of
from support.staging import DEMO_EVENT, read_bundle, write_demo_files

ROUTES = '''
import sys
from jsonpath2.path import Path
from pacifica.dispatcher.downloader_runners import LocalDownloaderRunner
from pacifica.dispatcher.event_handlers import EventHandler, NoopEventHandler, StagedEventHandler
from pacifica.dispatcher.router import Router
from pacifica.dispatcher.task_context import current_task
from pacifica.dispatcher.uploader_runners import LocalUploaderRunner

class Count(EventHandler):
    def handle(self, event):
        print('counting to', event.parameters['most'], 'for', current_task().task_id)
        if event.parameters['most'] == 'debug':
            breakpoint()
        if event.parameters['most'] == 'upload':
            current_task().save_result(uploads=[{'job_id': None}])
        if event.parameters['most'] == 'fail':
            raise ValueError('it went wrong')
        with event.create('count.txt') as target:
            target.write(str(event.parameters['most']))

INGEST = Path.parse_str('$[?(@["eventType"] = "org.pacifica.metadata.ingest")]')
router, unstaged = Router(), Router()
router.add_route(INGEST, StagedEventHandler(LocalDownloaderRunner('archive'), Count(), LocalUploaderRunner('sent')),
                 name='count', parameters={'most': 1, 'least': 0})
unstaged.add_route(INGEST, NoopEventHandler())
'''
DRY = ('run', 'counting:router', '--dry-run')


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A directory with routes, an archive and an event file."""
    (tmp_path / 'counting.py').write_text(ROUTES)
    (tmp_path / 'event.json').write_bytes(DEMO_EVENT)
    write_demo_files(tmp_path / 'archive')
    yield tmp_path
    sys.modules.pop('counting', None)


def store(directory: Path, act: Callable[[Operator, list[UUID]], object] = lambda *_: None) -> UUID:
    """Have the demo's event in the database, handled as one of ``my.app``; return its task id."""
    with model_in(f'sqlite:///{directory}/pacifica-dispatcher.db') as model, connections_to(model) as connections:
        queue = queue_of(model)
        task_id = UUID(queue.delay(json.loads(DEMO_EVENT)).id)
        drain(queue.create_worker())
        act(Operator(Writer(connections)), [task_id])
    return task_id


def key_values(directory: Path) -> dict[str, Any]:
    """Return those of the one bundle in the directory."""
    [path] = directory.glob('*.tar')
    return {row['key']: row['value'] for row in read_bundle(path)[1] if 'key' in row}


def test_a_dry_run_of_a_stored_event_changes_nothing_and_makes_the_bundle(directory: Path) -> None:
    task_id = store(directory, lambda operator, ids: operator.retry(ids, parameters={'most': 3, 'least': 2}))
    before = {path.name: path.read_bytes() for path in directory.glob('pacifica-dispatcher.db*')}

    done = run(*DRY, str(task_id), '--set', 'most=5', '--keep', 'kept', cwd=directory)

    assert (done.returncode, done.stderr) == (0, '')
    assert f'counting to 5 for {task_id}\n' in done.stdout
    assert {path.name: path.read_bytes() for path in directory.glob('pacifica-dispatcher.db*')} == before
    assert not (directory / 'sent').exists()
    made = key_values(directory / 'kept')
    assert made['Pacifica.Dispatcher.source_transaction'] == 19
    assert made['Pacifica.Dispatcher.lineage.1'] == 'my.app/count'
    assert made['Pacifica.Dispatcher.handler'] == 'counting:Count'
    assert json.loads(made['Pacifica.Dispatcher.parameters']) == {'most': 5, 'least': 2}
    [staged] = (directory / 'kept').glob('pacifica-*')
    assert (staged / 'output/count.txt').read_text() == '5'
    assert (staged / 'download/notes.txt').exists()


def test_it_says_what_it_runs_how_long_that_takes_and_what_would_be_uploaded(directory: Path) -> None:
    done = run(*DRY, 'event.json', cwd=directory, env={'TMPDIR': str(directory)})

    said = done.stdout.splitlines()
    assert done.returncode == 0
    assert said[:4] == [
        'event       org.pacifica.metadata.ingest, id metadata.ingest.19',
        'route       1. $[?(@["eventType"] = "org.pacifica.metadata.ingest")] → Count',
        'handler     counting:Count', 'parameters  {"most": 1, "least": 0}']
    assert [line.split(':')[0] for line in said if line.endswith(('bytes', 's'))][:3] == [
        '  download', '  handle', '  upload']
    [bundle] = directory.glob('pacifica-dispatcher-run-*/*.tar')
    assert f'bundle      {bundle}' in said
    assert '  Pacifica.Dispatcher.source_transaction = 19' in said
    assert '  count.txt, 1 bytes' in said
    assert not list(directory.glob('pacifica-*/output'))


def test_without_dry_run_it_uploads_as_a_worker_does(directory: Path) -> None:
    done = run('run', 'counting:router', 'event.json', '--name', 'my.app', cwd=directory)

    assert done.returncode == 0
    assert key_values(directory / 'sent')['Pacifica.Dispatcher.lineage.1'] == 'my.app/count'
    assert not list(directory.glob('*.db'))


def test_a_failure_is_shown_whole(directory: Path) -> None:
    done = run(*DRY, 'event.json', '--set', 'most=fail', '--keep', 'kept', cwd=directory)

    assert done.returncode == 1
    assert 'Traceback (most recent call last):' in done.stderr
    assert 'ValueError: it went wrong\nthe handler failed\n' in done.stderr
    assert 'handle: ' in done.stdout and ', failed\n' in done.stdout
    assert list(directory.glob('kept/pacifica-*/download/notes.txt'))


def test_a_debugger_works(directory: Path) -> None:
    status, shown = run_on_terminal(
        *DRY, 'event.json', '--set', 'most=debug', cwd=directory, answer='p 6 * 7\np event.event_id\ncontinue\n',
        env={'TMPDIR': str(directory)})

    assert status == 0
    assert '(Pdb)' in shown and '42' in shown and "'metadata.ingest.19'" in shown


def test_a_dry_run_lets_no_handler_upload_by_itself(directory: Path) -> None:
    done = run(*DRY, 'event.json', '--set', 'most=upload', cwd=directory, env={'TMPDIR': str(directory)})

    assert done.returncode == 1
    assert 'RuntimeError: the handler uploads by a runner of its own' in done.stderr
    assert not list(directory.glob('pacifica-dispatcher-run-*'))


def _cases(directory: Path) -> dict[str, tuple[list[str], str]]:
    (directory / 'two.json').write_bytes(b'[' + DEMO_EVENT + b',' + DEMO_EVENT + b']')
    unknown = str(uuid4())
    return {
        'name': ([*DRY, 'event.json', '--set', 'mots=5'], "no parameter 'mots'; 'most' is meant?"),
        'setting': ([*DRY, 'event.json', '--set', 'most'], "'most' is not NAME=VALUE"),
        'unstaged': (['run', 'counting:unstaged', '--dry-run', 'event.json'], 'nothing keeps it from uploading'),
        'nothing': ([*DRY, 'nowhere.json'], "'nowhere.json' is no task id, which is a UUID, and no file"),
        'several': ([*DRY, 'two.json'], 'two.json has 2 events'),
        'unknown': ([*DRY, unknown], f'there is no event {unknown}'),
    }


@pytest.mark.parametrize('case', ['name', 'setting', 'unstaged', 'nothing', 'several', 'unknown'])
def test_what_cant_be_run_is_refused_in_a_line(
    directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, case: str,
) -> None:
    store(directory)
    monkeypatch.chdir(directory)
    monkeypatch.syspath_prepend(str(directory))
    arguments, message = _cases(directory)[case]

    assert message in refusal(capsys, *arguments)


@pytest.mark.parametrize('stored', [True, False])
def test_an_event_without_a_route_is_explained_as_check_does(
    directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, stored: bool,
) -> None:
    monkeypatch.chdir(directory)
    monkeypatch.syspath_prepend(str(directory))
    event = {**json.loads(DEMO_EVENT), 'eventType': 'other'}
    (directory / 'event.json').write_text(json.dumps(event))
    which = 'event.json'
    if stored:
        with model_in(f'sqlite:///{directory}/pacifica-dispatcher.db') as model:
            which = queue_of(model).delay(event).id

    with pytest.raises(SystemExit) as exit_:
        main([*DRY, which])

    assert exit_.value.code == 1
    said = capsys.readouterr().out
    assert '1. doesn\'t match' in said and '@["eventType"] is "other"' in said
    assert '→ no route' in said


def test_what_a_worker_would_skip_runs_dry_alone(directory: Path) -> None:
    event = json.loads(DEMO_EVENT)
    event['data'].append({'destinationTable': 'TransactionKeyValue', 'key': 'Pacifica.Dispatcher.lineage.1',
                          'value': 'counting/count'})
    (directory / 'event.json').write_text(json.dumps(event))
    environment = {'TMPDIR': str(directory)}

    wet = run('run', 'counting:router', 'event.json', cwd=directory, env=environment)
    dry = run(*DRY, 'event.json', cwd=directory, env=environment)

    assert (wet.returncode, dry.returncode) == (1, 0)
    assert 'a worker skips this event (made by counting/count)' in wet.stderr
    assert not (directory / 'sent').exists()
