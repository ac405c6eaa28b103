"""What the queue promises, on every database: one worker's turn at a time, in this thread."""

from __future__ import annotations

import json
import threading
import time
from functools import partial
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from pacifica.dispatcher._engine.keeper import LeaseKeeper
from pacifica.dispatcher._queue.connections import Connections
from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher._queue.values import QueueName
from pacifica.dispatcher._queue.writer import Writer
from pacifica.dispatcher.exceptions import InvalidEventError, LeaseLostError, RetryLater, TransferError, WorkerLostError
from pacifica.dispatcher.router import Router
from pacifica.dispatcher.task_context import current_task
from support.events import ingest_event, received, router_to, wait_until
from support.queues import APPLICATION, TASK, drain, executor_on, queue_of, record, start_and_stop
from support.threads import together


def test_an_accepted_event_waits_with_all_its_attributes(model: Any) -> None:
    event = ingest_event(eventTypeVersion='1', schemaURL='http://schema')

    task_id = queue_of(model).delay(event).id

    row = record(model, task_id)
    assert row.task_status == '202 Accepted'
    assert (row.event_type, row.event_type_version, row.cloud_events_version) == (event['eventType'], '1', '0.1')
    assert (row.source, row.event_id, row.event_time) == (event['source'], event['eventID'], event['eventTime'])
    assert (row.schema_url, row.content_type) == ('http://schema', 'application/json')
    assert json.loads(row.event_data) == event
    assert json.loads(row.data) == event['data']
    assert (row.task_application_name, row.task_name) == ('my.app', 'my.tasks.receive')
    assert (row.exc_type, row.exc_value, row.exc_traceback) == (None, None, '')
    assert row.created == row.updated
    assert row.deleted is row.finalized is None


def test_a_handled_event_ends_in_200(model: Any) -> None:
    seen: list[Any] = []
    queue = queue_of(model, lambda event: seen.append(event.event_id))
    event = ingest_event()

    task_id = queue.delay(event).id
    count = drain(queue.create_worker())

    row = record(model, task_id)
    assert count == 1
    assert seen == [event['eventID']]
    assert row.task_status == '200 OK'
    assert row.attempts == 1
    assert row.route == '$ → Calling'
    assert row.created < row.updated
    assert row.finalized == row.updated
    assert row.claim_token is row.claim_owner is row.lease_expires is None


def test_while_it_is_handled_an_event_is_in_102(model: Any) -> None:
    seen: list[Any] = []
    queue = queue_of(model, lambda event: seen.append(record(model, str(current_task().task_id)).task_status))

    queue.delay(ingest_event())
    drain(queue.create_worker())

    assert seen == ['102 Processing']


def test_an_event_without_a_route_ends_in_422(model: Any) -> None:
    queue = queue_of(model, Router())

    task_id = queue.delay(ingest_event()).id
    drain(queue.create_worker())

    row = record(model, task_id)
    assert row.task_status == '422 Unprocessable Entity'
    assert (row.exc_type, row.exc_value, row.exc_traceback) == ('RouteNotFoundRouterError', 'route not found', '')


@pytest.mark.parametrize('error', [
    Exception('it broke'), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), type('Strange', (BaseException,), {})(),
])
def test_an_exception_of_any_class_ends_its_event_in_500(model: Any, error: BaseException) -> None:
    def handle(event: Any) -> None:
        raise error

    queue = queue_of(model, handle)
    task_id = queue.delay(ingest_event()).id
    drain(queue.create_worker())

    row = record(model, task_id)
    assert row.task_status == '500 Internal Server Error'
    assert row.exc_type == type(error).__name__
    assert row.exc_value == str(error)
    assert 'in handle' in row.exc_traceback


def test_the_traceback_shows_the_causes(model: Any) -> None:
    def handle(event: Any) -> None:
        try:
            raise KeyError('the cause')
        except KeyError as exc:
            raise ValueError('the effect') from exc

    queue = queue_of(model, handle)
    task_id = queue.delay(ingest_event()).id
    drain(queue.create_worker())

    traceback = record(model, task_id).exc_traceback
    assert 'the cause' in traceback
    assert 'ValueError: the effect' in traceback


