"""A started worker: threads, wake-ups, shutdown; on every database."""

from __future__ import annotations

import threading
import time
from typing import Any
from uuid import UUID

import pytest
from jsonpath2.path import Path

from pacifica.dispatcher._engine.wakeup import Wakeup
from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher.event_handlers import NoopEventHandler
from pacifica.dispatcher.router import Route
from pacifica.dispatcher.task_context import current_task
from support.events import ingest_event, received, wait_until
from support.queues import APPLICATION, TASK, count, queue_of, status

LEASE = 3.0  # seconds: a busy machine must not keep a worker from renewing it for so long


def test_it_runs_what_is_waiting_and_what_comes(model: Any, started: Any) -> None:
    queue = queue_of(model, lambda event: None)
    queue.accept([received() for _ in range(50)])
    started(queue.create_worker(concurrency=3))
    queue.accept([received() for _ in range(50)])

    wait_until(lambda: count(model, '200 OK') == 100)


def test_a_router_that_is_no_list_of_routes_is_only_asked(model: Any, started: Any) -> None:
    class Always:
        """Has one route for all events."""

        def match_first_or_raise(self, event_data: Any) -> Route:
            """Return it."""
            return Route(Path.parse_str('$'), NoopEventHandler())

    queue = model.create_queue(Always(), APPLICATION, TASK)
    queue.delay(ingest_event())

    started(queue.create_worker())
    wait_until(lambda: count(model, '200 OK') == 1)


def test_it_handles_as_many_events_at_once_as_it_may(model: Any, started: Any) -> None:
    together = threading.Barrier(4, timeout=20)
    queue = queue_of(model, lambda event: together.wait())
    started(queue.create_worker(concurrency=4))

    queue.accept([received() for _ in range(4)])

    wait_until(lambda: count(model, '200 OK') == 4)


def test_an_event_accepted_in_its_process_does_not_wait_for_the_next_poll(model: Any, started: Any) -> None:
    done = threading.Event()
    queue = queue_of(model, lambda event: done.set())
    started(queue.create_worker(poll_interval=3600))

    queue.delay(ingest_event())

    assert done.wait(10)


def test_an_event_accepted_elsewhere_is_found_by_polling(model: Any, started: Any) -> None:
    done = threading.Event()
    started(queue_of(model, lambda event: done.set()).create_worker(poll_interval=0.05))

    queue_of(model, lambda event: None).delay(ingest_event())

    assert done.wait(10)


def test_an_idle_worker_asks_the_database_once_in_a_poll_interval(
    model: Any, started: Any, monkeypatch: pytest.MonkeyPatch,
) -> None:
    queue = queue_of(model, lambda event: None)
    claims: list[float] = []
    claim = Store.claim
    monkeypatch.setattr(Store, 'claim', lambda *args: (claims.append(time.monotonic()), claim(*args))[1])
    started(queue.create_worker(concurrency=4, poll_interval=0.25))
    wait_until(lambda: len(claims) > 4)  # each thread looks once as it starts
    began, before = time.monotonic(), len(claims)

    wait_until(lambda: len(claims) >= before + 5)

    assert time.monotonic() - began >= 0.7  # one of them may be the look when the worker hears of others' events


def test_a_slow_handler_keeps_its_lease(model: Any, started: Any) -> None:
    attempts: list[int] = []

    def lease_expires() -> float:
        return float(model.get(model.attempts == 1).lease_expires)

    def handle(event: Any) -> None:
        attempts.append(current_task().attempt)
        first = lease_expires()
        wait_until(lambda: lease_expires() > first + LEASE)  # so the first one is over
        model._meta.database.close()

    queue = queue_of(model, handle)
    for _ in range(2):
        started(queue.create_worker(lease=LEASE, poll_interval=0.05))
    task_id = queue.delay(ingest_event()).id

    wait_until(lambda: status(model, task_id) == '200 OK')
    assert attempts == [1]


def test_stopping_waits_for_running_handlers_and_claims_nothing_more(
    model: Any, started: Any, monkeypatch: pytest.MonkeyPatch,
) -> None:
    running, go_on, closed = threading.Event(), threading.Event(), threading.Event()
    close = Wakeup.close
    monkeypatch.setattr(Wakeup, 'close', lambda wakeup: (close(wakeup), closed.set()))

    def handle(event: Any) -> None:
        running.set()
        go_on.wait(20)

    queue = queue_of(model, handle)
    worker = started(queue.create_worker(concurrency=1))
    queue.accept([received(), received()])
    assert running.wait(20)
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    assert closed.wait(20)
    go_on.set()
    stopping.join(20)

    assert (count(model, '200 OK'), count(model, '202 Accepted')) == (1, 1)


def test_what_runs_longer_than_the_grace_is_released_uncounted_and_can_write_nothing(model: Any, started: Any) -> None:
    running, go_on, ended = threading.Event(), threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def handle(event: Any) -> None:
        threads.append(threading.current_thread())
        running.set()
        go_on.wait(20)
        ended.set()

    queue = queue_of(model, handle)
    worker = started(queue.create_worker(concurrency=1))
    task_id = queue.delay(ingest_event()).id
    assert running.wait(20)

    worker.stop(grace=0)

    row = model.get(model.task_id == UUID(task_id))
    assert (row.task_status, row.attempts) == ('202 Accepted', 0)
    go_on.set()
    assert ended.wait(20)
    threads[0].join(20)
    assert status(model, task_id) == '202 Accepted'


def test_a_stopped_worker_starts_again(model: Any, started: Any) -> None:
    queue = queue_of(model, lambda event: None)
    worker = started(queue.create_worker())
    worker.stop()

    task_id = queue.delay(ingest_event()).id
    worker.start()

    wait_until(lambda: status(model, task_id) == '200 OK')


@pytest.mark.parametrize('database_url', ['sqlite'], indirect=True)
def test_a_worker_that_is_stopped_as_it_starts_gives_its_events_back(
    model: Any, monkeypatch: pytest.MonkeyPatch,
) -> None:
    running, released = threading.Event(), threading.Event()
    queue = queue_of(model, lambda event: running.set() or released.wait(60))
    queue.delay(ingest_event())
    worker = queue.create_worker(concurrency=3)
    start = threading.Thread.start
    begun: list[str] = []

    def signalled(thread: threading.Thread) -> None:  # as by a signal's handler, in the thread that starts the worker
        if thread.name.startswith('pacifica-dispatcher-handler'):
            begun.append(thread.name)
            if len(begun) == 2:
                running.wait(60)
                worker.stop(0)
        start(thread)

    monkeypatch.setattr(threading.Thread, 'start', signalled)

    worker.start()

    assert model.get().task_status == '202 Accepted'
    released.set()
    wait_until(lambda: not any(thread.name in begun for thread in threading.enumerate()))
