"""What the queue promises, kept by the Celery engine, on every database: with workers in this process."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import celery
import pytest
from playhouse.db_url import connect

from pacifica.dispatcher._engine.celery_app import ReceiveTask
from pacifica.dispatcher.exceptions import (
    ConfigurationError, DatabaseUnavailableError, InvalidEventError, QueueFullError, RetryLater,
)
from pacifica.dispatcher.receiver import create_peewee_model
from pacifica.dispatcher.task_context import current_task
from support.celery_apps import TASK, announce, app_of, drain, working
from support.databases import model_in
from support.events import ingest_event, received, router_to, wait_until
from support.queues import count, queue_of, record, status


@pytest.fixture
def other(database_url: str) -> Iterator[Any]:
    """The same table, seen by another process."""
    with model_in(database_url) as model:
        yield model


# --- sending

def test_the_results_id_is_the_task_id_of_the_record(model: Any) -> None:
    task = app_of(model).tasks[TASK]
    event = ingest_event()

    result = task.delay(event)

    row = record(model, result.id)
    assert (row.task_status, row.event_id) == ('202 Accepted', event['eventID'])
    assert (row.task_application_name, row.task_name) == ('my.app', TASK)


def test_an_id_that_the_caller_chooses_is_the_task_id(model: Any) -> None:
    task_id = str(uuid4())

    result = app_of(model).tasks[TASK].apply_async((ingest_event(),), task_id=task_id)

    assert result.id == task_id
    assert status(model, task_id) == '202 Accepted'


@pytest.mark.parametrize('way', ['delay', 'accept'])
def test_the_row_is_committed_before_its_message_is_published(
    model: Any, other: Any, way: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(
        ReceiveTask, 'publish', lambda task, task_id, **_: seen.append(other.get_or_none(other.task_id == task_id)))
    task = app_of(model).tasks[TASK]

    task.delay(ingest_event()) if way == 'delay' else task.accept([received()])

    wait_until(lambda: seen)
    assert seen[0].task_status == '202 Accepted'
    other._meta.database.close()


def test_the_message_carries_the_task_id_and_nothing_of_the_event(model: Any) -> None:
    app = app_of(model)
    result = app.tasks[TASK].delay(ingest_event())

    with app.connection_for_read() as connection:
        message = connection.SimpleQueue(app.conf.task_default_queue).get(timeout=10)
        message.ack()

    args, kwargs, _ = message.payload
    assert (args, kwargs, message.headers['id']) == ([result.id], {}, result.id)
    assert 'metadata' not in str(message.headers)


def test_the_same_event_again_is_the_same_task(model: Any) -> None:
    task = app_of(model).tasks[TASK]
    event = ingest_event()

    assert task.delay(event).id == task.delay(event).id
    assert model.select().count() == 1


@pytest.mark.parametrize('event', [{}, {'eventType': 'x'}, 'text', None, 5])
def test_what_is_no_event_is_refused_where_it_is_sent(model: Any, event: Any) -> None:
    task = app_of(model).tasks[TASK]
    model.create_table()

    with pytest.raises(InvalidEventError):
        task.delay(event)

    assert model.select().count() == 0


def test_a_backlog_can_be_bounded(model: Any) -> None:
    app_of(model).tasks[TASK].delay(ingest_event())
    task = app_of(model, max_backlog=1).tasks[TASK]

    with pytest.raises(QueueFullError):
        task.delay(ingest_event())


def test_a_broker_that_is_away_costs_time_and_no_event(model: Any) -> None:
    app = app_of(model, broker='amqp://127.0.0.1:9//', broker_connection_timeout=1)
    task = app.tasks[TASK]
    began = time.monotonic()

    results = [task.delay(ingest_event()) for _ in range(20)] + task.accept([received() for _ in range(20)])

    assert time.monotonic() - began < 60
    assert len(set(map(str, results))) == 40
    assert count(model, '202 Accepted') == 40


def test_a_broker_that_hangs_keeps_no_sender_waiting(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ReceiveTask, 'publish', lambda task, task_id, **_: time.sleep(3600))
    task = app_of(model).tasks[TASK]

    task_ids = [task.accept([received()])[0] for _ in range(20)]

    assert count(model, '202 Accepted') == len(task_ids)


# --- running

@contextmanager
def waiting_to_be_sent(
    model: Any, monkeypatch: pytest.MonkeyPatch, events: int,
) -> Iterator[tuple[Any, list[UUID], list[UUID]]]:
    """Yield a task, the ids of an event whose message it sends and of so many behind it; and, later, of those sent."""
    sent: list[UUID] = []
    sending, go_on = threading.Event(), threading.Event()

    def publish(task: Any, task_id: UUID, **_: Any) -> None:
        sent.append(task_id)
        sending.set()
        go_on.wait(30)

    monkeypatch.setattr(ReceiveTask, 'publish', publish)
    task = app_of(model).tasks[TASK]
    first = task.accept([received()])
    assert sending.wait(30)
    task_ids = [UUID(task_id) for task_id in (*first, *task.accept([received() for _ in range(events)]))]
    yield task, task_ids, sent
    go_on.set()


def test_of_events_that_a_worker_has_taken_meanwhile_no_message_is_sent(
    model: Any, monkeypatch: pytest.MonkeyPatch,
) -> None:
    with waiting_to_be_sent(model, monkeypatch, 3) as (task, task_ids, sent):
        assert task.store.claim_task(task_ids[2], 'somebody', 30) is not None

    wait_until(lambda: task_ids[3] in sent)
    assert sent == [task_ids[0], task_ids[1], task_ids[3]]


def test_a_database_that_is_away_keeps_no_message_back(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(task_ids: Any) -> Any:
        raise DatabaseUnavailableError('away')

    with waiting_to_be_sent(model, monkeypatch, 3) as (task, task_ids, sent):
        monkeypatch.setattr(task.store, 'waiting', away)

    wait_until(lambda: sent == task_ids)


def test_while_the_broker_holds_enough_messages_further_ones_wait_to_be_sent(
    model: Any, monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[UUID] = []
    messages = [20]
    asked = threading.Event()

    def backlog(task: Any) -> int:
        asked.set()
        return messages[0]

    monkeypatch.setattr(ReceiveTask, 'publish', lambda task, task_id, **_: sent.append(task_id))
    monkeypatch.setattr(ReceiveTask, 'backlog', backlog)
    task = app_of(model).tasks[TASK]
    first = [UUID(task_id) for task_id in task.accept([received() for _ in range(20)])]
    wait_until(lambda: len(sent) == 20)
    last = UUID(task.accept([received()])[0])
    assert asked.wait(30)
    assert sent == first

    messages[0] = 19
    wait_until(lambda: sent == [*first, last])


def test_a_message_of_an_event_that_was_taken_leads_to_another(model: Any) -> None:
    app = app_of(model)
    task = app.tasks[TASK]
    result = task.delay(ingest_event())
    assert task.store.claim_task(UUID(result.id), 'somebody', 30) is not None
    [without_message] = task.store.accept([received()], announced=3600.0)

    assert drain(app) == 1

    assert status(model, result.id) == '102 Processing'
    assert status(model, str(without_message)) == '200 OK'


def test_a_worker_runs_what_is_sent(model: Any) -> None:
    seen: list[Any] = []

    def handle(event: Any) -> None:
        task = current_task()
        assert task is not None
        seen.append((event.event_id, celery.current_task.request.id, str(task.task_id), task.attempt))

    app = app_of(model, handle)
    events = [ingest_event() for _ in range(20)]
    with working(app):
        task_ids = [app.tasks[TASK].delay(event).id for event in events]
        wait_until(lambda: count(model, '200 OK') == 20, 120)

    assert sorted(seen) == sorted((event['eventID'], id, id, 1) for event, id in zip(events, task_ids))


def test_one_message_leads_to_further_events_under_their_own_ids(
    model: Any, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr('pacifica.dispatcher._engine.celery_app._FURTHER', 30.0)  # enough on a busy machine
    seen: list[str] = []
    app = app_of(model, lambda event: seen.append(celery.current_task.request.id))
    task = app.tasks[TASK]
    task_ids = [task.store.accept([received()])[0] for _ in range(5)]
    task.publish(task_ids[0])

    assert drain(app) == 1

    assert seen == list(map(str, task_ids))
    assert count(model, '200 OK') == 5


def test_an_event_that_takes_its_time_is_the_only_one_of_its_message(model: Any) -> None:
    def handle(event: Any) -> None:
        began = time.monotonic()
        wait_until(lambda: time.monotonic() - began > 0.2)

    app = app_of(model, handle)
    task = app.tasks[TASK]
    first, second = (task.store.accept([received()])[0] for _ in range(2))
    task.publish(first)

    drain(app)

    assert (status(model, str(first)), status(model, str(second))) == ('200 OK', '202 Accepted')


@pytest.mark.parametrize('settings', [{'task_annotations': {TASK: {'rate_limit': '1000/s'}}},
                                      {'worker_max_tasks_per_child': 10}])
def test_where_celery_counts_runs_a_message_is_one_event(model: Any, settings: dict[str, Any]) -> None:
    app = app_of(model, **settings)
    task = app.tasks[TASK]
    first, second = (task.store.accept([received()])[0] for _ in range(2))
    task.publish(first)

    drain(app)

    assert (status(model, str(first)), status(model, str(second))) == ('200 OK', '202 Accepted')


def test_a_message_that_comes_twice_runs_its_event_once(model: Any) -> None:
    seen: list[Any] = []
    app = app_of(model, seen.append)
    task = app.tasks[TASK]
    task_id = UUID(task.delay(ingest_event()).id)
    task.publish(task_id)
    task.publish(task_id)

    assert drain(app) == 3
    task.publish(task_id)
    assert drain(app) == 1

    assert len(seen) == 1


def test_an_event_that_an_embedded_worker_takes_too_runs_once(model: Any) -> None:
    seen: list[Any] = []
    app = app_of(model, lambda event: seen.append(event.event_id))
    queue = queue_of(model, lambda event: seen.append(event.event_id))
    for _ in range(50):
        app.tasks[TASK].delay(ingest_event())
    worker = queue.create_worker(concurrency=2, poll_interval=0.01)
    worker.start()
    try:
        drain(app)
        wait_until(lambda: count(model, '200 OK') == 50)
    finally:
        worker.stop(10)

    assert len(seen) == len(set(seen)) == 50


@pytest.mark.parametrize('error', [
    Exception('it broke'), SystemExit(3), KeyboardInterrupt(), type('Unpicklable', (Exception,), {
        '__init__': lambda self, a, b: None, '__str__': lambda self: 'two arguments'})(1, 2),
    type('Strange', (BaseException,), {})(), celery.exceptions.Reject('no', requeue=True), celery.exceptions.Ignore(),
])
def test_what_a_handler_raises_ends_its_event_and_nothing_else(model: Any, error: BaseException) -> None:
    def handle(event: Any) -> None:
        if event.data == 'raise':
            raise error

    app = app_of(model, handle)
    bad = app.tasks[TASK].delay(ingest_event(data='raise', contentType='text/plain')).id
    good = app.tasks[TASK].delay(ingest_event()).id

    drain(app)

    row = record(model, bad)
    assert (row.task_status, row.exc_type, row.exc_value) == (
        '500 Internal Server Error', type(error).__name__, str(error))
    assert status(model, good) == '200 OK'


def test_a_retry_is_announced_when_it_is_due(model: Any) -> None:
    attempts: list[float] = []

    def handle(event: Any) -> None:
        attempts.append(time.monotonic())
        if len(attempts) < 3:
            raise RetryLater(0.3)

    app = app_of(model, handle)
    task_id = app.tasks[TASK].delay(ingest_event()).id
    drain(app)
    assert announce(app) == 0 or time.monotonic() - attempts[0] >= 0.29

    wait_until(lambda: (announce(app), drain(app), status(model, task_id) == '200 OK')[-1])

    assert len(attempts) == 3
    assert all(second - first >= 0.29 for first, second in zip(attempts, attempts[1:]))


def test_a_message_that_was_lost_is_sent_again_once_it_counts_as_lost(model: Any) -> None:
    app = app_of(model)
    task_id = str(app.tasks[TASK].store.accept([received()], announced=1)[0])  # and then its sender was killed

    assert announce(app) == 0
    wait_until(lambda: announce(app) == 1)
    assert announce(app) == 0

    drain(app)
    assert status(model, task_id) == '200 OK'
    assert announce(app) == 0


def test_what_a_dead_worker_left_is_announced(model: Any) -> None:
    app = app_of(model)
    store = app.tasks[TASK].store
    task_id = str(store.accept([received()], announced=3600)[0])
    assert store.claim_task(UUID(task_id), 'a dead worker', 0.1)
    wait_until(lambda: store.rescue(3) == (1, 0, []))

    assert announce(app) == 1

    drain(app)
    assert record(model, task_id).attempts == 2


def test_while_the_broker_holds_many_messages_only_those_that_are_missing_are_sent(model: Any) -> None:
    app = app_of(model, worker_max_tasks_per_child=1)
    task = app.tasks[TASK]
    lost = [task.store.accept([received()])[0] for _ in range(2)]
    others = task.store.accept([received() for _ in range(120)], announced=None)
    for task_id in others:
        task.publish(task_id)

    assert announce(app) == 2
    assert announce(app) == 0

    assert drain(app) == 122
    assert [status(model, str(task_id)) for task_id in lost] == ['200 OK', '200 OK']


@pytest.mark.parametrize('when', [
    lambda app: {'countdown': 1},
    lambda app: {'eta': datetime.now(timezone.utc) + timedelta(seconds=1)},
    lambda app: {'eta': datetime.now(timezone.utc).replace(tzinfo=None) + timedelta(seconds=1)},
])
def test_an_event_with_a_time_is_not_run_before_it(model: Any, when: Any) -> None:
    seen: list[float] = []
    app = app_of(model, lambda event: seen.append(time.monotonic()))

    began = time.monotonic()
    app.tasks[TASK].apply_async((ingest_event(),), **when(app))
    wait_until(lambda: (announce(app), drain(app), seen)[-1])

    assert seen[0] - began > 0.9


# --- messages of receivers of the 0.2 series

def send_as_0_2(app: Any, event: Any, task_id: str | None = None) -> str:
    return str(app.send_task(TASK, args=[event], task_id=task_id).id)


def test_a_whole_event_is_stored_under_its_messages_id_and_run(model: Any) -> None:
    seen: list[str] = []
    app = app_of(model, lambda event: seen.append(celery.current_task.request.id))
    event = ingest_event()

    task_id = send_as_0_2(app, event)
    drain(app)

    assert seen == [task_id]
    row = record(model, task_id)
    assert (row.event_id, row.task_status) == (event['eventID'], '200 OK')


def test_a_whole_event_that_is_delivered_twice_runs_once_and_one_sent_twice_has_two_records(model: Any) -> None:
    seen: list[Any] = []
    app = app_of(model, seen.append)
    event, first, second = ingest_event(), str(uuid4()), str(uuid4())
    for task_id in (first, first, second, second):
        send_as_0_2(app, event, task_id)

    drain(app)

    assert len(seen) == model.select().count() == 2
    assert (status(model, first), status(model, second)) == ('200 OK', '200 OK')


@pytest.mark.parametrize('event', [{}, {'eventType': 'x', 'data': 1}, {**ingest_event(), 'eventTime': 'yesterday'}])
def test_a_whole_event_that_0_2_took_though_it_is_none_is_handled_too(model: Any, event: Any) -> None:
    app = app_of(model)

    task_id = send_as_0_2(app, event)
    drain(app)

    assert status(model, task_id) == '200 OK'  # the route takes everything


def test_a_message_that_is_no_event_harms_nobody(model: Any) -> None:
    app = app_of(model)

    for garbage in ('text', 5, [1], None):
        send_as_0_2(app, garbage)
    send_as_0_2(app, ingest_event(), task_id='not-a-uuid')
    drain(app)

    assert [row.task_status for row in model.select()] == ['200 OK']


# --- without a worker

def test_eagerly_the_event_is_handled_when_delay_returns(model: Any) -> None:
    seen: list[str] = []
    app = app_of(model, lambda event: seen.append(celery.current_task.request.id), task_always_eager=True)

    result = app.tasks[TASK].delay(ingest_event())
    [accepted] = app.tasks[TASK].accept([received()])

    assert (status(model, result.id), status(model, accepted)) == ('200 OK', '200 OK')
    assert seen == [result.id, accepted]
    assert result.get() is None
    assert result.successful()


@pytest.mark.parametrize('call', [lambda task, event: task(event), lambda task, event: task.apply(args=[event])])
def test_called_as_a_function_the_task_runs_the_event(model: Any, call: Any) -> None:
    seen: list[Any] = []
    task = app_of(model, seen.append).tasks[TASK]

    call(task, ingest_event())

    assert len(seen) == count(model, '200 OK') == 1


def test_eagerly_on_a_database_in_memory_all_is_done_in_one_thread() -> None:
    model = create_peewee_model(connect('sqlite:///:memory:'))
    app = app_of(model, task_always_eager=True)

    result = app.tasks[TASK].delay(ingest_event())

    assert status(model, result.id) == '200 OK'
    model._meta.database.close()


def test_eagerly_no_thread_is_left_behind(model: Any) -> None:
    before = set(threading.enumerate())
    app = app_of(model, task_always_eager=True)

    app.tasks[TASK].delay(ingest_event())

    assert set(threading.enumerate()) - before == set()


# --- the application

def test_what_celery_takes_is_passed_on(model: Any) -> None:
    class Base(celery.Task):  # type: ignore[misc]  # Celery has no types
        extra = 'mine'

    app = model.create_celery_app(
        router_to(print), 'my.app', TASK, None, 'cache+memory://', broker='memory://', task_cls=Base,
        set_as_current=False, broker_transport_options={'polling_interval': 3}, worker_pool='threads',
    )

    assert app.main == 'my.app'
    assert (app.conf.broker_url, app.conf.result_backend) == ('memory://', 'cache+memory://')
    assert (app.conf.worker_pool, app.conf.broker_transport_options) == ('threads', {'polling_interval': 3})
    assert (app.tasks[TASK].extra, app.tasks[TASK].name) == ('mine', TASK)


def test_an_application_may_be_configured_after_it_was_made(model: Any) -> None:
    app = model.create_celery_app(router_to(print), 'my.app', TASK, set_as_current=False)
    app.conf.update(broker_url='memory://', task_serializer='pickle', task_default_queue='late')

    assert app.tasks[TASK].serializer == 'pickle'
    assert app.conf.broker_url == 'memory://'


def test_two_applications_share_no_task(model: Any) -> None:
    first, second = (model.create_celery_app(router_to(print), name, f'{name}.receive', set_as_current=False)
                     for name in ('first', 'second'))

    assert 'second.receive' not in first.tasks
    assert 'first.receive' not in second.tasks


def test_without_celery_one_error_names_the_extra(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition('.')[0] == 'celery']:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, 'pacifica.dispatcher._engine.celery_app', raising=False)
    monkeypatch.setitem(sys.modules, 'celery', None)  # as if it were not installed

    with pytest.raises(ConfigurationError, match=r'pip install "pacifica-dispatcher\[celery\]"'):
        model.create_celery_app(router_to(print), 'my.app', TASK)
