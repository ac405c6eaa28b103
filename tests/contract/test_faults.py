"""What goes wrong around the queue: connections cut, processes forked, handlers that hang, crash or end the process."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from playhouse.db_url import connect

from pacifica.dispatcher._queue.connections import Connections
from pacifica.dispatcher._queue.records import Records
from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher.exceptions import ConfigurationError, DatabaseUnavailableError
from support import services
from support.behaving import behaving_router
from support.events import ingest_event, received, router_to, wait_until
from support.queues import queue_of, status


class UnstorableText:
    """What no driver can send to a database."""

    def __len__(self) -> int:
        return 1

    def __str__(self) -> str:
        raise RuntimeError('unstorable')


def cut_connections(model: Any) -> None:
    """End every connection to the database but the caller's, as a restart of the server does."""
    database = model._meta.database
    kind = type(database).__name__
    if 'Postgresql' in kind:
        database.execute_sql('SELECT pg_terminate_backend(pid) FROM pg_stat_activity'
                             ' WHERE datname = current_database() AND pid <> pg_backend_pid()')
    elif 'MySQL' in kind:
        for number, in database.execute_sql('SELECT id FROM information_schema.processlist'
                                            ' WHERE db = DATABASE() AND id <> CONNECTION_ID()').fetchall():
            database.execute_sql(f'KILL {number}')
    else:
        pytest.skip('SQLite has no server that could be restarted')


def test_after_its_connections_are_cut_a_queue_goes_on(model: Any) -> None:
    queue = queue_of(model)
    worker = queue.create_worker()
    first = queue.delay(ingest_event()).id
    cut_connections(model)

    second = queue.delay(ingest_event()).id
    cut_connections(model)
    while worker.run_once():
        cut_connections(model)

    assert status(model, first) == status(model, second) == '200 OK'


def test_connections_cut_again_and_again_lose_nothing_and_run_nothing_twice(model: Any) -> None:
    seen: list[str] = []
    queue = queue_of(model, lambda event: seen.append(event.event_id))
    worker = queue.create_worker(lease=10)
    worker.start()
    cutting = threading.Event()
    events = [ingest_event() for _ in range(100)]
    task_ids: list[str] = []

    def cut() -> None:
        enough = 5
        while not cutting.wait(0.02):
            if len(task_ids) >= enough:  # by the clock, a busy machine would get no transaction through in between
                cut_connections(model)
                enough = len(task_ids) + 5
        model._meta.database.close()

    cutter = threading.Thread(target=cut)
    try:
        cut_connections(model)
        cutter.start()
        for event in events:
            task_ids.append(queue.delay(event).id)
        cutting.set()
        cutter.join()
        model._meta.database.close()  # this thread's was cut too
        wait_until(lambda: model.select().where(model.task_status == '200 OK').count() == len(task_ids))
    finally:
        cutting.set()
        worker.stop(5)

    assert sorted(seen) == sorted(event['eventID'] for event in events)


def test_a_forked_child_makes_connections_of_its_own(model: Any) -> None:
    queue = model.create_queue(router_to(lambda event: None), 'my.app', 'receive', deduplicate=False)
    queue.delay(ingest_event())

    child = os.fork()
    if child == 0:
        try:
            for _ in range(20):
                queue.delay(ingest_event())
            os._exit(0)
        except BaseException:  # noqa: B036  # a child that went on would run the test a second time
            os._exit(1)
    for _ in range(20):
        queue.delay(ingest_event())
    _, exit_status = os.waitpid(child, 0)

    assert exit_status == 0
    assert model.select().count() == 41


# --- isolation

@pytest.fixture
def isolated(model: Any) -> Iterator[Any]:
    """A queue whose started worker runs each handler in a process of its own."""
    queue = queue_of(model, behaving_router(), max_attempts=2)
    worker = queue.create_worker(concurrency=2, isolation='process', handler_timeout=15)
    worker.start()
    yield queue
    worker.stop(0)


@pytest.mark.parametrize('database_url', ['sqlite'], indirect=True)  # it is processes that matter, and it takes long
@pytest.mark.slow
def test_in_a_process_of_its_own_no_handler_takes_another_with_it(model: Any, isolated: Any) -> None:
    ends = {
        'crash': ('500 Internal Server Error', 'WorkerLostError', 2),
        'exit': ('500 Internal Server Error', 'WorkerLostError', 2),
        'hang': ('500 Internal Server Error', 'HandlerTimeoutError', 1),
        'raise': ('500 Internal Server Error', 'SystemExit', 1),
        'fine': ('200 OK', None, 1),
        'well': ('200 OK', None, 1),
    }

    task_ids = {data: isolated.delay(ingest_event(data=data, contentType='text/plain')).id for data in ends}

    wait_until(lambda: not model.select().where(model.finalized.is_null()).count(), 120)
    rows = {data: model.get(model.task_id == UUID(task_id)) for data, task_id in task_ids.items()}
    assert {data: (row.task_status, row.exc_type, row.attempts) for data, row in rows.items()} == ends
    assert str(os.getpid()) not in rows['fine'].result