def test_a_message_of_a_megabyte_is_cut_with_a_mark(model: Any) -> None:
    def handle(event: Any) -> None:
        raise ValueError('x' * 1_000_000)

    queue = queue_of(model, handle)
    task_id = queue.delay(ingest_event()).id
    drain(queue.create_worker())

    row = record(model, task_id)
    assert row.task_status == '500 Internal Server Error'
    assert len(row.exc_value) < 17_000
    assert 'cut' in row.exc_value


@pytest.mark.parametrize('text', ['NUL \0 here', 'lone \ud800 surrogate', '\U0001f600', 'x' * 5_000, 'é' * 20_000],
                         ids=['NUL', 'surrogate', 'emoji', 'long', 'long and not ASCII'])
def test_no_text_of_an_event_or_an_error_is_refused(model: Any, text: str) -> None:
    def handle(event: Any) -> None:
        assert event.source == text
        raise ValueError(text)

    queue = queue_of(model, handle)
    event = ingest_event(source=text, data=[text])
    task_id = queue.delay(event).id
    drain(queue.create_worker())

    row = record(model, task_id)
    assert row.exc_type == 'ValueError', row.exc_traceback
    assert json.loads(row.event_data) == event
    assert row.source[:5_000] == text[:5_000].replace('\0', '\\u0000').replace('\ud800', '\\ud800')


def test_an_event_of_megabytes_is_kept_whole(model: Any) -> None:
    lengths: list[int] = []
    queue = queue_of(model, lambda event: lengths.append(len(event.data[0])))

    queue.delay(ingest_event(data=['x' * 3_000_000]))
    drain(queue.create_worker())

    assert lengths == [3_000_000]


