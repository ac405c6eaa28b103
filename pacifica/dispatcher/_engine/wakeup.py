"""What idle threads of a worker wait for: an event of this process, a wake-up from another, or their turn to look."""

from __future__ import annotations

import logging
import socket
import threading
import time

from pacifica.dispatcher._queue.availability import PATIENCE, KnownFaultError
from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher.exceptions import DatabaseUnavailableError

_LOG = logging.getLogger(__name__)
_JUST_NOW = 0.01  # seconds in which a thread claims the event that it was told of
_PAUSE, _LONGEST_PAUSE = 0.25, 30.0  # seconds between attempts to hear anything again
_MENTIONED = 2 * PATIENCE  # seconds: if it is the database that is away, somebody else has said so by then
_ENDING = 5.0  # seconds in which a statement that is under way ends, mostly


class Wakeup:
    """Wakes as many waiting threads as there are events, and one of them every *poll_interval* seconds."""

    def __init__(self, poll_interval: float) -> None:
        self._poll_interval = poll_interval
        self._condition = threading.Condition(threading.Lock())
        self.closed = False
        self._permits = 0
        self._waiting = 0
        self._next_poll = 0.0
        self._told = float('-inf')

    def notify(self, count: int) -> bool:
        """Announce that *count* events are waiting; return whether threads were waiting for all of them.

        Costs next to nothing while every thread is busy.
        """
        if not self._waiting:
            # A thread about to wait has looked just before; an event that it missed is found by the next poll,
            # and _permits keeps the word for it.
            self._permits = 1
            return False
        self._told = time.monotonic()
        with self._condition:
            wanted = self._permits + count
            self._permits = min(wanted, max(self._waiting, 1))
            self._condition.notify(min(count, self._waiting))
            return wanted <= self._waiting and not self.closed

    def look(self) -> None:
        """Have one thread look for events, of which there may be any number: it is time for a poll."""
        self._next_poll = 0.0
        if self._waiting:
            with self._condition:
                self._condition.notify()

    def idle(self) -> bool:
        """Return whether a thread is waiting, and none was told of an event just now, which may be what is due."""
        return self._waiting > 0 and time.monotonic() > self._told + _JUST_NOW

    def close(self) -> None:
        """Wake every thread, for the last time."""
        with self._condition:
            self.closed = True
            self._condition.notify_all()

    def wait(self) -> bool:
        """Return when there is work (``False``), or it is this thread's turn to look for some (``True``)."""
        with self._condition:
            self._waiting += 1
            try:
                while not self.closed:
                    if self._permits:
                        self._permits -= 1
                        return False
                    now = time.monotonic()
                    if now >= self._next_poll:
                        self._next_poll = now + self._poll_interval
                        return True
                    self._condition.wait(self._next_poll - now)
                return False
            finally:
                self._waiting -= 1


class Listener:
    """A thread that has *wakeup*'s threads look when other processes have stored events; see :meth:`Store.wakeups`."""

    def __init__(self, store: Store, wakeup: Wakeup) -> None:
        self._store = store
        self._wakeup = wakeup
        self._stopping, self._stop = socket.socketpair()
        self._thread = threading.Thread(target=self._loop, name='pacifica-dispatcher-listener', daemon=True)

    def start(self) -> None:
        """Start the thread; it can be started once."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; one that waits for a database that is away ends when it has."""
        self._stop.close()
        if self._thread.ident is not None:  # a signal may have come before it was started
            self._thread.join(_ENDING)

    def _loop(self) -> None:
        """Listen until it is to end, anew whenever nothing is heard any more."""
        lost: float | None = None
        mentioned, pause = False, _PAUSE
        with self._stopping:
            while True:
                try:
                    for _ in self._store.wakeups(self._stopping, self._wakeup.idle):
                        if mentioned and lost is not None:
                            _LOG.info('listener.back', extra={'seconds': round(time.monotonic() - lost, 3)})
                        lost, mentioned, pause = None, False, _PAUSE
                        self._wakeup.look()
                    return
                except DatabaseUnavailableError as exc:
                    now = time.monotonic()
                    if lost is None or isinstance(exc, KnownFaultError):
                        lost, pause = now, _PAUSE
                    elif not mentioned and now > lost + _MENTIONED:
                        _LOG.warning('listener.lost', extra={'error': str(exc)})
                        mentioned = True
                if self._stopped(pause):
                    return
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _stopped(self, seconds: float) -> bool:
        """Return whether the thread is to end, after *seconds* if not."""
        self._stopping.settimeout(seconds)
        try:
            self._stopping.recv(1)
        except TimeoutError:
            return False
        return True