def test_a_router_that_cant_go_to_another_process_is_refused_at_once(model: Any) -> None:
    queue = queue_of(model)

    with pytest.raises(ConfigurationError, match='top of a module'):
        queue.create_worker(isolation='process')


@pytest.mark.parametrize(('settings', 'message'), [
    ({'concurrency': 0}, 'concurrency'),
    ({'lease': -1}, 'lease'),
    ({'isolation': 'magic'}, "'thread' or 'process'"),
    ({'handler_timeout': 5}, "isolation='process'"),
])
def test_a_setting_that_cant_work_is_refused_at_once(model: Any, settings: Any, message: str) -> None:
    queue = queue_of(model)

    with pytest.raises(ConfigurationError, match=message):
        queue.create_worker(**settings)


def test_events_accepted_together_are_accepted_all_or_none(model: Any) -> None:
    queue = queue_of(model)
    model.create_table()
    broken = received()
    object.__setattr__(broken, 'event_json', '"')
    object.__setattr__(broken, 'data_json', UnstorableText())

    with pytest.raises(Exception, match='(?i)unstorable|convert|adapt|escape|binding'):
        queue.accept([received(), broken, received()])

    assert model.select().count() == 0
    queue.accept([received()])
    assert model.select().count() == 1


def test_what_a_handler_did_is_written_once_the_database_is_back(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    queue = queue_of(model, lambda event: seen.append(event.event_id))
    worker = queue.create_worker(concurrency=1)
    failures = iter([DatabaseUnavailableError('away')] * 3)
    finish_and_claim = Store.finish_and_claim

    def away_at_first(*args: Any) -> Any:
        for failure in failures:
            raise failure
        return finish_and_claim(*args)

    monkeypatch.setattr(Store, 'finish_and_claim', away_at_first)
    event = ingest_event()
    task_id = queue.delay(event).id
    worker.start()

    wait_until(lambda: status(model, task_id) == '200 OK')
    worker.stop(5)
    assert seen == [event['eventID']]


@pytest.mark.parametrize('count', [10, pytest.param(30, marks=pytest.mark.slow)])
@pytest.mark.parametrize('uses', ['writes', 'reads'])
def test_a_child_forked_while_threads_use_the_database_can_use_it(model: Any, uses: str, count: int) -> None:
    """SQLite keeps its locks in the process's memory, which a fork copies."""
    queue = model.create_queue(router_to(lambda event: None), 'my.app', 'receive')
    stopping = threading.Event()

    def use() -> None:
        while not stopping.is_set():
            if uses == 'writes':
                queue.accept([received() for _ in range(20)])
            else:
                records.outputs(UUID(task_id))

    task_id, records = queue.delay(ingest_event()).id, Records(model._writer.connections)
    model._meta.database.close()
    threads = [threading.Thread(target=use) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        children = []
        for number in range(count):
            child = os.fork()
            if child == 0:
                signal.alarm(20)  # a child that hangs ends
                try:
                    queue.delay(ingest_event(source=f'child {number}'))
                    os._exit(0)
                except BaseException:  # noqa: B036  # a child that went on would run the test a second time
                    os._exit(1)
            children.append(os.waitpid(child, 0)[1])
    finally:
        stopping.set()
        for thread in threads:
            thread.join()

    assert children == [0] * count
    assert model.select().where(model.source.startswith('child')).count() == count


@pytest.mark.parametrize('service, limits, sleep', [
    (services.POSTGRESQL, 'tcp_user_timeout=500', 'SELECT pg_sleep(60)'),
    (services.MARIADB, 'read_timeout=1', 'SELECT SLEEP(60)'),
], ids=['postgresql', 'mysql'])
def test_a_server_that_says_nothing_is_waited_for_as_long_as_the_address_says(
    service: services.Service, limits: str, sleep: str,
) -> None:
    url = services.require(service)
    connections = Connections(connect(f'{url}{"&" if "?" in url else "?"}{limits}'), lambda session: 'current')
    began = time.monotonic()
    with pytest.raises(DatabaseUnavailableError):
        connections.read(lambda session: session.execute(sleep))
    took = time.monotonic() - began
    assert connections.read(lambda session: session.execute('SELECT 1').fetchone()[0]) == 1
    connections.close()
    assert took < 30