def test_an_event_too_large_for_the_database_is_refused_as_the_senders_fault(
    model: Any, connections: Connections,
) -> None:
    queue = queue_of(model)
    event = ingest_event(data=['x' * 12_000_000])
    limit = connections.writer.transaction(lambda session: session.statement_limit)

    if limit is None:
        assert queue.delay(event).id
    else:
        with pytest.raises(InvalidEventError, match='larger than the database') as excinfo:
            queue.delay({**event, 'data': ['x' * (limit // 2)]})
        assert excinfo.value.status == 413
        assert queue.delay({**event, 'data': ['x' * (limit // 2 - 400_000)]}).id


def test_an_error_that_cant_be_shown_ends_its_event_all_the_same(model: Any) -> None:
    class Shy(Exception):
        def __str__(self) -> str:
            raise RuntimeError('no')

    def handle(event: Any) -> None:
        raise Shy

    queue = queue_of(model, handle)
    task_id = queue.delay(ingest_event()).id
    drain(queue.create_worker())

    row = record(model, task_id)
    assert (row.task_status, row.exc_type) == ('500 Internal Server Error', 'Shy')


def test_what_is_no_event_is_refused_and_not_stored(model: Any) -> None:
    queue = queue_of(model)

    with pytest.raises(InvalidEventError):
        queue.delay({'eventType': 'x'})

    model.create_table()
    assert model.select().count() == 0


# --- duplicates

def test_the_same_source_and_id_is_the_same_task_and_runs_once(model: Any) -> None:
    seen: list[Any] = []
    queue = queue_of(model, seen.append)
    event = ingest_event()

    first = queue.delay(event).id
    second = queue.delay({**event, 'data': []}).id
    drain(queue.create_worker())
    third = queue.delay(event).id
    drain(queue.create_worker())

    assert first == second == third
    assert len(seen) == 1
    assert model.select().count() == 1


def test_the_same_event_twice_in_one_batch_is_one_task(model: Any) -> None:
    event = received()

    task_ids = queue_of(model).accept([event, received(), event])

    assert task_ids[0] == task_ids[2] != task_ids[1]
    assert model.select().count() == 2


def test_the_same_event_from_many_threads_at_once_is_one_task(model: Any) -> None:
    event = ingest_event()
    queues = [queue_of(model) for _ in range(2)]

    tasks = together(*[lambda queue=queue: queue.delay(event) for queue in queues * 4])

    assert len({task.id for task in tasks}) == 1
    assert model.select().count() == 1


def test_without_deduplication_each_arrival_is_a_task(model: Any) -> None:
    queue = queue_of(model, deduplicate=False)
    event = ingest_event()

    assert queue.delay(event).id != queue.delay(event).id
    assert drain(queue.create_worker()) == 2


# --- retries

def test_an_error_is_final_at_once_unless_its_class_is_retried(model: Any) -> None:
    attempts: list[int] = []

    def handle(event: Any) -> None:
        attempts.append(current_task().attempt)
        raise ConnectionError('away')

    queue = queue_of(model, handle)
    task_id = queue.delay(ingest_event()).id
    drain(queue.create_worker())

    assert attempts == [1]
    assert record(model, task_id).task_status == '500 Internal Server Error'


def test_a_retried_error_waits_with_its_text_and_ends_after_max_attempts(model: Any) -> None:
    attempts: list[int] = []

    def handle(event: Any) -> None:
        attempts.append(current_task().attempt)
        raise ConnectionError(f'away {current_task().attempt}')

    queue = queue_of(model, handle, retry_for=[OSError], max_attempts=3, backoff=1e-6)
    worker = queue.create_worker()
    task_id = queue.delay(ingest_event()).id

    assert worker.run_once()
    waiting = record(model, task_id)
    while not drain(worker) and len(attempts) < 3:
        pass

    assert (waiting.task_status, waiting.exc_value) == ('202 Accepted', 'away 1')
    assert waiting.finalized is None
    assert attempts == [1, 2, 3]
    row = record(model, task_id)
    assert (row.task_status, row.exc_value, row.attempts) == ('500 Internal Server Error', 'away 3', 3)


def test_a_retry_is_not_due_before_its_time(model: Any) -> None:
    def handle(event: Any) -> None:
        raise RetryLater(3600, 'tomorrow is another day')

    queue = queue_of(model, handle)
    worker = queue.create_worker()
    task_id = queue.delay(ingest_event()).id

    assert drain(worker) == 1

    row = record(model, task_id)
    assert (row.task_status, row.exc_value) == ('202 Accepted', 'tomorrow is another day')


@pytest.mark.parametrize(('transient', 'status'), [(True, '202 Accepted'), (False, '500 Internal Server Error')])
def test_a_transfer_is_retried_if_its_fault_may_pass(model: Any, transient: bool, status: str) -> None:
    def handle(event: Any) -> None:
        raise TransferError('no connection', transient=transient)

    queue = queue_of(model, handle)
    task_id = queue.delay(ingest_event()).id
    drain(queue.create_worker())

    assert record(model, task_id).task_status == status


def test_a_handler_may_want_its_event_later_more_often_than_it_may_fail(model: Any) -> None:
    attempts: list[int] = []

    def handle(event: Any) -> None:
        attempts.append(current_task().attempt)
        if len(attempts) < 6:
            raise RetryLater(0)
        raise KeyError('at last')

    queue = queue_of(model, handle, max_attempts=2, retry_for=[KeyError], backoff=0.001)
    task_id = queue.delay(ingest_event()).id
    worker = queue.create_worker()
    wait_until(lambda: (drain(worker), record(model, task_id).finalized)[-1], 60)

    assert attempts == [1, 2, 3, 4, 5, 6, 7]
    assert record(model, task_id).task_status == '500 Internal Server Error'


@pytest.mark.parametrize(('patience', 'attempts'), [(0, 3), (0.05, None)])
def test_wanting_it_later_counts_without_patience_and_ends_with_it(
    model: Any, patience: float, attempts: int | None,
) -> None:
    def handle(event: Any) -> None:
        raise RetryLater(0, 'not yet')

    queue = queue_of(model, handle, patience=patience)
    task_id, worker = queue.delay(ingest_event()).id, queue.create_worker()
    wait_until(lambda: (drain(worker), record(model, task_id).finalized)[-1], 60)

    row = record(model, task_id)
    assert (row.task_status, row.exc_type) == ('500 Internal Server Error', 'RetryLater')
    assert attempts is None or row.attempts == attempts


def test_success_after_a_retry_leaves_no_error_on_the_record(model: Any) -> None:
    def handle(event: Any) -> None:
        if current_task().attempt == 1:
            raise RetryLater(0)

    queue = queue_of(model, handle)
    task_id = queue.delay(ingest_event()).id
    drain(queue.create_worker())

    row = record(model, task_id)
    assert (row.task_status, row.attempts) == ('200 OK', 2)
    assert (row.exc_type, row.exc_value, row.exc_traceback) == (None, None, '')


# --- results

def test_a_saved_result_is_there_for_the_next_attempt_and_on_the_record(model: Any) -> None:
    found: list[Any] = []

    def handle(event: Any) -> None:
        task = current_task()
        found.append(dict(task.result))
        if task.attempt == 1:
            task.save_result(job=7, state={'é': None})
            raise RetryLater(0)

    queue = queue_of(model, handle)
    task_id = queue.delay(ingest_event()).id
    drain(queue.create_worker())

    assert found == [{}, {'job': 7, 'state': {'é': None}}]
    assert json.loads(record(model, task_id).result) == found[1]


# --- leases

def test_a_worker_that_lost_its_lease_can_write_nothing(model: Any, store: Store) -> None:
    tasks: list[Any] = []

    def lose_the_lease(event: Any) -> None:
        tasks.append(current_task())
        if len(tasks) == 1:
            model.update(lease_expires=1.0).execute()
            assert other.run_once() is False  # takes nothing that is held…
            assert store.rescue(3).again == 1  # … until the janitor finds that the lease is over
            assert wait_until(other.run_once)
            with pytest.raises(LeaseLostError):
                tasks[0].save_result(late=True)

    queue = queue_of(model, lose_the_lease)
    worker, other = queue.create_worker(), queue.create_worker()
    task_id = queue.delay(ingest_event()).id
    worker.run_once()

    row = record(model, task_id)
    assert [task.attempt for task in tasks] == [1, 2]
    assert (row.task_status, row.attempts, row.result) == ('200 OK', 2, None)


def keeper_of(store: Store, max_attempts: int) -> LeaseKeeper:
    """Return what keeps the leases of a worker and takes over the events of dead ones."""
    return LeaseKeeper(store, executor_on(store, max_attempts=max_attempts), 30.0, None, None)


def test_time_in_which_the_database_answered_nobody_ends_no_lease(
    model: Any, store: Store, monkeypatch: pytest.MonkeyPatch,
) -> None:
    [task_id] = store.accept([received()])
    held = store.claim('a worker that lives', 30.0)
    assert held is not None
    janitor = keeper_of(store, max_attempts=3)
    rescue, asking = store.rescue, threading.Event()
    monkeypatch.setattr(store, 'rescue', lambda *args: (asking.set(), rescue(*args))[1])
    turn = threading.Thread(target=janitor.run_once)

    def answer_nobody(_session: Any) -> float:
        turn.start()
        assert asking.wait(20)
        began = time.time()
        model.update(lease_expires=began + 0.2).execute()
        wait_until(lambda: time.time() > began + 0.4)
        return began

    began = store.connections.writer.exclusively(answer_nobody)
    turn.join()

    assert record(model, task_id).task_status == '102 Processing'
    assert store.renew([held], 30.0) == [True]

    model.update(lease_expires=began).execute()
    janitor.run_once()

    assert record(model, task_id).task_status == '202 Accepted'


def test_a_look_at_the_line_that_takes_long_is_rare(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []
    monkeypatch.setattr(store, 'straighten_line', lambda: (
        looks.append(time.monotonic()), wait_until(lambda: time.monotonic() > looks[-1] + 0.03)))
    keeper = keeper_of(store, max_attempts=3)

    wait_until(lambda: (keeper.run_once(), len(looks) == 2)[1])
    assert looks[1] - looks[0] > 49 * 0.03


def test_a_look_at_the_line_that_waited_long_for_the_database_is_due_again_in_a_minute(
    store: Store, monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.0]
    monkeypatch.setattr('pacifica.dispatcher._engine.keeper.time', SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(store, 'straighten_line', lambda: now.__setitem__(0, now[0] + 100.0))
    keeper = keeper_of(store, max_attempts=3)

    for seconds, looked in ((0.0, True), (59.0, False), (1.0, True)):
        began = now[0] = now[0] + seconds
        keeper.run_once()
        assert (now[0] > began) == looked


def test_after_the_last_attempt_a_lost_worker_ends_the_event_in_500(model: Any, store: Store) -> None:
    [task_id] = store.accept([received()])
    statuses = []

    for _ in range(2):
        model.update(due=1.0).where(model.task_status == '202 Accepted').execute()
        assert store.claim('a worker that dies', 30.0)
        model.update(lease_expires=1.0).execute()
        keeper_of(store, max_attempts=2).run_once()
        statuses.append(record(model, task_id).task_status)

    row = record(model, task_id)
    assert statuses == ['202 Accepted', '500 Internal Server Error']
    assert row.exc_type == WorkerLostError.__name__
    assert 'a worker that dies' in row.exc_value
    assert row.finalized is not None
    assert store.claim('another worker', 30.0) is None


def test_a_released_event_runs_again_and_its_attempt_does_not_count(model: Any, store: Store) -> None:
    [task_id] = store.accept([received()])
    held = store.claim('a worker that stops', 30.0)

    assert held is not None
    assert store.release([held]) == [True]
    assert store.release([held]) == [False]
    wait_until(queue_of(model).create_worker().run_once)

    assert record(model, task_id).attempts == 1


def test_an_event_is_claimed_by_one_of_many_workers(model: Any, writer: Writer) -> None:
    stores = [Store(writer, QueueName(APPLICATION, TASK)) for _ in range(4)]
    stores[0].accept([received() for _ in range(40)])
    claimed: list[UUID] = []

    def claim(store: Store) -> None:
        while held := store.claim('someone', 30.0):
            claimed.append(held.task_id)

    together(*[partial(claim, store) for store in stores])

    assert len(claimed) == len(set(claimed)) == 40


def test_events_run_in_the_order_in_which_they_came(model: Any) -> None:
    seen: list[str] = []
    queue = queue_of(model, lambda event: seen.append(event.event_id))
    events = [ingest_event() for _ in range(5)]

    for event in events:
        queue.delay(event)
    drain(queue.create_worker())

    assert seen == [event['eventID'] for event in events]


def test_two_applications_in_one_table_run_their_own_events(model: Any) -> None:
    seen: list[str] = []
    mine = model.create_queue(router_to(lambda event: seen.append('mine')), 'my.app', 'receive')
    other = model.create_queue(router_to(lambda event: seen.append('other')), 'My.App', 'receive')

    mine.delay(ingest_event())

    assert drain(other.create_worker()) == 0
    assert drain(mine.create_worker()) == 1
    assert seen == ['mine']


# --- retention

def test_prune_deletes_what_ended_and_is_old_and_nothing_else(model: Any) -> None:
    queue = queue_of(model)
    old, recent = queue.delay(ingest_event()).id, queue.delay(ingest_event()).id
    drain(queue.create_worker())
    waiting = queue.delay(ingest_event()).id
    model.update(finalized='2020-01-01 00:00:00.000000').where(model.task_id == UUID(old)).execute()

    deleted = queue.prune(older_than=3600)

    assert deleted == 1
    assert {str(row.task_id) for row in model.select()} == {recent, waiting}


def test_a_worker_with_a_retention_prunes_and_logs_it(model: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level('INFO')
    queue = queue_of(model)
    queue.delay(ingest_event())
    worker = queue.create_worker(retention=3600)
    drain(worker)
    model.update(finalized='2020-01-01 00:00:00.000000').execute()

    start_and_stop(worker)

    assert model.select().count() == 0
    assert [(vars(entry)['deleted'], vars(entry)['by']) for entry in caplog.records
            if entry.message == 'events.pruned'] == [(1, 'retention')]
