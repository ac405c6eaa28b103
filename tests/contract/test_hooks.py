"""What callbacks and other receivers are told of events that have ended, on every database."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import pytest
from jsonpath2.path import Path

from pacifica.dispatcher._engine.outgoing import FinishedEvents
from pacifica.dispatcher._queue.operator import Operator
from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher._queue.values import OUTGOING_ATTEMPTS, ClaimedEvent, Outcome, Outgoing, ended
from pacifica.dispatcher._queue.writer import Writer
from pacifica.dispatcher.hooks import FAILED, FINISHED, FinishedTask, Notify
from pacifica.dispatcher.router import Router
from pacifica.dispatcher.task_context import current_task
from support.behaving import behaving_router
from support.celery_apps import TASK, announce, app_of
from support.celery_apps import drain as drain_messages
from support.events import Calling, ingest_event, received, router_to, wait_until
from support.fakes import Answers, Scripted
from support.queues import drain, record, start_and_stop

OK, UNPROCESSABLE, ERROR, WAITING = (
    '200 OK', '422 Unprocessable Entity', '500 Internal Server Error', '202 Accepted')
TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'


@pytest.fixture
def receiver() -> Iterator[Scripted]:
    with Scripted() as receiver:
        yield receiver


def handle(event: Any) -> None:
    """Do what the event's data says."""
    if event.data == 'fail':
        raise ValueError('it broke')
    task = current_task()
    assert task is not None
    task.save_result(job_id=7)


def queue_of(model: Any, router: Router | None = None, **settings: Any) -> Any:
    return model.create_queue(router or router_to(handle), 'my.app', TASK, **settings)


def failing(**attributes: Any) -> dict[str, Any]:
    return ingest_event(data='fail', contentType='text/plain', **attributes)


def unrouted() -> Router:
    return router_to(handle, '$[?(@["eventType"] = "of another kind")]')


def told(model: Any) -> list[Any]:
    """Return the rows of outgoing events, the oldest first."""
    return list(model.select().where(model.destination.is_null(False)).order_by(model.created, model.task_id))


NOWHERE = Notify('http://127.0.0.1:9/receive')


def outgoing_of(held: ClaimedEvent) -> Sequence[Outgoing]:
    """Return what tells that this event was handled."""
    task = ended(held, Outcome.succeeded())
    assert task is not None
    return FinishedEvents('my.app', [NOWHERE]).outgoing(task)


# --- callbacks

def test_callbacks_get_what_has_ended_and_how(model: Any) -> None:
    finished: list[FinishedTask] = []
    failed: list[FinishedTask] = []
    queue = queue_of(model, on_finished=finished.append, on_failed=failed.append)
    good_event, bad_event = ingest_event(), failing()

    good, bad = queue.delay(good_event).id, queue.delay(bad_event).id
    drain(queue.create_worker())

    assert [(str(task.task_id), task.status) for task in finished] == [(good, OK), (bad, ERROR)]
    assert failed == [finished[1]]
    assert (finished[0].exc_type, finished[0].result, finished[0].failed) == (None, {'job_id': 7}, False)
    assert (failed[0].exc_type, failed[0].exc_value, failed[0].result) == ('ValueError', 'it broke', None)
    assert (failed[0].attempts, failed[0].route, failed[0].failed) == (1, '$ → Calling', True)
    assert [task.event.event_id for task in finished] == [good_event['eventID'], bad_event['eventID']]
    assert all(0 < task.seconds < 20 for task in finished)


def test_without_a_route_both_callbacks_are_called(model: Any) -> None:
    seen: list[tuple[str, str, Any]] = []
    queue = queue_of(
        model, unrouted(), on_finished=lambda task: seen.append(('finished', task.status, task.route)),
        on_failed=lambda task: seen.append(('failed', task.status, task.route)))

    queue.delay(ingest_event())
    drain(queue.create_worker())

    assert seen == [('finished', UNPROCESSABLE, None), ('failed', UNPROCESSABLE, None)]


