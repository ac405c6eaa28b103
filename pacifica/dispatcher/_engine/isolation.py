"""Handlers in processes of their own: one that hangs is killed at its limit, one that crashes takes nothing with it.

The processes are copies of a template, see :mod:`.template`, which has the router's modules loaded; what one does is in
:mod:`.child`. :mod:`.pool` has those of a worker.
"""

from __future__ import annotations

import logging
import os
import signal
import time
import weakref
from collections.abc import Callable
from pathlib import Path

from pacifica.dispatcher._engine import child
from pacifica.dispatcher._engine.executor import Executor
from pacifica.dispatcher._engine.handler_process import HandlerProcess, TooLongError
from pacifica.dispatcher._engine.output import Output
from pacifica.dispatcher._engine.pool import Pool
from pacifica.dispatcher._queue.values import ClaimedEvent, Outcome
from pacifica.dispatcher._transfers.tree import remove_left
from pacifica.dispatcher.exceptions import CancelledError, ConfigurationError, HandlerTimeoutError, WorkerLostError

_CRASH_PAUSES = (2.0, 10.0)  # seconds before what crashed is tried again; the last for all further attempts


class ProcessExecutor(Executor):
    """Runs events through an *executor* that lives in other processes.

    :param concurrency: how many processes are there before they are needed.
    :param timeout: seconds after which a handler is killed; ``None`` for never.
    :param memory_limit: bytes of address space that a handler's process may have, and each that it starts.
    :param import_name: where the processes import the router from, ``MODULE:ROUTER``; ``None`` to send it by pickle.
    :raises ConfigurationError: if the router or one of its handlers can't be sent to another process.
    """

    engine = 'processes'
    in_threads = False

    def __init__(
        self, executor: Executor, *, concurrency: int, timeout: float | None = None, memory_limit: int | None = None,
        import_name: str | None = None,
    ) -> None:
        super().__init__(**{name: value for name, value in vars(executor).items() if not name.startswith('_')})
        if not hasattr(os, 'fork'):
            raise ConfigurationError('isolation="process" needs a system that can fork: use isolation="thread"')
        self._timeout, self._memory_limit = timeout, memory_limit
        of_file = getattr(executor.router, 'file', None) is not None  # which a stranger's router doesn't have
        if of_file:
            import_name = None  # the state of the file that is in force is sent, whatever the file says meanwhile

        def payload() -> bytes:
            return child.dump(executor, import_name, child.Settings(timeout, memory_limit, _log_levels()))

        try:
            payload()
        except Exception as exc:  # a stranger's object may raise what it likes while it is pickled
            raise ConfigurationError(
                f'isolation="process" sends the router to other processes, and it can\'t be pickled ({exc}): say '
                'where to import it from (import_name), or define handler classes at the top of a module, and open '
                'sessions and locks in handle(), not in __init__()'
            ) from exc
        self._pool = Pool(payload, import_name is None and not of_file, concurrency)
        weakref.finalize(self, self._pool.stop)  # of a worker that nobody stopped

    def start(self) -> None:
        """Start the processes that will be needed."""
        self._pool.start()

    def stop(self) -> bool:
        """Kill every process and what it started; what was running has no outcome."""
        self._pool.stop()
        return True

    def cancel(self, claimed: ClaimedEvent, reason: str) -> None:
        """Have the process of the attempt end it, with SIGTERM; five seconds later, if called again, kill it."""
        self._pool.cancel(claimed, reason)

    def _attempt(self, claimed: ClaimedEvent, output: Output) -> Outcome | None:
        began = time.monotonic()
        outcome = self._run_elsewhere(claimed, output)
        if outcome is None or outcome.seconds is not None:
            return outcome
        return outcome._replace(seconds=time.monotonic() - began)  # of a process that could not say so itself

    def _run_elsewhere(self, claimed: ClaimedEvent, output: Output) -> Outcome | None:
        try:
            running = self._pool.take(claimed)
        except OSError as exc:
            return self._crashed(WorkerLostError(f'no process could be started for the handler: {exc}'), claimed, None)
        if running is None:
            return None
        try:
            outcome = running.execute(claimed, self.extensions.carrier(), self._timeout, output)
        except TooLongError as exc:
            running.kill()
            error = HandlerTimeoutError(str(exc))
            return self._give_up(claimed, running, lambda code: error, output)
        except (EOFError, OSError):
            return self._give_up(claimed, running, self._lost, output)
        self._pool.put_back(claimed, running)
        if running.cancelled and outcome is not None and outcome.exc_type == CancelledError.__name__:
            return outcome._replace(exc_value=running.cancelled)
        return outcome

    def _give_up(
        self, claimed: ClaimedEvent, running: HandlerProcess, error_of: Callable[[int | None], Exception],
        output: Output,
    ) -> Outcome | None:
        """Clear up after a process that has ended or been killed; return how the attempt ended, from its journal."""
        self._pool.give_up(claimed)
        exit_code = running.wait()
        running.drain(output)
        noted = running.journal.read()
        running.close()
        for directory in noted.directories:
            remove_left(Path(directory))
        error = error_of(exit_code)
        if running.cancelled:
            error = CancelledError(f'{running.cancelled}, and was killed')
        elif self._pool.stopped:
            return None
        outcome = self._crashed(error, claimed, noted.route)
        return outcome._replace(
            exc_traceback=noted.crash or outcome.exc_traceback, stages=tuple(noted.stages), made_by=noted.made_by)

    def _crashed(self, error: Exception, claimed: ClaimedEvent, route: str | None) -> Outcome:
        counted = claimed.attempt - claimed.postponed
        if not isinstance(error, WorkerLostError) or counted >= self.policy.max_attempts:
            return self._failed(error, claimed, route)
        return Outcome.retry(error, _CRASH_PAUSES[min(counted, len(_CRASH_PAUSES)) - 1], route)

    def _lost(self, code: int | None) -> WorkerLostError:
        if code is None:
            how = 'ended, and its exit code is not known'
        elif code >= 0:
            how = f'ended with exit code {code}'
        else:
            how = f'was killed by {signal.Signals(-code).name if -code in set(signal.Signals) else -code}'
        if code == -signal.SIGKILL:
            how += ', which is what a system does when memory runs out'
        limit = '' if self._memory_limit is None else f'; its memory limit was {self._memory_limit} bytes'
        return WorkerLostError(f'the handler\'s process {how}{limit}')


def _log_levels() -> dict[str, int]:
    """Return the levels of this process's loggers."""
    levels = {name: each.level for name, each in logging.root.manager.loggerDict.items()
              if isinstance(each, logging.Logger) and each.level}
    return {**levels, '': logging.root.level}
