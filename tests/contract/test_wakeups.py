"""How a worker learns of events that other processes have made due: at once, without a poll; on every database."""

from __future__ import annotations

import logging
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pacifica.dispatcher._queue import wakeups
from pacifica.dispatcher._queue.operator import Operator
from pacifica.dispatcher._queue.record import new_task_id
from pacifica.dispatcher._queue.session import Session
from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher._queue.transitions import Accept
from pacifica.dispatcher._queue.writer import Writer
from support.events import ingest_event, received, wait_until
from support.processes import SERVICE, runs_in
from support.queues import count, queue_of

NEVER = 3600.0  # seconds between polls: what is handled has not waited for one
LISTENER = 'pacifica-dispatcher-listener'
QUESTIONS = {'sqlite': {'PRAGMA data_version'}, 'postgresql': set(), 'mysql': {'SELECT MAX(priority)'}}

Handled = list[str]


@pytest.fixture
def begin(model: Any, started: Any) -> Callable[..., Handled]:
    """Start a worker that polls never, and has handled an event."""
    def start(handle: Callable[[Any], object] = lambda event: None, **settings: Any) -> Handled:
        handled: Handled = []
        first = ingest_event()

        def run(event: Any) -> None:
            if event.event_id != first['eventID']:
                handle(event)
            handled.append(event.event_id)

        queue = queue_of(model, run)
        queue.delay(first)
        started(queue.create_worker(**{'poll_interval': NEVER, **settings}))
        wait_until(lambda: count(model, '200 OK') == 1)
        return handled

    return start


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The threads' names and the statements that this process has executed, from now on."""
    statements: list[tuple[str, str]] = []
    execute = Session.execute
    monkeypatch.setattr(Session, 'execute', lambda session, statement, parameters=(): (
        statements.append((threading.current_thread().name, statement)), execute(session, statement, parameters))[1])
    return statements


