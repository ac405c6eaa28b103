"""``send``: from event files to the statuses of their tasks, in one command."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.command_line import PROGRAM, SECONDS, run, started
from support.events import wait_until
from support.fakes import Answers, Scripted
from support.staging import DEMO_EVENT

ROUTES = '''
from jsonpath2.path import Path
from pacifica.dispatcher.event_handlers import ExceptionEventHandler, NoopEventHandler
from pacifica.dispatcher.router import Router
router = Router()
router.add_route(Path.parse_str('$[?(@["eventType"] = "org.pacifica.metadata.ingest")]'), NoopEventHandler())
router.add_route(Path.parse_str('$[?(@["type"] = "fine")]'), NoopEventHandler())
router.add_route(Path.parse_str('$[?(@["type"] = "fails")]'), ExceptionEventHandler())
'''
SERVE = ('serve', 'routes:router', '--database', 'sqlite:///events.db', '--port', '0')


def event(event_id: str, event_type: str = 'fine', **more: Any) -> str:
    return json.dumps({'specversion': '1.0', 'id': event_id, 'source': '/test', 'type': event_type, **more})


@pytest.fixture(scope='module')
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with routes and event files."""
    path = tmp_path_factory.mktemp('send')
    (path / 'routes.py').write_text(ROUTES)
    (path / 'event.json').write_bytes(DEMO_EVENT)
    (path / 'array.json').write_text(f'[{event("a")}, {event("b", data={"größe": 1})}]')
    (path / 'lines.jsonl').write_text(f'{event("c")}\n{event("", time="yesterday")}\n{event("d")}\n')
    (path / 'fails.json').write_text(event('e', 'fails'))
    (path / 'password').write_text('open sesame\n')
    (path / 'access.py').write_text(
        'from pacifica.dispatcher.authentication import Basic, BearerTokens, Secret\n'
        "secret = Secret.from_file('password')\n"
        "schemes = [Basic({'me': secret}), BearerTokens(Secret.from_environment('TOKEN'))]\n")
    return path


@pytest.fixture(scope='module')
def url(directory: Path) -> Iterator[str]:
    """The URL of a receiver whose worker runs the routes."""
    with started(*SERVE, cwd=directory) as service:
        yield service.expect(r'listening: POST events to (http://\S+)')[1]


def sent(directory: Path, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    """Return the exit status, and what ``--json`` printed."""
    done = run('send', *arguments, '--json', cwd=directory)
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize('mode', ['structured', 'binary'])
def test_the_events_of_several_files_are_accepted_and_end(directory: Path, url: str, mode: str) -> None:
    files_ = ['array.json'] if mode == 'binary' else ['event.json', 'array.json']
    status, tasks = sent(directory, *files_, '--url', url, '--mode', mode, '--wait')
    assert status == 0
    names = [name for name in ('event.json', 'array.json[0]', 'array.json[1]') if name.partition('[')[0] in files_]
    assert [(task['event'], task['taskStatus']) for task in tasks] == [(name, '200 OK') for name in names]


def test_the_ids_are_shown_in_a_table_that_a_pipe_does_not_break(directory: Path, url: str) -> None:
    done = run('send', 'array.json', '--url', url, '--wait', '30', cwd=directory, env={'COLUMNS': '40'})
    _, tasks = sent(directory, 'array.json', '--url', url)
    assert [line.split() for line in done.stdout.splitlines()] == [
        ['event', 'id', 'task', 'status'],
        *([task['event'], task['eventID'], task['taskID'], '200', 'OK'] for task in tasks),
    ]
    assert done.stderr == ''


def test_an_event_that_is_refused_is_named_with_its_fields_and_the_others_are_sent(directory: Path, url: str) -> None:
    done = run('send', 'lines.jsonl', '--url', url, cwd=directory)
    assert done.returncode == 1
    assert 'lines.jsonl:2 was refused: 400 Bad Request\n  time: must be a timestamp by RFC 3339' in done.stderr
    assert '\n  id: must be a non-empty string\n' in done.stderr
    _, tasks = sent(directory, 'lines.jsonl', '--url', url)
    assert [task['accepted'] for task in tasks] == [True, False, True]


def test_an_event_whose_handler_fails_is_a_no_with_wait(directory: Path, url: str) -> None:
    assert run('send', 'fails.json', '--url', url, cwd=directory).returncode == 0
    status, [task] = sent(directory, '--wait', 'fails.json', '--url', url)
    assert (status, task['taskStatus']) == (1, '500 Internal Server Error')


def test_an_event_comes_from_stdin(directory: Path, url: str) -> None:
    done = subprocess.run(
        [*PROGRAM, 'send', '-', '--url', url], input=DEMO_EVENT, cwd=directory, capture_output=True, timeout=SECONDS,
        check=True)
    assert b'stdin' in done.stdout


def test_an_event_that_no_worker_takes_is_waited_for_no_longer_than_asked(directory: Path) -> None:
    routes = ROUTES.replace('router = Router()', 'import threading\nrouter = Router()')
    (directory / 'slow.py').write_text(
        f'{routes}\nclass Never(NoopEventHandler):\n    def handle(self, event):\n        threading.Event().wait()\n'
        'router.add_route(Path.parse_str("$"), Never())\n')
    with started('serve', 'slow:router', *SERVE[2:], cwd=directory) as service:
        url = service.expect(r'listening: POST events to (http://\S+)')[1]
        (directory / 'slow.json').write_text(event('s', 'slow'))
        done = run('send', 'slow.json', '--url', url, '--wait', '0.2', cwd=directory)
    assert done.returncode == 1
    assert 'slow.json has not ended yet: ' in done.stderr


def test_an_interruption_shows_what_was_sent(directory: Path) -> None:
    running = Answers(200, b'"102 Processing"')
    with Scripted(Answers(200, b'"01a20df1-85b8-70e0-b143-4ac7ab42105f"'), running) as receiver:
        with started('send', 'event.json', '--url', receiver.url, '--wait', cwd=directory) as command:
            wait_until(lambda: len(receiver.asked) > 2)
            assert command.stop(signal.SIGINT) == 130
    assert '01a20df1-85b8-70e0-b143-4ac7ab42105f  102 Processing' in command.output
    assert 'Traceback' not in command.output


@pytest.mark.slow
def test_credentials_come_from_files_and_the_environment(directory: Path) -> None:
    env = {'TOKEN': 'mellon'}
    with started(*SERVE, '--authenticate', 'access:schemes', cwd=directory, env=env) as service:
        url = service.expect(r'listening: POST events to (http://\S+)')[1]
        for options, status, said in (
            ([], 2, 'answered 401 Unauthorized: it wants credentials: give --token-file'),
            (['--user', 'me', '--password-file', 'password'], 0, ''),
            (['--user', 'you', '--password-file', 'password'], 2, 'answered 401'),
            (['--token-env', 'TOKEN'], 0, ''),
        ):
            done = run('send', 'event.json', '--url', url, '--wait', *options, cwd=directory, env=env)
            assert (done.returncode, said in done.stderr) == (status, True), options
