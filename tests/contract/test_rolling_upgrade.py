"""A live service of the 0.2 series and one of this version share a table while the first is replaced by the second."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import requests

from support.brokers import shared_redis
from support.command_line import started
from support.databases import model_in
from support.events import ingest_event, wait_until
from support.processes import end_group, free_port

SUPPORT = Path(__file__).parent.parent / 'support'
ROUTES = '''
from jsonpath2.path import Path
from pacifica.dispatcher.event_handlers import EventHandler
from pacifica.dispatcher.router import Router

class Writes(EventHandler):
    def handle(self, event):
        with open('runs', 'ab', buffering=0) as runs:
            runs.write(f'0.3 {event.event_id}\\n'.encode())

router = Router()
router.add_route(Path.parse_str('$'), Writes())
'''

# In the process of the test run that makes the environment with 0.2.5.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group('upgrade')]


@contextmanager
def old_service(python: Path, database_url: str, folder: Path) -> Iterator[str]:
    """Run a receiver and a worker of 0.2.5, and yield where events are posted."""
    port = free_port()
    env = {**os.environ, 'DATABASE_URL': database_url, 'BROKER_URL': shared_redis(), 'QUEUE': f'test-{uuid4().hex}',
           'FOLDER': str(folder)}
    commands = ('service_of_0_2.py', str(port)), (
        '-m', 'celery', '-A', 'service_of_0_2', 'worker', '-c', '1', '-n', f'{uuid4().hex}@here')
    with (folder / 'output').open('wb') as output:
        processes = [subprocess.Popen([python, *command], cwd=SUPPORT, env=env, start_new_session=True,
                                      stdout=output, stderr=output) for command in commands]
    try:
        yield f'http://127.0.0.1:{port}'
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            end_group(process)


def is_there(url: str) -> bool:
    try:
        return requests.get(url, timeout=20).ok
    except requests.ConnectionError:
        return False


def post(url: str, count: int, **attributes: Any) -> dict[str, str]:
    """Post so many events and return their task ids by their event ids."""
    task_ids = {}
    for _ in range(count):
        event = ingest_event(**{'data': [], **attributes})
        answer = requests.post(f'{url}/receive', json=event, timeout=60)
        assert answer.status_code == 200, answer.text
        task_ids[event['eventID']] = answer.json()
    return task_ids


def test_a_live_service_of_0_2_works_on_beside_one_of_this_version_and_no_event_is_lost_or_run_by_both(
    database_url: str, python_with_0_2: Path, tmp_path: Path,
) -> None:
    (tmp_path / 'routes.py').write_text(ROUTES)

    def runs() -> Counter[str]:
        return Counter((tmp_path / 'runs').read_text().splitlines() if (tmp_path / 'runs').exists() else ())

    with old_service(python_with_0_2, database_url, tmp_path) as old_url:
        wait_until(lambda: is_there(old_url))
        of_old = post(old_url, 12)
        wait_until(lambda: len(runs()) == 12)
        held = post(old_url, 1, data=['wait'])
        wait_until(lambda: len(runs()) == 13)
        of_old |= post(old_url, 5)  # wait in the broker while the table is upgraded

        with started('serve', 'routes:router', '--database', database_url, '--name', 'my.app', '--task-name',
                     'my.tasks.receive', '--port', '0', '--isolation', 'thread', cwd=tmp_path) as new:
            new_url = new.expect(r'POST events to (http://127\.0\.0\.1:\d+)/receive')[1]
            of_new = post(new_url, 5)
            wait_until(lambda: sum(run.startswith('0.3') for run in runs()) == 5)
            (tmp_path / 'go').touch()
            of_old |= post(old_url, 5)
            of_new |= post(new_url, 5)

            with model_in(database_url) as model:
                def ended() -> bool:
                    wanted = {*of_old.values(), *held.values(), *of_new.values()}
                    rows = model.select(model.task_id, model.task_status).tuples()
                    return {str(UUID(str(task_id))) for task_id, status in rows if status == '200 OK'} == wanted

                wait_until(ended)
            assert {requests.get(f'{url}/status/{task_id}', timeout=20).json()
                    for url in (old_url, new_url) for task_id in {**of_old, **held, **of_new}.values()} == {'200 OK'}
            assert new.stop() == 0

    assert runs() == Counter([*(f'0.2 {each}' for each in {**of_old, **held}), *(f'0.3 {each}' for each in of_new)])
