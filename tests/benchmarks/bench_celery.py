"""Measurements of Celery's workers: ``python tests/benchmarks/bench_celery.py [--quick] [-k WORDS]``.

What each means, and what was measured, is in ``docs/benchmarks.rst``, as are the environment variables, which are those
of ``bench_queue.py``.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

if __name__ == '__main__':  # pytest makes tests/ importable, and deals with servers that are absent
    if '--quick' in sys.argv:
        sys.argv.remove('--quick')
        os.environ['PACIFICA_BENCH_QUICK'] = '1'
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is ended, and dropped
    raise SystemExit(pytest.main([__file__, '--bench', '-s', '-q', *sys.argv[1:]]))

from benchmarks.contending import (
    OLD, OURS, CeleryWorkers, Contenders, Numbers, Scale, load, of, process, scale_of, scratch_folder,
)
from benchmarks.postgresql import backend_cpu_seconds
from benchmarks.running import Service
from benchmarks.table import Row, aligned, compare, interleave

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]

WORKERS = (1, 2, 4, 8)
SOLO = ('--pool', 'solo')  # a worker is one process, which fetches messages and handles events
COLUMNS = ('/s', 'ms an event', 'ms in SQL', 'statements', 'commits', 'ms a commit', 'ms CPU worker', 'ms CPU database')


@dataclass(frozen=True)
class Amounts(Scale):
    """How much of everything."""

    handled: int
    handled_old: int
    drained: int  # by each worker


FULL = Amounts(5, 2, 400, 150, 200)
QUICK = Amounts(2, 1, 100, 20, 60)


@pytest.fixture(scope='module')
def scale() -> Amounts:
    """The numbers of this run."""
    return scale_of(FULL, QUICK)


@pytest.mark.parametrize('broker', ['redis', 'rabbitmq'])
@pytest.mark.parametrize(('kind', 'target'), [('sqlite', 2.0), ('postgresql', 4.0)])
def test_handled(
    scale: Amounts, rows: list[Row], contenders: Contenders, kind: str, target: float, broker: str,
) -> None:
    """Events from POST to handled a second by one Celery worker of four processes, beside 0.2.5 with the same."""
    @contextmanager
    def contender(name: str) -> Iterator[Service]:
        with contenders.celery(name, kind, broker, [['--pool', 'prefork', '--concurrency', '4']]) as running:
            yield running.service

    print(f'events handled a second with Celery, {kind}, {broker}')
    found = interleave(scale.rounds, {
        'ours': of(lambda: contender(OURS), load(scale.handled, 'handled_per_second')),
        '0.2.5': of(lambda: contender(OLD), load(scale.handled_old, 'handled_per_second')),
    }, scale.bursts)
    what = f'POST to handled with Celery, {kind}, {broker}: ours / 0.2.5'
    rows.append(compare(what, '/s', found['ours'], found['0.2.5'], target))
    rows.append(compare('… processor time of the service for one', 'ms CPU', found['ours'], found['0.2.5']))


@pytest.mark.parametrize(('work', 'workers', 'target'), [
    ('sleep 5', WORKERS, 1.8), ('busy 5', WORKERS[:2], None),
], ids=['waiting', 'computing'])
def test_workers(
    scale: Amounts, rows: list[Row], contenders: Contenders, work: str, workers: Sequence[int], target: float | None,
) -> None:
    """A full queue on PostgreSQL emptied by workers of one process each, with a handler of 5 ms."""
    def drained(number: int) -> Callable[[], Numbers]:
        return lambda: _drained(contenders, number, work, scale.drained)

    print(f'events drained a second by workers of one process, PostgreSQL, Redis, handler: {work} ms')
    found = interleave(scale.rounds, {str(number): process(drained(number)) for number in workers})
    for number in workers[1:]:
        what = f'drain with Celery, PostgreSQL, handler {work} ms: {number} / 1'
        rows.append(compare(what, '/s', found[str(number)], found['1'], target if number == 2 else None))
    print('\n' + aligned([('workers', *COLUMNS), *(
        (number, *(f'{statistics.median(numbers[unit]):,.3g}' for unit in COLUMNS)) for number, numbers in found.items()
    )]), flush=True)


def _drained(contenders: Contenders, number: int, work: str, each: int) -> Numbers:
    """Have *each* events for each of so many workers drained, those of a warm-up before; all but the rate is for one.

    Only these workers run meanwhile: others would look after their queues.
    """
    count = each * number
    with scratch_folder() as trace, contenders.celery(
        OURS, 'postgresql', 'redis', [SOLO] * number, environment={'BENCH_WORK': work, 'BENCH_TRACE': str(trace)},
    ) as running:
        running.drain(count // 4)
        before = _sums(running, trace)
        rate = running.drain(count)['per_second']
        sums = {name: value - before[name] for name, value in _sums(running, trace).items()}
    return {
        '/s': rate,
        'ms an event': number / rate * 1000,
        'ms in SQL': sums['seconds'] / count * 1000,
        'statements': sums['statements'] / count,
        'commits': sums['commits'] / count,
        'ms a commit': sums['commit seconds'] / sums['commits'] * 1000,
        'ms CPU worker': sums['worker'] / count * 1000,
        'ms CPU database': sums['database'] / count * 1000,
    }


def _sums(running: CeleryWorkers, trace: Path) -> dict[str, float]:
    """Return what the workers and their database have done so far."""
    traced = [json.loads(path.read_text()) for path in trace.iterdir() if int(path.stem) in running.service.pids[1:]]
    commits = [statements.get('COMMIT', (0, 0.0)) for statements in traced]
    return {
        'worker': running.service.cpu_seconds(),
        'database': backend_cpu_seconds(running.database),
        'seconds': sum(seconds for statements in traced for _, seconds in statements.values()),
        'statements': sum(count for statements in traced for count, _ in statements.values()),
        'commits': sum(count for count, _ in commits),
        'commit seconds': sum(seconds for _, seconds in commits),
    }
