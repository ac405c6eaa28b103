"""The services that are measured, each started anew with an empty database, and how one is measured."""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

from benchmarks.running import HERE, Command, Service, run_json, service

from support import services
from support.databases import temporary_database

OURS = 'dispatcher'
OLD = 'dispatcher 0.2.5'
REDIS_DATABASE = '/7'

Numbers = dict[str, float]  # by unit
S = TypeVar('S')
T = TypeVar('T')


@dataclass(frozen=True)
class Scale:
    """How much of everything."""

    rounds: int
    bursts: int  # in a round; numbers of events are for one burst


AnyScale = TypeVar('AnyScale', bound=Scale)


def scale_of(full: AnyScale, quick: AnyScale) -> AnyScale:
    """Return the numbers of this run; printed."""
    chosen = quick if os.environ.get('PACIFICA_BENCH_QUICK') else full
    chosen = replace(chosen, rounds=int(os.environ.get('PACIFICA_BENCH_ROUNDS') or chosen.rounds))
    print(f'\n{chosen}; Python {platform.python_version()}, {os.cpu_count()} cores', flush=True)
    return chosen


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield an empty directory, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix='bench-') as folder:
        yield Path(folder)


def broker_url(kind: str) -> str:
    """Return the URL of ``redis``, in a database of the measurements', or of ``rabbitmq``."""
    if kind == 'rabbitmq':
        return services.require(services.RABBITMQ)
    return urlunsplit(urlsplit(services.require(services.REDIS))._replace(path=REDIS_DATABASE))


class CeleryWorkers:
    """A receiver and Celery's workers that run.

    :param running: the service they make together.
    :param environment: what they found in theirs.
    :param nodes: what the workers are called.
    """

    def __init__(self, running: Service, environment: Mapping[str, str], nodes: Sequence[str]) -> None:
        self.service = running
        self._environment = environment
        self._nodes = nodes

    @property
    def database(self) -> str:
        """The URL of their database."""
        return self._environment['BENCH_DATABASE']

    def drain(self, count: int) -> dict[str, float]:
        """Lay *count* events before the workers; return how many a second they took, see ``drain.py``."""
        assert self.service.notify, 'the handlers do not say that they ran'
        return run_json([sys.executable, HERE / 'drain.py', str(count), self.service.notify, *self._nodes],
                        environment=self._environment)


class Contenders:
    """The services that are measured, each started anew with an empty database.

    :param python_of: returns a contender's Python.
    """

    def __init__(self, python_of: Callable[[str], Path]) -> None:
        self._python = python_of

    @contextmanager
    def echo(self) -> Iterator[Service]:
        """A bare CherryPy that answers JSON."""
        with scratch_folder() as scratch:
            with service(scratch, [[self._python('echo'), 'echo.py', 'PORT']], notify=False) as running:
                yield running

    @contextmanager
    def ours(self, kind: str = 'sqlite', concurrency: int = 4, notify: bool = True) -> Iterator[Service]:
        """This project's service in one process."""
        with scratch_folder() as scratch, temporary_database(kind, scratch) as url:
            command = [self._python(OURS), 'dispatcher.py', 'PORT', url, str(concurrency)]
            with service(scratch, [command], notify=notify) as running:
                yield running

    @contextmanager
    def served(self, kind: str, processes: int) -> Iterator[Service]:
        """This project's service as its command starts it, in so many processes."""
        with scratch_folder() as scratch, temporary_database(kind, scratch) as url:
            command: Command = [
                self._python(OURS), '-m', 'pacifica.dispatcher', 'serve', 'routing:router', '--port', 'PORT',
                '--database', url, '--processes', str(processes), '--log-level', 'warning']
            with service(scratch, [command]) as running:
                yield running

    @contextmanager
    def old(self, kind: str = 'sqlite', concurrency: int = 4, notify: bool = True) -> Iterator[Service]:
        """The 0.2.5 distribution on Redis: a receiver, and Celery's workers unless there is no concurrency."""
        workers = [['-c', str(concurrency)]] if concurrency else []
        with self.celery(OLD, kind, 'redis', workers, notify=notify) as running:
            yield running.service

    @contextmanager
    def celery(
        self, name: str, kind: str, broker: str, workers: Sequence[Command], *,
        notify: bool = True, environment: Mapping[str, str] | None = None,
    ) -> Iterator[CeleryWorkers]:
        """A receiver and Celery's workers, of this project or of 0.2.5.

        :param name: which of the two.
        :param workers: the options of each ``celery worker``.
        """
        python, url, queue = self._python(name), broker_url(broker), f'bench-{uuid4().hex}'
        nodes = [f'{number}-{queue}@bench' for number in range(len(workers))]
        programs: list[Command] = [[python, 'dispatcher_celery.py', 'PORT']]
        programs += [
            [python, '-m', 'celery', '-A', 'dispatcher_celery', 'worker', '-n', node, *options]
            for node, options in zip(nodes, workers)
        ]
        settings = {'broker_url': url, 'task_default_queue': queue, 'broker_connection_retry_on_startup': True,
                    'result_backend': url if broker == 'redis' else 'rpc://'}
        with scratch_folder() as scratch, temporary_database(kind, scratch) as database:
            found = {'BENCH_DATABASE': database, 'BENCH_CELERY': json.dumps(settings), **(environment or {})}
            try:
                with service(scratch, programs, found, notify) as running:
                    yield CeleryWorkers(running, found, nodes)
            finally:  # by the same Python: whatever client of the broker there is, Celery has it
                run_json([python, '-c', 'import kombu, sys; connection = kombu.Connection(sys.argv[1]); '
                          'connection.channel().queue_delete(sys.argv[2]); connection.release(); print("{}")',
                          url, queue])


def of(
    contender: Callable[[], AbstractContextManager[S]], measure: Callable[[S], T],
) -> Callable[[], AbstractContextManager[Callable[[], T]]]:
    """Return what starts a service, warms it up, and yields the measure of it."""
    @contextmanager
    def start() -> Iterator[Callable[[], T]]:
        with contender() as running:
            measure(running)
            yield partial(measure, running)
    return start


def process(measure: Callable[[], Numbers]) -> Callable[[], AbstractContextManager[Callable[[], Numbers]]]:
    """Return what does nothing beforehand, for a measure that is one process from start to end."""
    return lambda: nullcontext(measure)


def load(count: int, rate: str) -> Callable[[Service], Numbers]:
    """Return what sends *count* events and returns that rate, and the processor time of the service for an event."""
    def measure(running: Service) -> Numbers:
        before = running.cpu_seconds()
        result = running.load(count)
        return {'/s': result[rate], 'ms CPU': (running.cpu_seconds() - before) / count * 1000}
    return measure
