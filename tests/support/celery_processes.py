"""A receiver and Celery workers in processes of their own, any of which can be killed, with or without its children."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from playhouse.db_url import connect

from pacifica.dispatcher.receiver import create_peewee_model
from support.databases import temporary_database
from support.processes import end_group, free_port, runs_in

SUPPORT = Path(__file__).parent


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
        self.output = folder / 'output.txt'
        self.killed: set[int] = set()
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
        with self.output.open('ab') as output:
            return subprocess.Popen(
                command, cwd=SUPPORT, env={**os.environ, 'CELERY_SERVICE': self._settings}, start_new_session=True,
                stdout=output, stderr=output,
            )

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
        """Start anew each process that has ended by itself, as the units of ``docs/deployment`` do.

        A worker may: while it closes its connection to a Redis that is gone, kombu fails with an ``AttributeError``.
        """
        for number, process in enumerate(self.processes):
            if process.poll() is not None:
                self.killed.update({process.pid, *members(process.pid)})
                end_group(process)
                self.processes[number] = self._start(number)

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
    with temporary_database(kind, folder) as url:
        database = connect(url)
        model = create_peewee_model(database)
        model.create_table()
        service = CeleryService(url, folder, settings, **options)
        try:
            yield service, model
        except BaseException:
            print(service.output.read_text()[-6000:])
            raise
        finally:
            service.stop()
            model.close_connections()
            database.close()
