"""Handlers in processes of their own: one that hangs is killed at its limit, one that crashes takes nothing with it.

The processes are copies of a template, see :mod:`.template`, which has the router's modules loaded; what one does is in
:mod:`.child`. Nothing is forked from the service itself, whose threads may hold locks.
"""

from __future__ import annotations

import gc
import itertools
import logging
import os
import pickle
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from multiprocessing import spawn
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import Any, NamedTuple

from pacifica.dispatcher._engine import child, streams, template
from pacifica.dispatcher._engine.executor import Executor
from pacifica.dispatcher._engine.extensions import Carrier
from pacifica.dispatcher._engine.output import Output
from pacifica.dispatcher._engine.streams import Streams
from pacifica.dispatcher._queue.values import ClaimedEvent, Outcome
from pacifica.dispatcher._transfers.tree import remove
from pacifica.dispatcher.exceptions import CancelledError, ConfigurationError, HandlerTimeoutError, WorkerLostError

_LOG = logging.getLogger(__name__)
_CRASH_PAUSES = (2.0, 10.0)  # seconds before what crashed is tried again; the last for all further attempts
_IDLE = 0.05  # seconds after which what a process has printed is taken to be no event's
_CANCEL_SECONDS = 5.0  # between SIGTERM and SIGKILL
_START = 'import sys; from pacifica.dispatcher._engine.template import main; main(int(sys.argv[1]))'


def may_copy() -> bool:
    """Return whether this process may be copied: it has no other thread, which might hold a lock."""
    return sys.platform == 'linux' and threading.active_count() == 1


class _Copy:
    """A copy of this process, which shares its memory."""

    def __init__(self, run: Callable[[], None]) -> None:
        streams.flush()  # or both would write it
        gc.collect()
        gc.freeze()  # collections would touch, and so copy, every page here too
        self._status: int | None = None
        self._pid = os.fork()
        if not self._pid:
            try:
                run()
            except BaseException:  # noqa: B036  # nothing may go on as a second service
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(0)

    def poll(self) -> int | None:
        """Return its status if it has ended, else ``None``."""
        return self._wait(os.WNOHANG)

    def wait(self) -> int | None:
        """Wait for its end."""
        return self._wait(0)

    def _wait(self, options: int) -> int | None:
        if self._status is None:
            try:
                pid, status = os.waitpid(self._pid, options)
            except ChildProcessError:  # somebody else waited for it
                pid, status = self._pid, 0
            if pid:
                self._status = status
        return self._status


class _Template:
    """The process that handlers' processes are copied from: a copy of this one if it has a single thread, else new.

    :param payload: what it is to load.
    :param with_main: whether that may refer to the service's main program.
    """

    def __init__(self, payload: bytes, with_main: bool) -> None:
        if template.loading:
            raise ConfigurationError(
                'a handler\'s process is being started from a program that starts workers as it is imported: put that '
                'under \'if __name__ == "__main__":\'')
        self._control, theirs = socket.socketpair()
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._process: _Copy | subprocess.Popen[bytes]
        with theirs:
            if may_copy() and not with_main:
                self._process = _Copy(lambda: self._become(theirs, payload))
            else:
                self._process = self._start(theirs, payload, with_main)

    def _become(self, theirs: socket.socket, payload: bytes) -> None:
        self._control.close()
        os.setsid()
        logging.root.handlers.clear()  # what is logged goes to the service
        template.run(theirs, child.load(payload))

    @staticmethod
    def _start(theirs: socket.socket, payload: bytes, with_main: bool) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, '-c', _START, str(theirs.fileno())], stdin=subprocess.PIPE,
            pass_fds=[theirs.fileno()], start_new_session=True)
        assert process.stdin is not None
        preparation = spawn.get_preparation_data('handlers')
        if not with_main:
            preparation = {name: value for name, value in preparation.items() if not name.startswith('init_main')}
        preparation['authkey'] = bytes(preparation['authkey'])  # goes to our own process alone, which pickle can't know
        with process.stdin as pipe:
            pickle.dump((preparation, pickle.dumps(child.load), payload), pipe)
        return process

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def fork(self, *descriptors: int) -> int:
        """Have a process forked that gets the descriptors that come with ``FORK``; return its number."""
        with self._lock:
            number = next(self._numbers)
            socket.send_fds(self._control, [template.COMMAND.pack(template.FORK, number)], descriptors)
        return number

    def send(self, what: bytes, number: int) -> None:
        """Have a process signalled, unless it has ended."""
        with self._lock:
            try:
                self._control.sendall(template.COMMAND.pack(what, number))
            except OSError:
                pass  # the template has ended, and all of its processes with it

    def stop(self) -> None:
        """End it, and every process that it forked."""
        self._control.close()
        self._process.wait()


