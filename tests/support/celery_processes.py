"""A receiver and Celery workers in processes of their own, any of which can be killed, with or without its children."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from support.databases import table_in
from support.processes import end_group, free_port, runs_in

SUPPORT = Path(__file__).parent
_TRACEBACK = 'Traceback (most recent call last)'


class CeleryService:
    """The service of ``celery_service.py``.

    :param url: the database.
    :param folder: where it may write.
    :param workers: how many workers there are.
    :param lease: seconds that a claim holds.
    :param options: of the command ``celery worker``.
    :param settings: of Celery.
    """

    def __init__(
        self, url: str, folder: Path, settings: Mapping[str, Any], *,
        workers: int = 2, lease: float = 2.0, options: tuple[str, ...] = (), receiver: bool = True,
    ) -> None:
        self.port = free_port()
        self.log = folder / 'runs.log'
        self._folder = folder
        self.killed: set[int] = set()
        self._children: defaultdict[int, set[int]] = defaultdict(set)
        self._look_again = 0.0
        self._outputs: dict[int, Path] = {}
        self._options = options
        self._settings = json.dumps({
            'database': url, 'log': str(self.log), 'lease': lease,
            'celery': {
                'task_default_queue': f'test-{uuid4().hex}', 'broker_connection_retry_on_startup': True,
                'broker_connection_max_retries': None, **settings,
            },
        })
        self.processes = [self._start(number) for number in range(0 if receiver else 1, workers + 1)]

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, 'celery_service.py', str(self.port)] if number == 0 else [
            sys.executable, '-m', 'celery', '-A', 'celery_service', 'worker', '-n', f'{number}.{uuid4().hex}@here',
            '-c', '2', '-l', 'WARNING', *self._options,
        ]
        path = self._folder / f'output-{len(self._outputs)}.txt'
        with path.open('wb') as output:
            process = subprocess.Popen(
                command, cwd=SUPPORT, env={**os.environ, 'CELERY_SERVICE': self._settings}, start_new_session=True,
                stdout=output, stderr=output,
            )
        self._outputs[process.pid] = path
        return process

    def output(self) -> str:
        """Return what every process has said, one after the other."""
        return '\n'.join(path.read_text() for path in self._outputs.values())

    def kill(self, number: int, restart: bool = True) -> None:
        """SIGKILL process *number*, 0 being the receiver, with its children, and start it anew."""
        process = self.processes[number]
        os.killpg(process.pid, signal.SIGSTOP)  # so that it has no more children while they are counted
        self.killed.update(members(process.pid))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if restart:
            self.processes[number] = self._start(number)

    def add_worker(self) -> None:
        """Start one more worker."""
        self.processes.append(self._start(len(self.processes)))

    def kill_child(self, number: int, dice: random.Random) -> None:
        """SIGKILL a child of worker *number*'s pool, if it has any."""
        children = sorted(members(self.processes[number].pid) - {self.processes[number].pid})
        if children:
            victim = dice.choice(children)
            self.killed.add(victim)
            try:
                os.kill(victim, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def restart_ended(self) -> None:
        """Start anew each worker that Celery has ended, as the units of ``docs/deployment`` do.

        It does so when a child is killed before it is ready, or the broker goes away while it starts. None of our code
        has a part in that; otherwise it is a fault of ours.
        """
        self._note_children()
        for number, process in enumerate(self.processes):
            if process.poll() is None:
                continue
            output = self._outputs[process.pid].read_text()
            last = output.rpartition(_TRACEBACK)[2]
            theirs = _TRACEBACK in output and '/pacifica/dispatcher/' not in last
            assert number and (theirs or 'Could not start worker processes' in output), (
                f'process {number} ended: {output[-6000:]}')
            # Its children may have ended before it.
            self.killed.update({process.pid, *members(process.pid), *self._children[process.pid]})
            end_group(process)
            self.processes[number] = self._start(number)

    def _note_children(self) -> None:
        """Note once a second which children the processes have, in case these end before them."""
        if time.monotonic() >= self._look_again:
            self._look_again = time.monotonic() + 1.0
            for process in self.processes:
                self._children[process.pid] |= members(process.pid)

    def stop(self) -> None:
        """End all processes."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            end_group(process)

    def runs(self) -> dict[str, list[tuple[str, int, float]]]:
        """Return what each event's handlers wrote down, see :func:`runs_in`."""
        return runs_in(self.log)


def members(group: int) -> set[int]:
    """Return the processes of a process group."""
    found = set()
    for path in Path('/proc').glob('[0-9]*/stat'):
        try:
            fields = path.read_text().rpartition(')')[2].split()
        except OSError:  # it has just ended
            continue
        if int(fields[2]) == group:
            found.add(int(path.parent.name))
    return found


@contextmanager
def running(
    kind: str, folder: Path, settings: Mapping[str, Any], **options: Any,
) -> Iterator[tuple[CeleryService, Any]]:
    """Run a service on a new database of *kind*; yield it and the model."""
    with table_in(kind, folder) as (url, model):
        service = CeleryService(url, folder, settings, **options)
        try:
            yield service, model
        except BaseException:
            print(service.output()[-6000:])
            raise
        finally:
            service.stop()
