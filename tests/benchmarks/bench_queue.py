"""Measurements of the queue beside others: ``python tests/benchmarks/bench_queue.py [--quick] [-k WORDS]``.

What each means, and what was measured, is in ``docs/benchmarks.rst``. Environment variables: ``PACIFICA_BENCH_CACHE``
(where the contenders' environments are kept), ``PACIFICA_BENCH_ROUNDS``, ``PACIFICA_BENCH_QUICK`` (small numbers, to
see that it works), and those that say where the servers are, as for tests.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

if __name__ == '__main__':  # pytest makes tests/ importable, and deals with servers that are absent
    if '--quick' in sys.argv:
        sys.argv.remove('--quick')
        os.environ['PACIFICA_BENCH_QUICK'] = '1'
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is ended, and dropped
    raise SystemExit(pytest.main([__file__, '--bench', '-s', '-q', *sys.argv[1:]]))

from benchmarks.contending import OURS, Contenders, Numbers, Scale, load, of, process, scale_of, scratch_folder
from benchmarks.running import CONTENDERS, Service, run_json
from benchmarks.table import Row, compare, interleave

from support.databases import temporary_database

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]


@dataclass(frozen=True)
class Amounts(Scale):
    """How much of everything; the numbers of events up to drained are for one burst."""

    posts: int
    handled: int
    handled_old: int
    latencies: int
    drained: int
    finished: int
    waiting: int
    claims: int
    grown: int


FULL = Amounts(5, 5, 800, 2000, 400, 50, 5000, 1_000_000, 100_000, 60, 100_000)
QUICK = Amounts(2, 2, 100, 100, 20, 10, 300, 2000, 400, 20, 2000)


@pytest.fixture(scope='module')
def scale() -> Amounts:
    """The numbers of this run."""
    return scale_of(FULL, QUICK)


def test_accepted_posts(scale: Amounts, rows: list[Row], contenders: Contenders) -> None:
    """POSTs accepted a second at 8 connections, beside a bare CherryPy that stores nothing."""
    measure = load(scale.posts, 'accepted_per_second')
    print('POSTs accepted a second, SQLite, fsync on')
    found = interleave(scale.rounds, {
        'echo': of(contenders.echo, measure),
        'ours, no worker': of(lambda: contenders.ours(concurrency=0, notify=False), measure),
        'ours, worker in the process': of(contenders.ours, measure),
        '0.2.5, no worker': of(lambda: contenders.old(concurrency=0, notify=False), measure),
    }, scale.bursts)
    for name, target in (('ours, no worker', 0.65), ('ours, worker in the process', 0.65), ('0.2.5, no worker', None)):
        what = f'accepted POSTs, SQLite: {name} / bare CherryPy'
        rows.append(compare(what, '/s', found[name], found['echo'], target))
        rows.append(compare('… processor time of the service for one', 'ms CPU', found[name], found['echo']))


@pytest.mark.parametrize(('kind', 'target'), [('sqlite', 7.0), ('postgresql', 9.0)])
def test_handled(scale: Amounts, rows: list[Row], contenders: Contenders, kind: str, target: float) -> None:
    """Events from POST to handled a second, the whole service, beside 0.2.5 with Celery on Redis."""
    measure = load(scale.handled, 'handled_per_second')
    print(f'events handled a second, {kind}')
    found = interleave(scale.rounds, {
        'ours': of(lambda: contenders.ours(kind), measure),
        'ours, --processes 2': of(lambda: contenders.served(kind, processes=2), measure),
        '0.2.5': of(lambda: contenders.old(kind), load(scale.handled_old, 'handled_per_second')),
    }, scale.bursts)
    for name in ('ours', 'ours, --processes 2'):
        rows.append(compare(f'POST to handled, {kind}: {name} / 0.2.5', '/s', found[name], found['0.2.5'], target))
        rows.append(compare('… processor time of the service for one', 'ms CPU', found[name], found['0.2.5']))


@pytest.mark.parametrize('kind', ['sqlite', 'postgresql'])
def test_latency(scale: Amounts, rows: list[Row], contenders: Contenders, kind: str) -> None:
    """Median time from POST to handled, one event at a time."""
    def measure(running: Service) -> Numbers:
        return {'ms': running.latency(scale.latencies)['handled_ms']}

    print(f'ms from POST to handled, {kind}')
    found = interleave(scale.rounds, {
        'ours': of(lambda: contenders.ours(kind), measure),
        '0.2.5': of(lambda: contenders.old(kind), measure),
    }, scale.bursts)
    rows.append(compare(f'latency p50, {kind}: ours / 0.2.5', 'ms', *found.values(), 0.25, at_most=True))


def test_drain_sqlite(scale: Amounts, rows: list[Row], environments: Callable[[str], Path]) -> None:
    """Waiting no-op events drained a second by 4 threads on SQLite, beside huey's two queues on SQLite."""
    def ours() -> Numbers:
        with scratch_folder() as scratch:
            url = f'sqlite:///{scratch / "queue.db"}'
            return _drain(scale, environments(OURS), 'drain_dispatcher.py', url)

    def huey(kind: str) -> Callable[[], Numbers]:
        def once() -> Numbers:
            with scratch_folder() as scratch:
                return _drain(scale, environments('huey'), 'drain_huey.py', kind, str(scratch / 'queue.db'))
        return once

    print('events drained a second, SQLite')
    found = interleave(scale.rounds, {
        'ours': process(ours), 'SqlHuey': process(huey('SqlHuey')), 'SqliteHuey': process(huey('SqliteHuey')),
    })
    for name in ('SqlHuey', 'SqliteHuey'):
        rows.append(compare(f'drain, 4 threads, SQLite: ours / {name}', '/s', found['ours'], found[name], 1.5))


