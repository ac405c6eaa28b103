"""What handlers do to a service with its defaults: crash, hold the interpreter, be killed with it; prints how long."""

from __future__ import annotations

import os
import time
from collections import Counter
from contextlib import AbstractContextManager
from pathlib import Path
from uuid import UUID

import pytest
from playhouse.db_url import connect

from pacifica.dispatcher.receiver import create_peewee_model
from support.command_line import Running, started
from support.events import dumps, ingest_event, wait_until
from support.processes import is_alive

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
ROUTES = '''
import ctypes, os, re, signal, time
from pathlib import Path as FilePath
from jsonpath2.path import Path
from pacifica.dispatcher.event_handlers import EventHandler
from pacifica.dispatcher.router import Router

ACTS = {
    'segfault': lambda: ctypes.string_at(0),
    'exit': lambda: os._exit(3),
    'kill': lambda: os.kill(os.getpid(), signal.SIGKILL),
    'hold': lambda: ctypes.PyDLL(None).sleep(30),
    'long': lambda: time.sleep(3600),
}

class Acts(EventHandler):
    def handle(self, event):
        with open('runs', 'a') as file:
            file.write(f'{event.data} {os.getpid()} {time.time()}\\n')
        ACTS.get(event.data, lambda: None)()

router = Router()
router.add_route(Path.parse_str('$'), Acts())
'''


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with a module ``routes``."""
    (tmp_path / 'routes.py').write_text(ROUTES)
    return tmp_path


def serving(directory: Path) -> AbstractContextManager[Running]:
    return started('serve', 'routes:router', '--database', 'sqlite:///events.db', '--port', '0', cwd=directory)


def send(service: Running, url: str, act: str) -> UUID:
    event = ingest_event(data=act, contentType='text/plain')
    return UUID(service.call(f'{url}/receive', dumps(event).encode()))


def runs(directory: Path, act: str) -> list[list[str]]:
    """Return the process and the time of each run of an act."""
    file = directory / 'runs'
    lines = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
    return [line[1:] for line in lines if line[0] == act]


def test_crashes_end_their_own_events_and_no_other(directory: Path) -> None:
    with serving(directory) as service:
        url = service.expect(r'POST events to (http://127\.0\.0\.1:\d+)/receive')[1]
        model = create_peewee_model(connect(f'sqlite:///{directory}/events.db'))
        began = time.monotonic()
        for act in ('segfault', 'exit', 'kill'):
            send(service, url, act)
        for _ in range(20):
            send(service, url, 'fine')
        wait_until(lambda: len(runs(directory, 'fine')) == 20)
        fine = time.monotonic() - began
        wait_until(lambda: model.select().where(model.task_status == '500 Internal Server Error').count() == 3)
        bad = time.monotonic() - began
        assert service.stop() == 0
    model.close_connections()

    assert {act: len(runs(directory, act)) for act in ('segfault', 'exit', 'kill')} == {
        'segfault': 3, 'exit': 3, 'kill': 3}
    print(f'20 good events in {fine:.1f} s; the bad ones ended after {bad:.1f} s')


def test_a_handler_that_holds_the_interpreter_holds_up_nobody(directory: Path) -> None:
    with serving(directory) as service:
        url = service.expect(r'POST events to (http://127\.0\.0\.1:\d+)/receive')[1]
        send(service, url, 'hold')
        wait_until(lambda: runs(directory, 'hold'))
        began, slowest = time.monotonic(), 0.0
        for _ in range(20):
            posted = time.monotonic()
            send(service, url, 'fine')
            slowest = max(slowest, time.monotonic() - posted)
        wait_until(lambda: len(runs(directory, 'fine')) == 20)
        took = time.monotonic() - began
        assert len(runs(directory, 'hold')) == 1 and is_alive(int(runs(directory, 'hold')[0][0]))
        assert service.stop() == 0
    print(f'slowest POST {slowest:.3f} s; 20 good events in {took:.1f} s')


def test_a_killed_service_leaves_no_handler_and_its_next_start_runs_the_event_again(directory: Path) -> None:
    with serving(directory) as service:
        url = service.expect(r'POST events to (http://127\.0\.0\.1:\d+)/receive')[1]
        send(service, url, 'long')
        wait_until(lambda: runs(directory, 'long'))
        service.process.kill()
        began = time.monotonic()
        wait_until(lambda: not is_alive(int(runs(directory, 'long')[0][0])))
        gone = time.monotonic() - began
    with serving(directory) as service:
        service.expect('POST events to')
        began = time.monotonic()
        wait_until(lambda: len(runs(directory, 'long')) == 2)
        again = time.monotonic() - began

    processes = Counter(process for process, _ in runs(directory, 'long'))
    assert len(processes) == 2 and os.getpid() not in map(int, processes)
    print(f'the handler was gone {gone:.2f} s after its service; it ran again {again:.1f} s after the next start')