def test_an_event_that_runs_again_has_not_ended(model: Any) -> None:
    finished: list[FinishedTask] = []
    queue = queue_of(model, retry_for=[ValueError], backoff=0.001, max_attempts=2, on_finished=finished.append)
    worker = queue.create_worker()

    queue.delay(failing())
    assert worker.run_once()
    assert finished == []
    wait_until(worker.run_once)

    assert [(task.status, task.attempts) for task in finished] == [(ERROR, 2)]


def test_callbacks_are_called_after_the_commit(model: Any) -> None:
    statuses: list[str] = []
    queue = queue_of(model, on_finished=lambda task: statuses.append(record(model, task.task_id).task_status))

    queue.delay(ingest_event())
    drain(queue.create_worker())

    assert statuses == [OK]


@pytest.mark.parametrize('error', [Exception('no chat'), SystemExit(3)])
def test_what_a_callback_raises_is_logged_and_costs_nobody_anything(
    model: Any, caplog: pytest.LogCaptureFixture, error: BaseException,
) -> None:
    failed: list[FinishedTask] = []

    def raising(task: FinishedTask) -> None:
        raise error

    queue = queue_of(model, on_finished=raising, on_failed=failed.append)
    for _ in range(3):
        queue.delay(failing())
    worker = queue.create_worker(concurrency=1)
    worker.start()

    wait_until(lambda: len(failed) == 3)
    worker.stop(5)

    assert [entry.getMessage() for entry in caplog.records if entry.levelno == logging.ERROR] == ['observer.failed'] * 3


def test_the_next_event_keeps_its_lease_while_a_callback_takes_its_time(model: Any) -> None:
    """Ending an event and claiming the next is one transaction: the next is held while the callback runs."""
    leases: list[list[float]] = []
    runs: list[str] = []

    def slow(task: FinishedTask) -> None:
        if not leases:
            rows = model.select().where(model.task_status == '102 Processing')
            until = [row.lease_expires for row in rows]
            wait_until(lambda: [row.lease_expires for row in rows.clone()] > until)
            leases.append(until)
            model._meta.database.close()

    queue = queue_of(model, router_to(lambda event: runs.append(event.event_id)), on_finished=slow)
    events = [ingest_event(), ingest_event()]
    for event in events:
        queue.delay(event)
    worker = queue.create_worker(concurrency=1, lease=1)
    worker.start()

    wait_until(lambda: len(runs) == 2)
    worker.stop(5)

    assert [len(each) for each in leases] == [1]
    assert runs == [event['eventID'] for event in events]


def test_a_worker_that_is_stopped_during_a_callback_gives_the_next_event_back(model: Any) -> None:
    inside, go_on = threading.Event(), threading.Event()
    runs: list[str] = []

    def slow(task: FinishedTask) -> None:
        inside.set()
        go_on.wait(20)

    queue = queue_of(model, router_to(lambda event: runs.append(event.event_id)), on_finished=slow)
    tasks = [queue.delay(ingest_event()).id for _ in range(2)]
    worker = queue.create_worker(concurrency=1)
    worker.start()
    assert inside.wait(20)

    worker.stop(0)
    go_on.set()
    wait_until(lambda: not [each for each in threading.enumerate() if 'handler-0' in each.name])

    assert len(runs) == 1
    assert (record(model, tasks[1]).task_status, record(model, tasks[1]).attempts) == (WAITING, 0)


def test_with_handlers_in_processes_callbacks_are_called_in_the_workers(model: Any, receiver: Scripted) -> None:
    from pacifica.dispatcher.authentication import Secret

    finished: list[FinishedTask] = []
    callers: list[int] = []
    queue = queue_of(
        model, behaving_router(), max_attempts=1, notify=Notify(receiver.url, token=Secret('a-token')),
        on_finished=lambda task: (finished.append(task), callers.append(os.getpid())))
    worker = queue.create_worker(concurrency=1, isolation='process')
    worker.start()

    for data in ('fine', 'crash'):
        queue.delay(ingest_event(data=data, contentType='text/plain'))
    wait_until(lambda: len(receiver.asked) == 2, 120)
    worker.stop(0)

    assert callers == [os.getpid()] * 2
    assert {task.status: task.exc_type for task in finished} == {OK: None, ERROR: 'WorkerLostError'}
    saved = next(task.result for task in finished if not task.failed)
    assert saved and saved['process'] != os.getpid()
    assert {each.headers['authorization'] for each in receiver.asked} == {'Bearer a-token'}


