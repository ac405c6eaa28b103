"""Runs stored events by their task ids: what an engine does whose workers are told which event is next.

Called by such an engine in whatever process or thread a message reaches. Knows claims, leases and outcomes; knows
nothing of brokers.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from uuid import UUID

from pacifica.dispatcher._engine.keeper import Keeper
from pacifica.dispatcher._engine.observers import Observers
from pacifica.dispatcher._engine.sending_executor import Executes
from pacifica.dispatcher._queue.outcome import Outcome
from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher._queue.transitions import Held
from pacifica.dispatcher.exceptions import DatabaseUnavailableError

__all__ = ['TaskRunner']

_LOG = logging.getLogger(__name__)

Around = Callable[[UUID], AbstractContextManager[object]]


class TaskRunner:
    """Claims an event, runs it while its lease is kept, writes how it ended.

    :param store: the queue's.
    :param executor: what runs an event, or sends it.
    :param observers: who is told how attempts ended.
    :param lease: seconds for which a claim holds unless renewed: how soon the event of a dead worker runs elsewhere.
    :param keep_unrouted: seconds after which events that no route matched are deleted; ``None`` keeps them.
    :param present: whether processes that run events are shown as workers.
    """

    def __init__(
        self, store: Store, executor: Executes, observers: Observers, lease: float,
        keep_unrouted: float | None = None, *, present: bool = True,
    ) -> None:
        self._store = store
        self._observers = observers
        self._executor = executor
        self._lease = lease
        self._keep_unrouted = keep_unrouted
        self._present = present
        self._lock = threading.Lock()
        self._keeper: Keeper | None = None
        self._owner = ''
        self._pid = 0

    def once(self, task_id: UUID, around: Around) -> None:
        """Run that one event as :meth:`run` does, and leave no thread behind: for a caller that is no worker."""
        alone = TaskRunner(self._store, self._executor, self._observers, self._lease, present=False)
        try:
            alone.run(task_id, around)
        finally:
            alone.stop()

    def run(self, task_id: UUID, around: Around, further: float = 0.0) -> None:
        """Run the event, if it is due and nobody else does; then others that are due, one after the other.

        If the event has been taken, the others are run all the same: it was taken because much is due.

        :param around: makes the context manager that each event runs in, given its task id.
        :param further: seconds from now after which no further event is begun.
        :raises DatabaseUnavailableError: if the event could not be claimed.
        """
        until = time.monotonic() + further
        self.start()
        held = self._store.claim_task(task_id, self._owner, self._lease)
        if held is None and further:
            held = self._store.claim(self._owner, self._lease)
        while held is not None:
            with around(held.task_id):
                outcome = self._execute(held)
            if outcome is None:
                self._store.release([held])
                return
            held = self._finish(held, outcome, until)

    def start(self) -> None:
        """Start the thread that keeps this process's leases and looks after what dead workers left.

        Nothing to do if it runs already; a forked child has none of its parent's threads. A database that only one
        thread can see has no other workers, and no use for it.
        """
        if self._pid == os.getpid():
            return
        with self._lock:
            if self._pid != os.getpid():
                self._owner = f'{socket.gethostname()}:{os.getpid()}'
                self._keeper = Keeper(
                    self._store, self._observers, self._executor.policy.max_attempts, self._lease,
                    keep_unrouted=self._keep_unrouted)
                if self._store.connections.shared:
                    self._keeper.start()
                self._pid = os.getpid()

    def stop(self) -> None:
        """Stop that thread, if it is of this process."""
        with self._lock:
            if self._keeper is not None and self._pid == os.getpid():
                self._keeper.stop()
                self._keeper, self._pid = None, 0

    def _execute(self, held: Held) -> Outcome | None:
        keeper = self._keeper
        assert keeper is not None  # started before the claim
        if self._present:
            keeper.present(self._owner, 'celery', 1)
        keeper.hold(held)
        try:
            return self._executor.execute(held)
        finally:
            keeper.drop(held)

    def _finish(self, held: Held, outcome: Outcome, until: float) -> Held | None:
        """Write the outcome, for as long as that takes, and claim a further event unless it is too late for that.

        What a handler did is done: a database that is away must not make it run again if that can be helped.
        """
        while True:
            try:
                following = None
                if time.monotonic() < until:
                    written, following = self._store.finish_and_claim(held, outcome, self._owner, self._lease)
                    if following is not None and self._keeper is not None:
                        self._keeper.hold(following)  # an observer may take its time
                else:
                    written = self._store.finish(held, outcome)
                if written:
                    self._observers.finished(held, outcome)
                else:
                    self._observers.lease_lost(held)
                return following
            except DatabaseUnavailableError:
                _LOG.exception('worker.finish_delayed', extra={'task_id': str(held.task_id)})