def listening(model: Any) -> list[int]:
    """Return the process ids of the connections to PostgreSQL that wait for messages."""
    rows = model._meta.database.execute_sql(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND left(query, 6) = 'LISTEN'").fetchall()
    return [pid for pid, in rows]


def test_a_worker_in_another_process_handles_an_event_without_waiting_for_a_poll(
    model: Any, database_url: str, tmp_path: Path,
) -> None:
    queue = queue_of(model)
    queue.delay(ingest_event(data={}))
    worker = subprocess.Popen(
        [sys.executable, SERVICE, 'worker', database_url, tmp_path / 'log', '30', '0'],
        env={**os.environ, 'POLL_INTERVAL': str(NEVER)})
    try:
        wait_until(lambda: count(model, '200 OK') == 1)

        for _ in range(3):
            event = ingest_event(data={})
            queue.delay(event)
            wait_until(lambda event=event: event['eventID'] in runs_in(tmp_path / 'log'))
    finally:
        worker.terminate()
        worker.wait(60)


def test_one_after_the_other_is_found_however_fast_they_come(begin: Any, store: Store) -> None:
    handled = begin()

    for _ in range(50):
        store.accept([received()])

    wait_until(lambda: len(handled) == 51)


def test_all_threads_are_woken_for_what_was_accepted_together(begin: Any, store: Store) -> None:
    together = threading.Barrier(4, timeout=100)
    handled = begin(lambda event: together.wait(), concurrency=4)

    store.accept([received() for _ in range(4)])

    wait_until(lambda: len(handled) == 5)


def test_a_wake_up_that_is_lost_costs_a_poll(begin: Any, store: Store, writer: Writer) -> None:
    handled = begin(poll_interval=0.25)

    writer.run(Accept(store.name, received(), new_task_id(), None))  # as one that died before it could send any

    wait_until(lambda: len(handled) == 2)


def test_a_retry_from_elsewhere_runs_without_waiting_for_a_poll(model: Any, begin: Any, writer: Writer) -> None:
    handled = begin()

    Operator(writer).retry([model.get().task_id])

    wait_until(lambda: len(handled) == 2)


def test_what_another_worker_gives_back_runs_without_waiting_for_a_poll(
    model: Any, begin: Any, started: Any, store: Store,
) -> None:
    running, go_on = threading.Event(), threading.Event()
    other = queue_of(model, lambda event: (running.set(), go_on.wait(100))).create_worker(concurrency=1)
    queue_of(model).delay(ingest_event())
    other.start()
    assert running.wait(100)
    handled = begin()

    other.stop(grace=0)

    wait_until(lambda: len(handled) == 2)
    go_on.set()


def test_the_end_of_an_outage_wakes_who_waits(model: Any, begin: Any, store: Store) -> None:
    handled = begin()
    store.begin_outage('a service', 'away')
    model.update(task_status='202 Accepted', due=1e12, awaits='a service').execute()

    store.end_outage('a service')

    wait_until(lambda: len(handled) == 2)


def test_a_worker_hears_of_events_after_a_fork(begin: Any, store: Store) -> None:
    handled = begin()
    child = multiprocessing.get_context('fork').Process(target=int)
    child.start()
    child.join()

    store.accept([received()])

    wait_until(lambda: len(handled) == 2)


@pytest.mark.parametrize('database_url', ['postgresql'], indirect=True)
def test_a_connection_that_listens_is_made_anew_when_it_was_cut(
    model: Any, begin: Any, store: Store, caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    handled = begin()
    before = wait_until(lambda: listening(model))

    for pid in before:
        model._meta.database.execute_sql('SELECT pg_terminate_backend(%s)', (pid,))
    store.accept([received()])

    wait_until(lambda: len(handled) == 2)
    wait_until(lambda: set(listening(model)) - set(before))
    store.accept([received()])
    wait_until(lambda: len(handled) == 3)
    assert not [entry.message for entry in caplog.records if entry.message.startswith('listener.')]


@pytest.mark.parametrize('database_url', ['postgresql'], indirect=True)
def test_messages_are_sent_only_to_wake_others_and_few_in_a_burst(
    model: Any, started: Any, executed: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch,
) -> None:
    queue = queue_of(model)

    def messages() -> int:
        return len([statement for _, statement in executed if 'pg_notify' in statement])

    with monkeypatch.context() as patch:
        patch.setattr(wakeups, '_AT_ONCE', NEVER)  # else a busy machine makes no burst of a hundred events
        for _ in range(100):
            queue.delay(ingest_event())
    alone = messages()
    started(queue.create_worker(poll_interval=NEVER))
    wait_until(lambda: count(model, '200 OK') == 100)
    before = messages()
    queue.delay(ingest_event())

    wait_until(lambda: count(model, '200 OK') == 101)
    assert alone == 1
    assert messages() == before


def test_an_idle_worker_only_polls_and_asks_one_question(
    model: Any, database_url: str, started: Any, executed: list[tuple[str, str]],
) -> None:
    queue = queue_of(model)

    def commits() -> int:
        return [statement for _, statement in executed].count('COMMIT')

    started(queue.create_worker(concurrency=4, poll_interval=0.25, lease=NEVER))
    wait_until(lambda: commits() > 12)
    executed.clear()

    wait_until(lambda: commits() > 4)

    asked = [statement.split()[0] for thread, statement in executed
             if thread != LISTENER and 'receivetaskworker' not in statement]  # looking for dead neighbours is no poll
    assert asked[:12] == ['BEGIN', 'SELECT', 'COMMIT'] * 4 or asked[:12] == ['START', 'SELECT', 'COMMIT'] * 4
    listened = {' '.join(statement.split()[:2]) for thread, statement in executed if thread == LISTENER}
    assert listened <= QUESTIONS[database_url.split(':')[0]]


def test_only_a_started_worker_listens(model: Any) -> None:
    def listeners() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name == LISTENER]

    queue = queue_of(model)
    queue.delay(ingest_event())
    received_only = listeners()
    worker = queue.create_worker()
    worker.start()
    wait_until(lambda: count(model, '200 OK') == 1)
    worker.stop()

    assert received_only == listeners() == []
