"""Runs claimed events and writes how they ended: what every engine does, and what Celery's workers run."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from uuid import UUID

from pacifica.dispatcher._engine.capture import CAPTURE
from pacifica.dispatcher._engine.executor import Executor
from pacifica.dispatcher._engine.keeper import LeaseKeeper
from pacifica.dispatcher._engine.outgoing import Sender
from pacifica.dispatcher._queue.availability import KnownFaultError
from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher._queue.values import ClaimedEvent, Outcome
from pacifica.dispatcher.exceptions import DatabaseUnavailableError

_LOG = logging.getLogger(__name__)

Around = Callable[[UUID], AbstractContextManager[object]]


class Runner:
    """Runs a claimed event while its lease is kept, and writes how it ended; the base of what claims events.

    :param lease: seconds for which a claim holds unless renewed: how soon the event of a dead worker runs elsewhere.
    """

    _keeper: LeaseKeeper

    def __init__(self, store: Store, executor: Executor, sender: Sender, lease: float) -> None:
        self.lease = lease
        self._identify()
        self.store = store
        self._executor = executor
        self._sender = sender
        self._extensions = executor.extensions

    def _identify(self) -> None:
        """Take an identity: what people are shown, and the id of its heartbeats and claims."""
        self.owner, self.worker_id = f'{socket.gethostname()}:{os.getpid()}', secrets.token_hex(8)

    def _stopping(self) -> bool:
        """Return whether no further event is to be claimed."""
        return False

    def _execute(self, claimed: ClaimedEvent) -> Outcome | None:
        """Run the event, or send it if it is an outgoing one; ``None`` if it was stopped on the way."""
        self._keeper.hold(claimed)
        try:
            if claimed.destination is not None:
                return self._sender.send(claimed, claimed.destination)
            return self._executor.execute(claimed)
        finally:
            self._keeper.drop(claimed)

    def _finish(
        self, claimed: ClaimedEvent, outcome: Outcome | None, until: float = float('inf'),
    ) -> ClaimedEvent | None:
        """Write the outcome, or give the event back without one; claim the next before *until*, unless stopping."""
        if outcome is None:
            self.store.release([claimed])
            return None
        while True:  # what a handler did is done: a database that is away must not make it run again
            try:
                return self._write(claimed, outcome, claim=not self._stopping() and time.monotonic() < until)
            except DatabaseUnavailableError as exc:
                if not isinstance(exc, KnownFaultError):
                    _LOG.exception('worker.finish_delayed', extra={'task_id': str(claimed.task_id)})
                if self._stopping():
                    return None

    def _write(self, claimed: ClaimedEvent, outcome: Outcome, *, claim: bool = False) -> ClaimedEvent | None:
        """Write the outcome, and *claim* the next event in the same transaction, whose lease is kept from then on."""
        following = None
        task = self._extensions.ended(claimed, outcome)
        outgoing = () if task is None else self._extensions.outgoing(task)
        if claim:
            written, following = self.store.finish_and_claim(
                claimed, outcome, self.owner, self.lease, outgoing, self.worker_id)
            if following is not None:
                self._keeper.hold(following)  # an extension may take its time
        else:
            written = self.store.finish(claimed, outcome, outgoing)
        if written:
            self._extensions.finished(claimed, outcome, task)
        else:
            self._extensions.lease_lost(claimed)
        return following


class TaskRunner(Runner):
    """Runs stored events by their task ids, in whatever process a message reaches; shown as a worker if *present*."""

    def __init__(
        self, store: Store, executor: Executor, sender: Sender, lease: float, keep_unrouted: float | None = None, *,
        present: bool = True,
    ) -> None:
        super().__init__(store, executor, sender, lease)
        self._keep_unrouted = keep_unrouted
        self._present = present
        self._lock = threading.Lock()
        self._pid = 0

    def once(self, task_id: UUID, around: Around) -> None:
        """Run that one event as :meth:`run` does, and leave no thread behind: for a caller that is no worker."""
        alone = TaskRunner(self.store, self._executor, self._sender, self.lease, present=False)
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
        claimed = self.store.claim_task(task_id, self.owner, self.lease, self.worker_id)
        if claimed is None and further:
            claimed = self.store.claim(self.owner, self.lease, self.worker_id)
        while claimed is not None:
            if self._present:
                self._keeper.present(self.worker_id, self.owner, 'celery', 1)
            with around(claimed.task_id):
                outcome = self._execute(claimed)
            claimed = self._finish(claimed, outcome, until)

    def start(self) -> None:
        """Start the thread that keeps this process's leases and takes over the events of dead workers, unless it runs.

        A forked child has none of its parent's. A database that only one thread can see has no use for it.
        """
        with self._lock:
            if self._pid != os.getpid():
                self._identify()
                self._keeper = LeaseKeeper(self.store, self._executor, self.lease, None, self._keep_unrouted)
                if self.store.connections.shared:
                    self._keeper.start()
                CAPTURE.start()
                self._pid = os.getpid()

    def stop(self) -> None:
        """Stop that thread, if it is of this process."""
        with self._lock:
            if self._pid == os.getpid():
                self._keeper.stop()
                CAPTURE.stop()
                self._pid = 0
