"""Measurements of the queue beside others: ``python tests/benchmarks/bench_queue.py [--quick] [-k WORDS]``.

What each means, and what was measured, is in ``docs/benchmarks.rst``. Environment variables: ``PACIFICA_BENCH_CACHE``
(where the contenders' environments are kept), ``PACIFICA_BENCH_ROUNDS``, ``PACIFICA_BENCH_QUICK`` (small numbers, to
see that it works), and those that say where the servers are, as for tests.
"""

from __future__ import annotations

import os
import platform
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

if __name__ == '__main__':  # pytest makes tests/ importable, and deals with servers that are absent
    if '--quick' in sys.argv:
        sys.argv.remove('--quick')
        os.environ['PACIFICA_BENCH_QUICK'] = '1'
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is ended, and dropped
    raise SystemExit(pytest.main([__file__, '--bench', '-s', '-q', *sys.argv[1:]]))

from benchmarks.environments import python_of
from benchmarks.running import CONTENDERS, Service, run_json, service
from benchmarks.table import Row, compare, interleave, text

from support import services
from support.databases import temporary_database

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]

REDIS_DATABASE = '/7'
OURS = 'dispatcher'
OLD = 'dispatcher 0.2.5'

Numbers = dict[str, float]  # by unit


@dataclass(frozen=True)
class Scale:
    """How much of everything."""

    rounds: int
    bursts: int  # in a round; the numbers of events up to drained are for one burst
    posts: int
    handled: int
    handled_old: int
    latencies: int
    drained: int
    finished: int
    waiting: int
    claims: int
    grown: int


FULL = Scale(5, 5, 800, 2000, 400, 50, 5000, 1_000_000, 100_000, 60, 100_000)
QUICK = Scale(2, 2, 100, 100, 20, 10, 300, 2000, 400, 20, 2000)


@pytest.fixture(scope='module')
def scale() -> Scale:
    """The numbers of this run; printed."""
    chosen = QUICK if os.environ.get('PACIFICA_BENCH_QUICK') else FULL
    rounds = int(os.environ.get('PACIFICA_BENCH_ROUNDS') or chosen.rounds)
    chosen = Scale(**{**chosen.__dict__, 'rounds': rounds})
    print(f'\n{chosen}; Python {platform.python_version()}, {os.cpu_count()} cores', flush=True)
    return chosen


@pytest.fixture(scope='module')
def rows() -> Iterator[list[Row]]:
    """Where measurements put their rows; the table is printed at the end."""
    collected: list[Row] = []
    yield collected
    if collected:
        print(f'\n\n{text(collected)}', flush=True)


@pytest.fixture(scope='module')
def environments(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a contender's Python."""
    temporary = tmp_path_factory.mktemp('environments')
    return lambda name: python_of(name, temporary)


class Contenders:
    """The services that are measured, each started anew with an empty database."""

    def __init__(self, environments: Callable[[str], Path]) -> None:
        self._python = environments

    @contextmanager
    def echo(self) -> Iterator[Service]:
        """A bare CherryPy that answers JSON."""
        with _scratch() as scratch:
            with service(scratch, [[self._python('echo'), 'echo.py', 'PORT']], notify=False) as running:
                yield running

    @contextmanager
    def ours(self, kind: str = 'sqlite', concurrency: int = 4, notify: bool = True) -> Iterator[Service]:
        """This project's service in one process."""
        with _scratch() as scratch, temporary_database(kind, scratch) as url:
            command = [self._python(OURS), 'dispatcher.py', 'PORT', url, str(concurrency)]
            with service(scratch, [command], notify=notify) as running:
                yield running

    @contextmanager
    def old(self, kind: str = 'sqlite', concurrency: int = 4, notify: bool = True) -> Iterator[Service]:
        """The 0.2.5 distribution: a receiver, and Celery's workers unless there is no concurrency."""
        python = self._python(OLD)
        broker = urlunsplit(urlsplit(services.require(services.REDIS))._replace(path=REDIS_DATABASE))
        with _scratch() as scratch, temporary_database(kind, scratch) as url:
            run_json([python, '-c', f'import redis; redis.Redis.from_url({broker!r}).flushdb(); print("{{}}")'])
            programs: list[list[str | Path]] = [[python, 'dispatcher_0_2_5.py', 'PORT']]
            if concurrency:
                programs.append([python, '-m', 'celery', '-A', 'dispatcher_0_2_5', 'worker', '-c', str(concurrency)])
            with service(scratch, programs, {'BENCH_DATABASE': url, 'BENCH_BROKER': broker}, notify) as running:
                yield running


@pytest.fixture(scope='module')
def contenders(environments: Callable[[str], Path]) -> Contenders:
    """The services that are measured."""
    return Contenders(environments)


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix='bench-') as folder:
        yield Path(folder)


