"""One thread that takes turns, with a pause before each."""

from __future__ import annotations

import threading


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