def test_an_event_whose_last_worker_died_reaches_the_callbacks(model: Any, store: Store) -> None:
    failed: list[FinishedTask] = []
    queue = queue_of(model, max_attempts=1, on_failed=failed.append, notify=NOWHERE)
    [task_id] = store.accept([received()])
    held = store.claim('a dead worker', 60)
    assert held is not None
    store.save_result(held, {'job_id': 8})
    model.update(lease_expires=1.0).execute()

    start_and_stop(queue.create_worker())
    wait_until(lambda: failed)

    [task] = failed
    assert (task.task_id, task.status, task.exc_type, task.attempts) == (task_id, ERROR, 'WorkerLostError', 1)
    assert (task.result, task.event.event_type) == ({'job_id': 8}, 'org.pacifica.metadata.ingest')
    assert json.loads(told(model)[0].data)['exceptionType'] == 'WorkerLostError'


# --- the outgoing event is there if, and only if, the end is

def test_the_outgoing_event_tells_what_has_ended_and_how(model: Any) -> None:
    queue = queue_of(model, notify=NOWHERE)
    event = failing(extensions={'traceparent': TRACE, 'tracestate': 'a=b'})
    task_id = queue.delay(event).id

    queue.create_worker().run_once()

    [row] = told(model)
    assert (row.task_status, row.destination, row.attempts, row.due > 0) == (WAITING, 'notify', 0, True)
    assert (row.task_application_name, row.task_name) == ('my.app', TASK)
    outgoing = json.loads(row.event_data)
    assert outgoing.pop('id').startswith(f'{task_id}.')
    assert outgoing.pop('time').endswith('Z')
    assert outgoing == {
        'specversion': '1.0', 'type': FAILED, 'source': 'my.app', 'subject': task_id,
        'datacontenttype': 'application/json', 'traceparent': TRACE, 'tracestate': 'a=b',
        'data': {
            'taskID': task_id, 'status': ERROR, 'eventType': event['eventType'], 'eventID': event['eventID'],
            'source': event['source'], 'transactionID': None, 'route': '$ → Calling', 'attempts': 1,
            'exceptionType': 'ValueError', 'exceptionValue': 'it broke', 'result': None,
        },
    }


def test_of_an_ingest_the_transaction_and_the_handlers_result_are_told(model: Any) -> None:
    queue = queue_of(model, notify=NOWHERE)
    event = ingest_event()
    queue.delay(event)

    queue.create_worker().run_once()

    [row] = told(model)
    data = json.loads(row.data)
    assert (row.event_type, data['status'], data['result']) == (FINISHED, OK, {'job_id': 7})
    assert data['transactionID'] == str(event['data'][-1]['value'])


@pytest.mark.parametrize('way', ['finish', 'finish_and_claim'])
def test_a_lost_lease_writes_neither_the_end_nor_the_outgoing_event(model: Any, store: Store, way: str) -> None:
    [task_id] = store.accept([received()])
    held = store.claim('slow', 0.01)
    assert held is not None
    wait_until(lambda: store.rescue(3).again)

    outcome = Outcome.succeeded()
    outgoing = outgoing_of(held)
    written = store.finish(held, outcome, outgoing) if way == 'finish' else store.finish_and_claim(
        held, outcome, 'slow', 0.01, outgoing)[0]

    assert written is False
    assert len(outgoing) == 1
    assert record(model, task_id).task_status != OK
    assert told(model) == []


