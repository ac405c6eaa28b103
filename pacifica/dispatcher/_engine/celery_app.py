"""The Celery engine: the row first, the message second. The one door for Celery.

A message carries a task id, and may come twice, late or never: the worker claims the row as all engines do. Handlers'
exceptions end on the row and never reach Celery's own error path.

Messages of receivers of the 0.2 series carry whole events. Such a receiver has answered the event's sender with 200 and
an id, so nothing is refused here: an event that can't be handled ends in an error that ``/get`` shows.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from functools import partial
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

import celery
from celery import bootsteps, signals

from pacifica.dispatcher import _events
from pacifica.dispatcher._engine.event_queue import Acceptor
from pacifica.dispatcher._engine.publisher import Announcer, Publisher
from pacifica.dispatcher._engine.runner import TaskRunner
from pacifica.dispatcher._queue.record import new_task_id
from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher.exceptions import InvalidEventError

_LOG = logging.getLogger(__name__)
_MESSAGE_LIFETIME = 10.0  # seconds for which a message is taken to be on its way before it is sent again
_FURTHER = 0.1  # seconds in which one message may lead to further events, see ReceiveTask._further
_RETRY_ONCE = {'max_retries': 1, 'interval_start': 0.0, 'interval_max': 0.0}  # a pooled connection may be an old one


def create_celery_app(runner: TaskRunner, receive_task_name: str, *args: Any, **kwargs: Any) -> celery.Celery:
    """Return ``Celery(*args, **kwargs)`` with a task *receive_task_name* that runs events by *runner*."""
    app = celery.Celery(*args, **kwargs)
    app.task(
        ReceiveTask.receive,
        name=receive_task_name,
        # The application's own base class of tasks, if it was given one, goes on to count.
        base=type('ReceiveTask', (ReceiveTask, app.Task), {}),
        bind=True,
        shared=False,  # else every other Celery application of the process would have it too
        store=runner.store,
        runner=runner,
    )
    app.steps['worker'].add(type('Janitor', (_JanitorStep,), {'task_name': receive_task_name}))
    signals.worker_process_shutdown.connect(lambda **_: runner.stop(), weak=False)
    return app


class _JanitorStep(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
    """What the main process of a worker does besides: it runs even while no process handles anything."""

    requires = ('celery.worker.components:Pool',)  # whose processes are forked first
    task_name: str

    def create(self, worker: Any) -> _JanitorStep:
        """Make what :meth:`start` starts."""
        task = worker.app.tasks[self.task_name]
        self._runner = task.runner
        self._announcer = Announcer(task.store, task.publish, task.backlog, again=_MESSAGE_LIFETIME)
        return self

    def start(self, worker: Any) -> None:
        """Take over the events of dead workers, and send the messages that brokers lost."""
        self._runner.start()
        self._announcer.start()

    def stop(self, worker: Any) -> None:
        """Stop doing so, now that nothing is running any more."""
        self._announcer.stop()
        self._runner.stop()

    terminate = stop


class ReceiveTask(celery.Task, Acceptor):  # type: ignore[misc]  # Celery has no types
    """Takes an event as a dict, as in the 0.2 series, or the task id of a stored one."""

    abstract = True
    acks_late = True
    ignore_result = True  # as in 0.2: the record is the result
    store: Store
    runner: TaskRunner

    def __init__(self) -> None:
        self._publisher = Publisher(self.publish, lambda task_ids: self.store.waiting(task_ids), self.backlog)

    def accept(self, events: Sequence[_events.ReceivedEvent]) -> list[str]:
        """Store *events*, then have a message published for each, without waiting for the broker."""
        task_ids = self.store.accept(events, announced=_MESSAGE_LIFETIME)
        if self.app.conf.task_always_eager:
            for task_id in task_ids:
                self.publish(task_id)
        else:
            self._publisher.put(task_ids)
        return [str(task_id) for task_id in task_ids]

    def apply_async(
        self, args: Any = None, kwargs: Any = None, task_id: str | None = None, **options: Any,
    ) -> Any:
        """Store the event given as a dict and publish its task id; ``delay(event)`` comes here.

        With ``countdown`` or ``eta`` the event is due then, and its message is published then.

        :raises InvalidEventError: if the dict is no CloudEvent; nothing was stored.
        """
        event = _only_argument(args, kwargs)
        if not isinstance(event, Mapping):
            return self.publish(_uuid(event), **options)
        delay = _delay(options.pop('countdown', None), options.pop('eta', None))
        [stored] = self.store.accept(
            [_events.from_dict(event)], task_id=None if task_id is None else _task_id_of(task_id),
            announced=None if delay else _MESSAGE_LIFETIME, delay=delay,
        )
        sent = None if delay else self._publisher.send(stored, **options)
        return sent or self.AsyncResult(str(stored))

    def publish(self, task_id: UUID, **options: Any) -> Any:
        """Send the message of a stored event; raise what the broker's client raises."""
        options = {'retry': True, 'retry_policy': _RETRY_ONCE, **options}
        return super().apply_async((str(task_id),), task_id=str(task_id), **options)

    def backlog(self) -> int:
        """Return how many messages wait in this task's queue; raise what the broker's client raises."""
        queue = self.app.amqp.router.route({}, self.name).get('queue') or self.app.amqp.queues.default_queue
        with self.app.pool.acquire(block=True) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0)
            try:
                with connection.channel() as channel:
                    return int(queue.bind(channel).queue_declare(passive=True).message_count)
            except connection.channel_errors:
                return 0  # no such queue yet: the first message declares it
            except connection.connection_errors:
                connection.collapse()
                raise

    def receive(self, event: Any) -> None:
        """Run what a message is about, a task id or, from a 0.2 receiver, an event as a dict; never raise."""
        try:
            task_id = self._store_whole(event) if isinstance(event, Mapping) else _uuid(event)
            around = partial(_as_request, self)
            if self.request.called_directly or self.request.is_eager:
                self.runner.once(task_id, around)
            else:
                self.runner.run(task_id, around, self._further())
        except InvalidEventError:
            _LOG.exception('celery.message_without_event', extra={'task_id': self.request.id})
        except Exception:  # mostly the database is away: the row waits, or is rescued when its lease is over
            _LOG.exception('celery.turn_failed', extra={'task_id': self.request.id})

    def _store_whole(self, event: Mapping[str, Any]) -> UUID:
        """Store the event under the id that the 0.2 receiver answered with."""
        received = _received(event)
        task_id = _task_id_of(self.request.id)
        if self.store.accept([received], task_id=task_id, announced=_MESSAGE_LIFETIME) != [task_id]:
            # A repeated event, but its sender was told this id: it is an event of its own, as in 0.2.
            self.store.accept([received], task_id=task_id, announced=_MESSAGE_LIFETIME, deduplicate=False)
        return task_id

    def _further(self) -> float:
        """Return the seconds in which this message may lead to other events that are due, so that they share commits.

        Few, so that limits of time mean one event; none where Celery is to count the runs of this task.
        """
        conf = self.app.conf
        counted = self.rate_limit or conf.worker_max_tasks_per_child or conf.worker_max_memory_per_child
        return 0.0 if counted else _FURTHER


