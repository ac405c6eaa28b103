"""Handlers in processes of their own: one that hangs is killed at its limit, one that crashes takes nothing with it.

Used by a worker whose ``isolation`` is ``'process'``, in place of calling the executor; the one door for ``pebble``.
The processes are started anew ("forkserver", else "spawn"), never forked from the threads of the service, so the
router is sent to them by pickle.
"""

from __future__ import annotations

import multiprocessing
import pickle
import threading
from concurrent.futures import CancelledError, TimeoutError
from typing import Any

from pebble import ProcessExpired, ProcessPool

from pacifica.dispatcher._engine.executor import Executor
from pacifica.dispatcher._queue.outcome import Outcome
from pacifica.dispatcher._queue.transitions import Held
from pacifica.dispatcher.exceptions import ConfigurationError, HandlerTimeoutError, WorkerLostError

__all__ = ['ProcessExecutor']

_executor: Executor | None = None  # in a handler process: what it runs events with


def _start(pickled: bytes) -> None:
    global _executor
    _executor = pickle.loads(pickled)


def _execute(held: Held) -> Outcome | None:
    assert _executor is not None, 'the pool starts each process with _start'
    return _executor.execute(held)


class ProcessExecutor:
    """Runs events through an executor that lives in other processes.

    :param executor: what runs an event; must survive pickling, with its router and the router's handlers.
    :param concurrency: how many processes.
    :param timeout: seconds after which a handler is killed with its process; ``None`` for never.
    :raises ConfigurationError: if the router can't be sent to another process.
    """

    def __init__(self, executor: Executor, concurrency: int, timeout: float | None) -> None:
        self._policy = executor.policy
        self._concurrency = concurrency
        self._timeout = timeout
        try:
            self._pickled = pickle.dumps(executor)
        except Exception as exc:  # a stranger's object may raise what it likes while it is pickled
            raise ConfigurationError(
                f'isolation="process" sends the router to other processes, and it can\'t be pickled ({exc}): define '
                'handler classes at the top of a module, and open sessions and locks in handle(), not in __init__()'
            ) from exc
        self._pool: Any = None  # a ProcessPool: pebble's types leave its methods out
        self._lock = threading.Lock()

    def start(self) -> None:
        """Be ready; the processes are started as they are needed."""
        with self._lock:
            if self._pool is None:
                methods = multiprocessing.get_all_start_methods()
                context = multiprocessing.get_context('forkserver' if 'forkserver' in methods else 'spawn')
                self._pool = ProcessPool(
                    self._concurrency, initializer=_start, initargs=(self._pickled,), context=context)

    def stop(self) -> None:
        """Kill what is still running."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.stop()
            pool.join()

    def execute(self, held: Held) -> Outcome | None:
        """Run the event in another process; ``None`` if that was stopped and there is no outcome."""
        pool = self._pool
        if pool is None:
            return None
        try:
            future = pool.schedule(_execute, args=(held,), timeout=self._timeout)
            outcome: Outcome | None = future.result()
            return outcome
        except TimeoutError:
            return self._failed(HandlerTimeoutError(
                f'the handler ran longer than handler_timeout, {self._timeout:g} seconds, and was killed'), held)
        except ProcessExpired as exc:
            return self._lost(WorkerLostError(f'the handler\'s process died with exit code {exc.exitcode}'), held)
        except (CancelledError, RuntimeError):  # stopped; pebble raises RuntimeError where a pool is closed or broken
            return None

    def _failed(self, error: Exception, held: Held) -> Outcome:
        delay = self._policy.delay(error, held.attempt)
        return Outcome.failed(error) if delay is None else Outcome.retry(error, delay)

    def _lost(self, error: Exception, held: Held) -> Outcome:
        return Outcome.failed(error) if held.attempt >= self._policy.max_attempts else Outcome.retry(error, 0.0)
