"""The embedded worker: threads that claim events, run them and write how they ended, and claim in one transaction."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Sequence
from types import FrameType

from pacifica.dispatcher._engine.capture import CAPTURE
from pacifica.dispatcher._engine.executor import Executor
from pacifica.dispatcher._engine.follower import RoutesFollower
from pacifica.dispatcher._engine.keeper import LeaseKeeper
from pacifica.dispatcher._engine.outgoing import Sender
from pacifica.dispatcher._engine.runner import Runner
from pacifica.dispatcher._engine.turns import Signalled
from pacifica.dispatcher._engine.wakeup import Listener, Wakeup
from pacifica.dispatcher._queue.availability import KnownFaultError
from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher._queue.values import ClaimedEvent
from pacifica.dispatcher.exceptions import DatabaseUnavailableError

_LOG = logging.getLogger(__name__)
_GIVING_BACK = 5.0  # seconds


class Worker(Runner):
    """Runs the events of a queue; the settings are those of ``EventQueue.create_worker``."""

    def __init__(
        self, store: Store, executor: Executor, sender: Sender, keeper: LeaseKeeper, *, concurrency: int, lease: float,
        poll_interval: float, grace: float,
    ) -> None:
        super().__init__(store, executor, sender, lease)
        self.concurrency = concurrency
        self.grace = grace
        self._keeper = keeper
        self._follower = RoutesFollower(executor.router)
        self._poll_interval = poll_interval
        self._threads: list[threading.Thread] = []
        self._lifecycle = threading.RLock()

    def run_once(self) -> bool:
        """Claim the event that is due the longest, run it in this thread and write how it ended; return if one was due.

        For tests and scripts: the worker need not be started.
        """
        claimed = self.store.claim(self.owner, self.lease, self.worker_id)
        if claimed is None:
            return False
        self._executor.start()
        outcome = self._execute(claimed)
        if outcome is None:
            self.store.release([claimed])
        else:
            self._write(claimed, outcome)
        return True

    def start(self) -> None:
        """Start the threads; return once the database is ready for them.

        :raises ConfigurationError: for a database that threads can't share.
        :raises DatabaseUnavailableError: if it does not answer.
        """
        with self._lifecycle:
            if self._threads:
                return
            self.store.connections.require_shared()
            self._identify()
            self._keeper.present(self.worker_id, self.owner, self._executor.engine, self.concurrency)
            self._keeper.run_once()
            self._wakeup = Wakeup(self._poll_interval)
            self._listener = Listener(self.store, self._wakeup)
            self.store.subscribe(self._wakeup.notify)
            if self._executor.in_threads:
                CAPTURE.start()
            self._threads = [
                threading.Thread(target=self._loop, name=f'pacifica-dispatcher-handler-{number}', daemon=True)
                for number in range(self.concurrency)
            ]
            self._executor.start()
            self._keeper.start()
            self._listener.start()
            self._follower.start()
            for thread in self._threads:
                thread.start()

    def stop(self, grace: float | None = None) -> None:
        """Claim nothing more, give running handlers *grace* seconds, then give back what is left, uncounted.

        A handler that is still running then goes on in its thread until the process ends, and can write no result.
        """
        with self._lifecycle:
            if not self._threads:
                return
            self._wakeup.close()
            deadline = time.monotonic() + (self.grace if grace is None else grace)
            # A signal may come, and its handler end up here, while they are being started.
            started = [thread for thread in self._threads if thread.ident is not None]
            for thread in started:
                thread.join(max(0.0, deadline - time.monotonic()))
            self._listener.stop()
            self._follower.stop()
            if self._executor.stop():
                for thread in started:  # each has its event to give back
                    thread.join(_GIVING_BACK)
            self._keeper.stop()
            if left := self._keeper.drop_all():
                self._release(left)
            self.store.unsubscribe(self._wakeup.notify)
            if self._executor.in_threads:
                CAPTURE.stop()
            self._threads = []

    def run(self) -> None:
        """Start, and stop on SIGINT or SIGTERM; a second signal stops immediately. Call it in the main thread."""
        signalled = Signalled()

        def on_signal(_number: int, _frame: FrameType | None) -> None:
            if signalled.is_set():
                self.grace = 0.0
                raise KeyboardInterrupt
            signalled.set()

        previous = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            self.start()
            while not signalled.wait():
                pass
            try:
                self.stop()
            except KeyboardInterrupt:
                self.stop(0.0)
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _loop(self) -> None:
        polled = True
        while not self._wakeup.closed:
            try:
                self._work_until_idle(polled)
            except KnownFaultError:  # it waited for the database, and the next turn will
                pass
            except Exception:  # the thread must go on; what was claimed runs again when its lease is over
                _LOG.exception('worker.turn_failed')
            polled = self._wakeup.wait()

    def _work_until_idle(self, polled: bool) -> None:
        claimed = self.store.claim(self.owner, self.lease, self.worker_id)
        more = polled  # who found an event unasked for may have found one of many
        while claimed is not None:
            if more:
                self._wakeup.look()
            claimed, more = self._finish(claimed, self._execute(claimed)), True
            if claimed is not None and self._stopping():
                self._keeper.drop(claimed)
                self._release([claimed])
                return

    def _stopping(self) -> bool:
        return self._wakeup.closed

    def _release(self, claimed: Sequence[ClaimedEvent]) -> None:
        _LOG.warning('worker.released', extra={'task_ids': [str(one.task_id) for one in claimed]})
        try:
            self.store.release(claimed)
        except DatabaseUnavailableError:
            _LOG.exception('worker.release_failed')  # they run again when their leases are over
