"""The embedded worker: threads that claim events, run them and write how they ended.

Made by the event queue; started and stopped by the service, the plug-in or a test. Each thread takes one event at a
time; finishing one and claiming the next is one transaction, which the store shares among all threads that write.
The lease of what is being handled is kept by a thread that does not depend on any handler.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType

from pacifica.dispatcher._engine.keeper import Keeper
from pacifica.dispatcher._engine.observers import Observers
from pacifica.dispatcher._engine.sending_executor import Executes
from pacifica.dispatcher._engine.wakeup import Wakeup
from pacifica.dispatcher._queue.outcome import Outcome
from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher._queue.transitions import Held
from pacifica.dispatcher.exceptions import DatabaseUnavailableError

__all__ = ['Worker']

_LOG = logging.getLogger(__name__)


class Worker:
    """Runs the events of a queue.

    :param store: the queue's.
    :param executor: what runs an event: in the handler thread, or in a process of its own; or sends it.
    :param keeper: keeps leases, and looks after what other workers left.
    :param observers: who is told how attempts ended.
    :param concurrency: how many events are handled at once.
    :param lease: seconds for which a claim holds unless renewed: how soon the event of a dead worker runs elsewhere.
    :param poll_interval: seconds between looks at the queue while nothing wakes the worker.
    :param grace: seconds that :meth:`stop` gives running handlers.
    """

    def __init__(
        self,
        store: Store,
        executor: Executes,
        keeper: Keeper,
        observers: Observers,
        *,
        concurrency: int,
        lease: float,
        poll_interval: float,
        grace: float,
    ) -> None:
        self.concurrency = concurrency
        self.lease = lease
        self.grace = grace
        self.owner = f'{socket.gethostname()}:{os.getpid()}'
        self._store = store
        self._executor = executor
        self._keeper = keeper
        self._observers = observers
        self._wakeup = Wakeup(poll_interval)
        self._threads: list[threading.Thread] = []
        self._lifecycle = threading.RLock()

    def run_once(self) -> bool:
        """Claim the event that is due the longest, run it in this thread and write how it ended; return if one was due.

        For tests and scripts: the worker need not be started.
        """
        held = self._store.claim(self.owner, self.lease)
        if held is None:
            return False
        self._executor.start()
        outcome = self._handle(held)
        if outcome is None:
            self._store.release([held])
        else:
            self._finished(held, outcome, self._store.finish(held, outcome))
        return True

    def start(self) -> None:
        """Start the threads; return once the database is ready for them.

        :raises ConfigurationError: for a database that threads can't share.
        :raises DatabaseUnavailableError: if it does not answer.
        """
        with self._lifecycle:
            if self._threads:
                return
            self._store.connections.require_shared()
            self.owner = f'{socket.gethostname()}:{os.getpid()}'
            self._keeper.present(self.owner, self._executor.engine, self.concurrency)
            self._keeper.run_once()
            self._wakeup.reset()
            self._store.subscribe(self._wakeup.notify)
            self._threads = [self._thread(self._loop, f'handler-{number}') for number in range(self.concurrency)]
            self._executor.start()
            self._keeper.start()
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
            for thread in self._threads:
                thread.join(max(0.0, deadline - time.monotonic()))
            self._executor.stop()
            left = self._keeper.stop()
            if left:
                self._release(left)
            self._store.unsubscribe(self._wakeup.notify)
            self._threads = []

    def run(self) -> None:
        """Start, and stop on SIGINT or SIGTERM; a second signal stops at once. Call it in the main thread."""
        stopping = threading.Event()

        def on_signal(number: int, _frame: FrameType | None) -> None:
            if stopping.is_set():
                self.grace = 0.0
                raise KeyboardInterrupt
            stopping.set()

        previous = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            self.start()
            while not stopping.wait(1.0):  # a bounded wait lets every platform deliver signals
                pass
            try:
                self.stop()
            except KeyboardInterrupt:
                self.stop(0.0)
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _thread(self, target: Callable[[], None], name: str) -> threading.Thread:
        return threading.Thread(target=target, name=f'pacifica-dispatcher-{name}', daemon=True)

    def _loop(self) -> None:
        polled = True
        while not self._wakeup.closed:
            try:
                self._work_until_idle(polled)
            except Exception:  # the thread must go on; what was claimed runs again when its lease is over
                _LOG.exception('worker.turn_failed')
            polled = self._wakeup.wait()

    def _work_until_idle(self, polled: bool) -> None:
        held = self._store.claim(self.owner, self.lease)
        more = polled  # who found an event unasked for may have found one of many
        while held is not None:
            if more:
                self._wakeup.notify(1)
            outcome = self._handle(held)
            if outcome is None:
                self._store.release([held])
                return
            held, more = self._finish(held, outcome), True

    def _finish(self, held: Held, outcome: Outcome) -> Held | None:
        """Write the outcome, for as long as that takes, and claim the next event unless the worker is stopping.

        What a handler did is done: a database that is away must not make it run again if that can be helped.
        """
        while True:
            try:
                if self._wakeup.closed:
                    self._finished(held, outcome, self._store.finish(held, outcome))
                    return None
                finished, following = self._store.finish_and_claim(held, outcome, self.owner, self.lease)
                if following is not None:
                    self._keeper.hold(following)  # an observer may take its time
                self._finished(held, outcome, finished)
                return self._unless_stopping(following)
            except DatabaseUnavailableError:
                _LOG.exception('worker.finish_delayed', extra={'task_id': str(held.task_id)})
                if self._wakeup.closed:
                    return None

    def _unless_stopping(self, following: Held | None) -> Held | None:
        """Return what was claimed, or give it back if the worker is stopping by now."""
        if following is None or not self._wakeup.closed:
            return following
        self._keeper.drop(following)
        self._release([following])
        return None

    def _release(self, held: Sequence[Held]) -> None:
        _LOG.warning('worker.released', extra={'task_ids': [str(one.task_id) for one in held]})
        try:
            self._store.release(held)
        except DatabaseUnavailableError:
            _LOG.exception('worker.release_failed')  # they run again when their leases are over

    def _handle(self, held: Held) -> Outcome | None:
        """Run the event while its lease is kept; ``None`` if it was stopped on the way."""
        self._keeper.hold(held)
        try:
            return self._executor.execute(held)
        finally:
            self._keeper.drop(held)

    def _finished(self, held: Held, outcome: Outcome, written: bool) -> None:
        if written:
            self._observers.finished(held, outcome)
        else:
            self._observers.lease_lost(held)
