"""What Prometheus sees: true, complete, for who may read, and summed over processes that come and go."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
from playhouse.db_url import connect

from pacifica.dispatcher._http.receive import Receive
from pacifica.dispatcher._metrics import definitions
from pacifica.dispatcher._metrics import exposition as exposition_module
from pacifica.dispatcher._metrics.definitions import DATABASE
from pacifica.dispatcher._metrics.exposition import DatabaseCollector, Exposition
from pacifica.dispatcher._queue.connections import Connections
from pacifica.dispatcher._queue.overview import OutageState, Overview, QueueState, WorkerState
from pacifica.dispatcher._queue.status import Status
from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher._queue.transitions import Heartbeat
from pacifica.dispatcher._queue.values import QueueName
from pacifica.dispatcher.authentication import Basic, BearerTokens, Secret
from pacifica.dispatcher.exceptions import ConfigurationError, DatabaseUnavailableError
from pacifica.dispatcher.receiver import create_peewee_model
from pacifica.dispatcher.task_context import stage
from support.behaving import behaving_router
from support.brokers import shared_redis
from support.celery_processes import running
from support.command_line import started
from support.dashboard import basic
from support.events import dumps, ingest_event, router_to, wait_until
from support.front_door import Client, wsgi_server
from support.metrics import PREFIX, Scrape, counted
from support.processes import free_port
from support.queues import TASK, drain, run_each


@pytest.fixture
def application() -> str:
    """An application's name that no other test uses: what a process counts lives as long as it does."""
    return f'app-{uuid4().hex}'


def scrape(client: Client, **headers: str) -> Scrape:
    answer = client.get('/metrics', **headers)
    assert answer.status == 200 and answer.headers['Content-Type'].startswith('text/plain')
    return Scrape(answer.body.decode())


def test_every_end_of_an_attempt_is_counted_by_route_and_status(model: Any, application: str) -> None:
    failures = [OSError('passes'), KeyError('final')]

    def handle(event: Any) -> None:
        if failures:
            raise failures.pop()

    queue = model.create_queue(
        router_to(handle, '$[?(@["eventType"] = "mine")]'), application, TASK, metrics=True, retry_for=[OSError],
        backoff=0.001)
    for event_type in ('mine', 'mine', 'mine', 'nobodys'):
        queue.delay(ingest_event(eventType=event_type))
    worker = queue.create_worker()
    wait_until(lambda: (drain(worker), model.select().where(model.finalized.is_null(False)).count() == 4)[-1])

    with wsgi_server(model.create_cherrypy_app(queue, metrics=True)) as client:
        seen = scrape(client)
    mine = {'application': application, 'task': TASK}
    route = '$[?(@["eventType"] = "mine")] → Calling'
    finished = {
        (sample.labels['route'], sample.labels['status']): sample.value for sample in seen.samples
        if sample.name == PREFIX + 'events_finished_total' and sample.labels['application'] == application}
    assert {labels: value for labels, value in finished.items() if value} == {
        (route, '200'): 2, (route, '500'): 1, ('', '422'): 1}
    assert finished[route, '422'] == 0  # so that the first is an increase
    assert seen.total('retries_total', **mine, route=route) == 1
    assert seen.total('attempt_duration_seconds_count', **mine, stage='total') == 5
    assert seen.total('event_duration_seconds_count', **mine) == 4


def test_stages_and_what_they_moved_are_counted_where_handlers_run_in_processes_too(
    model: Any, application: str,
) -> None:
    def handle(event: Any) -> None:
        with stage('download', files=2, bytes=300):
            pass
        with stage('upload', files=1, bytes=50) as done:
            done.files = 1
        with stage('a stage of my own'):
            pass

    queue = model.create_queue(router_to(handle), application, TASK, metrics=True)
    queue.delay(ingest_event())
    drain(queue.create_worker())
    apart = model.create_queue(behaving_router(), f'{application}-apart', TASK, metrics=True, max_attempts=1)
    for data in ('save', 'crash'):
        apart.delay(ingest_event(data=data))
    run_each(model, apart.create_worker(isolation='process'))

    with wsgi_server(model.create_cherrypy_app(queue, metrics=True)) as client:
        seen = scrape(client)
    mine = {'application': application, 'task': TASK}
    for name in ('total', 'download', 'upload', 'other'):
        assert seen.total('attempt_duration_seconds_count', **mine, stage=name) == 1
    assert seen.total('transferred_bytes_total', **mine, direction='download') == 300
    assert seen.total('transferred_files_total', **mine, direction='upload') == 1
    apart_labels = {'application': f'{application}-apart', 'task': TASK}
    assert seen.total('events_finished_total', **apart_labels, status='200') == 1
    assert seen.total('events_finished_total', **apart_labels, status='500') == 1
    assert seen.total('attempt_duration_seconds_sum', **apart_labels) > 0


