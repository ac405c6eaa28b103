"""A handler's process: runs one event at a time, which it gets over a pipe, and writes a journal of it.

What it logs goes over the pipe, so that the service's log has it in the service's form. The journal is a file in memory
that the service reads if the process dies: which route the event took, its stages so far, the directories that it made,
and the traceback that :mod:`faulthandler` writes at a crash.
"""

from __future__ import annotations

import copy
import faulthandler
import logging
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from functools import partial, reduce
from importlib import import_module
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any, NamedTuple, Optional

import msgspec

from pacifica.dispatcher._engine import streams
from pacifica.dispatcher._engine.executor import Executor, Watch
from pacifica.dispatcher._engine.extensions import Carrier
from pacifica.dispatcher._queue.record import storable
from pacifica.dispatcher._queue.values import ClaimedEvent, MadeBy, Outcome
from pacifica.dispatcher.exceptions import CancelledError
from pacifica.dispatcher.router import Route, Router
from pacifica.dispatcher.task_context import Stage, TaskLogFilter

_PROGRESS_BYTES = 4096
_read_progress = msgspec.json.Decoder(tuple[str, str, Optional[float], str]).decode

LOG, LIMIT, ENDED, ENDED_WITH_PROGRESS = 'log', 'limit', 'ended', 'ended, with progress'
"""First of a message. The second is the attributes of a log record, the seconds until the service is to kill the
process, or how the event ended."""


@dataclass(frozen=True)
class Settings:
    """What the processes of a worker have in common.

    :param timeout: seconds that a handler may run; the service kills it then.
    :param memory_limit: bytes of address space, of the process and each that it starts.
    :param log_levels: of the service's loggers, by name; the root logger's name is empty.
    """

    timeout: float | None = None
    memory_limit: int | None = None
    log_levels: Mapping[str, int] = field(default_factory=dict)


@dataclass
class Job:
    """An event to run, and the trace that its attempt goes on with."""

    claimed: ClaimedEvent
    carrier: Carrier


def load(payload: bytes) -> Callable[[Connection, int, Callable[[], bool]], None]:
    """Return what serves a process, from what :func:`dump` made; imports the modules of the router."""
    settings, reference, pickled = pickle.loads(payload)
    loaded: Executor | Outcome
    try:
        executor: Executor = pickle.loads(pickled)
        if reference is not None:
            module, _, attribute = reference.partition(':')
            router: Any = reduce(getattr, attribute.split('.'), import_module(module))
            executor = replace(executor, router=router)
        executor.start()  # here, so that what it looks up is known to all processes
        loaded = executor
    except Exception as exc:  # whatever the router's modules raise as they are imported: each event says so
        loaded = Outcome.failed(exc)
    return lambda pipe, journal, told: _Child(pipe, journal, told, settings).serve(loaded)


def dump(executor: Executor, reference: str | None, settings: Settings) -> bytes:
    """Return what :func:`load` needs in another process.

    :param reference: where to import the router from, ``MODULE:ROUTER``; ``None`` to pickle it, which for the router of
        a file means the state of the file that is in force here.
    :raises Exception: if the router, or one of its handlers, can't be pickled.
    """
    if reference is not None:
        executor = replace(executor, router=Router())
    return pickle.dumps((settings, reference, pickle.dumps(executor)))


class Noted(NamedTuple):
    """What a journal holds: the stages that have ended, then those that run; of a crash its text."""

    route: str | None
    made_by: MadeBy | None
    stages: list[Stage]
    directories: list[str]
    crash: str


