"""Workers as services of the 0.2 series run them, ``celery -A module worker``: brokers, pools, transports."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import requests

from support import services
from support.brokers import OwnRedis, shared_rabbitmq, shared_redis
from support.celery_processes import running
from support.events import ingest_event, wait_until

pytestmark = pytest.mark.timeout(240)
SECONDS = 120.0


def redis_settings(folder: Path) -> dict[str, Any]:
    return {'broker': shared_redis()}


def redis_with_results(folder: Path) -> dict[str, Any]:
    return {'broker': shared_redis(), 'backend': shared_redis()}


def rabbitmq_settings(folder: Path) -> dict[str, Any]:
    return {'broker': shared_rabbitmq()}


def rabbitmq_with_results(folder: Path) -> dict[str, Any]:
    return {'broker': shared_rabbitmq(), 'backend': 'rpc://'}


def filesystem_settings(folder: Path) -> dict[str, Any]:
    for name in ('messages', 'processed', 'control'):
        (folder / name).mkdir()
    return {'broker': 'filesystem://', 'broker_transport_options': {
        'data_folder_in': str(folder / 'messages'), 'data_folder_out': str(folder / 'messages'),
        'data_folder_processed': str(folder / 'processed'), 'control_folder': str(folder / 'control'),
    }}


def post(port: int, event: dict[str, Any]) -> str:
    """Send *event*, as soon as the receiver listens; return its task id."""
    def answer() -> requests.Response | None:
        try:
            return requests.post(f'http://127.0.0.1:{port}/receive', json=event, timeout=30)
        except requests.ConnectionError:
            return None

    response: requests.Response = wait_until(answer, SECONDS)
    assert response.status_code == 200, response.text
    return str(response.json())


SOME = [('sqlite', redis_settings, 'prefork')]
MORE = [
    ('postgresql', rabbitmq_settings, 'threads'),
    ('mysql', rabbitmq_settings, 'prefork'),
    ('sqlite', filesystem_settings, 'prefork'),
    ('postgresql', redis_settings, 'threads'),
    ('postgresql', redis_with_results, 'prefork'),
    ('sqlite', rabbitmq_with_results, 'prefork'),
    ('sqlite', redis_settings, 'solo'),
    ('sqlite', redis_settings, 'gevent'),
    ('sqlite', redis_settings, 'eventlet'),
    ('postgresql', redis_settings, 'gevent'),
]


@pytest.mark.parametrize(
    ('kind', 'settings', 'pool'), [*SOME, *(pytest.param(*case, marks=pytest.mark.slow) for case in MORE)],
    ids=lambda value: getattr(value, '__name__', value),
)
def test_events_are_run_once_under_their_own_ids_whatever_they_raise(
    kind: str, settings: Any, pool: str, tmp_path: Path,
) -> None:
    if pool in ('gevent', 'eventlet') and importlib.util.find_spec(pool) is None:
        services.absent(f'{pool} is not installed: pip install {pool}')
    events = [ingest_event(data={'seconds': 0, 'raise': None}) for _ in range(12)]
    bad = [ingest_event(data={'seconds': 0, 'raise': name}) for name in ('SystemExit', 'BaseException')]
    with running(kind, tmp_path, settings(tmp_path), options=('-P', pool), lease=10) as (service, model):
        task_ids = {event['eventID']: post(service.port, event) for event in [*events[:6], *bad, *events[6:]]}
        wait_until(lambda: model.select().where(model.finalized.is_null(False)).count() == 14, SECONDS)

        rows = {row.event_id: row for row in model.select()}
        assert [rows[event['eventID']].task_status for event in events] == ['200 OK'] * 12
        assert [(rows[event['eventID']].task_status, rows[event['eventID']].exc_type) for event in bad] == [
            ('500 Internal Server Error', 'SystemExit'), ('500 Internal Server Error', 'BaseException')]
        for event_id, task_id in task_ids.items():
            assert str(rows[event_id].task_id) == task_id
            assert rows[event_id].result == f'{{"request_id": "{task_id}"}}'
            assert len(service.runs()[event_id]) == 2
        assert all(process.poll() is None for process in service.processes)


@pytest.mark.slow
def test_a_limit_holds_over_all_processes_of_all_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('CONCURRENCY', '1')
    with running('postgresql', tmp_path, redis_settings(tmp_path), lease=10) as (service, model):
        for _ in range(6):
            post(service.port, ingest_event(data={'seconds': 0.1}))
        wait_until(lambda: model.select().where(model.task_status == '200 OK').count() == 6, SECONDS)

        runs = sorted((lines[0][2], lines[1][2]) for lines in service.runs().values())
        assert all(ended <= started for (_, ended), (started, _) in zip(runs, runs[1:]))


@pytest.mark.slow
def test_a_handler_that_ends_its_process_runs_three_times_and_the_worker_goes_on(tmp_path: Path) -> None:
    with running('sqlite', tmp_path, redis_settings(tmp_path), lease=1, workers=1) as (service, model):
        fatal = post(service.port, ingest_event(data={'seconds': 0, 'exit': True}))
        fine = post(service.port, ingest_event(data={'seconds': 0}))

        def statuses() -> dict[str, str]:
            return {str(row.task_id): str(row.task_status) for row in model.select(model.task_id, model.task_status)}

        wait_until(lambda: statuses()[fine] == '200 OK', SECONDS)
        wait_until(lambda: statuses()[fatal].startswith('500'), SECONDS)

        row = model.get(model.task_id == fatal)
        assert (row.exc_type, row.attempts) == ('WorkerLostError', 3)


@pytest.mark.slow
def test_a_worker_starts_while_the_broker_is_away_and_works_once_it_is_there(tmp_path: Path) -> None:
    server = OwnRedis(tmp_path / 'redis')
    with running('sqlite', tmp_path, {'broker': server.url}, workers=1) as (service, model):
        try:
            task_ids = [post(service.port, ingest_event(data={'seconds': 0})) for _ in range(5)]
            assert len(set(task_ids)) == 5
            server.start()
            wait_until(lambda: model.select().where(model.task_status == '200 OK').count() == 5, SECONDS)
        finally:
            server.kill()
