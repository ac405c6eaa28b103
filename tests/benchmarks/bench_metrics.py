"""What metrics cost under load: ``python tests/benchmarks/bench_metrics.py [--quick]``.

The whole service with and without, scraped every second, in turn. The environment variables are those of
``bench_queue.py``; what was measured is in ``docs/benchmarks.rst``.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

if __name__ == '__main__':
    if '--quick' in sys.argv:
        sys.argv.remove('--quick')
        os.environ['PACIFICA_BENCH_QUICK'] = '1'
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is ended
    raise SystemExit(pytest.main([__file__, '--bench', '-s', '-q', *sys.argv[1:]]))

from benchmarks.running import Service, service
from benchmarks.table import compare, interleave, text

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]

Numbers = dict[str, float]  # by unit
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@contextmanager
def _scraped(port: int) -> Iterator[list[int]]:
    """Scrape every second inside the ``with`` block, the first time at once; the list gets the sizes of the answers."""
    over, sizes = threading.Event(), list[int]()

    def scrape() -> None:
        while True:
            with _OPENER.open(f'http://127.0.0.1:{port}/metrics', timeout=30) as answer:
                sizes.append(len(answer.read()))
            if over.wait(1.0):
                return

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield sizes
    finally:
        over.set()
        thread.join()


def _measured(running: Service, count: int) -> Numbers:
    before = running.cpu_seconds()
    rate = running.load(count)['handled_per_second']
    return {'/s': rate, 'ms CPU': (running.cpu_seconds() - before) / count * 1000}


def _with(count: int, metrics: bool, shared: bool) -> Callable[[], AbstractContextManager[Callable[[], Numbers]]]:
    """Return what starts the service, warms it up and yields the measure of it."""
    @contextmanager
    def start() -> Iterator[Callable[[], Numbers]]:
        with tempfile.TemporaryDirectory(prefix='bench-') as folder:
            scratch = Path(folder)
            environment = {'BENCH_METRICS': '1'} if metrics else {}
            if shared:
                (scratch / 'counted').mkdir()
                environment['PROMETHEUS_MULTIPROC_DIR'] = str(scratch / 'counted')
            command = [sys.executable, 'dispatcher.py', 'PORT', f'sqlite:///{scratch}/events.db', '4']
            with service(scratch, [command], environment) as running:
                running.load(max(count // 10, 20))

                def measure() -> Numbers:
                    if not metrics:
                        return _measured(running, count)
                    with _scraped(running.port) as sizes:
                        numbers = _measured(running, count)
                    assert sizes and min(sizes) > 1000
                    return numbers

                yield measure
    return start


def test_metrics() -> None:
    """Events from POST to handled a second, SQLite, beside the same service without metrics."""
    quick = bool(os.environ.get('PACIFICA_BENCH_QUICK'))
    rounds = int(os.environ.get('PACIFICA_BENCH_ROUNDS') or (2 if quick else 7))
    count, bursts = (100, 1) if quick else (2000, 2)
    print(f'\n{rounds} rounds of {bursts} bursts of {count} events', flush=True)
    found = interleave(rounds, {
        'without': _with(count, metrics=False, shared=False),
        'again without': _with(count, metrics=False, shared=False),
        'metrics': _with(count, metrics=True, shared=False),
        'metrics, shared directory': _with(count, metrics=True, shared=True),
    }, bursts)
    rows = []
    for name in ('again without', 'metrics', 'metrics, shared directory'):
        target = None if name == 'again without' else 0.98
        rows.append(compare(f'POST to handled: {name} / without', '/s', found[name], found['without'], target))
        rows.append(compare('… processor time of the service for one', 'ms CPU', found[name], found['without'],
                            target and 1.02, at_most=True))
    print(f'\n\n{text(rows)}', flush=True)