def test_an_outgoing_event_that_cant_be_stored_leaves_its_event_unended(
    model: Any, store: Store, monkeypatch: pytest.MonkeyPatch,
) -> None:
    from pacifica.dispatcher._queue.transitions import Accept

    [task_id] = store.accept([received()])
    held = store.claim('worker', 60)
    assert held is not None
    outgoing = outgoing_of(held)
    run = Accept.run

    def broken(session: Any, operations: Any) -> Any:
        run(session, operations)
        raise RuntimeError('the process is killed here')

    monkeypatch.setattr(Accept, 'run', staticmethod(broken))
    with pytest.raises(RuntimeError):
        store.finish(held, Outcome.succeeded(), outgoing)
    monkeypatch.undo()

    assert (record(model, task_id).task_status, told(model)) == ('102 Processing', [])
    assert store.finish(held, Outcome.succeeded(), outgoing)
    assert (record(model, task_id).task_status, len(told(model))) == (OK, 1)


def test_an_attempt_that_is_followed_by_another_is_not_told(model: Any) -> None:
    queue = queue_of(model, retry_for=[ValueError], notify=NOWHERE)
    queue.delay(failing())

    queue.create_worker().run_once()

    assert told(model) == []


def test_an_event_that_is_run_again_by_hand_ends_again_in_an_event_of_its_own(
    model: Any, writer: Writer, receiver: Scripted,
) -> None:
    queue = queue_of(model, notify=Notify(receiver.url))
    worker = queue.create_worker()
    task_id = queue.delay(failing()).id
    drain(worker)

    Operator(writer).retry([UUID(task_id)])
    wait_until(lambda: drain(worker))

    first, second = (each.event for each in receiver.asked)
    assert first['id'] != second['id']
    assert first['subject'] == second['subject'] == task_id


@pytest.mark.parametrize(('settings', 'types'), [
    ({}, [FINISHED, FAILED]),
    ({'only_failed': True}, [FAILED]),
    ({'event_types': ['org.pacifica.metadata.ingest']}, [FINISHED, FAILED]),
    ({'event_types': ['of another kind']}, []),
])
def test_a_receiver_gets_what_it_wants(model: Any, settings: Any, types: list[str]) -> None:
    queue = queue_of(model, notify=Notify(NOWHERE.url, **settings))
    worker = queue.create_worker()

    for event in (ingest_event(), failing()):
        queue.delay(event)
        worker.run_once()  # the outgoing event, if there is one, is due later than the event of this turn
        model.update(due=model.due + 3600).where(model.destination.is_null(False)).execute()

    assert [row.event_type for row in told(model)] == types


def test_each_of_several_receivers_gets_the_same_event(model: Any, receiver: Scripted) -> None:
    queue = queue_of(model, notify=[Notify(receiver.url, name='first'), Notify(receiver.url, name='second')])
    queue.delay(ingest_event())

    drain(queue.create_worker())

    first, second = receiver.asked
    assert first.body == second.body
    assert {row.route for row in told(model)} == {'notify → first', 'notify → second'}


def test_what_others_tell_is_told_on_only_when_asked_for(model: Any, receiver: Scripted) -> None:
    """Else two dispatchers that tell each other would never stop."""
    asked_for = Notify(receiver.url, name='asked', event_types=[FINISHED])
    queue = queue_of(model, notify=[Notify(receiver.url, name='default'), asked_for])
    queue.delay({'specversion': '1.0', 'type': FINISHED, 'source': 'other', 'id': '1', 'data': {}})

    drain(queue.create_worker())

    assert [row.destination for row in told(model)] == ['asked']


def test_whatever_an_event_or_a_result_holds_its_end_is_written(model: Any, receiver: Scripted) -> None:
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    results: dict[str, Any] = {'deep': deep, 'large': 'x' * 200_000, 'strange': '\ud800\0'}

    def save(event: Any) -> None:
        task = current_task()
        assert task is not None
        if event.data in results:
            task.save_result(it=results[event.data])
            return
        raise ValueError('\ud800\0' + 'long ' * 100_000)

    queue = queue_of(model, router_to(save), notify=Notify(receiver.url))
    for data in (*results, 'raise'):
        queue.delay(ingest_event(data=data, contentType='text/plain', eventID=f'\ud800\0{data}' + 'x' * 5_000))

    drain(queue.create_worker())

    assert {row.task_status for row in told(model)} == {OK}
    sent = {each.event['data']['eventID'][2:5]: each.event['data'] for each in receiver.asked}
    assert sent['dee']['result'] is sent['lar']['result'] is None
    assert sent['str']['result'] == {'it': '\ud800\0'}
    assert sent['rai']['exceptionValue'].startswith('\ud800\0long')
    assert max(len(each.body) for each in receiver.asked) < 50_000