@pytest.mark.parametrize('said', [-1, 1 << 70, 1.5, 'many', object()])
def test_an_event_whose_handler_says_no_number_of_files_or_bytes_ends_and_is_counted(
    model: Any, application: str, said: Any,
) -> None:
    def handle(event: Any) -> None:
        with stage('download', files=said) as done:
            done.bytes = done.job_id = said

    queue = model.create_queue(router_to(handle), application, TASK, metrics=True)
    queue.delay(ingest_event())

    assert drain(queue.create_worker()) == 1

    mine = {'application': application, 'task': TASK}
    assert counted('events_finished_total', **mine, route='$ → Calling', status='200') == 1
    assert counted('transferred_bytes_total', **mine, direction='download') == 0


def test_what_waits_and_who_works_is_read_from_the_database(model: Any, store: Store, application: str) -> None:
    queue = model.create_queue(router_to(print), application, TASK)
    model.create_table()
    queue.delay(ingest_event())
    queue.delay(ingest_event())
    store.beat(Heartbeat('a' * 32, QueueName(application, TASK), 'here:1', 'threads', 3, 30.0))

    with wsgi_server(model.create_cherrypy_app(queue, metrics=True)) as client:
        seen = scrape(client)
    mine = {'application': application, 'task': TASK}
    assert seen.total('database_up') == 1
    assert seen.total('events', status='202') == 2 and seen.total('events', status='200') == 0
    assert seen.total('queue_waiting_events', **mine) == 2
    assert seen.total('queue_oldest_age_seconds', **mine) > 0
    assert seen.total('workers', **mine, engine='threads', state='present') == 1
    assert seen.total('worker_slots', **mine) == 3


class Scripted(Overview):
    """An overview that a test writes."""

    shared, away = True, False

    def __init__(self) -> None:
        self.reads = 0
        self.failure: Exception | None = None
        self.takes: Callable[[], object] = int

    def counts(self) -> dict[Status, int]:
        self.reads += 1
        self.takes()
        if self.failure:
            raise self.failure
        return {status: 1 for status in Status}

    def queues(self) -> list[QueueState]:
        return [QueueState('a', 'waiting', 7.0, 2)]

    def outages(self) -> list[OutageState]:
        return []

    def lanes(self) -> list[Any]:
        """Return none."""
        return []

    def longest_attempts(self) -> dict[tuple[str, ...], float]:
        return {('a', 'busy'): 9.0}

    def workers(self) -> list[WorkerState]:
        return [
            WorkerState('h:1', 'a', 'idle', 'threads', 4, 30.0, 0.0, age=1.0),
            WorkerState('h:2', 'a', 'idle', 'threads', 4, 30.0, 0.0, age=31.0),
        ]


def values(collector: DatabaseCollector) -> dict[tuple[str, ...], float]:
    return {
        (sample.name.removeprefix(PREFIX), *sample.labels.values()): sample.value
        for family in collector.collect() for sample in family.samples
    }


def test_a_queue_with_workers_in_which_nothing_waits_is_at_zero_and_lost_workers_are_told_from_others() -> None:
    seen = values(DatabaseCollector(Scripted()))
    assert seen['queue_waiting_events', 'a', 'idle'] == seen['queue_oldest_age_seconds', 'a', 'idle'] == 0
    assert seen['queue_waiting_events', 'a', 'waiting'] == 2
    assert seen['queue_longest_attempt_seconds', 'a', 'busy'] == 9
    assert seen['queue_longest_attempt_seconds', 'a', 'idle'] == 0
    assert seen['workers', 'a', 'idle', 'threads', 'present'] == seen['workers', 'a', 'idle', 'threads', 'lost'] == 1
    assert seen['worker_slots', 'a', 'idle', 'threads'] == 4


def test_several_who_scrape_at_once_cost_the_database_one_query() -> None:
    overview = Scripted()
    collector = DatabaseCollector(overview, lifetime=3600)
    assert values(collector) == values(collector)
    assert overview.reads == 1


