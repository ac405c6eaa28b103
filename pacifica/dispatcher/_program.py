"""A program that a handler runs: its output is passed on as it comes, and nothing of it is left when it has ended.

Knows nothing of events: :mod:`._command` says which program runs on what.
"""

from __future__ import annotations

import atexit
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pacifica.dispatcher._processes import end_session, signal_group

_GRACE = 4.0  # seconds between SIGTERM and SIGKILL
_TURN = 0.2  # seconds after which it is asked whether the program is to end, at the latest
_READ = 1 << 16  # bytes
_LAST_BYTES, _LAST_LINES = 4096, 10

Output = Callable[[str, bytes], None]
"""Gets what the program writes: ``'stdout'`` or ``'stderr'``, and the bytes."""

_RUNNING: set[int] = set()  # of handlers in threads, which the end of the service would leave behind


@dataclass(frozen=True)
class Limits:
    """What a program may use.

    :param timeout: seconds; ``None`` for any number.
    :param memory: bytes of address space, of the program and of each that it starts; ``None`` for any number.
    :param nice: is added to its niceness; higher is later.
    """

    timeout: float | None = None
    memory: int | None = None
    nice: int = 0

    def around(self, arguments: Sequence[str]) -> list[str]:
        """Return a command line that runs that of *arguments* within them."""
        steps = [] if self.memory is None else [f'ulimit -v {-(-self.memory // 1024)}']
        steps.append('exec ' + (f'nice -n {self.nice} ' if self.nice else '') + '"$@"')
        # A shell, because code between fork and exec may find a lock held by a thread that isn't there.
        return ['/bin/sh', '-c', ' && '.join(steps), 'sh', *arguments] if len(steps) > 1 or self.nice else [*arguments]


class Ended(NamedTuple):
    """How a program ended: its exit code, negative for a signal, and the end of what it wrote to stderr."""

    code: int
    last_words: str


def run_program(
    arguments: Sequence[str], directory: Path, environment: Mapping[str, str], limits: Limits, output: Output,
    check: Callable[[], None],
) -> Ended:
    """Run a program until it has ended, and end all that is left of its process group.

    :param check: is called five times a second; what it raises ends the program.
    :raises OSError: if it can't be started.
    :raises TimeoutError: if it took longer than its limit: it got SIGTERM, and SIGKILL four seconds later.
    """
    process = subprocess.Popen(
        limits.around(arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        cwd=directory, env=environment, start_new_session=True)
    _RUNNING.add(process.pid)
    with process:
        running = _Running(process, output)
        try:
            if not running.until_exit(limits.timeout, check):
                raise TimeoutError
        except BaseException:  # a handler that is cancelled, too, leaves nothing behind
            signal_group(process.pid, signal.SIGTERM)
            running.until_exit(_GRACE, lambda: None)
            end_session(process.pid)
            raise
        finally:
            signal_group(process.pid, signal.SIGKILL)  # not reaped yet, so that the number is still its own
            _RUNNING.discard(process.pid)
            running.close()
        return Ended(process.wait(), running.last_words())


class _Running:
    """A program that runs, and its output."""

    def __init__(self, process: subprocess.Popen[bytes], output: Output) -> None:
        self._pid = process.pid
        self._output = output
        self._last = b''
        self._selector = selectors.DefaultSelector()
        for name, pipe in (('stdout', process.stdout), ('stderr', process.stderr)):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_READ, name)

    def until_exit(self, timeout: float | None, check: Callable[[], None]) -> bool:
        """Pass output on until the program has ended, and return whether it has within *timeout* seconds."""
        until = float('inf') if timeout is None else time.monotonic() + timeout
        pause = 0.001
        while os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            left = until - time.monotonic()
            if left <= 0:
                return False
            check()
            if self._selector.get_map():
                self._pass_on(min(left, _TURN))
            else:  # it has closed its output, as at its end
                time.sleep(min(left, pause))
                pause = min(2 * pause, _TURN)
        return True

    def _pass_on(self, timeout: float) -> bool:
        """Pass on what there is, or comes within *timeout* seconds; return whether anything was there."""
        ready = self._selector.select(timeout)
        for key, _ in ready:
            try:
                data = os.read(key.fd, _READ)
            except BlockingIOError:
                continue
            if not data:
                self._selector.unregister(key.fileobj)
                continue
            if key.data == 'stderr':
                self._last = (self._last + data)[-_LAST_BYTES:]
            self._output(key.data, data)
        return bool(ready)

    def close(self) -> None:
        """Pass on what is left: a process that is not of the group may hold the pipe open."""
        with self._selector:
            while self._selector.get_map() and self._pass_on(0):
                pass

    def last_words(self) -> str:
        """Return the last lines that it wrote to stderr."""
        return '\n'.join(self._last.decode(errors='replace').splitlines()[-_LAST_LINES:]).strip()


@atexit.register
def _end_all() -> None:
    for leader in list(_RUNNING):
        end_session(leader)
