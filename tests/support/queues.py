"""Queues in a table: made with a handler, worked on in the test's own thread, and read back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from pacifica.dispatcher._engine.executor import Executor, RetryPolicy
from pacifica.dispatcher._engine.extensions import Extensions
from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher.router import Router
from pacifica.dispatcher.task_context import Services
from support.events import router_to, wait_until

__all__ = [
    'APPLICATION', 'TASK', 'count', 'drain', 'executor_on', 'queue_of', 'record', 'run_each', 'start_and_stop',
    'status',
]

APPLICATION = 'my.app'
TASK = 'my.tasks.receive'


def queue_of(model: Any, handle: Callable[[Any], object] | Router = lambda event: None, **settings: Any) -> Any:
    """Return a queue that gives every event to *handle*, or each to its route if that is a router."""
    router = handle if isinstance(handle, Router) else router_to(handle)
    return model.create_queue(router, APPLICATION, TASK, **settings)


def executor_on(
    store: Store, handle: Callable[[Any], object] = lambda event: None, max_attempts: int = 3,
) -> Executor:
    """Return what gives the events of *store* to *handle*: for what is put together over the test's own connections."""
    return Executor(
        router_to(handle), store.name.application, RetryPolicy(max_attempts=max_attempts), store,
        Extensions(), Services())


def drain(worker: Any) -> int:
    """Run all events that are due, one after the other; return how many there were."""
    count = 0
    while worker.run_once():
        count += 1
    return count


def run_each(model: Any, worker: Any) -> None:
    """Have the threads or processes of *worker* run each event of the table at least once."""
    worker.start()
    try:
        wait_until(lambda: not model.select().where(model.history.is_null()).count())
    finally:
        worker.stop()


def start_and_stop(worker: Any) -> None:
    """Let *worker* do what it does at its start: rescue and prune; its handlers may run what is due."""
    worker.start()
    worker.stop()


def record(model: Any, task_id: UUID | str) -> Any:
    """Return the row of a task, ``None`` if there is none."""
    return model.get_or_none(model.task_id == UUID(str(task_id)))


def status(model: Any, task_id: UUID | str) -> str | None:
    """Return the status string of a task, ``None`` if there is no such task."""
    row = record(model, task_id)
    return None if row is None else str(row.task_status)


def count(model: Any, status: str) -> int:
    """Return how many events are in this status."""
    return int(model.select().where(model.task_status == status).count())
