"""The processes of a measurement: each is started anew, and ended with all its children."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from pacifica.dispatcher._processes import started_by
from support.processes import end_group, free_port

HERE = Path(__file__).parent
CONTENDERS = HERE / 'contenders'
START_SECONDS = 30.0

Command = Sequence[str | Path]


def run_json(
    command: Command, timeout: float = 900.0, environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Run a script in a fresh process; return the JSON object that it printed last."""
    done = subprocess.run(
        [str(part) for part in command], cwd=HERE, env={**os.environ, **(environment or {})},
        capture_output=True, text=True, timeout=timeout, check=False,
    )
    if done.returncode:
        raise RuntimeError(f'{command}: exit status {done.returncode}\n{done.stdout}{done.stderr}'[-4000:])
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@contextmanager
def started(command: Command, environment: Mapping[str, str], log: Path) -> Iterator[int]:
    """Run a program in the background, in a process group of its own; yield its process id."""
    with log.open('ab') as output:
        process = subprocess.Popen(
            [str(part) for part in command], cwd=CONTENDERS, env={**os.environ, **environment},
            stdout=output, stderr=output, start_new_session=True,
        )
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        end_group(process)


def await_port(port: int) -> None:
    """Wait until something listens there."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(('127.0.0.1', port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


class Service:
    """A service that runs: where it listens, its processes, and where its handlers say that they ran."""

    def __init__(self, port: int, notify: Path | None, pids: Sequence[int]) -> None:
        self.port = port
        self.pids = pids
        self.notify = notify

    def load(self, count: int, connections: int = 8) -> dict[str, float]:
        """Send events; return ``accepted_per_second``.

        If the service has handlers that say that they ran, return once all did, and ``handled_per_second`` too: from
        the first POST to the end of the last handler.
        """
        notify = [self.notify] if self.notify else []
        return run_json([sys.executable, HERE / 'load.py', str(self.port), str(count), str(connections), *notify])

    def latency(self, count: int, pause: float = 0.0) -> dict[str, float]:
        """Send events one at a time, *pause* seconds after the one before was handled; return what took how long.

        Those are medians of milliseconds to the answer and to the handler's end, and of the latter more, see
        ``latency.py``.
        """
        assert self.notify, 'the handlers do not say that they ran'
        return run_json([
            sys.executable, HERE / 'latency.py', str(self.port), str(count), self.notify, str(pause)])

    def cpu_seconds(self) -> float:
        """Return the processor time that all processes of the service have used, those they started included."""
        ticks = 0
        for pid in set[int]().union(*map(started_by, self.pids)):
            with suppress(OSError):  # it has ended
                fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf('SC_CLK_TCK')

    def private_mebibytes(self) -> float:
        """Return the memory that would be freed if the service ended (USS)."""
        total = 0
        for pid in self.pids:
            for line in Path(f'/proc/{pid}/smaps_rollup').read_text().splitlines():
                if line.startswith(('Private_Clean:', 'Private_Dirty:')):
                    total += int(line.split()[1])
        return total / 1024


@contextmanager
def service(
    scratch: Path, programs: Sequence[Command], environment: Mapping[str, str] | None = None, notify: bool = True,
) -> Iterator[Service]:
    """Run a service whose first program listens; ``PORT`` in its command stands for the port.

    :param scratch: an empty directory for this measurement.
    :param notify: whether handlers say that they ran.
    """
    port, path = free_port(), scratch / 'handled' if notify else None
    environment = {**(environment or {}), **({'BENCH_NOTIFY': str(path)} if path else {})}
    with ExitStack() as stack:
        pids = [
            stack.enter_context(started(
                [str(port) if part == 'PORT' else part for part in program], environment, scratch / 'log'))
            for program in programs
        ]
        try:
            await_port(port)
            yield Service(port, path, pids)
        except Exception as exc:
            raise RuntimeError(f'{exc}\nThe service said:\n{(scratch / "log").read_text()[-3000:]}') from exc
