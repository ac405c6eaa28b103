"""A service that is away: its events wait without a slot and without an attempt, one asks for all, all go on.

PACIFICA_TEST_WAITING says how many events wait for an hour.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pacifica.downloader import Downloader

from pacifica.dispatcher._engine.event_queue import EventQueue
from pacifica.dispatcher._engine.executor import Executor, RetryPolicy
from pacifica.dispatcher._engine.extensions import Extensions
from pacifica.dispatcher._engine.keeper import LeaseKeeper
from pacifica.dispatcher._engine.outages import SharedServices
from pacifica.dispatcher._engine.outgoing import Sender
from pacifica.dispatcher._queue.connections import Connections
from pacifica.dispatcher._queue.overview import Overview
from pacifica.dispatcher._queue.schema import ensure_schema
from pacifica.dispatcher._queue.status import Status
from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher._queue.values import Outcome, QueueName
from pacifica.dispatcher._queue.writer import Writer
from pacifica.dispatcher.downloader_runners import RemoteDownloaderRunner
from pacifica.dispatcher.models import File
from support.command_line import run
from support.databases import connect
from support.events import ingest_event, received, router_to, wait_until
from support.fakes import status
from support.front_door import wsgi_server
from support.pacifica_fakes import FakeCartd
from support.processes import free_port
from support.queues import APPLICATION, TASK, drain, queue_of, record

CONTENT = {'top.csv': b'1,2\r\n'}
WAITING = int(os.environ.get('PACIFICA_TEST_WAITING', '5000'))
FILES = [
    File(_id=1, name=name, size=len(content), hashtype='sha1', hashsum=hashlib.sha1(content).hexdigest())
    for name, content in CONTENT.items()
]


class Away:
    """Cartd's address, at which nothing listens until it is back."""

    def __init__(self) -> None:
        self.port = free_port()
        self.tries = 0

    def handler(self, directory: Path) -> Callable[[Any], None]:
        """Return a handler that downloads from it."""
        # A machine that is busy isn't away: only what the server says is to count.
        runner = RemoteDownloaderRunner(Downloader(addr='127.0.0.1', port=str(self.port)), request_timeout=600)

        def handle(event: Any) -> None:
            self.tries += 1
            runner.download(str(directory / event.event_id), FILES)
        return handle

    @property
    def name(self) -> str:
        """What it is called."""
        return f'Cartd at http://127.0.0.1:{self.port}'


@pytest.fixture
def away() -> Iterator[Away]:
    """A Cartd that is away."""
    yield Away()


def outages(model: Any) -> list[Any]:
    """Return the rows of the table of outages."""
    return list(model._meta.database.execute_sql('SELECT service, fault, due FROM receivetaskoutage').fetchall())


def let_time_pass(model: Any) -> None:
    """Make the next probe due."""
    model._meta.database.execute_sql('UPDATE receivetaskoutage SET due = 1')


def let_no_time_pass(model: Any) -> None:
    """Have no probe become due, however long the test takes."""
    model._meta.database.execute_sql('UPDATE receivetaskoutage SET due = 1e12')


def test_an_event_whose_service_is_away_waits_and_its_attempt_is_not_counted(
    model: Any, away: Away, tmp_path: Path,
) -> None:
    queue = queue_of(model, away.handler(tmp_path))
    task_id = queue.delay(ingest_event()).id
    worker = queue.create_worker()

    worker.run_once()

    row = record(model, task_id)
    assert (row.task_status, row.attempts, row.awaits) == ('202 Accepted', 0, away.name)
    assert 'Connection refused' in row.exc_value
    assert [(service, fault) for service, fault, _ in outages(model)] == [(away.name, 'Connection refused')]
    assert drain(worker) == 0


def test_while_a_service_is_known_to_be_away_one_event_asks_it(model: Any, tmp_path: Path) -> None:
    with FakeCartd(CONTENT) as cartd:
        cartd.fail('POST', *[status(503)] * 1000)
        away = Away()
        away.port = cartd.port
        queue = queue_of(model, away.handler(tmp_path))
        for _ in range(20):
            queue.delay(ingest_event())
        worker = queue.create_worker()
        drain(worker)
        let_no_time_pass(model)
        asked = cartd.count('POST')

        for _ in range(5):
            queue.delay(ingest_event())
        drain(worker)

        assert away.tries == 25
        assert cartd.count('POST') == asked
        assert model.select().where(model.awaits == away.name, model.attempts == 0).count() == 25


