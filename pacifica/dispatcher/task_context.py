"""What a running handler may know of the task that runs it.

Set by the engine around every handler call, in a context variable: threads, ``asyncio`` tasks and
``contextvars.copy_context()`` all see their own.
"""

from __future__ import annotations

import logging
import math
import operator
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from pacifica.dispatcher.exceptions import CancelledError

__all__ = ['Services', 'Stage', 'TaskContext', 'TaskLogFilter', 'current_task', 'stage', 'task_context']

_ROUNDING = 1e-9  # by which a sum of fractions may exceed 1
_PROGRESS_CHARACTERS = 500
_MOST_COUNTED = 1 << 63  # so that any database and any reader of JSON has it whole
_STANDARD_OF_LOG = frozenset(vars(logging.makeLogRecord({}))) | {'message', 'asctime', 'taskName'}


@dataclass
class Stage:
    """One part of an attempt: what it was and how long it took. Inside of :func:`stage`, fill in what becomes known.

    :param name: ``'download'``, ``'handle'`` or ``'upload'``; any name for parts of your own.
    :param seconds: wall-clock seconds.
    :param files: how many files were fetched or sent.
    :param bytes: how many bytes these have.
    :param job_id: the id of the ingest job that an upload was.
    :param failed: whether an exception ended it.
    """

    name: str
    seconds: float
    files: int | None = None
    bytes: int | None = None
    job_id: int | None = None
    failed: bool = False


class Services:
    """What a task knows of the services it needs. Without a queue: nothing, and faults are tried again in place."""

    def fault(self, service: str, /) -> str | None:
        """Return why the service isn't to be asked now; ``None`` if it is."""
        return None

    def patience(self, service: str, /) -> float:
        """Return the seconds for which a fault of the service is tried again in place."""
        return math.inf

    def away(self, service: str, fault: str, /) -> None:
        """Note that the service can't be reached."""

    def answered(self, service: str, /) -> None:
        """Note that the service is there."""


def write_to_own(stream: str, data: bytes) -> None:
    """Write *data* to this process's own standard output or error, as far as that is open."""
    target = sys.stdout if stream == 'stdout' else sys.stderr
    try:
        target.flush()
        if hasattr(target, 'buffer'):
            target.buffer.write(data)
        else:  # an application's own, of texts
            target.write(data.decode('utf-8', 'replace'))
        target.flush()
    except (AttributeError, OSError, ValueError):
        pass  # there is none, or the handler has closed it


@dataclass
class TaskContext:
    """One attempt at one accepted event.

    :param task_id: the id that ``POST /receive`` answered.
    :param attempt: 1 for the first run, counted up by each run after a retry or a lost worker.
    :param result: what was saved with :meth:`save_result`, by this attempt or an earlier one.
    :param save: stores the result durably with the event; given by the engine, without which it lives here alone.
    :param stages: what the attempt spent its time on so far; kept with the event when the attempt ends.
    :param around_stage: makes a context manager that each stage runs in, of its name; given by the engine.
    :param event_id: the event's own id, ``eventID`` (0.1) or ``id``.
    :param route: the name of the route that the event took.
    :param handler: the name of its handler, ``MODULE:CLASS`` or a program.
    :param parameters: those of the route, with the event's own in their place.
    :param provenance: the key-values of an upload that this task makes: where it comes from. Runners add them.
    :param services: what is known of the services that it needs; given by the engine.
    :param run_id: differs between any two runs, also those of one attempt that wasn't counted.
    :param deadline: when the handler is killed, with its time zone; ``None`` if it may take as long as it likes.
    :param held: asks the database whether the event is still this worker's; given by the engine.
    :param cancelled: returns why the event is to end, ``None`` if it is not; given by the engine.
    :param tell: notes what the attempt does, for the case that its process dies; given by the engine.
    :param output: keeps with the event what a program has written to its ``'stdout'`` or ``'stderr'``; given by the
        engine, without which it goes to this process's own.
    :param report: keeps what :meth:`progress` says; given by the engine.
    :param keep_preview: keeps an image with the event, given its name, media type and bytes, and returns why it was not
        kept, ``None`` if it was; given by the engine.
    """

    task_id: UUID
    attempt: int = 1
    result: dict[str, Any] = field(default_factory=dict)
    save: Callable[[Mapping[str, Any]], None] = field(default=lambda result: None)
    stages: list[Stage] = field(default_factory=list)
    event_id: str | None = None
    route: str | None = None
    handler: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    around_stage: Callable[[str], AbstractContextManager[object]] = nullcontext
    services: Services = field(default_factory=Services)
    run_id: str = ''
    deadline: datetime | None = None
    held: Callable[[], bool] = field(default=lambda: True)
    cancelled: Callable[[], str | None] = field(default=lambda: None)
    tell: Callable[[str, Any], None] = field(default=lambda what, value: None)
    output: Callable[[str, bytes], None] = field(default=write_to_own)
    report: Callable[[float | None, str], None] = field(default=lambda fraction, text: None)
    keep_preview: Callable[[str, str, bytes], str | None] = field(default=lambda name, media, content: None)

    def progress(self, fraction: float | None = None, text: str = '') -> None:
        """Say how far the attempt is, shown with the event while it runs; may be called as often as you like.

        :param fraction: from 0 to 1; ``None`` if nobody knows.
        :param text: what it does, in a few words.
        :raises ValueError: if *fraction* is no number from 0 to 1.
        """
        if fraction is not None:
            if not -_ROUNDING <= fraction <= 1 + _ROUNDING:
                raise ValueError(f'the fraction must be from 0 to 1, not {fraction!r}')
            fraction = min(1.0, max(0.0, float(fraction)))
        self.report(fraction, str(text)[:_PROGRESS_CHARACTERS])

    def still_mine(self) -> bool:
        """Return whether the event is still this worker's, and keep it for another lease if it is.

        It is not if the worker could not renew its lease (it was stopped, or cut off from the database), so that
        another may run the event: ask before you change anything outside. Uploader runners do.

        :raises DatabaseUnavailableError: if the database doesn't answer.
        """
        return self.held()

    def check_cancelled(self) -> None:
        """Raise :class:`CancelledError` if somebody has cancelled the event; for handlers that take long in a thread.

        With ``isolation='process'`` the error comes by itself. :func:`stage` asks too.

        :raises CancelledError: if so.
        """
        if reason := self.cancelled():
            raise CancelledError(reason)

    def save_result(self, **items: Any) -> None:
        """Store *items* (JSON values) with the event, committed when this returns.

        A later attempt finds them in :attr:`result`; ``/get`` shows them.

        :raises LeaseLostError: if this worker no longer holds the event.
        """
        merged = {**self.result, **items}
        self.save(merged)
        self.result = merged


