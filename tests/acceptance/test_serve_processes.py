"""``serve --processes``: one port, several processes, one of which may die, and none of which outlives the others."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest
from playhouse.db_url import connect

from pacifica.dispatcher.receiver import create_peewee_model
from support.command_line import Running, run, started
from support.events import dumps, ingest_event, wait_until

ROUTES = '''
import os
from jsonpath2.path import Path
from pacifica.dispatcher.event_handlers import EventHandler
from pacifica.dispatcher.router import Router

class Notes(EventHandler):
    def handle(self, event):
        with open('handled', 'a') as file:
            file.write(f'{event.event_id} {os.getppid()}\\n')

router = Router()
router.add_route(Path.parse_str('$'), Notes())
'''
SERVE = ('serve', 'routes:router', '--database', 'sqlite:///events.db', '--port', '0', '--processes', '2')


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with a module ``routes``."""
    (tmp_path / 'routes.py').write_text(ROUTES)
    return tmp_path


def processes(service: Running) -> list[int]:
    """Return the receivers that the supervisor has."""
    children = Path(f'/proc/{service.process.pid}/task/{service.process.pid}/children').read_text().split()
    return [int(child) for child in children]


def send(service: Running, url: str, count: int) -> set[str]:
    """Send events, each over a connection of its own; return their ids."""
    events = [ingest_event() for _ in range(count)]
    for event in events:
        service.call(f'{url}/receive', dumps(event).encode())
    return {event['eventID'] for event in events}


def handled(directory: Path) -> list[str]:
    file = directory / 'handled'
    return [line.split()[0] for line in file.read_text().splitlines()] if file.exists() else []


def test_a_process_that_is_killed_loses_nothing_and_is_replaced(directory: Path) -> None:
    with started(*SERVE, cwd=directory) as service:
        url = service.expect(r'POST events to (http://127\.0\.0\.1:\d+)/receive, in 2 processes')[1]
        first = processes(service)
        sent = send(service, url, 20)
        os.kill(first[0], signal.SIGKILL)
        sent |= send(service, url, 20)
        service.expect(f'process {first[0]} ended with status -9: starting another')
        sent |= send(service, url, 20)

        model = create_peewee_model(connect(f'sqlite:///{directory}/events.db'))
        # What it had just handled runs again: only its end in the database is one.
        wait_until(lambda: {row.task_status for row in model.select()} == {'200 OK'})
        model.close_connections()
        assert set(handled(directory)) == sent
        assert len(processes(service)) == 2
        assert service.stop() == 0


def test_all_end_with_the_supervisor_however_it_ends(directory: Path) -> None:
    with started(*SERVE, cwd=directory) as service:
        service.expect('in 2 processes')
        running = wait_until(lambda: processes(service))
        send(service, service.expect(r'(http://127\.0\.0\.1:\d+)/receive')[1], 1)
        service.process.kill()

        wait_until(lambda: not any(Path(f'/proc/{pid}/cwd').exists() for pid in running))


@pytest.mark.slow
def test_what_cant_work_ends_all_with_its_own_status(directory: Path) -> None:
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        refused = run('serve', 'routes:router', '--port', str(port), '--processes', '2', cwd=directory)
    unreachable = run('serve', 'routes:router', '--port', '0', '--processes', '2',
                      '--database', 'sqlite:////nowhere/at/all.db', cwd=directory)

    assert refused.returncode == 2 and f'can\'t listen on port {port}' in refused.stderr
    assert unreachable.returncode not in (0, None)


@pytest.mark.slow
def test_what_takes_long_to_fail_at_the_start_ends_all_too(directory: Path) -> None:
    slow = "import os, time\nif 'PACIFICA_DISPATCHER_SUPERVISED' in os.environ:\n    time.sleep(11)\n"
    (directory / 'routes.py').write_text(slow + ROUTES)
    unreachable = run('serve', 'routes:router', '--port', '0', '--processes', '2',
                      '--database', 'sqlite:////nowhere/at/all.db', cwd=directory)

    assert unreachable.returncode == 2 and 'starting another' not in unreachable.stderr