class _Limit(NamedTuple):
    """How long a handler may run, and what says so."""

    name: str
    seconds: float


class _TooLongError(Exception):
    """The handler ran longer than its limit."""

    def __init__(self, limit: _Limit) -> None:
        super().__init__(f'the handler ran longer than {limit.name}, {limit.seconds:g} seconds, and was killed')


class _Child:
    """A process that runs one event at a time, given over a pipe."""

    def __init__(self, origin: _Template) -> None:
        self._origin = origin
        self._pipe, theirs = Pipe()
        self._status, write_status = Pipe(duplex=False)
        self.journal = child.Journal.create()
        self._selector = selectors.DefaultSelector()
        for each in (self._pipe, self._status):
            self._selector.register(each, selectors.EVENT_READ)
        self._streams = Streams(self._selector)
        try:
            self._number = origin.fork(
                theirs.fileno(), write_status.fileno(), self.journal.descriptor, *self._streams.theirs)
        except BaseException:
            self.close()
            raise
        finally:
            theirs.close()  # so that its end is noticed here when it dies
            write_status.close()
            self._streams.close_theirs()
        self._ready = False
        self._idle_since = 0.0
        self._cancelled_at: float | None = None
        self.cancelled = ''

    @property
    def reusable(self) -> bool:
        """Whether another event may run in it."""
        return not self.cancelled and self._streams.whole

    def execute(
        self, claimed: ClaimedEvent, carrier: Carrier, timeout: float | None, output: Output,
    ) -> Outcome | None:
        """Return how it ended; raise _TooLongError if too late, its start apart, EOFError or OSError if it died."""
        if not self._ready:
            self._receive(None, _nobodys)
            self._ready = True
        if time.monotonic() > self._idle_since + _IDLE:
            self.drain(_nobodys)
        self._pipe.send(child.Job(claimed, carrier))
        output.follow(partial(self.journal.progress, claimed))
        try:
            ended, outcome = self._receive(None if timeout is None else _Limit('handler_timeout', timeout), output)
        except BaseException:
            ended = child.ENDED_WITH_PROGRESS
            raise
        finally:
            output.follow(None)
            if ended == child.ENDED_WITH_PROGRESS and (progress := self.journal.progress(claimed)) is not None:
                output.report(*progress)
        self._idle_since = time.monotonic()
        return outcome

    def _receive(self, limit: _Limit | None, output: Output) -> tuple[str, Outcome | None]:
        """Return what the process answers; log what it logs meanwhile, and keep that and what it prints in *output*.

        What it printed before its answer is ready when that is, so that it need not be asked for again.
        """
        began = time.monotonic()
        while True:
            left = None if limit is None else max(0.0, began + limit.seconds - time.monotonic())
            ready = {key.fileobj for key, _ in self._selector.select(left)}
            self._streams.read(ready, output.add)
            if self._pipe in ready:
                what, value = self._pipe.recv()
                if what == child.LOG:
                    _log(value, output)
                elif what == child.LIMIT:
                    if limit is None or value < limit.seconds:
                        limit, left = _Limit('the timeout of its route', value), None
                else:
                    return what, value
            elif self._status in ready:
                raise EOFError
            if limit is not None and left == 0.0:
                raise _TooLongError(limit)

    def drain(self, output: Output) -> None:
        """Keep what the process has printed by now in *output*."""
        self._streams.read({key.fileobj for key, _ in self._selector.select(0)}, output.add)

    def cancel(self, reason: str) -> None:
        """Ask its process group to end; kill all that it started, if asked again when it had the time."""
        now = time.monotonic()
        if self._cancelled_at is None:
            self.cancelled, self._cancelled_at = reason, now
            self._origin.send(template.TERMINATE, self._number)
        elif now >= self._cancelled_at + _CANCEL_SECONDS:
            self.kill()

    def kill(self) -> None:
        """End it and all that it started."""
        self._origin.send(template.KILL, self._number)

    def close(self) -> None:
        """Let go of a process that has ended, or ends when its pipe is closed."""
        self._selector.close()
        self._streams.close()
        self._pipe.close()
        self._status.close()
        self.journal.close()

    def wait(self) -> int | None:
        """Wait for the end of the process; return its exit code, negative for a signal; ``None`` if nobody knows."""
        told = os.read(self._status.fileno(), template.STATUS.size)
        return template.STATUS.unpack(told)[0] if len(told) == template.STATUS.size else None