def test_a_table_that_takes_long_to_count_is_counted_less_often() -> None:
    now, overview = [0.0], Scripted()
    overview.takes = lambda: now.__setitem__(0, now[0] + 0.1)
    collector = DatabaseCollector(overview, clock=lambda: now[0])
    for seconds in (0.0, 9.9, 10.2, 10.3):  # 0.1 seconds are a hundredth of 10
        now[0] = max(now[0], seconds)
        values(collector)
    assert overview.reads == 2


def test_a_database_that_is_away_is_what_the_scrape_says() -> None:
    overview = Scripted()
    overview.failure = DatabaseUnavailableError('away')
    assert values(DatabaseCollector(overview)) == {('database_up',): 0}


def test_what_the_front_door_answers_is_counted_by_status(model: Any, application: str) -> None:
    queue = model.create_queue(router_to(print), application, TASK)
    schemes = [BearerTokens(Secret('s'), rights={'send'}), Basic({'prometheus': Secret('p')})]
    door = model.create_cherrypy_app(queue, metrics=True, authenticate=schemes)
    reader = basic('prometheus', 'p')
    sender = {'Authorization': 'Bearer s', 'Content-Type': 'application/json'}
    with wsgi_server(door) as client:
        assert client.get('/metrics').status == 401
        assert client.get('/metrics', Authorization='Bearer s').status == 403
        before = scrape(client, **reader)
        batch = [{'specversion': '1.0', 'id': str(each), 'source': '/s', 'type': 't'} for each in range(3)]
        client.request('POST', '/receive', dumps(ingest_event()).encode(), sender)
        client.request('POST', '/receive', dumps(batch).encode(),
                       {**sender, 'Content-Type': 'application/cloudevents-batch+json'})
        client.request('POST', '/receive', b'{', sender)
        client.request('POST', '/receive', b'{}')
        client.request('OPTIONS', '/receive')
        after = scrape(client, **reader)
        assert '/metrics' in client.get('/openapi.json', **reader).json()['paths']
    grown = {code: after.total('receive_requests_total', code=code) - before.total('receive_requests_total', code=code)
             for code in ('200', '400', '401')}
    assert grown == {'200': 2, '400': 1, '401': 1}
    assert after.total('receive_requests_total') - before.total('receive_requests_total') == 4
    assert after.total('events_accepted_total') - before.total('events_accepted_total') == 4


