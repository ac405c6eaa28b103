"""What is told of the database and of attempts is the same on every database."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

import pytest

from pacifica.dispatcher._queue.connections import Connections
from pacifica.dispatcher._queue.overview import Overview
from pacifica.dispatcher._queue.readiness import Readiness
from pacifica.dispatcher._queue.store import Store
from support.events import ingest_event, received, router_to
from support.metrics import counted
from support.queues import APPLICATION, TASK, start_and_stop


def test_a_database_with_its_tables_is_ready(model: Any, connections: Connections) -> None:
    model.create_table()
    ready = Readiness(connections, seconds=30)
    assert ready() == {'database': True, 'schema': True}


@pytest.mark.parametrize('statement', [
    'DROP TABLE receivetaskworker', 'ALTER TABLE receivetaskmodel RENAME COLUMN history TO something_else',
])
def test_a_table_or_a_column_that_is_missing_is_noticed_and_so_is_its_return(
    model: Any, connections: Connections, statement: str,
) -> None:
    model.create_table()
    ready = Readiness(connections, seconds=30)
    assert ready()['schema']
    with model._meta.database as database:
        database.execute_sql(statement)
    assert ready() == {'database': True, 'schema': False}
    model.create_table()
    assert ready() == {'database': True, 'schema': True}


def test_a_queue_is_told_with_what_waits_and_for_how_long(model: Any, connections: Connections) -> None:
    handled = model.create_queue(router_to(lambda event: None), 'handled', TASK)
    waiting = model.create_queue(router_to(lambda event: 1 / 0), 'waiting', TASK, retry_for=[ArithmeticError])
    handled.delay(ingest_event())
    assert handled.create_worker().run_once()
    for _ in range(3):
        waiting.delay(ingest_event())
    assert waiting.create_worker().run_once()  # which will run again, in a while

    state, = Overview(connections).queues()

    assert (state.application, state.task, state.waiting) == ('waiting', TASK, 3)
    assert 0 <= state.oldest_age < 60


def test_a_queue_in_which_nothing_is_due_yet_has_waited_for_no_time(model: Any, connections: Connections) -> None:
    queue = model.create_queue(router_to(lambda event: 1 / 0), 'waiting', TASK, retry_for=[ArithmeticError])
    queue.delay(ingest_event())
    assert queue.create_worker().run_once()
    state, = Overview(connections).queues()
    assert (state.waiting, state.oldest_age) == (1, 0.0)


def test_the_longest_running_attempt_is_told_by_queue(model: Any, connections: Connections, store: Store) -> None:
    store.accept([received(), received(), received()])
    assert Overview(connections).longest_attempts() == {}
    held, another = store.claim('a worker', 30.0), store.claim('a worker', 30.0)
    assert held is not None and another is not None
    model.update(claimed=model.claimed - 7200).where(model.task_id == held.task_id).execute()

    (queue, seconds), = Overview(connections).longest_attempts().items()

    assert queue == (APPLICATION, TASK)
    assert 7200 <= seconds < 7260


def test_the_time_from_acceptance_to_the_end_is_counted(model: Any) -> None:
    mine = {'application': f'app-{uuid4().hex}', 'task': TASK}
    queue = model.create_queue(router_to(lambda event: None), mine['application'], TASK, metrics=True)
    began = time.monotonic()
    queue.delay(ingest_event())
    assert queue.create_worker().run_once()
    took = time.monotonic() - began
    assert counted('event_duration_seconds_count', **mine) == 1
    assert 0 < counted('event_duration_seconds_sum', **mine) <= took + 0.1


def test_results_that_were_not_written_and_events_of_dead_workers_are_counted(model: Any) -> None:
    mine = {'application': f'app-{uuid4().hex}', 'task': TASK}

    def handle(event: Any) -> None:
        with model._meta.database as database:  # another worker has come between
            database.execute_sql("UPDATE receivetaskmodel SET claim_token = 'another', lease_expires = 1")

    queue = model.create_queue(router_to(handle), mine['application'], TASK, metrics=True)
    queue.delay(ingest_event())
    assert queue.create_worker().run_once()
    assert counted('leases_lost_total', **mine) == 1
    start_and_stop(queue.create_worker())
    assert counted('rescued_events_total', **mine, outcome='run_again') == 1
    assert counted('events_finished_total', **mine, route='', status='500') == 0