def test_a_probe_is_one_event_and_the_next_probe_another(model: Any, away: Away, tmp_path: Path) -> None:
    tried: list[str] = []
    handle = away.handler(tmp_path)

    def noting(event: Any) -> None:
        tried.append(event.event_id)
        handle(event)

    queue = queue_of(model, noting)
    for _ in range(3):
        queue.delay(ingest_event())
    drain(queue.create_worker())
    known = list(tried)
    worker = queue.create_worker(lease=1.0, concurrency=1)

    worker.start()
    try:
        for probes in range(1, 4):
            let_time_pass(model)
            wait_until(lambda expected=probes: len(tried) >= len(known) + expected)
    finally:
        worker.stop()

    assert sorted(known) == sorted(tried[len(known):len(known) + 3])


def test_when_it_is_back_all_go_on_and_nothing_is_left(
    model: Any, away: Away, tmp_path: Path, caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    queue = queue_of(model, away.handler(tmp_path))
    task_ids = [queue.delay(ingest_event()).id for _ in range(5)]
    drain(queue.create_worker())
    worker = queue.create_worker(lease=1.0)

    with FakeCartd(CONTENT, away.port):
        let_time_pass(model)
        worker.start()
        try:
            wait_until(lambda: outages(model) == [])
            wait_until(lambda: model.select().where(model.task_status == '200 OK').count() == 5)
        finally:
            worker.stop()

    rows = [record(model, task_id) for task_id in task_ids]
    assert [(row.attempts, row.awaits, row.waiting_since) for row in rows] == [(1, None, None)] * 5
    said = [entry.message for entry in caplog.records if entry.message.startswith('service.')]
    assert said == ['service.away', 'service.back']


@pytest.mark.parametrize(('waiting', 'seconds'), [(1, 0), (49, 0), (120, 2), (1000, 15)])
def test_few_events_go_on_at_once_and_many_over_some_seconds(
    model: Any, store: Store, waiting: int, seconds: float,
) -> None:
    store.accept([received() for _ in range(waiting)])
    store.begin_outage('a service', 'away')
    model.update(due=1e12, awaits='a service').execute()
    before = time.time()

    store.end_outage('a service')

    due = [row.due for row in model.select()]
    assert max(due) - min(due) <= seconds and max(due) <= time.time() + seconds
    assert min(due) >= before - 1 and len(set(due)) > waiting / 2 * bool(seconds)


def test_events_of_other_routes_go_on(model: Any, away: Away, tmp_path: Path) -> None:
    handle = away.handler(tmp_path)
    queue = queue_of(model, lambda event: handle(event) if event.event_type == 'needs.files' else None)
    for _ in range(8):
        queue.delay(ingest_event(eventType='needs.files'))
    other = queue.delay(ingest_event()).id
    worker = queue.create_worker(concurrency=4)

    worker.start()
    try:
        wait_until(lambda: record(model, other).task_status == '200 OK')
    finally:
        worker.stop()


def test_when_patience_is_over_the_event_fails(model: Any, away: Away, tmp_path: Path) -> None:
    queue = queue_of(model, away.handler(tmp_path), patience=3600.0)
    task_id = queue.delay(ingest_event()).id
    worker = queue.create_worker()
    worker.run_once()
    model.update(due=1.0, waiting_since=model.waiting_since - 3600).execute()

    worker.run_once()

    row = record(model, task_id)
    assert (row.task_status, row.attempts, row.exc_type) == ('500 Internal Server Error', 1, 'DownloadError')


def test_without_patience_attempts_are_counted(model: Any, away: Away, tmp_path: Path) -> None:
    runner = RemoteDownloaderRunner(Downloader(addr='127.0.0.1', port=str(away.port)))
    queue = queue_of(
        model, lambda event: runner.download(str(tmp_path), FILES, timeout=0.2), patience=0, max_attempts=1)
    task_id = queue.delay(ingest_event()).id

    queue.create_worker().run_once()

    assert (record(model, task_id).task_status, record(model, task_id).attempts) == ('500 Internal Server Error', 1)
    assert outages(model) == []


def test_a_500_of_the_service_makes_its_own_event_wait_alone(model: Any, tmp_path: Path) -> None:
    with FakeCartd(CONTENT) as cartd:
        cartd.fail('POST', *[status(500)])
        away = Away()
        away.port = cartd.port
        queue = queue_of(model, away.handler(tmp_path))
        first, second = (queue.delay(ingest_event()).id for _ in range(2))
        worker = queue.create_worker()

        drain(worker)

        assert record(model, second).task_status == '200 OK'
        waiting = record(model, first)
        assert (waiting.task_status, waiting.attempts, waiting.awaits) == ('202 Accepted', 0, None)
        assert outages(model) == []


def test_a_full_disk_waits_as_a_service_does(model: Any) -> None:
    def handle(event: Any) -> None:
        raise OSError(28, 'No space left on device')

    queue = queue_of(model, handle)
    task_id = queue.delay(ingest_event()).id

    queue.create_worker().run_once()

    assert (record(model, task_id).task_status, record(model, task_id).attempts) == ('202 Accepted', 0)


def test_the_timeline_shows_that_it_waits_once(model: Any, away: Away, tmp_path: Path) -> None:
    queue = queue_of(model, away.handler(tmp_path))
    task_id = queue.delay(ingest_event()).id
    worker = queue.create_worker()
    for _ in range(3):
        model.update(due=1.0).execute()
        let_time_pass(model)
        worker.run_once()

    assert record(model, task_id).history.count('"attempt"') == 1


@pytest.mark.parametrize('ended', [False, True], ids=['never noted', 'over again'])
def test_what_begins_to_wait_is_not_forgotten_if_nobody_knows_of_an_outage(
    model: Any, store: Store, ended: bool,
) -> None:
    """The database was away when the service was found to be, or the service is back before the wait is written."""
    store.accept([received()])
    claimed = store.claim('me', 30.0)
    assert claimed is not None
    if ended:
        assert store.begin_outage('ingest', 'refused') and store.end_outage('ingest') is not None

    assert store.finish(claimed, Outcome.wait(ConnectionError('refused'), 86400.0, 'r', 'ingest'))
    assert [each.service for each in store.outages()] == ['ingest']
    assert wait_until(lambda: (store.probe_outages(), store.claim('me', 30.0))[1])


def test_people_are_told_what_is_away_since_when_and_how_many_wait(
    model: Any, database_url: str, away: Away, tmp_path: Path,
) -> None:
    queue = queue_of(model, away.handler(tmp_path))
    for _ in range(2):
        queue.delay(ingest_event())
    drain(queue.create_worker())

    shown = run('status', '--json', '--database', database_url, cwd=tmp_path)
    with wsgi_server(model.create_cherrypy_app(queue, metrics=True)) as client:
        page = client.get('/dashboard/').body.decode()
        metrics = client.get('/metrics').body.decode()

    outage, = json.loads(shown.stdout)['outages']
    assert (outage['service'], outage['fault'], outage['waiting']) == (away.name, 'Connection refused', 2)
    assert f'waiting for <bdi>{away.name}</bdi> since' in page and '<bdi>Connection refused</bdi>, 2 events' in page
    assert f'pacifica_dispatcher_outage_waiting_events{{service="{away.name}"}} 2.0' in metrics


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_an_hour_of_outage_costs_few_requests_and_all_go_on_within_a_minute(
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    now = [1_800_000_000.0]  # by the database's clock, which the test moves
    database = connect(f'sqlite:///{tmp_path}/events.db')
    writer = Writer(Connections(database, ensure_schema, clock=lambda: now[0]))
    store = Store(writer, QueueName(APPLICATION, TASK))
    with FakeCartd(CONTENT) as cartd:
        away = Away()
        away.port = cartd.port
        handle = away.handler(tmp_path)
        policy = RetryPolicy(patience=86_400.0)
        executor = Executor(
            router_to(handle), APPLICATION, policy, store, Extensions(), SharedServices(store))
        queue = EventQueue(store, executor, Sender(()))
        worker = queue.create_worker()
        keeper = LeaseKeeper(store, executor, 30.0, None, None)
        cartd.fail('POST', *[status(503)] * 10_000)
        for _ in range(0, WAITING, 100):
            store.accept([received() for _ in range(100)])
        drain(worker)
        first, statements = cartd.count('POST'), []
        execute = store.connections.writer.database.execute_sql
        store.connections.writer.database.execute_sql = lambda *given: (statements.append(given), execute(*given))[1]

        for _ in range(480):  # turns of the keeper, each 7.5 seconds after the one before
            now[0] += 7.5
            keeper.run_once()
            drain(worker)
        asked, sent = cartd.count('POST') - first, len(statements)
        cartd.heal()
        back = now[0]
        while Overview(store.connections).counts()[Status.OK] < WAITING and now[0] < back + 120:
            now[0] += 1.0
            if int(now[0] - back) % 8 == 0:
                keeper.run_once()
            drain(worker)

    with capsys.disabled():
        print(f'\n{asked / 60:.1f} requests and {sent / 60:.0f} statements a minute; '
              f'all {WAITING:,} went on within {now[0] - back:.0f} s')
    assert asked / 60 <= 12
    assert now[0] - back <= 60
    database.close()
