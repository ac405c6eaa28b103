"""The Celery engine: the row first, the message second. The one door for Celery.

``delay(event)`` commits the row, then publishes a message that carries its task id, under that id. The worker claims
the row by the guarded claim that all engines share, so a message may come twice, late or never. Handlers' exceptions
end on the row and never reach Celery's own error path. Each worker process keeps the leases of what it handles; the
worker's main process sends lost messages again.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import celery
from celery import signals

from pacifica.dispatcher import _events
from pacifica.dispatcher._engine.acceptor import Acceptor
from pacifica.dispatcher._engine.announcer import Announcer
from pacifica.dispatcher._engine.executor import Executor
from pacifica.dispatcher._engine.keeper import Keeper
from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher._queue.transitions import Held
from pacifica.dispatcher.exceptions import DispatcherError, InvalidEventError

__all__ = ['create_celery_app']

_LOG = logging.getLogger(__name__)
_LEASE = 30.0
_MESSAGE_LIFETIME = 10.0  # seconds for which a message is taken to be on its way before it is sent again
_BROKER_PAUSE = 5.0  # seconds without attempts to publish after one failed: each may take the broker's time-out


def create_celery_app(
    store: Store, executor: Executor, name: str, receive_task_name: str, *args: Any, **kwargs: Any,
) -> celery.Celery:
    """Return ``Celery(name, *args, **kwargs)`` with a task *receive_task_name* that runs the events of *store*."""
    app = celery.Celery(name, *args, **kwargs)
    task = ReceiveTask(store, executor, receive_task_name)
    app.register_task(task)
    announcer = Announcer(store, task.publish, task.backlog, again=_MESSAGE_LIFETIME)

    def ready(sender: Any = None, **_: Any) -> None:
        if getattr(sender, 'app', None) is app:
            announcer.start()

    def shutting_down(**_: Any) -> None:
        announcer.stop()

    # weak=False: nothing else holds on to these two.
    signals.worker_ready.connect(ready, weak=False)
    signals.worker_shutdown.connect(shutting_down, weak=False)
    return app


class ReceiveTask(celery.Task, Acceptor):  # type: ignore[misc]  # Celery has no types
    """Takes an event as a dict, as in the 0.2 series, or the task id of a stored one."""

    acks_late = True
    ignore_result = None  # the application's configuration says

    def __init__(self, store: Store, executor: Executor, name: str) -> None:
        self.name = name
        self._store = store
        self._executor = executor
        self._broker_away_until = 0.0
        self._keepers = _Keepers(store, executor)

    def accept(self, events: Sequence[_events.ReceivedEvent]) -> list[str]:
        """Store *events*, then publish a message for each; a broker that is away costs time, not the event."""
        task_ids = self._store.accept(events, announced=_MESSAGE_LIFETIME)
        for task_id in task_ids:
            self._publish_if_possible(task_id)
        return [str(task_id) for task_id in task_ids]

    def apply_async(
        self, args: Any = None, kwargs: Any = None, task_id: str | None = None, **options: Any,
    ) -> Any:
        """Store the event given as a dict and publish its task id; ``delay(event)`` comes here.

        :raises InvalidEventError: if the dict is no CloudEvent; nothing was stored.
        """
        event = _only_argument(args, kwargs)
        if not isinstance(event, Mapping):
            return super().apply_async(args, kwargs, task_id=task_id, **options)
        [stored] = self._store.accept(
            [_events.from_dict(event)], task_id=None if task_id is None else UUID(task_id), announced=_MESSAGE_LIFETIME,
        )
        return self._publish_if_possible(stored, **options) or self.AsyncResult(str(stored))

    def publish(self, task_id: UUID, **options: Any) -> Any:
        """Send the message of a stored event; raise what the broker's client raises, without trying again."""
        return super().apply_async((str(task_id),), task_id=str(task_id), **{'retry': False, **options})

    def _publish_if_possible(self, task_id: UUID, **options: Any) -> Any:
        if time.monotonic() < self._broker_away_until:
            return None
        try:
            return self.publish(task_id, **options)
        except Exception as exc:  # a broker's client has errors of many libraries; the announcer sends it later
            self._broker_away_until = time.monotonic() + _BROKER_PAUSE
            _LOG.warning('celery.broker_unavailable', extra={'task_id': str(task_id), 'error': str(exc)})
            return None

    def backlog(self) -> int | None:
        """Return how many messages wait in this task's queue; ``None`` if the broker does not answer."""
        queue = self.app.amqp.router.route({}, self.name)['queue']
        try:
            with self.app.connection_for_write() as connection:
                connection.ensure_connection(max_retries=1, timeout=_BROKER_PAUSE)
                try:
                    return int(queue.bind(connection.default_channel).queue_declare(passive=True).message_count)
                except connection.channel_errors:
                    return 0  # no such queue yet: the first message declares it
        except Exception as exc:  # a broker's client has errors of many libraries
            _LOG.warning('celery.broker_unavailable', extra={'error': str(exc)})
            return None

    def run(self, event: Any = None, **_: Any) -> None:
        """Claim the row, run its event, write how that ended; never raise.

        A dict is a message of a 0.2 receiver: it is stored first, under the id that the receiver answered with.
        """
        try:
            task_id = self._store_if_new(event) if isinstance(event, Mapping) else UUID(str(event))
            held = self._store.claim_task(task_id, _owner(), _LEASE)
            if held is not None:
                self._run(held)
        except InvalidEventError:
            _LOG.exception('celery.message_without_event', extra={'task_id': self.request.id})
        except DispatcherError:  # the database is away: the row waits, or is rescued when its lease is over
            _LOG.exception('celery.database_unavailable', extra={'task_id': self.request.id})

    def _store_if_new(self, event: Mapping[str, Any]) -> UUID:
        received = _events.from_dict(event)
        return self._store.accept([received], task_id=UUID(str(self.request.id)), announced=_LEASE)[0]

    def _run(self, held: Held) -> None:
        keeper = self._keepers.here()
        keeper.hold(held)
        try:
            outcome = self._executor.execute(held)
        finally:
            keeper.drop(held)
        if outcome is None or not self._store.finish(held, outcome):
            _LOG.warning('worker.lease_lost', extra={'task_id': str(held.task_id), 'attempt': held.attempt})


class _Keepers:
    """A keeper in each process that handles events, started when it handles its first."""

    def __init__(self, store: Store, executor: Executor) -> None:
        self._new: Callable[[], Keeper] = lambda: Keeper(store, executor.policy.max_attempts, _LEASE, None)
        self._lock = threading.Lock()
        self._keeper: Keeper | None = None
        self._pid = 0

    def here(self) -> Keeper:
        """Return this process's keeper; a forked child has none of its parent's threads."""
        if self._keeper is None or self._pid != os.getpid():
            with self._lock:
                if self._keeper is None or self._pid != os.getpid():
                    self._keeper = self._new()
                    self._keeper.start()
                    self._pid = os.getpid()
        return self._keeper


def _only_argument(args: Any, kwargs: Any) -> Any:
    """Return the one argument of the task, however it was passed."""
    values = [*(args or ()), *(kwargs or {}).values()]
    return values[0] if len(values) == 1 else None


def _owner() -> str:
    return f'{socket.gethostname()}:{os.getpid()}'