_CURRENT: ContextVar[TaskContext | None] = ContextVar('pacifica.dispatcher.task', default=None)


def current_task() -> TaskContext | None:
    """Return the task that the caller runs in, or ``None`` outside of one (a unit test, a script)."""
    return _CURRENT.get()


class TaskLogFilter(logging.Filter):
    """Adds the task to each log entry that is made while an event is handled, by whatever library.

    The attributes ``task_id``, ``event_id``, ``route``, ``handler`` and ``attempt``, unless the entry has its own, as
    ``extra=`` makes them. Add it to a handler (loggers don't hand their filters down), as ``serve`` and ``work`` do:
    ``logging.getLogger().handlers[0].addFilter(TaskLogFilter())``. Threads that a handler starts don't know its task.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the task to *record*, and let it through."""
        task = _CURRENT.get()
        if task is not None:
            for name, value in (('task_id', str(task.task_id)), ('event_id', task.event_id), ('route', task.route),
                                ('handler', task.handler), ('attempt', task.attempt)):
                record.__dict__.setdefault(name, value)
        return True


def log_extras(record: logging.LogRecord) -> list[tuple[str, Any]]:
    """Return what a log record carries beside its message, sorted by name: :class:`TaskLogFilter`'s and ``extra=``."""
    return sorted((name, value) for name, value in vars(record).items() if name not in _STANDARD_OF_LOG)


@contextmanager
def task_context(task: TaskContext) -> Iterator[TaskContext]:
    """Make *task* the current one inside the ``with`` block."""
    token = _CURRENT.set(task)
    try:
        yield task
    finally:
        _CURRENT.reset(token)


@contextmanager
def stage(name: str, *, files: int | None = None, bytes: int | None = None) -> Iterator[Stage]:
    """Time the ``with`` block as a :class:`Stage` of the current task's attempt, shown in the event's timeline.

    :raises CancelledError: if somebody has cancelled the event.
    """
    part = Stage(str(name), 0.0, _count(files), _count(bytes), failed=True)
    task = current_task()
    if task is not None:
        task.check_cancelled()
        task.tell('stage', part)
    began = time.monotonic()
    try:
        with nullcontext() if task is None else task.around_stage(name):
            yield part
        part.failed = False
    finally:
        part.seconds = round(time.monotonic() - began, 6)
        part.files, part.bytes, part.job_id = map(_count, (part.files, part.bytes, part.job_id))
        if task is not None:
            task.stages.append(part)
            task.tell('stage', part)


def _count(value: Any) -> int | None:
    """Return what the user or a runner of theirs says as a number that can be stored and counted; ``None`` if none."""
    try:
        number = operator.index(value)  # an integer of numpy's too
    except TypeError:
        return None
    return number if 0 <= number < _MOST_COUNTED else None