@contextmanager
def _as_request(task: ReceiveTask, task_id: UUID) -> Iterator[None]:
    """Make *task_id* the id of the current request, if another event's message led to this one."""
    if task.request.id == str(task_id):
        yield
        return
    task.push_request(task.request.__dict__, id=str(task_id), args=(str(task_id),))
    try:
        yield
    finally:
        task.pop_request()


def _only_argument(args: Any, kwargs: Any) -> Any:
    """Return the one argument of the task, however it was passed."""
    values = [*(args or ()), *(kwargs or {}).values()]
    if len(values) != 1:
        raise TypeError(f'the task takes one argument, the event as a dict, not {len(values)}')
    return values[0]


def _received(event: Mapping[str, Any]) -> _events.ReceivedEvent:
    """Return *event* as it is stored, valid or not; raise InvalidEventError if it can't even be written as JSON."""
    def text(name: str) -> str:
        value = event.get(name)
        return value if isinstance(value, str) else ''

    with suppress(InvalidEventError):
        return _events.from_dict(event)
    try:
        return _events.ReceivedEvent(
            event_type=text('eventType'), cloud_events_version=text('cloudEventsVersion'), source=text('source'),
            event_id=text('eventID'), event_json=_events.dumps(dict(event)), data_json=_events.dumps(event.get('data')),
        )
    except (TypeError, ValueError, RecursionError) as exc:
        raise InvalidEventError(f'the event can\'t be written as JSON: {exc}') from exc


def _task_id_of(message_id: object) -> UUID:
    """Return the task id for a message's id: the same, if it is a UUID, and the same for the same id in any case."""
    if message_id is None:  # called, not sent
        return new_task_id()
    try:
        return UUID(str(message_id))
    except ValueError:
        return uuid5(NAMESPACE_OID, str(message_id))


def _uuid(task_id: object) -> UUID:
    try:
        return UUID(str(task_id))
    except ValueError as exc:
        raise InvalidEventError(
            f'neither a CloudEvent as a dict nor the task id of one: a {type(task_id).__name__}'
        ) from exc


def _delay(countdown: float | None, eta: datetime | None) -> float:
    if countdown is not None:
        return max(0.0, float(countdown))
    if eta is None:
        return 0.0
    if eta.tzinfo is None:
        eta = eta.replace(tzinfo=timezone.utc)
    return max(0.0, eta.timestamp() - time.time())
