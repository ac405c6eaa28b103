"""Whether the database can be used, as far as this process knows: told by whoever finds out, asked by whoever comes.

While it is known to be away, or to take no changes, a thread tries it; without such a fault there is no thread.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from pacifica.dispatcher.exceptions import DatabaseUnavailableError

_LOG = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds for which a fault may last before the database counts as away: a failover is shorter."""

_PAUSE = 0.25  # seconds between two tries
_CALM = 1.0  # seconds without a failure after which changes are taken again: a small one may find room on a full disk
_CALM_MOST = 60.0


class KnownFaultError(DatabaseUnavailableError):
    """The database is away, or takes no changes, and the log has said so: nobody who meets this needs to log it."""


class _Fault(NamedTuple):
    error: str
    since: float
    readable: bool


class Availability:
    """What is known of one database.

    :param attempt: writes something to the database that leaves nothing behind; raises if that is not possible.
    """

    def __init__(self, attempt: Callable[[], object]) -> None:
        self._attempt = attempt
        self._calm = _CALM
        self._ended = float('-inf')
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._changed = threading.Condition(threading.Lock())
        self._fault: _Fault | None = None
        self._failed = self._missed = self._missing_since = float('-inf')
        self._thread: threading.Thread | None = None

    @property
    def fault(self) -> _Fault | None:
        """What is wrong, ``None`` if nothing is known to be; a forked child finds out for itself."""
        if self._fault is not None and self._pid != os.getpid():
            self._reset()
        return self._fault

    @property
    def away(self) -> bool:
        """Whether it is known to answer nothing at all."""
        fault = self.fault
        return fault is not None and not fault.readable

    def require(self, patience: float = 0.0) -> None:
        """Return unless the database is known to be away, for which *patience* is how many seconds its return may take.

        :raises KnownFaultError: if it is still away then.
        """
        if not self.away:
            return
        with self._changed:
            self._changed.wait_for(lambda: not self.away, patience)
            fault = self._fault
        if fault is not None and not fault.readable:
            raise KnownFaultError(f'the database is away: {fault.error}')

    def rest(self, seconds: float) -> None:
        """Return when there is room again, or after *seconds*: before trying a change again that found none."""
        fault = self.fault
        if fault is not None and fault.readable:
            with self._changed:
                self._changed.wait_for(lambda: self._fault is None, seconds)

    def failed(self, exc: Exception, *, readable: bool) -> DatabaseUnavailableError:
        """Note that a change failed, for long enough to count; return the error to raise.

        :param readable: whether it failed because there is no room or no right to write: reading goes on.
        """
        if self._pid != os.getpid():
            self._reset()
        error = ' '.join(str(exc).split())  # one line
        with self._changed:
            self._failed = time.monotonic()
            if self._fault is None:
                _LOG.warning('database.away', extra={'error': error, 'readable': readable})
                again = self._failed < self._ended + _CALM_MOST
                self._calm = min(self._calm * 2, _CALM_MOST) if again and readable else _CALM
            if self._fault is None or self._fault.readable != readable:
                since = self._failed if self._fault is None else self._fault.since
                self._fault = _Fault(error, since, readable)
                self._changed.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name='pacifica-dispatcher-database', daemon=True)
                self._thread.start()
        return KnownFaultError(f'the database did not take the change: {exc}')

    def unanswered(self, exc: Exception, began: float) -> DatabaseUnavailableError:
        """Note that the database did not answer what was asked at *began*, monotonic; return the error to raise."""
        now = time.monotonic()
        if now > self._missed + PATIENCE:
            self._missing_since = began
        self._missed = now
        if now - self._missing_since >= PATIENCE:
            return self.failed(exc, readable=False)
        return DatabaseUnavailableError(f'the database did not answer: {exc}')

    def answered(self) -> None:
        """Note that the database answered a question."""
        self._missed = float('-inf')

    def wrote(self) -> None:
        """Note that the database took a change."""
        fault = self.fault
        if fault is None:
            return
        with self._changed:
            now = time.monotonic()
            if self._fault is not None and (not fault.readable or now >= self._failed + self._calm):
                _LOG.info('database.back', extra={'seconds': round(now - fault.since, 3)})
                self._fault, self._ended = None, now
                self._changed.notify_all()

    def forget(self) -> None:
        """Know of no fault any more, and end the thread."""
        if self.fault is None:
            return
        with self._changed:
            self._fault = None
            self._changed.notify_all()

    def _watch(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._fault is None, _PAUSE)
                if self._fault is None:
                    self._thread = None
                    return
            try:
                self._attempt()
            except Exception:  # of a driver: whatever it is, the next attempt may do better
                continue
            self.wrote()