class Journal:
    """What is known of the event that runs, if the process dies: written by it, read by the service.

    It begins with how far the handler says it is, which the service looks at while it runs.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @classmethod
    def create(cls) -> Journal:
        """Return an empty one, in memory where the system can."""
        if hasattr(os, 'memfd_create'):
            return cls(os.memfd_create('pacifica-dispatcher-journal'))
        import tempfile

        with tempfile.TemporaryFile() as file:
            return cls(os.dup(file.fileno()))

    def close(self) -> None:
        """Let go of it."""
        os.close(self.descriptor)

    def clear(self) -> None:
        """Forget the event before."""
        os.ftruncate(self.descriptor, 0)
        os.lseek(self.descriptor, _PROGRESS_BYTES, os.SEEK_SET)

    def report(self, claimed: ClaimedEvent, fraction: float | None, text: str) -> None:
        """Note how far a handler is, in place of what was noted before."""
        progress = msgspec.json.encode([claimed.token, str(claimed.task_id), fraction, storable(text)])
        os.pwrite(self.descriptor, progress.ljust(_PROGRESS_BYTES), 0)

    def progress(self, claimed: ClaimedEvent) -> tuple[float | None, str] | None:
        """Return how far the handler is, ``None`` if it has not said so, or the event before was not forgotten yet."""
        try:
            token, task_id, fraction, text = _read_progress(os.pread(self.descriptor, _PROGRESS_BYTES, 0))
        except msgspec.DecodeError:  # nothing, or it is just being written
            return None
        return (fraction, text) if (token, task_id) == (claimed.token, str(claimed.task_id)) else None

    def stage(self) -> str:
        """Return the stage that runs, of several the one within the others; empty if none does."""
        return next((part.name for part in reversed(self.read().stages) if not part.seconds), '')

    def write(self, what: str, value: Any) -> None:
        """Note something: a ``route``, what ran it (``made_by``), a ``stage`` that begins or ends, a ``directory``."""
        os.write(self.descriptor, msgspec.json.encode([what, value]) + b'\n')

    def read(self) -> Noted:
        """Return what was noted, and what a crash has left."""
        route: str | None = None
        made_by: MadeBy | None = None
        stages: list[Stage] = []
        running: list[Stage] = []
        directories: list[str] = []
        crash: list[str] = []
        size = os.fstat(self.descriptor).st_size
        for line in os.pread(self.descriptor, size, _PROGRESS_BYTES).decode(errors='replace').splitlines():
            if not line.startswith('["'):
                crash.append(line)
                continue
            try:
                what, value = msgspec.json.decode(line)
            except msgspec.DecodeError:  # it is just being written, or never was to its end
                continue
            if what == 'route':
                route = value
            elif what == 'made_by':
                made_by = MadeBy(*value)
            elif what == 'directory':
                directories.append(value)
            else:
                part = Stage(**value)
                (stages if part.seconds else running).append(part)
                if part.seconds and (begun := [each for each in running if each.name == part.name]):
                    running.remove(begun[-1])
        return Noted(route, made_by, [*stages, *running], directories, '\n'.join(crash))


class _Child:
    """What runs in the process."""

    def __init__(self, pipe: Connection, journal: int, told: Callable[[], bool], settings: Settings) -> None:
        self._pipe = pipe
        self._journal = Journal(journal)
        self._told = told
        self._settings = settings
        self._sending = threading.Lock()
        self._running = False
        self._reported = False

    def serve(self, loaded: Executor | Outcome) -> None:
        """Run what comes until the service closes the pipe.

        :param loaded: what runs it, or how every event ends because that can't be loaded.
        """
        signal.signal(signal.SIGTERM, self._on_terminate)
        self._let_forked_processes_end()
        faulthandler.enable(self._journal.descriptor)
        _limit_memory(self._settings.memory_limit)
        self._forward_log()
        try:
            self._send(ENDED, None)  # ready: a handler's time begins after this
            while True:
                job: Job = self._pipe.recv()
                self._reported = False
                outcome = loaded if isinstance(loaded, Outcome) else self._run(loaded, job)
                self._send(ENDED_WITH_PROGRESS if self._reported else ENDED, outcome)
        except (EOFError, ConnectionError):
            pass  # the service has ended, or closed the pipe

    def _run(self, executor: Executor, job: Job) -> Outcome:
        began = datetime.now(timezone.utc)
        self._journal.clear()
        try:
            self._running = True
            if reason := self._cancelled():
                raise CancelledError(reason)
            watch = Watch(
                self._cancelled, self._journal.write, lambda route: self._limit(route, began),
                report=partial(self._report, job.claimed))
            return executor.resume(job.claimed, job.carrier, watch)
        except CancelledError as exc:  # it came before or after the handler
            return Outcome.failed(exc)
        finally:
            self._running = False
            _limit_memory(self._settings.memory_limit)
            streams.flush()
            streams.renew()  # what the handler has closed, or put in its place

    def _report(self, claimed: ClaimedEvent, fraction: float | None, text: str) -> None:
        self._reported = True
        self._journal.report(claimed, fraction, text)

    def _limit(self, route: Route, began: datetime) -> datetime | None:
        """Have the limits of a route kept; return when its handler will be killed."""
        if route.memory_limit is not None:
            _limit_memory(min(route.memory_limit, self._settings.memory_limit or route.memory_limit))
        if route.timeout is not None:
            self._send(LIMIT, route.timeout)
        times = [each for each in (route.timeout, self._settings.timeout) if each is not None]
        return began + timedelta(seconds=min(times)) if times else None

    def _cancelled(self) -> str | None:
        return 'the event was cancelled' if self._told() else None

    def _on_terminate(self, _number: int, _frame: FrameType | None) -> None:
        """End the event if the service said so. A signal to all processes of the service is its own affair."""
        if self._running and (reason := self._cancelled()):
            self._running = False
            raise CancelledError(reason)

    def _let_forked_processes_end(self) -> None:
        """Have SIGTERM end the processes that a handler forks, as a pool ends its own.

        It waits while one is forked: the interpreter forgets a signal that comes before it is ready for any.
        """
        ours, terminate = signal.getsignal(signal.SIGTERM), {signal.SIGTERM}

        def end_as_usual() -> None:
            if signal.getsignal(signal.SIGTERM) == ours:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, terminate)

        os.register_at_fork(
            before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, terminate), after_in_child=end_as_usual,
            after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, terminate))

    def _send(self, what: str, value: Any) -> None:
        with self._sending:
            self._pipe.send((what, value))

    def _forward_log(self) -> None:
        """Send log records to the service, unless the modules of the router set up a log of their own."""
        if logging.root.handlers:
            return
        handler = _Forward(self._send)
        handler.addFilter(TaskLogFilter())
        logging.root.addHandler(handler)
        for name, level in self._settings.log_levels.items():
            logging.getLogger(name).setLevel(level)


class _Forward(logging.Handler):
    """Sends records to the service; those of a process that was forked from this one go to stderr."""

    def __init__(self, send: Callable[[str, Any], None]) -> None:
        super().__init__()
        self._send_to_service = send
        self._pid = os.getpid()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if os.getpid() != self._pid:  # two processes can't write into one pipe
                sys.stderr.write(f'{self.format(record)}\n')
                return
            sent = copy.copy(record)
            sent.msg, sent.args = record.getMessage(), None
            if record.exc_info:
                sent.exc_text, sent.exc_info = logging.Formatter().formatException(record.exc_info), None
            self._send_to_service(LOG, _plain(vars(sent)))
        except Exception:  # as logging's own handlers do
            self.handleError(record)


def _plain(value: Any) -> Any:
    """Return *value* as any process can read it: what is of no built-in type as text."""
    if type(value) is dict:
        return {_plain(key): _plain(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return [_plain(item) for item in value]
    return value if value is None or type(value) in (str, int, float, bool, bytes) else str(value)


def _limit_memory(most: int | None) -> None:
    """Bound the memory of this process, for as long as nothing else is said; ``None`` is no bound of ours."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = hard if most is None else most
    if wanted != soft:
        resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
