"""Keeps a few threads of the server free while the database is slow to answer: those that probes and others need.

A database that hangs would otherwise hold all of them, and the service would look dead.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import cherrypy

from pacifica.dispatcher._queue.availability import KnownFaultError

_FREE_THREADS = 2
_SLOW = 0.1  # seconds without a request that is done
_PATIENCE = 1.0  # seconds without one after which further requests are refused


class Gate:
    """Lets requests through to the database, not all of the server's threads while none of them gets an answer."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._inside = 0
        self._moved = 0.0

    @contextmanager
    def passed(self) -> Iterator[None]:
        """Be inside during the ``with`` block.

        :raises KnownFaultError: if as many are inside as may be, and none has been done for a while.
        """
        with self._changed:
            if not self._inside:
                self._moved = time.monotonic()
            while self._inside >= max(1, cherrypy.server.thread_pool - _FREE_THREADS):
                waited = time.monotonic() - self._moved
                if waited < _SLOW:
                    break
                if waited >= _PATIENCE:
                    raise KnownFaultError('the database is slow, and many wait for it already')
                self._changed.wait(_PATIENCE - waited)
            self._inside += 1
        done = False
        try:
            yield
            done = True
        finally:
            with self._changed:
                self._inside -= 1
                if done:
                    self._moved = time.monotonic()
                self._changed.notify()
