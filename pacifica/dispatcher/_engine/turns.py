"""One thread that takes turns, with a pause before each; and what a thread that only waits for a signal waits for."""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue


class Signalled:
    """Whether a signal has come. As an Event, but its :meth:`set` may be called in a handler that interrupts its wait.

    There the ``set()`` of an Event would wait for ever, if the signal came as its ``wait()`` began.
    """

    def __init__(self) -> None:
        self._set = False
        self._woken: SimpleQueue[None] = SimpleQueue()  # whose put() never waits

    def is_set(self) -> bool:
        """Return whether one has come."""
        return self._set

    def set(self) -> None:
        """Note that one has come; called by its handler."""
        self._set = True
        self._woken.put(None)

    def wait(self, seconds: float = 1.0) -> bool:
        """Wait until one has come, *seconds* at most, which lets every platform deliver it; return whether it has."""
        if not self._set:
            try:
                self._woken.get(timeout=seconds)
            except Empty:
                pass
        return self._set


class Periodic:
    """Takes a turn every *interval* seconds while it is started.

    :param patience: seconds that :meth:`stop` waits for a turn that is under way; ``None`` for as long as it takes.
    """

    def __init__(self, name: str, interval: float, patience: float | None = None) -> None:
        self._name = name
        self._interval = interval
        self._patience = patience
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._loop, name=f'pacifica-dispatcher-{self._name}', daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread, after the turn that is under way."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(self._patience)
            self._thread = None

    def _loop(self) -> None:
        while not self._stopping.wait(self._interval):
            self._turn()

    def _turn(self) -> None:
        """Take one turn, and deal with whatever error it raises: the next turn must come."""
        raise NotImplementedError
