"""The log tells how every attempt ended, and about which event anything else in it is."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from pacifica.dispatcher.task_context import TaskLogFilter
from support.command_line import started
from support.events import dumps, ingest_event, router_to
from support.queues import queue_of

TASK = 'my.tasks.receive'


def handle_one(model: Any, function: Any, event: dict[str, Any], **settings: Any) -> str:
    queue = queue_of(model, router_to(function, '$[?(@["eventType"])]'), **settings)
    task_id = str(queue.delay(event))
    assert queue.create_worker().run_once()
    return task_id


def ends(caplog: pytest.LogCaptureFixture) -> list[Any]:
    return [record for record in caplog.records if record.getMessage() == 'event.finished']


def test_an_attempt_that_succeeded_is_one_line(model: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, 'pacifica.dispatcher')
    event = ingest_event()
    task_id = handle_one(model, lambda event: None, event)
    line, = ends(caplog)
    assert (line.levelno, line.task_id, line.event_id, line.route, line.attempt, line.status) == (
        logging.INFO, task_id, event['eventID'], '$[?(@["eventType"])] → Calling', 1, '200 OK')
    assert line.seconds >= 0 and not hasattr(line, 'error')


def test_one_that_failed_says_why_and_when_it_runs_again(model: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, 'pacifica.dispatcher')

    def handle(event: Any) -> None:
        raise OSError('busy' * 1000)

    handle_one(model, handle, ingest_event(), retry_for=[OSError], backoff=8.0)
    line, = ends(caplog)
    assert line.status == '202 Accepted' and line.error.startswith('OSError: busybusy') and len(line.error) < 300
    assert 4 <= line.retry_in <= 16


def test_where_info_is_not_kept_nothing_is_read_for_it(
    model: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.WARNING, 'pacifica.dispatcher')
    monkeypatch.setattr('pacifica.dispatcher._events.identify', lambda event: pytest.fail('it was read'))
    handle_one(model, lambda event: None, ingest_event())
    assert not caplog.records


def test_a_handlers_own_lines_carry_its_task(model: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)  # whatever another test has set
    caplog.handler.addFilter(TaskLogFilter())
    event = ingest_event()
    task_id = handle_one(model, lambda event: logging.getLogger('theirs').warning('look'), event)
    line, = [record for record in caplog.records if record.name == 'theirs']
    assert (line.task_id, line.event_id, line.attempt) == (  # type: ignore[attr-defined]  # made of extra=
        task_id, event['eventID'], 1)
    assert line.route.endswith('Calling')  # type: ignore[attr-defined]  # made of extra=


ROUTES = '''
import logging
from jsonpath2.path import Path
from pacifica.dispatcher.event_handlers import EventHandler
from pacifica.dispatcher.router import Router

class Logs(EventHandler):
    def handle(self, event):
        logging.getLogger('theirs').debug('look')

router = Router()
router.add_route(Path.parse_str('$'), Logs())
'''


def test_serve_logs_json_at_the_level_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / 'routes.py').write_text(ROUTES)
    command = ('serve', 'routes:router', '--port', '0', '--log-format', 'json', '--log-level', 'debug')
    with started(*command, cwd=tmp_path) as service:
        url = service.expect(r'POST events to (http://127\.0\.0\.1:\d+)/receive')[1]
        task_id = service.call(f'{url}/receive', dumps(ingest_event()).encode())
        service.expect('event.finished.*\n')
    entries = [json.loads(line) for line in service.output.splitlines() if line.startswith('{')]
    theirs, = [entry for entry in entries if entry['logger'] == 'theirs']
    assert (theirs['level'], theirs['message'], theirs['task_id']) == ('DEBUG', 'look', task_id)
    finished, = [entry for entry in entries if entry['message'] == 'event.finished']
    assert finished['task_id'] == task_id and finished['status'] == '200 OK' and finished['timestamp'].endswith('Z')
    accepted, = [entry for entry in entries if entry['message'] == 'front_door.accepted']
    assert (accepted['task_id'], accepted['sender']) == (task_id, '127.0.0.1')
    answered, = [entry for entry in entries if entry['logger'].startswith('cherrypy.access')]
    assert answered.items() >= {
        'message': 'front_door.answered', 'method': 'POST', 'path': '/receive', 'status': 200, 'address': '127.0.0.1',
        'user': None, 'bytes': 38}.items()


def test_every_message_of_the_library_is_a_constant_key(caplog: pytest.LogCaptureFixture) -> None:
    """``noun.verb``, with what varies in ``extra``: so that a log can be searched by it."""
    import ast

    import pacifica.dispatcher

    root = Path(pacifica.dispatcher.__file__).parent
    keys = []
    for path in root.rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) \
                    and ast.unparse(node.func.value) == '_LOG' and node.func.attr != 'isEnabledFor':
                message, = node.args[node.func.attr == 'log':]  # else it would be a template
                if not isinstance(message, ast.Name):  # a parameter: one of several constants
                    assert isinstance(message, ast.Constant), (path.name, node.lineno)
                    keys.append(message.value)
    assert len(keys) > 20
    assert [key for key in keys if key.count('.') != 1 or key != key.lower() or ' ' in key] == []