class _Pool:
    """The processes of one worker, and the template that they are copied from, which is started when it is needed.

    :param payload: makes what the template is to load.
    :param with_main: whether that may refer to the service's main program.
    :param size: how many processes are there before they are needed.
    """

    def __init__(self, payload: Callable[[], bytes], with_main: bool, size: int) -> None:
        self._payload, self._with_main = payload, with_main
        self._size = size
        self._lock = threading.Lock()
        self._template: _Template | None = None
        self._idle: list[_Child] = []
        self._busy: dict[tuple[str, Any], _Child] = {}
        self.stopped = False
        if may_copy() and not with_main:  # before there are threads
            self._template = _Template(payload(), with_main)

    def start(self) -> None:
        """Start the template, and the processes that will be needed."""
        with self._lock:
            self.stopped = False
            self._fill()

    def stop(self) -> None:
        """End every process and what it started."""
        with self._lock:
            self.stopped = True
            idle, self._idle = self._idle, []
            origin, self._template = self._template, None
        if origin is not None:
            origin.stop()
        for each in idle:
            each.close()

    def take(self, claimed: ClaimedEvent) -> _Child | None:
        """Return a process to run an event in; ``None`` if all have been stopped."""
        with self._lock:
            if self.stopped:
                return None
            self._require_template()
            taken = self._busy[claimed.key] = self._idle.pop() if self._idle else self._fork()
            return taken

    def cancel(self, claimed: ClaimedEvent, reason: str) -> None:
        """Have the event's process end it."""
        with self._lock:
            running = self._busy.get(claimed.key)
            if running is not None:
                running.cancel(reason)

    def put_back(self, claimed: ClaimedEvent, running: _Child) -> None:
        """Keep a process for the next event, unless it was told to end, or its handler has closed what that needs."""
        with self._lock:
            del self._busy[claimed.key]
            if not self.stopped and running.reusable:
                self._idle.append(running)
                return
            if not self.stopped:
                self._fill()
        running.kill()
        running.close()

    def give_up(self, claimed: ClaimedEvent) -> None:
        """Let go of a process that has ended, or will, and have another ready."""
        with self._lock:
            del self._busy[claimed.key]
            if not self.stopped:
                self._fill()

    def _fill(self) -> None:
        while len(self._idle) + len(self._busy) < self._size:
            self._idle.append(self._fork())

    def _fork(self) -> _Child:
        return _Child(self._require_template())

    def _require_template(self) -> _Template:
        """Return the template; start one if there is none, or it was killed, and its idle processes with it."""
        if self._template is not None and not self._template.alive:
            _LOG.error('handlers.template_lost')
            for each in self._idle:
                each.close()
            self._idle.clear()
            self._template.stop()
            self._template = None
        if self._template is None:
            self._template = _Template(self._payload(), self._with_main)
        return self._template


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
        self._pool = _Pool(payload, import_name is None and not of_file, concurrency)
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
        except _TooLongError as exc:
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
        self, claimed: ClaimedEvent, running: _Child, error_of: Callable[[int | None], Exception], output: Output,
    ) -> Outcome | None:
        """Clear up after a process that has ended or been killed; return how the attempt ended, from its journal."""
        self._pool.give_up(claimed)
        exit_code = running.wait()
        running.drain(output)
        noted = running.journal.read()
        running.close()
        for directory in noted.directories:
            _remove(directory)
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


class _Nobodys(Output):
    """What a process prints while it runs no event."""

    def add(self, stream: str, data: bytes) -> None:
        """Log it, for who looks for it."""
        _LOG.debug('handlers.printed_for_no_event', extra={'stream': stream, 'text': data.decode(errors='replace')})

    def log(self, record: logging.LogRecord) -> None:
        """Do nothing: it is logged as any other."""


_nobodys = _Nobodys()


def _log(attributes: Mapping[str, Any], output: Output) -> None:
    """Log what a process logs, and keep it in *output*."""
    record = logging.makeLogRecord(attributes)
    output.log(record)
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)


def _log_levels() -> dict[str, int]:
    """Return the levels of this process's loggers."""
    levels = {name: each.level for name, each in logging.root.manager.loggerDict.items()
              if isinstance(each, logging.Logger) and each.level}
    return {**levels, '': logging.root.level}


def _remove(directory: str) -> None:
    try:
        remove(Path(directory))
    except FileNotFoundError:
        pass  # it was removed by who made it
    except OSError as exc:
        _LOG.error('staging.not_removed', extra={'directory': directory, 'error': str(exc)})
