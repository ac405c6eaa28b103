"""A gate that statements pass, shut while the process forks."""

from __future__ import annotations

import threading
from typing import Any


class ForkGate:
    """Lets any number of threads in, and none while it is shut.

    Around ``fork`` no other thread may be in the middle of something that the child would inherit: SQLite keeps its
    mutexes, and what the process has locked, in the process's memory, and a locked copy would be locked for ever.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._inside = 0
        self._shut = False

    def __enter__(self) -> None:
        with self._changed:
            while self._shut:
                self._changed.wait()
            self._inside += 1

    def __exit__(self, *exc_info: Any) -> None:
        with self._changed:
            self._inside -= 1
            if self._shut:
                self._changed.notify_all()

    def shut(self, patience: float) -> None:
        """Let nobody in, and wait up to *patience* seconds until those that are inside have left."""
        with self._changed:
            self._shut = True
            self._changed.wait_for(lambda: not self._inside, patience)

    def open(self) -> None:
        """Let those in that have waited."""
        with self._changed:
            self._shut = False
            self._changed.notify_all()
