"""Processes that tests start, kill and start again."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

SERVICE = Path(__file__).parent / 'service.py'


def free_port() -> int:
    """Return a port of the loopback that nothing listens on.

    From below those that Linux gives to outgoing connections: one of them would keep a server that was stopped from
    coming back. Not by the seed of the test, which is that of tests in other processes too.
    """
    while True:
        port = random.SystemRandom().randrange(15_000, 32_000)
        with suppress(OSError), socket.socket() as listener:
            listener.bind(('127.0.0.1', port))
            return port


def is_alive(pid: int) -> bool:
    """Return whether a process runs; one that has ended and was not waited for does not."""
    try:
        return state_of(pid) not in 'ZX'
    except OSError:
        return False


def state_of(pid: int) -> str:
    """Return the letter that Linux has for a process's state: ``T`` if it is stopped, and so on (``proc(5)``)."""
    return Path(f'/proc/{pid}/stat').read_text().rpartition(') ')[2][0]


class Service:
    """A receiver with a worker, and more workers, all on one database; any of them can be killed.

    :param url: the database.
    :param log: where handlers write down that they ran.
    :param workers: how many workers there are besides the receiver's.
    :param lease: seconds that a claim holds.
    :param notify: a URL that is told of events that have ended.
    :param isolation: where handlers run.
    :param concurrency: how many handlers may run at once, of all workers together.
    """

    def __init__(
        self, url: str, log: Path, workers: int = 2, lease: float = 2.0, notify: str = '', isolation: str = 'thread',
        concurrency: int | None = None,
    ) -> None:
        self.port = free_port()
        self.concurrency = concurrency
        self.isolation = isolation
        self.notify = notify
        self.url = url
        self.log = log
        self.lease = lease
        self.killed: dict[int, float] = {}  # process id → when
        self.processes = [self._start(number) for number in range(workers + 1)]

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        kind = 'worker' if number else 'receiver'
        return subprocess.Popen(
            [sys.executable, SERVICE, kind, self.url, self.log, str(self.lease), str(self.port)],
            env={**os.environ, 'NOTIFY': self.notify, 'ISOLATION': self.isolation,
                 'CONCURRENCY': str(self.concurrency or '')},
        )

    def kill(self, number: int, restart: bool = True) -> int:
        """SIGKILL process *number*, 0 being the receiver, and start it anew; return the dead one's process id."""
        process = self.processes[number]
        self.killed[process.pid] = time.time()
        process.kill()
        process.wait()
        if restart:
            self.start(number)
        return process.pid

    def start(self, number: int) -> None:
        """Start process *number* anew."""
        self.processes[number] = self._start(number)

    def stop(self) -> None:
        """End all processes."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def runs(self) -> dict[str, list[tuple[str, int, float]]]:
        """Return what each event's handlers wrote down, see :func:`runs_in`."""
        return runs_in(self.log)


def end_group(process: subprocess.Popen[Any]) -> None:
    """Wait for a process that was told to end, and kill what is left of its group after twenty seconds."""
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def runs_in(log: Path) -> dict[str, list[tuple[str, int, float]]]:
    """Return, for each event id, what its handlers wrote to *log*: ``(start or end, process id, seconds)``."""
    runs = defaultdict(list)
    for line in log.read_text().splitlines() if log.exists() else ():
        what, process_id, event_id, seconds = line.split()
        runs[event_id].append((what, int(process_id), float(seconds)))
    return runs
