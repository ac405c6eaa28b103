"""Handlers in processes of their own: one that hangs is killed at its limit, one that crashes takes nothing with it.

Processes are started anew ("forkserver", else "spawn"), never forked from the threads of the service, so the router is
sent to them by pickle.
"""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import threading
import time
from multiprocessing.connection import Connection, wait
from typing import Any

from pacifica.dispatcher._engine.executor import Executor
from pacifica.dispatcher._engine.extensions import Carrier
from pacifica.dispatcher._queue.values import ClaimedEvent, Outcome
from pacifica.dispatcher.exceptions import ConfigurationError, HandlerTimeoutError, WorkerLostError

_STARTED_ANEW: Any = multiprocessing.get_context(
    'forkserver' if 'forkserver' in multiprocessing.get_all_start_methods() else 'spawn')


class _Child:
    """A process that runs one event at a time, given over a pipe."""

    def __init__(self, pickled: bytes) -> None:
        self.pipe, theirs = _STARTED_ANEW.Pipe()
        self.process: Any = _STARTED_ANEW.Process(target=_serve, args=(pickled, theirs), daemon=True)
        self.process.start()
        self._ready = False
        theirs.close()  # so that its end is noticed here when it dies

    def execute(self, claimed: ClaimedEvent, carrier: Carrier, timeout: float | None) -> Outcome | None:
        """Return how it ended; raise TimeoutError if too late, its start apart, EOFError or OSError if it died."""
        if not self._ready:
            self._ready = self.pipe.recv()
        self.pipe.send((claimed, carrier))
        if not wait([self.pipe], timeout):
            raise TimeoutError
        outcome: Outcome | None = self.pipe.recv()
        return outcome

    def kill(self) -> Any:
        """End the process, if it has not ended yet; return its exit code, negative for a signal."""
        self.process.kill()
        self.process.join()
        self.pipe.close()
        return self.process.exitcode


def _serve(pickled: bytes, pipe: Connection) -> None:
    """Run what comes through the pipe until the parent closes it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # A signal reaches the whole process group; the service decides when its handlers end.
        signal.signal(number, lambda *_: None)
    try:
        execute = pickle.loads(pickled).resume
    except Exception as exc:  # whatever the router's modules raise as they are imported here: each event says so
        failure = Outcome.failed(exc)

        def execute(claimed: ClaimedEvent, carrier: Carrier) -> Outcome:
            return failure

    pipe.send(True)
    while True:
        try:
            claimed, carrier = pipe.recv()
        except (EOFError, OSError):
            return
        pipe.send(execute(claimed, carrier))


class ProcessExecutor(Executor):
    """Runs events through an *executor* that lives in other processes, each of which is killed after *timeout* seconds.

    :raises ConfigurationError: if the router or one of its handlers can't be sent to another process.
    """

    engine = 'processes'

    def __init__(self, executor: Executor, timeout: float | None) -> None:
        super().__init__(**vars(executor))
        self._timeout = timeout
        try:
            self._pickled = pickle.dumps(executor)
        except Exception as exc:  # a stranger's object may raise what it likes while it is pickled
            raise ConfigurationError(
                f'isolation="process" sends the router to other processes, and it can\'t be pickled ({exc}): define '
                'handler classes at the top of a module, and open sessions and locks in handle(), not in __init__()'
            ) from exc
        self._lock = threading.Lock()
        self._idle: list[_Child] = []
        self._busy: set[_Child] = set()
        self._stopped = False

    def start(self) -> None:
        """Be ready; processes are started as they are needed."""
        self._stopped = False

    def stop(self) -> None:
        """Kill every process; what was running has no outcome."""
        with self._lock:
            self._stopped = True
            children = [*self._idle, *self._busy]
            self._idle.clear()
        for child in children:
            child.process.kill()
            child.process.join()

    def _timed(self, claimed: ClaimedEvent) -> Outcome | None:
        began = time.monotonic()
        outcome = self._run_elsewhere(claimed)
        if outcome is None or outcome.seconds is not None:
            return outcome
        return outcome._replace(seconds=time.monotonic() - began)  # of a process that could not say so itself

    def _run_elsewhere(self, claimed: ClaimedEvent) -> Outcome | None:
        child = self._take()
        if child is None:
            return None
        try:
            outcome = child.execute(claimed, self.extensions.carrier(), self._timeout)
        except TimeoutError:
            self._give_up(child)
            error = HandlerTimeoutError(
                f'the handler ran longer than handler_timeout, {self._timeout:g} seconds, and was killed')
            return self._failed(error, claimed, None)
        except (EOFError, OSError):
            lost = WorkerLostError(f'the handler\'s process died with exit code {self._give_up(child)}')
            if self._stopped:
                return None
            return Outcome.failed(lost) if claimed.attempt >= self.policy.max_attempts else Outcome.retry(lost, 0.0)
        self._put_back(child)
        return outcome

    def _take(self) -> _Child | None:
        with self._lock:
            if self._stopped:
                return None
            child = self._idle.pop() if self._idle else _Child(self._pickled)
            self._busy.add(child)
            return child

    def _put_back(self, child: _Child) -> None:
        with self._lock:
            self._busy.discard(child)
            if not self._stopped:
                self._idle.append(child)

    def _give_up(self, child: _Child) -> Any:
        with self._lock:
            self._busy.discard(child)
        return child.kill()
