"""Standard output and error of a handler's process: two pipes, whose other ends the service reads.

All that the process writes goes there, whatever wrote it: ``print``, a C library, or a program that it has started.
"""

from __future__ import annotations

import os
import selectors
import sys
from collections.abc import Callable, Container, Sequence
from typing import Any

_FULL = 64 * 1024  # what a pipe holds at most, unless somebody asks for more

NAMES = {1: 'stdout', 2: 'stderr'}
_ours: dict[str, Any] = {}  # of this process, by name


class Streams:
    """The service's ends of both pipes.

    :param selector: is told of them, and when one has ended.
    """

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._names: dict[int, str] = {}
        self.theirs: list[int] = []
        self.whole = True
        """Whether somebody may still write to each: a handler can close what later ones will need."""

        for name in NAMES.values():
            ours, theirs = os.pipe()
            self._names[ours] = name
            self.theirs.append(theirs)
            selector.register(ours, selectors.EVENT_READ)

    def close_theirs(self) -> None:
        """Close the process's ends here, so that their end is noticed."""
        while self.theirs:
            os.close(self.theirs.pop())

    def read(self, ready: Container[object], add: Callable[[str, bytes], None]) -> None:
        """Hand what has come to those of the pipes that are *ready* to *add*: once, all that a pipe holds."""
        for ours, name in self._names.items():
            if ours not in ready:
                continue
            if data := os.read(ours, _FULL):
                add(name, data)
            else:
                self.whole = False
                self._selector.unregister(ours)

    def close(self) -> None:
        """Let go of both."""
        self.close_theirs()
        for ours in self._names:
            os.close(ours)


def take_over(descriptors: Sequence[int]) -> None:
    """Make *descriptors* this process's standard output and error, and close them."""
    for number, descriptor in zip(NAMES, descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    renew()


def renew() -> None:
    """Have ``sys.stdout`` and ``sys.stderr`` write to these, line by line; what the process has of its own stays."""
    for number, name in NAMES.items():
        stream, ours = getattr(sys, name), _ours.get(name)
        if ours is not None and stream is ours and not ours.closed:
            continue
        try:
            if stream.fileno() != number:
                raise ValueError  # it goes elsewhere: to who captures the output of tests, say
            stream.reconfigure(encoding='utf-8', errors='backslashreplace', line_buffering=True)
        except (AttributeError, OSError, ValueError):
            stream = open(number, 'w', encoding='utf-8', errors='backslashreplace', buffering=1, closefd=False)
            setattr(sys, name, stream)
        _ours[name] = stream


def flush() -> None:
    """Write out what is left in both."""
    for name in NAMES.values():
        try:
            getattr(sys, name).flush()
        except (AttributeError, OSError, ValueError):
            pass  # there is none, it is closed, or whoever reads it is gone