def _of(
    contender: Callable[[], AbstractContextManager[Service]], measure: Callable[[Service], Numbers],
) -> Callable[[], AbstractContextManager[Callable[[], Numbers]]]:
    """Return what starts a service, warms it up, and yields the measure of it."""
    @contextmanager
    def start() -> Iterator[Callable[[], Numbers]]:
        with contender() as running:
            measure(running)
            yield partial(measure, running)
    return start


def _process(measure: Callable[[], Numbers]) -> Callable[[], AbstractContextManager[Callable[[], Numbers]]]:
    """Return what does nothing beforehand, for a measure that is one process from start to end."""
    return lambda: nullcontext(measure)


def _load(count: int, rate: str) -> Callable[[Service], Numbers]:
    """Return what sends *count* events and returns that rate, and the processor time of the service for an event."""
    def measure(running: Service) -> Numbers:
        before = running.cpu_seconds()
        result = running.load(count)
        return {'/s': result[rate], 'ms CPU': (running.cpu_seconds() - before) / count * 1000}
    return measure


def test_accepted_posts(scale: Scale, rows: list[Row], contenders: Contenders) -> None:
    """POSTs accepted a second at 8 connections, beside a bare CherryPy that stores nothing."""
    measure = _load(scale.posts, 'accepted_per_second')
    print('POSTs accepted a second, SQLite, fsync on')
    found = interleave(scale.rounds, {
        'echo': _of(contenders.echo, measure),
        'ours, no worker': _of(lambda: contenders.ours(concurrency=0, notify=False), measure),
        'ours, worker in the process': _of(contenders.ours, measure),
        '0.2.5, no worker': _of(lambda: contenders.old(concurrency=0, notify=False), measure),
    }, scale.bursts)
    for name, target in (('ours, no worker', 0.65), ('ours, worker in the process', 0.65), ('0.2.5, no worker', None)):
        what = f'accepted POSTs, SQLite: {name} / bare CherryPy'
        rows.append(compare(what, '/s', found[name], found['echo'], target))
        rows.append(compare('… processor time of the service for one', 'ms CPU', found[name], found['echo']))


@pytest.mark.parametrize(('kind', 'target'), [('sqlite', 7.0), ('postgresql', 8.0)])
def test_handled(scale: Scale, rows: list[Row], contenders: Contenders, kind: str, target: float) -> None:
    """Events from POST to handled a second, the whole service, beside 0.2.5 with Celery on Redis."""
    print(f'events handled a second, {kind}')
    found = interleave(scale.rounds, {
        'ours': _of(lambda: contenders.ours(kind), _load(scale.handled, 'handled_per_second')),
        '0.2.5': _of(lambda: contenders.old(kind), _load(scale.handled_old, 'handled_per_second')),
    }, scale.bursts)
    rows.append(compare(f'POST to handled, {kind}: ours / 0.2.5', '/s', found['ours'], found['0.2.5'], target))
    rows.append(compare('… processor time of the service for one', 'ms CPU', found['ours'], found['0.2.5']))