# --- it is sent by the same workers

def test_an_outgoing_event_is_sent_and_seen_by_no_handler_and_no_callback(model: Any, receiver: Scripted) -> None:
    handled: list[str] = []
    finished: list[FinishedTask] = []
    queue = queue_of(
        model, router_to(lambda event: handled.append(event.event_type)), notify=Notify(receiver.url),
        on_finished=finished.append)
    queue.delay(ingest_event())

    drain(queue.create_worker())

    [delivery] = receiver.asked
    [row] = told(model)
    assert delivery.body.decode() == row.event_data
    assert (row.task_status, row.attempts, row.route) == (OK, 1, 'notify → notify')
    assert handled == ['org.pacifica.metadata.ingest']
    assert len(finished) == 1
    assert model.select().count() == 2


@pytest.mark.parametrize('answer', [0, 408, 429, 500, 503])
def test_a_fault_that_may_pass_is_followed_by_another_attempt(model: Any, receiver: Scripted, answer: int) -> None:
    receiver.answers = [Answers(answer), Answers(200)]
    queue = queue_of(model, notify=Notify(receiver.url), max_attempts=1)
    queue.delay(ingest_event())
    drain(queue.create_worker())
    [row] = told(model)
    assert (row.task_status, row.exc_type, row.attempts) == (WAITING, 'DeliveryError', 1)

    model.update(due=row.created.timestamp() - 1e6).where(model.task_id == row.task_id).execute()
    drain(queue_of(model, notify=Notify(receiver.url)).create_worker())  # one that has not found it away

    assert record(model, row.task_id).task_status == OK
    assert len({each.event['id'] for each in receiver.asked}) == 1 < len(receiver.asked)


@pytest.mark.parametrize('answer', [302, 400, 401, 404, 410, 413])
def test_any_other_answer_is_final(model: Any, receiver: Scripted, answer: int) -> None:
    receiver.answers = [Answers(answer)]
    queue = queue_of(model, notify=Notify(receiver.url))
    queue.delay(ingest_event())

    drain(queue.create_worker())

    [row] = told(model)
    assert (row.task_status, row.exc_type, row.attempts) == (ERROR, 'DeliveryError', 1)
    assert f'answered {answer}' in row.exc_value
    assert model.select().count() == 2  # which is told to nobody


def test_an_outgoing_event_is_retried_by_hand_as_any_other(model: Any, writer: Writer, receiver: Scripted) -> None:
    receiver.answers = [Answers(401), Answers(200)]
    queue = queue_of(model, notify=Notify(receiver.url))
    worker = queue.create_worker()
    queue.delay(ingest_event())
    drain(worker)

    assert Operator(writer).retry([UUID(str(told(model)[0].task_id))]) == [True]
    wait_until(lambda: drain(worker))

    assert told(model)[0].task_status == OK
    first, second = receiver.asked
    assert first.event == second.event


def test_an_outgoing_event_gets_more_attempts_than_handlers_do(model: Any) -> None:
    queue = queue_of(model, notify=NOWHERE, max_attempts=1)
    worker = queue.create_worker()
    queue.delay(ingest_event())
    worker.run_once()

    for _ in range(OUTGOING_ATTEMPTS):
        assert told(model)[0].task_status == WAITING
        model.update(due=1.0).where(model.destination.is_null(False)).execute()
        assert worker.run_once()

    [row] = told(model)
    assert (row.task_status, row.attempts, row.exc_type) == (ERROR, OUTGOING_ATTEMPTS, 'DeliveryError')


