"""The service's side of a handler's process, see :mod:`.child`: gives it an event, and waits for how that ended."""

from __future__ import annotations

import logging
import os
import selectors
import time
from collections.abc import Mapping
from multiprocessing.connection import Pipe
from typing import Any, NamedTuple

from pacifica.dispatcher._engine import child, template
from pacifica.dispatcher._engine.extensions import Carrier
from pacifica.dispatcher._engine.output import Output
from pacifica.dispatcher._engine.streams import Streams
from pacifica.dispatcher._engine.template_process import TemplateProcess
from pacifica.dispatcher._queue.values import ClaimedEvent, Outcome

_LOG = logging.getLogger(__name__)
_IDLE = 0.05  # seconds after which what a process has printed is taken to be no event's
_CANCEL_SECONDS = 5.0  # between SIGTERM and SIGKILL


class _Limit(NamedTuple):
    """How long a handler may run, and what says so."""

    name: str
    seconds: float


class TooLongError(Exception):
    """The handler ran longer than its limit."""

    def __init__(self, limit: _Limit) -> None:
        super().__init__(f'the handler ran longer than {limit.name}, {limit.seconds:g} seconds, and was killed')


class HandlerProcess:
    """A process that runs one event at a time, given over a pipe."""

    def __init__(self, origin: TemplateProcess) -> None:
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
        """Return how it ended; raise TooLongError if too late, its start apart, EOFError or OSError if it died."""
        if not self._ready:
            self._receive(None, _nobodys)
            self._ready = True
        if time.monotonic() > self._idle_since + _IDLE:
            self.drain(_nobodys)
        self._pipe.send(child.Job(claimed, carrier))
        output.follow(lambda: (self.journal.progress(claimed), self.journal.stage()))
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
                raise TooLongError(limit)

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
