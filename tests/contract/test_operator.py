"""What an operator may do with events, on every database: run them again, cancel them, and see what happened."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from playhouse.db_url import connect

from pacifica.dispatcher._engine.event_queue import EventQueue
from pacifica.dispatcher._engine.outgoing import Sender
from pacifica.dispatcher._queue.connections import Connections
from pacifica.dispatcher._queue.filters import Filter
from pacifica.dispatcher._queue.history import attempt, extend, read
from pacifica.dispatcher._queue.operator import Operator
from pacifica.dispatcher._queue.overview import Overview
from pacifica.dispatcher._queue.records import Records
from pacifica.dispatcher._queue.schema import ensure_schema
from pacifica.dispatcher._queue.search import Page, Search
from pacifica.dispatcher._queue.status import Status
from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher._queue.transitions import Heartbeat
from pacifica.dispatcher._queue.values import ClaimedEvent, Outcome, QueueName
from pacifica.dispatcher._queue.writer import Writer
from pacifica.dispatcher.task_context import Stage, current_task
from support.databases import connections_to
from support.events import ingest_event, received, wait_until
from support.queues import APPLICATION, TASK, drain, executor_on
from support.threads import together

QUEUE = QueueName(APPLICATION, TASK)


class Bench:
    """A queue whose handler fails as long as ``failing``, the events it has seen, and an operator."""

    def __init__(self, model: Any, writer: Writer) -> None:
        self.model = model
        self.failing = False
        self.seen: list[str] = []
        self.results: list[Any] = []
        self.store = Store(writer, QUEUE)
        self.queue = EventQueue(self.store, executor_on(self.store, self._handle), Sender([]))
        self.operator = Operator(writer)
        self._records = Records(writer.connections)

    def _handle(self, event: Any) -> None:
        task = current_task()
        assert task is not None
        self.seen.append(event.event_id)
        self.results.append(dict(task.result))
        task.save_result(kept=True)
        if self.failing:
            raise ValueError('it broke')

    def accept(self, count: int = 1) -> list[UUID]:
        return [UUID(self.queue.delay(ingest_event()).id) for _ in range(count)]

    def drain(self) -> None:
        drain(self.queue.create_worker())

    def record(self, task_id: UUID) -> Any:
        record = self._records.get(task_id)
        assert record is not None
        return record


@pytest.fixture
def bench(model: Any, writer: Writer) -> Bench:
    model.migrate()
    return Bench(model, writer)


# --- retry

@pytest.mark.parametrize('failing', [True, False])
def test_an_event_that_has_ended_is_run_again_once(bench: Bench, failing: bool) -> None:
    [task_id] = bench.accept()
    bench.failing = failing
    bench.drain()
    bench.failing = False

    assert bench.operator.retry([task_id], by='me') == [True]
    waiting = bench.record(task_id)
    bench.drain()

    assert (waiting['taskStatus'], waiting['finalized'], waiting['attempts']) == ('202 Accepted', None, 0)
    record = bench.record(task_id)
    assert len(bench.seen) == 2
    assert (record['taskStatus'], record['attempts'], record['exceptionType']) == ('200 OK', 1, None)
    assert record['finalized'] == record['updated']


def test_an_event_that_waits_is_left_alone(bench: Bench) -> None:
    [task_id] = bench.accept()
    before = bench.record(task_id)

    assert bench.operator.retry([task_id]) == [False]

    assert bench.record(task_id) == before


def test_an_event_that_is_being_processed_is_left_alone(bench: Bench) -> None:
    [task_id] = bench.accept()
    held = bench.store.claim('me', 60)
    before = bench.record(task_id)

    assert bench.operator.retry([task_id]) == [False]

    assert bench.record(task_id) == before
    assert held is not None
    assert bench.store.finish(held, Outcome.succeeded('$'))


def test_an_unknown_event_is_not_retried_and_those_beside_it_are(bench: Bench) -> None:
    task_ids = bench.accept(2)
    bench.drain()

    assert bench.operator.retry([task_ids[0], uuid4(), task_ids[1]]) == [True, False, True]


@pytest.fixture
def another(model: Any) -> Iterator[Writer]:
    """A second way to write to the same table, as another process has it."""
    with connections_to(model) as connections:
        yield Writer(connections)


def test_two_operators_at_once_retry_once(bench: Bench, another: Writer) -> None:
    task_ids = bench.accept(20)
    bench.drain()
    bench.seen.clear()

    first, second = together(*(
        lambda operator=operator: [operator.retry([task_id])[0] for task_id in task_ids]
        for operator in (bench.operator, Operator(another))))
    bench.drain()

    assert [one + other for one, other in zip(first, second)] == [1] * 20
    assert len(bench.seen) == 20
    assert all([entry['action'] for entry in bench.record(task_id)['history'] if 'action' in entry] == ['retry']
               for task_id in task_ids)


@pytest.mark.parametrize(('afresh', 'known'), [(False, {'kept': True}), (True, {})])
def test_what_a_handler_has_saved_is_kept_unless_it_starts_afresh(bench: Bench, afresh: bool, known: Any) -> None:
    [task_id] = bench.accept()
    bench.drain()

    bench.operator.retry([task_id], afresh=afresh)
    bench.drain()

    assert bench.results == [{}, known]


@pytest.mark.parametrize('cancelled', [True, False])
def test_an_announced_event_is_found_again_after_a_retry(bench: Bench, cancelled: bool) -> None:
    [task_id] = bench.store.accept([received()], announced=1000.0)
    assert bench.store.announce(1000.0, 10) == []  # a message about it is on its way
    if cancelled:
        bench.operator.cancel([task_id])
    else:
        held = bench.store.claim_task(task_id, 'me', 60)
        assert held is not None
        bench.store.finish(held, Outcome.succeeded('$'))

    assert bench.operator.retry([task_id]) == [True]

    assert bench.store.announce(1000.0, 10) == [task_id]
    assert bench.store.announce(1000.0, 10) == []
    assert bench.store.claim_task(task_id, 'me', 60) is not None


# --- cancel

def test_a_cancelled_event_is_never_run(bench: Bench) -> None:
    [task_id] = bench.accept()

    assert bench.operator.cancel([task_id], by='me') == [True]
    bench.drain()

    record = bench.record(task_id)
    assert bench.seen == []
    assert (record['taskStatus'], record['exceptionType']) == ('500 Internal Server Error', 'CancelledError')
    assert record['exceptionValue'] == 'cancelled by me while it waited'
    assert record['finalized'] is not None
    assert bench.operator.cancel([task_id]) == [False]


def test_a_cancelled_event_runs_after_a_retry(bench: Bench) -> None:
    [task_id] = bench.accept()
    bench.operator.cancel([task_id])

    bench.operator.retry([task_id])
    bench.drain()

    record = bench.record(task_id)
    assert (record['taskStatus'], record['exceptionType'], len(bench.seen)) == ('200 OK', None, 1)


def test_of_a_claim_and_a_cancel_at_the_same_time_what_is_said_is_so(bench: Bench, another: Writer) -> None:
    task_ids = bench.accept(30)
    other_store = Store(another, QUEUE)
    held_by_other: list[ClaimedEvent] = []

    def claim() -> set[UUID]:
        held_by_other.extend(filter(None, (other_store.claim_task(task_id, 'me', 60) for task_id in task_ids)))
        return {held.task_id for held in held_by_other}

    def cancel() -> set[UUID]:
        return {task_id for task_id in reversed(task_ids) if bench.operator.cancel([task_id])[0]}

    claimed, cancelled = together(claim, cancel)

    statuses = {task_id: bench.record(task_id)['taskStatus'] for task_id in task_ids}
    assert claimed | cancelled == set(task_ids)
    # One that was being claimed at that moment may be told to try again; what counts as cancelled is marked.
    assert {held.task_id for held, _ in other_store.cancelled(held_by_other)} == claimed & cancelled
    assert {task_id for task_id in task_ids if statuses[task_id] == '102 Processing'} == claimed


@pytest.mark.parametrize('by', ['lone \udcff surrogate', 'NUL \0', 'x' * 100_000, '\U0001f600', "'; DROP TABLE x; --"])
def test_any_name_of_an_operator_is_kept(bench: Bench, by: str) -> None:
    [task_id] = bench.accept()

    assert bench.operator.cancel([task_id], by=by) == bench.operator.retry([task_id], by=by) == [True]

    acts = bench.record(task_id)['history']
    assert [(act['action'], act['by']) for act in acts] == [('cancel', by[:500]), ('retry', by[:500])]


# --- timeline

def test_the_timeline_has_every_attempt_and_act_in_order(bench: Bench) -> None:
    [task_id] = bench.accept()
    bench.failing = True
    bench.drain()
    bench.operator.retry([task_id], by='first')
    bench.failing = False
    bench.drain()
    bench.operator.retry([task_id], by='second', afresh=True)
    bench.operator.cancel([task_id], by='third')

    history = bench.record(task_id)['history']

    assert [(entry.get('attempt'), entry.get('status'), entry.get('action'), entry.get('by')) for entry in history] == [
        (1, '500 Internal Server Error', None, None), (None, None, 'retry', 'first'), (1, '200 OK', None, None),
        (None, None, 'replay', 'second'), (None, None, 'cancel', 'third'),
    ]
    times = [entry.get('ended') or entry['at'] for entry in history]
    assert times == sorted(times)
    assert (history[0]['error'], history[0]['route']) == ('ValueError: it broke', '$ → Calling')
    assert history[0]['started'] <= history[0]['ended']


def test_a_timeline_is_bounded_and_keeps_the_latest(bench: Bench) -> None:
    [task_id] = bench.accept()
    for number in range(90):
        bench.operator.cancel([task_id], by=f'{number} {"x" * 500}')
        bench.operator.retry([task_id], by=f'{number} {"x" * 500}')

    kept = bench.model.get(bench.model.task_id == task_id).history

    history = bench.record(task_id)['history']
    assert 20_000 < len(kept) <= 60_000
    assert history[-1]['by'].startswith('89 ')
    numbers = [int(entry['by'].partition(' ')[0]) for entry in history]
    assert numbers == sorted(numbers)


def test_a_timeline_of_attempts_with_many_stages_is_bounded() -> None:
    stages = [Stage('x' * 40, 1.0)] * 10_000
    history = None
    for number in range(1, 20):
        history = extend(history, attempt(number, 'me', 0.0, 1.0, '500', stages=stages))

    assert history is not None
    assert len(history) < 80_000
    assert read(history)[-1]['attempt'] == 19
    assert len(read(history)[-1]['stages']) == 200


# --- finding

def test_matching_finds_each_event_once_also_while_they_change(bench: Bench, connections: Connections) -> None:
    task_ids = bench.accept(450)
    bench.operator.cancel(task_ids)
    found: list[UUID] = []

    search = Search(connections)
    page = search.page(Filter(status=Status.FAILED), limit=200)
    while page.rows:
        batch = [UUID(row['taskID']) for row in page.rows]
        found += batch
        bench.operator.retry(batch)
        bench.operator.cancel(batch[:50])  # these match again
        page = search.page(Filter(status=Status.FAILED), limit=200, before=page.older) if page.older else Page(())

    assert sorted(found) == sorted(task_ids)


def test_a_page_after_an_event_begins_with_the_next_older(bench: Bench, connections: Connections) -> None:
    task_ids = bench.accept(5)
    search = Search(connections)

    cursor = search.cursor(task_ids[3])

    assert [row['taskID'] for row in search.page(Filter(), limit=2, before=cursor).rows] == [
        str(task_ids[2]), str(task_ids[1])]
    assert search.cursor(uuid4()) is None


# --- pruning

def accept_for(writer: Writer, names: Sequence[QueueName]) -> list[UUID]:
    return [Store(writer, name).accept([received()])[0] for name in names]


def test_pruning_takes_the_ended_events_of_every_queue_or_of_one(bench: Bench, writer: Writer) -> None:
    other = QueueName('other', 'other.receive')
    mine, waiting = bench.accept(2)
    others = accept_for(writer, [other, other])
    bench.operator.cancel([mine, *others])

    assert bench.operator.count_prunable(0.0) == 3
    assert bench.operator.count_prunable(0.0, other) == 2
    assert bench.operator.count_prunable(3600.0) == bench.operator.prune(3600.0) == 0
    assert bench.operator.prune(0.0, other, limit=1) == 1
    assert bench.operator.prune(0.0) == 2
    assert [row.task_id for row in bench.model.select()] == [waiting]


def test_an_event_that_was_retried_is_not_pruned(bench: Bench) -> None:
    [task_id] = bench.accept()
    bench.operator.cancel([task_id])
    bench.operator.retry([task_id])

    assert bench.operator.prune(0.0) == 0


def test_due_events_are_counted_in_the_queue_that_has_most(bench: Bench, writer: Writer) -> None:
    other = QueueName('other', 'other.receive')
    bench.accept(2)
    accept_for(writer, [other] * 3)

    assert bench.operator.count_due([QUEUE], 10) == 2
    assert bench.operator.count_due([QUEUE, other], 10) == 3
    assert bench.operator.count_due([QUEUE, other], 1) == 1
    assert bench.operator.count_due([], 10) == 0


# --- presence

def test_a_worker_is_shown_until_its_farewell_and_lost_when_it_is_silent(database_url: str) -> None:
    now = [1_000_000.0]
    database = connect(database_url)
    connections = Connections(database, ensure_schema, clock=lambda: now[0])
    store, overview = Store(Writer(connections), QUEUE), Overview(connections)
    first = Heartbeat('1' * 32, QUEUE, 'host:1', 'threads', 4, 30.0)
    second = Heartbeat('2' * 32, QUEUE, 'host:2', 'processes', 2, 30.0)

    store.beat(first)
    store.beat(second)
    now[0] += 20
    store.beat(second)
    shown = overview.workers()
    assert [(worker.owner, worker.engine, worker.concurrency, worker.age, worker.lost) for worker in shown] == [
        ('host:2', 'processes', 2, 0.0, False), ('host:1', 'threads', 4, 20.0, False)]

    now[0] += 11
    store.beat(second)
    assert {worker.owner: worker.lost for worker in overview.workers()} == {'host:2': False, 'host:1': True}

    store.deregister(second.worker_id)
    assert [worker.owner for worker in overview.workers()] == ['host:1']

    now[0] += 86_401
    store.beat(second)
    assert [worker.owner for worker in overview.workers()] == ['host:2']
    connections.close()
    database.close()


WORKER = '''
import sys, threading
from playhouse.db_url import connect
from pacifica.dispatcher.receiver import create_peewee_model
from pacifica.dispatcher.router import Router
queue = create_peewee_model(connect(sys.argv[1])).create_queue(Router(), 'my.app', 'my.tasks.receive')
worker = queue.create_worker(3, lease=1.0)
worker.start()
print('started', flush=True)
sys.stdin.read()
worker.stop()
'''


@pytest.mark.slow
def test_a_worker_that_was_killed_is_shown_lost_and_one_that_stopped_is_not_shown(
    bench: Bench, connections: Connections, database_url: str,
) -> None:
    overview = Overview(connections)
    workers = [subprocess.Popen([sys.executable, '-c', WORKER, database_url], stdin=subprocess.PIPE)
               for _ in range(2)]
    killed, stopped = workers
    try:
        wait_until(lambda: len([worker for worker in overview.workers() if not worker.lost]) == 2)
        killed.kill()
        stopped.communicate()

        [lost] = wait_until(lambda: [worker for worker in overview.workers() if worker.lost])
        assert (lost.owner.rpartition(':')[2], lost.concurrency, lost.lease) == (str(killed.pid), 3, 1.0)
        assert overview.workers() and [worker.owner for worker in overview.workers()] == [lost.owner]
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
