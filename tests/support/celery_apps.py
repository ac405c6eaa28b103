"""Celery applications and workers inside the test's process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from unittest.mock import patch
from uuid import uuid4

from celery.app.trace import build_tracer
from celery.contrib.testing.worker import start_worker

from pacifica.dispatcher._engine.publisher import Announcer
from support.events import router_to
from support.isolation import kept_logging

TASK = 'my.tasks.receive'


def app_of(model: Any, function: Any = lambda event: None, broker: str = 'memory://', **settings: Any) -> Any:
    """Return an application whose messages go through a queue of their own; *function* handles every event."""
    model.create_table()
    return model.create_celery_app(
        router_to(function), 'my.app', TASK, broker=broker, set_as_current=False,
        task_default_queue=f'test-{uuid4().hex}', broker_transport_options={'polling_interval': 0.02}, **settings,
    )


@contextmanager
def working(app: Any, pool: str = 'solo', **settings: Any) -> Iterator[None]:
    """Run a worker of *app* in a thread while the ``with`` block runs."""
    with kept_logging(), patch.dict(os.environ), \
            start_worker(app, pool=pool, perform_ping_check=False, shutdown_timeout=30, loglevel='ERROR', **settings):
        yield


def drain(app: Any) -> int:
    """Run each message that waits as a worker does, in this thread; return how many there were.

    None may fail: what a handler raises is no error of Celery's.
    """
    trace = build_tracer(TASK, app.tasks[TASK], app=app)
    count = 0
    with app.connection_for_read() as connection, \
            closing(connection.SimpleQueue(app.conf.task_default_queue)) as queue:
        while True:
            try:
                message = queue.get_nowait()
            except queue.Empty:
                break
            args, kwargs, _ = message.payload
            done = trace(message.headers['id'], args, kwargs, {**message.headers, 'is_eager': False})
            assert done.info is None, done.info
            message.ack()
            count += 1
    app.tasks[TASK].runner.stop()
    return count


def announce(app: Any, again: float = 10.0) -> int:
    """Send the messages that were lost; return how many."""
    task = app.tasks[TASK]
    return Announcer(task.store, task.publish, task.backlog, again=again).run_once()