def test_each_answer_that_is_known_in_advance_is_at_zero_before_the_first(
    connections: Connections, monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:
        for counter in (definitions.RECEIVE_REQUESTS, definitions.CONNECTIONS_REFUSED):
            patched.setattr(counter, '_metrics', {})  # as in a process that has answered nothing
        exposition_module._requests.cache_clear()

        seen = Scrape(Exposition(Overview(connections)).expose('')[1].decode())
    exposition_module._requests.cache_clear()  # what it has counts where nobody looks

    declared = {str(code) for code in (200, 401, 403, 404, 500, 507, *Receive.operations()['POST'].errors)}
    name = PREFIX + 'receive_requests_total'
    assert {sample.labels['code']: sample.value for sample in seen.samples if sample.name == name} \
        == dict.fromkeys(declared, 0.0)
    assert seen.total('connections_refused_total') == 0


def test_what_senders_choose_is_in_no_label(model: Any, application: str) -> None:
    queue = model.create_queue(router_to(print), application, TASK, metrics=True)
    marks = {'eventType': 'type-of-theirs', 'eventID': 'id-of-theirs', 'source': '/source-of-theirs'}
    queue.delay(ingest_event(**marks))
    drain(queue.create_worker())
    with wsgi_server(model.create_cherrypy_app(queue, metrics=True)) as client:
        assert b'-of-theirs' not in client.get('/metrics').body


def test_the_format_is_the_one_that_is_asked_for(model: Any, application: str) -> None:
    queue = model.create_queue(router_to(print), application, TASK)
    with wsgi_server(model.create_cherrypy_app(queue, metrics=True)) as client:
        answer = client.get('/metrics', Accept='application/openmetrics-text; version=1.0.0')
        assert client.request('HEAD', '/metrics').status == 200
        assert client.get('/metrics?x=1').status == client.get('/metrics/more').status == 404
    assert answer.headers['Content-Type'].startswith('application/openmetrics-text')
    assert answer.body.endswith(b'# EOF\n')


def test_metrics_are_served_only_if_wanted(model: Any, application: str) -> None:
    queue = model.create_queue(router_to(print), application, TASK)
    with wsgi_server(model.create_cherrypy_app(queue)) as client:
        assert client.get('/metrics').status == 404
        assert '/metrics' not in client.get('/openapi.json').json()['paths']


def test_without_the_library_the_error_names_the_extra(
    model: Any, application: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in list(sys.modules):
        if name.startswith('pacifica.dispatcher._metrics'):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, 'prometheus_client', None)
    with pytest.raises(ConfigurationError, match=re.escape('pip install "pacifica-dispatcher[metrics]"')):
        model.create_queue(router_to(print), application, TASK, metrics=True)
    queue = model.create_queue(router_to(print), application, TASK)
    with pytest.raises(ConfigurationError, match=re.escape('pip install "pacifica-dispatcher[metrics]"')):
        model.create_cherrypy_app(queue, metrics=True)


def test_a_directory_that_is_not_there_is_refused(
    model: Any, application: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:
    monkeypatch.setenv('PROMETHEUS_MULTIPROC_DIR', str(tmp_path / 'none'))
    queue = model.create_queue(router_to(print), application, TASK)
    with pytest.raises(ConfigurationError, match='PROMETHEUS_MULTIPROC_DIR'):
        model.create_cherrypy_app(queue, metrics=True)


def test_a_file_that_a_process_has_just_made_is_no_fault_of_a_scrape(
    model: Any, connections: Connections, application: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:
    (tmp_path / 'counter_123.db').touch()  # as it is until it gets its size, or for ever if its process died before
    monkeypatch.setenv('PROMETHEUS_MULTIPROC_DIR', str(tmp_path))
    exposition = Exposition(Overview(connections))

    assert b'pacifica_dispatcher_database_up 1.0' in exposition.expose('')[1]


def test_a_file_that_another_process_removes_meanwhile_is_no_fault_of_a_scrape(
    model: Any, connections: Connections, application: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:
    # As prometheus_client's mark_process_dead leaves it to a scrape that has listed the directory already.
    (tmp_path / 'gauge_livesum_123.db').symlink_to(tmp_path / 'removed')
    monkeypatch.setenv('PROMETHEUS_MULTIPROC_DIR', str(tmp_path))
    exposition = Exposition(Overview(connections))

    assert b'pacifica_dispatcher_database_up 1.0' in exposition.expose('')[1]


SCRAPED_WHILE_PROCESSES_END = '''
import os, signal
from pacifica.dispatcher._metrics import definitions
from pacifica.dispatcher._metrics.exposition import _processes

registry, told, tell = _processes(), *os.pipe()
counted, seen = 0, {}

def count():
    for number in range(100):
        definitions.EVENTS_FINISHED.labels('a', 't', f'route-{number}', '200').inc()
        definitions.EVENT_SECONDS.labels('a', f'task-{number}').observe(1)
        os.write(tell, b'.')

def scrape():
    for sample in (sample for family in registry.collect() for sample in family.samples):
        key = sample.name, tuple(sample.labels.values())
        assert sample.value >= seen.get(key, 0.0), key
        seen[key] = sample.value
    return sum(value for (name, _), value in seen.items() if name.endswith('events_finished_total'))

for turn in range(8):
    if not (process := os.fork()):
        count()
        os._exit(0)
    mine = 0
    while mine < 100 and (mine < 90 or turn % 2):  # every other one is killed while it counts
        mine += len(os.read(told, 100))
        assert counted + mine <= scrape()
    if not turn % 2:
        os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    os.set_blocking(told, False)
    try:
        mine += len(os.read(told, 1000))
    except BlockingIOError:
        pass
    os.set_blocking(told, True)
    counted += mine
    total = scrape()
    assert counted <= total <= counted + 1, (counted, total)  # it may be killed before it says that it has counted
    counted = int(total)
'''


@pytest.mark.slow
def test_what_has_been_counted_is_in_every_scrape_once_while_processes_come_end_and_are_killed(tmp_path: Path) -> None:
    env = {**os.environ, 'PROMETHEUS_MULTIPROC_DIR': str(tmp_path)}
    done = subprocess.run(
        [sys.executable, '-c', SCRAPED_WHILE_PROCESSES_END], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, '')


ROUTES = '''
import os
from jsonpath2.path import Path
from pacifica.dispatcher.event_handlers import EventHandler
from pacifica.dispatcher.router import Router

class Writes(EventHandler):
    def handle(self, event):
        log = os.open('log', os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(log, f'{os.getpid()} '.encode())
        os.close(log)

router = Router()
router.add_route(Path.parse_str('$'), Writes())
'''
SERVICE = ('routes:router', '--database', 'sqlite:///events.db', '--name', 'my.app')


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with a module ``routes``, and an empty one for what processes count."""
    (tmp_path / 'routes.py').write_text(ROUTES)
    (tmp_path / 'counted').mkdir()
    return tmp_path


def text_of(url: str) -> Scrape:
    return Scrape(requests.get(url, timeout=20).text)


def finished(url: str) -> float:
    return text_of(url).total('events_finished_total', application='my.app', status='200')


@pytest.mark.timeout(300)
@pytest.mark.slow
def test_processes_that_share_a_directory_are_counted_together_even_after_one_was_killed(directory: Path) -> None:
    env = {'PROMETHEUS_MULTIPROC_DIR': str(directory / 'counted')}
    with started('serve', *SERVICE, '--port', '0', '--metrics', '--concurrency', '1', '--isolation', 'thread',
                 cwd=directory, env=env) as door, \
            started('work', *SERVICE, '--isolation', 'thread', cwd=directory, env=env) as lost:
        url = door.expect(r'POST events to (http://127\.0\.0\.1:\d+)/receive')[1]
        lost.expect('working')

        posted: list[str] = []

        def worked(process: int) -> bool:
            event = ingest_event(source=f'/{uuid4().hex}')
            posted.append(door.call(f'{url}/receive', dumps(event).encode()))
            return str(process) in (directory / 'log').read_text().split() if (directory / 'log').exists() else False

        def all_finished() -> bool:  # a POST is counted once it has been answered, an end once it is committed
            seen = text_of(f'{url}/metrics')
            ended = seen.total('events_finished_total', application='my.app', status='200')
            return seen.total('events_accepted_total') == ended == len(posted)

        wait_until(lambda: worked(lost.process.pid), 120)
        wait_until(all_finished, 120)
        lost.process.kill()
        lost.process.wait()

        with started('work', *SERVICE, '--isolation', 'thread', cwd=directory, env=env) as other:
            other.expect('working')
            wait_until(lambda: worked(other.process.pid), 120)
            wait_until(all_finished, 120)
            runs = (directory / 'log').read_text().split()
            assert len(posted) <= len(runs) and {str(lost.process.pid), str(other.process.pid)} <= set(runs)
            assert text_of(f'{url}/metrics').total('database_up') == 1


@pytest.mark.timeout(300)
def test_a_worker_alone_serves_what_it_counts_on_a_port_of_its_own(directory: Path) -> None:
    port = free_port()
    with started('work', *SERVICE, '--metrics-port', str(port), cwd=directory) as worker:
        worker.expect('working')
        model = create_peewee_model(connect(f'sqlite:///{directory}/events.db'))
        model.create_queue(behaving_router(), 'my.app', 'my.app.receive').delay(ingest_event())
        model.close_connections()
        wait_until(lambda: finished(f'http://127.0.0.1:{port}/metrics') == 1)
        assert worker.stop() == 0


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_forked_workers_of_celery_are_counted_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'counted').mkdir()
    monkeypatch.setenv('PROMETHEUS_MULTIPROC_DIR', str(tmp_path / 'counted'))
    with running('sqlite', tmp_path, {'broker': shared_redis()}, workers=2) as (service, _):
        url = f'http://127.0.0.1:{service.port}'

        def listening() -> bool:
            try:
                return requests.get(f'{url}/health/live', timeout=20).ok
            except requests.ConnectionError:
                return False

        wait_until(listening, 120)
        for number in range(30):
            event = ingest_event(source=f'/{uuid4().hex}/{number}', data={'seconds': 0})
            assert requests.post(f'{url}/receive', json=event, timeout=30).status_code == 200
        wait_until(lambda: finished(f'{url}/metrics') == 30, 120)
        service.kill(1)
        assert finished(f'{url}/metrics') == 30
        processes = {run[1] for runs in service.runs().values() for run in runs}
        assert len(processes) > 1


def test_every_gauge_of_the_database_is_in_a_scrape(model: Any, connections: Connections, application: str) -> None:
    collector = DatabaseCollector(Overview(connections))
    names = {family.name.removeprefix(PREFIX) for family in collector.collect()}
    assert names == set(DATABASE)
