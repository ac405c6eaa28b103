"""``serve --reload`` runs what was written last, and goes on with what it has while that can't be imported."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from support.command_line import refusal, started
from support.events import dumps, ingest_event, wait_until

ROUTES = '''
from jsonpath2.path import Path
from pacifica.dispatcher.router import Router
from handling import Notes

router = Router()
router.add_route(Path.parse_str('$'), Notes())
'''
HANDLING = '''
import json, os
from pacifica.dispatcher.event_handlers import EventHandler

class Notes(EventHandler):
    def handle(self, event):
        with open('handled.part', 'w') as file:
            json.dump([event.event_id, '{version}'], file)
        os.rename('handled.part', 'handled')
'''


def test_a_change_is_run_and_a_mistake_is_not(tmp_path: Path) -> None:
    (tmp_path / 'routes.py').write_text(ROUTES)
    module = tmp_path / 'handling.py'
    module.write_text(HANDLING.format(version='first'))
    with started('serve', 'routes:router', '--reload', '--port', '0', cwd=tmp_path) as service:
        def ran(times: int) -> str:
            """Send an event once the service has started so often; return the version of the handler that ran it."""
            started = service.expect(r'(?s)' + r'.*'.join([r'listening: POST events to (\S+)/receive'] * times))
            event = ingest_event()
            service.call(f'{started[times]}/receive', dumps(event).encode())
            handled = tmp_path / 'handled'
            wait_until(lambda: handled.exists() and json.loads(handled.read_text())[0] == event['eventID'])
            version: str = json.loads(handled.read_text())[1]
            return version

        assert ran(1) == 'first'
        module.write_text('this is a mistake')
        service.expect('changed: handling.py\n')
        service.expect("importing 'routes' failed: SyntaxError")
        service.expect('going on with what was imported before')
        assert ran(1) == 'first'
        module.write_text(HANDLING.format(version='second'))
        assert ran(2) == 'second'
        pid = service.process.pid

        assert service.stop() == 0

    assert service.output.endswith('stopped\n(end of output)\n')
    assert not Path(f'/proc/{pid}').exists()


def test_it_is_for_one_process(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, 'path', sys.path[:])

    refused = refusal(capsys, 'serve', 'support.uploading:ROUTER', '--reload', '--processes', '2')

    assert '--reload is for one process: leave --processes away' in refused
