"""What idle threads of a worker wait on: a word that there is work, or the time to look for themselves."""

from __future__ import annotations

import threading
import time

__all__ = ['Wakeup']


class Wakeup:
    """Wakes as many waiting threads as there are events, and one of them every *poll_interval* seconds."""

    def __init__(self, poll_interval: float) -> None:
        self._poll_interval = poll_interval
        self._condition = threading.Condition(threading.Lock())
        self.reset()

    def reset(self) -> None:
        """Begin anew after :meth:`close`."""
        self.closed = False
        self._permits = 0
        self._waiting = 0
        self._next_poll = 0.0

    def notify(self, count: int) -> None:
        """Say that *count* events are waiting; costs next to nothing while every thread is busy."""
        if not self._waiting:
            # A thread about to wait has looked just before; if it looked too early it is found by the next poll,
            # and _permits keeps the word for it.
            self._permits = 1
            return
        with self._condition:
            self._permits = min(self._permits + count, max(self._waiting, 1))
            self._condition.notify(min(count, self._waiting))

    def close(self) -> None:
        """Wake every thread, for the last time."""
        with self._condition:
            self.closed = True
            self._condition.notify_all()

    def wait(self) -> bool:
        """Return when there is said to be work (``False``), or it is this thread's turn to look (``True``)."""
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
