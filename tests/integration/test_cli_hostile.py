"""What an event or a server says is shown by every command, and obeyed by no terminal."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playhouse.db_url import connect

from pacifica.dispatcher._cli import main
from pacifica.dispatcher._cli.program import _MODULES
from pacifica.dispatcher.receiver import create_peewee_model
from support.command_line import ROUTES
from support.events import ingest_event, router_to
from support.fakes import Fake, Handler
from support.queues import drain

HOSTILE = 'a\x1b[2J\x1b]0;owned\x07\x9b31m\r\nforged b\tc\u202egnp\x00\x7f\ud800\u2028end'
DATABASE = 'sqlite:///events.db'
SUBSCRIPTION = {
    'uuid': HOSTILE, 'name': 'mine', 'user': HOSTILE, 'disabled': HOSTILE, 'target_url': HOSTILE, 'jsonpath': HOSTILE,
    'error': {'message': HOSTILE}, HOSTILE: HOSTILE,
}
#: Those that say nothing of what others wrote: they serve, or run the demo's own event.
OTHERS = {'completion', 'demo', 'migrate', 'prune', 'serve', 'work'}


FAILING = '''
from pacifica.dispatcher.event_handlers import EventHandler

class Failing(EventHandler):
    def handle(self, event):
        raise ValueError(event.event_type)

failing = Router()
failing.add_route(Path.parse_str('$'), Failing())
'''


class HostileServer(Fake):
    """Answers everything in the same way."""

    status = 200
    said: Any = HOSTILE

    def _answer(self, handler: Handler, *_ignored: Any) -> None:
        handler.body()
        handler.send_response(self.status, HOSTILE.replace('\r\n', '').encode('latin-1', 'ignore').decode('latin-1'))
        body = json.dumps(self.said).encode()
        for name, value in (('Content-Type', 'application/json'), ('Content-Length', str(len(body)))):
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    do_get = do_post = do_put = do_delete = _answer


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with HostileServer() as fake:
        yield fake


class Shown:
    """Runs a command as on a terminal; keeps what it printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> str:
        """Return what the command prints, and check that a terminal has nothing to obey in it but colours and tabs."""
        with pytest.raises(SystemExit):
            main(arguments)
        output = ''.join(self._capsys.readouterr())
        plain = re.sub(r'\x1b\[[\d;]*m', '', output)
        assert [each for each in plain if not each.isprintable() and each not in '\n\t'] == []
        assert not [line for line in plain.splitlines() if line.startswith('forged')]
        return plain


@pytest.fixture(params=[False, True], ids=['pipe', 'terminal'])
def shown(
    request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> Iterator[Shown]:
    (tmp_path / 'hostile_routes.py').write_text(ROUTES + FAILING)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'path', sys.path[:])
    monkeypatch.setattr(sys.stdout, 'isatty', lambda: request.param)
    monkeypatch.setenv('COLUMNS', '300')
    monkeypatch.setattr(logging, 'basicConfig', lambda **_: None)  # by "run", which logs to this process's stderr
    yield Shown(capsys)
    sys.modules.pop('hostile_routes', None)


@pytest.fixture
def task_id(shown: Shown) -> Iterator[str]:
    """A hostile event that a handler has failed for."""
    def fail(_event: Any) -> None:
        raise ValueError(HOSTILE)

    model = create_peewee_model(connect(DATABASE))
    queue = model.create_queue(router_to(fail), HOSTILE.replace('\x00', '').replace('\ud800', ''), 'task')
    event = ingest_event(eventType=HOSTILE, source=f'http://{HOSTILE}', eventID=HOSTILE, contentType='text/plain',
                         data={HOSTILE: HOSTILE, 'é': 1e400, 'n': 123456789012345678901234567890})
    event['data']['é'] = 1.50
    found = queue.delay(event).id
    drain(queue.create_worker())
    model.close_connections()
    yield found


def test_no_command_is_left_out() -> None:
    text = Path(__file__).read_text()
    assert [name for name in _MODULES if f"shown('{name}'" not in text and name not in OTHERS] == []