def test_workers_that_die_while_they_send_dont_end_an_outgoing_event_early(model: Any, store: Store) -> None:
    queue = queue_of(model, notify=NOWHERE, max_attempts=1)
    queue.delay(ingest_event())
    queue.create_worker().run_once()

    for _ in range(OUTGOING_ATTEMPTS):
        assert told(model)[0].task_status == WAITING
        model.update(due=1.0).where(model.destination.is_null(False)).execute()
        assert store.claim('a dead worker', 0.001)
        rescued = wait_until(lambda: (lambda found: found if found.again or found.ended else None)(store.rescue(1)))

    assert rescued == (0, 1, [])
    assert told(model)[0].task_status == ERROR


def test_a_worker_that_knows_no_such_receiver_leaves_the_event_to_others(model: Any, receiver: Scripted) -> None:
    knowing, ignorant = queue_of(model, notify=Notify(receiver.url)), queue_of(model)
    knowing.delay(ingest_event())
    knowing.create_worker().run_once()

    assert ignorant.create_worker().run_once()

    [row] = told(model)
    assert (row.task_status, row.exc_type) == (WAITING, 'DeliveryError')
    assert 'no Notify named' in row.exc_value
    model.update(due=1.0).where(model.destination.is_null(False)).execute()
    drain(knowing.create_worker())
    assert told(model)[0].task_status == OK


def test_an_idle_worker_sends_at_once(model: Any, receiver: Scripted) -> None:
    queue = queue_of(model, notify=Notify(receiver.url))
    worker = queue.create_worker(concurrency=2, poll_interval=3600)
    worker.start()
    try:
        queue.delay(ingest_event())
        wait_until(lambda: receiver.asked)
    finally:
        worker.stop(5)


def test_an_event_that_an_operator_cancels_is_not_told(model: Any, writer: Writer) -> None:
    finished: list[FinishedTask] = []
    queue = queue_of(model, notify=NOWHERE, on_finished=finished.append)
    task_id = queue.delay(ingest_event()).id

    assert Operator(writer).cancel([UUID(task_id)]) == [True]

    assert (finished, told(model)) == ([], [])


def test_a_receiver_in_the_same_table_takes_the_event_for_one_of_its_own(model: Any) -> None:
    queue = queue_of(model, notify=NOWHERE)
    other = model.create_queue(router_to(handle), 'other.app', TASK)
    queue.delay(ingest_event())
    queue.create_worker().run_once()
    [row] = told(model)

    task_id = other.delay(json.loads(row.event_data)).id

    assert task_id != str(row.task_id)
    assert other.delay(json.loads(row.event_data)).id == task_id


# --- Celery

def test_the_celery_engine_calls_and_sends_as_well(model: Any, receiver: Scripted) -> None:
    finished: list[FinishedTask] = []
    app = app_of(model, handle, notify=Notify(receiver.url), on_finished=finished.append)
    task_id = app.tasks[TASK].delay(ingest_event()).id

    drain_messages(app)
    wait_until(lambda: (announce(app), drain_messages(app), receiver.asked)[-1])

    assert [str(task.task_id) for task in finished] == [task_id]
    assert [each.event['subject'] for each in receiver.asked] == [task_id]
    assert told(model)[0].task_status == OK


def test_the_celery_engine_publishes_messages_of_outgoing_events(model: Any, receiver: Scripted) -> None:
    # With it, one message leads to one event.
    app = app_of(model, handle, notify=Notify(receiver.url), worker_max_tasks_per_child=1)
    app.tasks[TASK].delay(ingest_event())

    assert drain_messages(app) == 1
    assert receiver.asked == []
    assert announce(app) == 1
    assert drain_messages(app) == 1

    assert len(receiver.asked) == 1


def test_a_route_of_the_user_never_sees_what_is_only_to_be_sent(model: Any, receiver: Scripted) -> None:
    seen: list[str] = []
    router = Router()
    router.add_route(Path.parse_str(f'$[?(@["type"] = "{FINISHED}")]'), Calling(lambda event: seen.append('told')))
    router.add_route(Path.parse_str('$'), Calling(handle))
    queue = queue_of(model, router, notify=Notify(receiver.url))
    queue.delay(ingest_event())

    drain(queue.create_worker())

    assert (seen, len(receiver.asked)) == ([], 1)
