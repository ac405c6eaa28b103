"""What is stopped and started again, by a schedule that a seed makes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from support.command_line import PROGRAM
from support.processes import end_group


class Thing(NamedTuple):
    """What can be stopped, and started again."""

    name: str
    stop: Callable[[], object]
    start: Callable[[], object]


class Outage(NamedTuple):
    """What is stopped, when it is, from the beginning on, and for how long: seconds."""

    name: str
    at: float
    lasts: float


def schedule(
    chance: random.Random, names: Iterable[str], seconds: float, times: int, lasts: tuple[float, float],
) -> list[Outage]:
    """Return *times* outages of each of *names*, one in each of as many parts of *seconds*; they may overlap."""
    part = seconds / times
    lengths = [(name, number * part, chance.uniform(*lasts)) for name in names for number in range(times)]
    return sorted((Outage(name, begin + chance.uniform(0, part - length), length) for name, begin, length in lengths),
                  key=lambda each: each.at)


class Chaos:
    """Stops and starts *things* as *outages* say, each in a thread of its own."""

    def __init__(self, things: list[Thing], outages: list[Outage]) -> None:
        self._aborted = threading.Event()
        self._pool = ThreadPoolExecutor(len(things))
        began = time.monotonic()
        self._ends = [
            self._pool.submit(self._run, thing, [each for each in outages if each.name == thing.name], began)
            for thing in things]

    def _run(self, thing: Thing, outages: list[Outage], began: float) -> None:
        for outage in outages:
            if self._aborted.wait(max(0.0, began + outage.at - time.monotonic())):
                return
            thing.stop()
            try:
                self._aborted.wait(outage.lasts)
            finally:
                thing.start()

    def end(self) -> None:
        """Return when all outages are over."""
        for each in self._ends:
            each.result()

    def abort(self) -> None:
        """Return when everything is up; nothing is stopped any more."""
        self._aborted.set()
        self._pool.shutdown()


@contextmanager
def chaos(things: list[Thing], outages: list[Outage]) -> Iterator[Chaos]:
    """Have the outages happen inside the ``with`` block; afterwards everything is up."""
    made = Chaos(things, outages)
    try:
        yield made
    finally:
        made.abort()


class Supervised:
    """``pacifica-dispatcher ARGUMENTS``, started again when it ends by itself, as the unit files of the manual do.

    :param signals: by which it is stopped, one after the other; by SIGTERM after the last.
    """

    def __init__(
        self, name: str, directory: Path, arguments: list[str], env: Mapping[str, str],
        signals: Iterable[signal.Signals],
    ) -> None:
        self.log = directory / f'{name}.log'
        self._directory, self._arguments, self._env = directory, arguments, {**os.environ, **env}
        self._signals = iter(signals)
        self._stopped = threading.Event()
        self.start()

    def start(self) -> None:
        """Start it; return before it is ready."""
        self._stopped.clear()
        self._process = self._started()
        self._supervisor = threading.Thread(target=self._supervise)
        self._supervisor.start()

    def _started(self) -> subprocess.Popen[bytes]:
        with self.log.open('ab') as log:
            return subprocess.Popen(
                [*PROGRAM, *self._arguments], cwd=self._directory, env=self._env, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True)

    def _supervise(self) -> None:
        while not self._stopped.wait(2.0):
            if self._process.poll() is not None:
                self._process = self._started()

    def stop(self) -> None:
        """Send the next of the signals; return when it is gone, for which it has twenty seconds."""
        self._stopped.set()
        self._supervisor.join()
        if self._process.poll() is None:
            self._process.send_signal(next(self._signals, signal.SIGTERM))
        end_group(self._process)