@pytest.mark.parametrize('kind', ['sqlite', 'postgresql'])
def test_latency(scale: Scale, rows: list[Row], contenders: Contenders, kind: str) -> None:
    """Median time from POST to handled, one event at a time."""
    def measure(running: Service) -> Numbers:
        return {'ms': running.latency(scale.latencies)['handled_ms']}

    print(f'ms from POST to handled, {kind}')
    found = interleave(scale.rounds, {
        'ours': _of(lambda: contenders.ours(kind), measure),
        '0.2.5': _of(lambda: contenders.old(kind), measure),
    }, scale.bursts)
    rows.append(compare(f'latency p50, {kind}: ours / 0.2.5', 'ms', *found.values(), 0.25, at_most=True))


def test_drain_sqlite(scale: Scale, rows: list[Row], environments: Callable[[str], Path]) -> None:
    """Waiting no-op events drained a second by 4 threads on SQLite, beside huey's two queues on SQLite."""
    def ours() -> Numbers:
        with _scratch() as scratch:
            url = f'sqlite:///{scratch / "queue.db"}'
            return _drain(scale, environments(OURS), 'drain_dispatcher.py', url)

    def huey(kind: str) -> Callable[[], Numbers]:
        def once() -> Numbers:
            with _scratch() as scratch:
                return _drain(scale, environments('huey'), 'drain_huey.py', kind, str(scratch / 'queue.db'))
        return once

    print('events drained a second, SQLite')
    found = interleave(scale.rounds, {
        'ours': _process(ours), 'SqlHuey': _process(huey('SqlHuey')), 'SqliteHuey': _process(huey('SqliteHuey')),
    })
    for name in ('SqlHuey', 'SqliteHuey'):
        rows.append(compare(f'drain, 4 threads, SQLite: ours / {name}', '/s', found['ours'], found[name], 1.5))


def test_drain_postgresql(scale: Scale, rows: list[Row], environments: Callable[[str], Path]) -> None:
    """Waiting no-op events drained a second by 4 threads on PostgreSQL, beside procrastinate."""
    def drain(name: str, script: str) -> Callable[[], Numbers]:
        def once() -> Numbers:
            with _scratch() as scratch, temporary_database('postgresql', scratch) as url:
                return _drain(scale, environments(name), script, url)
        return once

    print('events drained a second, PostgreSQL')
    found = interleave(scale.rounds, {
        'ours': _process(drain(OURS, 'drain_dispatcher.py')),
        'procrastinate': _process(drain('procrastinate', 'drain_procrastinate.py')),
    })
    rows.append(compare('drain, 4 threads, PostgreSQL: ours / procrastinate', '/s', *found.values()))


def _drain(scale: Scale, python: Path, script: str, *arguments: str) -> Numbers:
    result = run_json([python, CONTENDERS / script, *arguments, str(scale.drained), '4'])
    return {'/s': scale.drained / float(result['seconds'])}


@pytest.mark.parametrize('kind', ['sqlite', 'postgresql', 'mysql'])
def test_claim(scale: Scale, rows: list[Row], environments: Callable[[str], Path], kind: str) -> None:
    """Cost of a claim in a table of many rows, beside one in a table of a thousand."""
    python = environments(OURS)
    with ExitStack() as stack:
        urls = [
            stack.enter_context(temporary_database(kind, stack.enter_context(_scratch()))) for _ in range(2)
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


def test_memory(scale: Scale, rows: list[Row], contenders: Contenders) -> None:
    """Private memory of the service after many events, beside a tenth of them."""
    with contenders.ours() as running:
        sizes = []
        for _ in range(10):
            running.load(scale.grown // 10)
            sizes.append(running.private_mebibytes())
    print('MiB after each tenth of the events: ' + ', '.join(f'{size:.1f}' for size in sizes), flush=True)
    what = f'memory (USS) after {scale.grown:,} events / {scale.grown // 10:,}'
    rows.append(Row(what, 'MiB', [sizes[-1]], [sizes[0]], 1.05, at_most=True))
