"""The event queue: puts a store, a router and the workers together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from pacifica.dispatcher import _events
from pacifica.dispatcher._engine.executor import Executor
from pacifica.dispatcher._engine.isolation import ProcessExecutor
from pacifica.dispatcher._engine.keeper import LeaseKeeper
from pacifica.dispatcher._engine.outgoing import Sender
from pacifica.dispatcher._engine.reconciler import PeriodicReconciler, Reconciled, Reconciler
from pacifica.dispatcher._engine.runner import TaskRunner
from pacifica.dispatcher._engine.worker import Worker
from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher._transfers.metadata import Metadata
from pacifica.dispatcher.exceptions import ConfigurationError


class Acceptor(ABC):
    """Where the front door hands validated events in, whatever engine runs them."""

    @abstractmethod
    def accept(self, events: Sequence[_events.ReceivedEvent]) -> list[str]:
        """Store *events* as :meth:`Store.accept` does; return their task ids as text."""


@dataclass(frozen=True, slots=True)
class Task:
    """An accepted event; ``id`` is its task id, a UUID as a string, as a Celery result has one."""

    id: str

    def __str__(self) -> str:
        return self.id


class EventQueue(Acceptor):
    """Accepts events durably and makes the workers that run them; made by ``create_queue``."""

    def __init__(self, store: Store, executor: Executor, sender: Sender) -> None:
        self._store = store
        self._executor = executor
        self._sender = sender
        self.router = executor.router

    def delay(self, event: Mapping[str, Any]) -> Task:
        """Store *event*, a CloudEvent as a dict, and wake a worker; return once it is committed.

        An event with the source and id of an earlier one is that event again: its task is returned.

        :raises InvalidEventError: if it is no CloudEvent; nothing was stored.
        :raises DatabaseUnavailableError: if the database did not take it.
        """
        return Task(self.accept([_events.from_dict(event)])[0])

    def accept(self, events: Sequence[_events.ReceivedEvent]) -> list[str]:
        """Store validated *events*, all or none; return their task ids in order once they are committed."""
        return [str(task_id) for task_id in self._store.accept(events)]

    def create_worker(
        self, concurrency: int = 4, *, lease: float = 15.0, poll_interval: float = 1.0, grace: float = 25.0,
        retention: float | None = None, keep_unrouted: float | None = 86_400.0, isolation: str = 'thread',
        handler_timeout: float | None = None, memory_limit: int | None = None, import_name: str | None = None,
    ) -> Worker:
        """Return a worker for this queue, which runs events once it is started.

        :param concurrency: how many events it handles at the same time.
        :param lease: seconds after which the event of a worker that died runs elsewhere.
        :param poll_interval: seconds between looks at the queue, for events whose time has come and those of other
            processes that the worker did not hear of; fewer for a while after activity on MariaDB and MySQL.
        :param grace: seconds that running handlers get when the worker is stopped.
        :param retention: seconds after which events that have ended are deleted; by default they are kept.
        :param keep_unrouted: seconds after which events that no route matched are deleted, mostly of types that nobody
            asked for; by default a day. ``None`` keeps them as all others.
        :param isolation: ``'thread'``, or ``'process'`` to run each handler in a process of its own, so that one that
            hangs can be killed and one that crashes takes nothing with it.
        :param handler_timeout: seconds after which a handler is killed, with all that it started, and its event ends
            in ``500``, with ``isolation='process'``; by default never.
        :param memory_limit: bytes of address space that a handler's process may have, and each process that it starts,
            with ``isolation='process'``; by default any. More is a :class:`MemoryError`, or the end of the process.
        :param import_name: where the handlers' processes import the router from, ``'MODULE:ROUTER'``; by default it is
            sent to them by pickle.
        :raises ConfigurationError: for a setting that can't work.
        """
        for name, value in (('concurrency', concurrency), ('lease', lease), ('poll_interval', poll_interval),
                            ('retention', retention), ('keep_unrouted', keep_unrouted),
                            ('handler_timeout', handler_timeout), ('memory_limit', memory_limit)):
            if value is not None and value <= 0:
                raise ConfigurationError(f'{name} must be more than 0, not {value!r}')
        if isolation not in ('thread', 'process'):
            raise ConfigurationError(f"isolation must be 'thread' or 'process', not {isolation!r}")
        executor = self._executor
        if isolation == 'process':
            executor = ProcessExecutor(
                executor, concurrency=concurrency, timeout=handler_timeout, memory_limit=memory_limit,
                import_name=import_name)
        elif handler_timeout is not None or memory_limit is not None:
            setting = 'memory_limit' if handler_timeout is None else 'handler_timeout'
            raise ConfigurationError(f"{setting} needs isolation='process': a thread can't be killed")
        return Worker(
            self._store, executor, self._sender, LeaseKeeper(self._store, executor, lease, retention, keep_unrouted),
            concurrency=concurrency, lease=lease, poll_interval=poll_interval, grace=grace)

    def create_task_runner(self, lease: float, keep_unrouted: float | None) -> TaskRunner:
        """Return what runs events by their task ids, for workers that get messages; see :meth:`create_worker`."""
        return TaskRunner(self._store, self._executor, self._sender, lease, keep_unrouted)

    def reconcile(
        self, metadata_url: str, since: datetime, *, dry_run: bool = False,
        progress: Callable[[Reconciled], None] = lambda found: None,
    ) -> Reconciled:
        """Store what was never delivered: the events of transactions that Metadata knows and this queue doesn't.

        Only those that a route wants are stored, with the source and the id that Metadata gives them: one that is
        delivered late is that event again. Run again it stores nothing new. Events that were deleted (``retention``,
        ``prune``) are not known any more: look back no further than they are kept.

        :param metadata_url: where Metadata is, for example ``http://HOST:8121``.
        :param since: from when on, by the archive's clock; UTC if it has no zone.
        :param dry_run: store nothing, but say what would be.
        :param progress: called with what was found so far, after each page of 100 transactions.
        :raises TransferError: if Metadata doesn't answer. What was stored by then stays.
        :raises DatabaseUnavailableError: if the database doesn't answer.
        """
        return self._reconciler(metadata_url).run(_utc(since), dry_run=dry_run, progress=progress)

    def create_reconciler(
        self, metadata_url: str, *, interval: float = 60.0, since: datetime | None = None,
    ) -> PeriodicReconciler:
        """Return what does :meth:`reconcile` at its start and once an interval, in a thread, as a worker is started.

        It asks for the transactions since the last look, and for those of the hour before that, which may have become
        visible later. From when on the next look asks is kept in the database, and several services of one
        queue look once, not each. While Metadata doesn't answer it logs so once, and goes on trying.

        :param interval: seconds between two looks.
        :param since: from when on the very first look of the queue asks; by default from now on.
        :raises ConfigurationError: if the interval is not more than 0, or the queue doesn't recognise repeated events.
        """
        if interval <= 0:
            raise ConfigurationError(f'interval must be more than 0, not {interval!r}')
        return PeriodicReconciler(
            self._reconciler(metadata_url), interval, None if since is None else _utc(since))

    def _reconciler(self, metadata_url: str) -> Reconciler:
        return Reconciler(self._store, self.router, Metadata(metadata_url), self._executor.extensions.missed)

    def prune(self, older_than: float) -> int:
        """Delete every event that ended more than *older_than* seconds ago; return how many were.

        :raises DatabaseUnavailableError: if the database did not answer in time.
        """
        deleted = 0
        while batch := self._store.prune(older_than):
            deleted += batch
        return deleted


def _utc(moment: datetime) -> datetime:
    """Return *moment*, UTC if it has no zone, in UTC without a zone."""
    return moment if moment.tzinfo is None else moment.astimezone(timezone.utc).replace(tzinfo=None)
