"""What has to happen around ``fork``: no other thread is in the middle of something that the child would inherit.

Used by the connections, which hold locks and, on SQLite, a connection that no child may inherit: SQLite knows in the
process's memory what the process has locked, so a child forked during a transaction would find the database locked for
ever (https://www.sqlite.org/howtocorrupt.html, section 2.6).
"""

from __future__ import annotations

import os
import threading
from typing import Protocol
from weakref import WeakSet

__all__ = ['Forking', 'register']


class Forking(Protocol):
    """Something that prepares for ``fork``."""

    def before_fork(self) -> None:
        """Called in the parent, before."""

    def after_fork(self) -> None:
        """Called in the parent and in the child, after."""


_REGISTERED: WeakSet[Forking] = WeakSet()
_PREPARED: list[Forking] = []
_ONE_AT_A_TIME = threading.Lock()


def register(forking: Forking) -> None:
    """Call the methods of *forking* around each fork, for as long as it lives."""
    _REGISTERED.add(forking)


def _before() -> None:
    _ONE_AT_A_TIME.acquire()
    _PREPARED.extend(_REGISTERED)
    for forking in _PREPARED:
        forking.before_fork()


def _after() -> None:
    try:
        while _PREPARED:
            _PREPARED.pop().after_fork()
    finally:
        _ONE_AT_A_TIME.release()


if hasattr(os, 'register_at_fork'):  # not on Windows, which has no fork
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after)