def test_drain_postgresql(scale: Amounts, rows: list[Row], environments: Callable[[str], Path]) -> None:
    """Waiting no-op events drained a second by 4 threads on PostgreSQL, beside procrastinate."""
    def drain(name: str, script: str) -> Callable[[], Numbers]:
        def once() -> Numbers:
            with scratch_folder() as scratch, temporary_database('postgresql', scratch) as url:
                return _drain(scale, environments(name), script, url)
        return once

    print('events drained a second, PostgreSQL')
    found = interleave(scale.rounds, {
        'ours': process(drain(OURS, 'drain_dispatcher.py')),
        'procrastinate': process(drain('procrastinate', 'drain_procrastinate.py')),
    })
    rows.append(compare('drain, 4 threads, PostgreSQL: ours / procrastinate', '/s', *found.values()))


def _drain(scale: Amounts, python: Path, script: str, *arguments: str) -> Numbers:
    result = run_json([python, CONTENDERS / script, *arguments, str(scale.drained), '4'])
    return {'/s': scale.drained / float(result['seconds'])}


@pytest.mark.parametrize('kind', ['sqlite', 'postgresql', 'mysql'])
def test_claim(scale: Amounts, rows: list[Row], environments: Callable[[str], Path], kind: str) -> None:
    """Cost of a claim in a table of many rows, beside one in a table of a thousand."""
    python = environments(OURS)
    with ExitStack() as stack:
        urls = [
            stack.enter_context(temporary_database(kind, stack.enter_context(scratch_folder()))) for _ in range(2)
        ]
        for url, finished, waiting in ((urls[0], scale.finished, scale.waiting), (urls[1], 500, 500)):
            run_json([python, CONTENDERS / 'fill.py', url, str(finished), str(waiting)], timeout=1800)
        print(f'ms for a claim, {kind}')
        found = [
            run_json([python, CONTENDERS / 'claim.py', *urls, str(scale.claims)]) for _ in range(scale.rounds)
        ]
    for name, target in (('whole', 1.3), ('statements', None)):
        large, small = ([one[table][name] for one in found] for table in ('first', 'second'))
        what = f'claim ({name}), {kind}: {scale.finished + scale.waiting:,} rows / 1,000'
        rows.append(Row(what, 'ms', large, small, target, at_most=True))
        print('  ' + '  '.join(rows[-1].cells()), flush=True)


def test_memory(scale: Amounts, rows: list[Row], contenders: Contenders) -> None:
    """Private memory of the service after many events, beside a tenth of them."""
    with contenders.ours() as running:
        sizes = []
        for _ in range(10):
            running.load(scale.grown // 10)
            sizes.append(running.private_mebibytes())
    print('MiB after each tenth of the events: ' + ', '.join(f'{size:.1f}' for size in sizes), flush=True)
    what = f'memory (USS) after {scale.grown:,} events / {scale.grown // 10:,}'
    rows.append(Row(what, 'MiB', [sizes[-1]], [sizes[0]], 1.05, at_most=True))