def test_a_hostile_event_is_shown_by_every_command(shown: Shown, task_id: str) -> None:
    for command in (
        shown('list', '--database', DATABASE), shown('show', task_id, '--database', DATABASE),
        shown('show', task_id, '--database', DATABASE, '--traceback', '--full'),
        shown('show', task_id, '--database', DATABASE, '--json'),
    ):
        assert '\\u001b[2J' in command
    shown('status', '--database', DATABASE)
    shown('status', '--database', DATABASE, '--json')
    shown('replay', '--all', '--dry-run', '--database', DATABASE, '--route', 'hostile_routes:router')
    shown('run', 'hostile_routes:router', task_id, '--database', DATABASE)
    assert 'ValueError' in shown('run', 'hostile_routes:failing', task_id, '--database', DATABASE)
    shown('show', task_id, '--database', DATABASE, '--follow')
    shown('cancel', task_id, '--database', DATABASE)
    shown('retry', task_id, '--database', DATABASE, '--by', HOSTILE)
    assert '\\u001b' in shown('show', task_id, '--database', DATABASE)


def test_an_event_that_show_prints_is_one_that_send_and_check_take(
    shown: Shown, task_id: str, server: HostileServer,
) -> None:
    printed = shown('show', task_id, '--event', '--database', DATABASE)
    Path('event.json').write_text(printed, 'ascii')
    assert '123456789012345678901234567890' in printed and json.loads(printed)['eventID'] == HOSTILE
    assert 'route 1, NoopEventHandler' in shown('check', 'hostile_routes:router', 'event.json')
    server.said = 'accepted'
    assert 'accepted' in shown('send', 'event.json', '--url', f'{server.url}/receive')


def test_check_and_send_show_what_hostile_files_say(shown: Shown, server: HostileServer) -> None:
    broken = {**ingest_event(eventID=HOSTILE), HOSTILE: 1, 'eventTime': HOSTILE, 'eventType': ''}
    name = 'a\x1b[2J\nforged\u202e.json'
    Path(name).write_text(json.dumps([broken, ingest_event(eventID=HOSTILE, eventType=HOSTILE)]))
    assert '\\u001b[2J' in shown('check', 'hostile_routes:router', name)
    shown('check', 'hostile_routes:router', name, '--json')
    server.status, server.said = 400, {'message': HOSTILE, 'faults': [{'field': HOSTILE, 'message': HOSTILE}]}
    assert '\\u001b[2J' in shown('send', name, '--url', f'{server.url}/receive')
    Path(name).write_text('{"a\x1b[2J": 1, "a\x1b[2J": 2')
    shown('send', name)
    shown('check', 'hostile_routes:router', name)


@pytest.mark.parametrize('status, said', [
    (200, HOSTILE), (200, {'message': HOSTILE}), (200, [SUBSCRIPTION]), (302, HOSTILE), (401, HOSTILE),
    (400, {'message': HOSTILE, 'status': f'403{HOSTILE}'}), (500, {'message': HOSTILE}),
], ids=['text', 'object', 'list', 'elsewhere', 'credentials', 'refusal', 'failure'])
def test_what_a_hostile_server_says_is_shown_by_every_command(
    shown: Shown, server: HostileServer, said: Any, status: int,
) -> None:
    server.said, server.status = said, status
    Path('event.json').write_text(json.dumps(ingest_event()))
    url = server.url
    shown('send', 'event.json', '--url', f'{url}/receive', '--wait', '0')
    shown('send', 'event.json', '--url', f'{url}/receive', '--json')
    for last in ((), ('--delete',)):
        shown('subscribe', '--receiver', url, '--notifications', url, '--name', 'mine', '--user', 'me', *last)
    where = [part for name in ('cartd', 'ingest', 'policy', 'notifications', 'receiver') for part in (f'--{name}', url)]
    shown('doctor', '--database', DATABASE, '--name', 'mine', *where)
    shown('doctor', '--database', DATABASE, '--json', *where)


@pytest.mark.parametrize('status, said', [
    (400, HOSTILE), (200, [{**SUBSCRIPTION, '_id': HOSTILE, 'updated': HOSTILE}]),
], ids=['refusal', 'list'])
def test_what_a_hostile_metadata_says_is_shown(shown: Shown, server: HostileServer, said: Any, status: int) -> None:
    server.said, server.status, url = said, status, server.url
    shown('reconcile', 'hostile_routes:router', '--database', DATABASE, '--metadata', url, '--since', '1h')
