"""How soon a worker in another process than the receiver handles an event, and what waiting for one costs.

    python tests/benchmarks/bench_wakeups.py [--quick] [-k KIND]

The environment variables are those of ``bench_queue.py``; what was measured is in ``docs/benchmarks.rst``.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

if __name__ == '__main__':
    if '--quick' in sys.argv:
        sys.argv.remove('--quick')
        os.environ['PACIFICA_BENCH_QUICK'] = '1'
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is ended, and dropped
    raise SystemExit(pytest.main([__file__, '--bench', '-s', '-q', *sys.argv[1:]]))

from benchmarks.contending import scratch_folder
from benchmarks.running import Service, service

from support.databases import temporary_database

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]


@contextmanager
def _apart(kind: str) -> Iterator[Service]:
    """A receiver and a worker, each a process."""
    with scratch_folder() as scratch, temporary_database(kind, scratch) as url:
        programs = [[sys.executable, 'dispatcher.py', 'PORT', url, '0'], [sys.executable, 'worker.py', url]]
        with service(scratch, programs) as running:
            yield running


def _cpu_seconds(pid: int) -> float:
    """Return the processor time of the threads of one process, exactly."""
    return sum(int(file.read_text().split()[0]) for file in Path(f'/proc/{pid}/task').glob('*/schedstat')) / 1e9


@pytest.mark.parametrize('kind', ['sqlite', 'postgresql', 'mysql'])
def test_wakeups(kind: str) -> None:
    """Milliseconds from POST to handled, one event at a time; percent of a core that the idle worker uses."""
    quick = bool(os.environ.get('PACIFICA_BENCH_QUICK'))
    seconds = 2 if quick else 20
    with _apart(kind) as running:
        for pause, count in ((0.0, 20 if quick else 300), (1.0, 2 if quick else 20), (5.0, 1 if quick else 10)):
            found = running.latency(count, pause)
            print(f'{kind}: {pause:g} s apart, load average {os.getloadavg()[0]:.1f}: ms to handled: '
                  f'p50 {found["handled_ms"]:.1f}, p95 {found["handled_p95_ms"]:.1f}, '
                  f'max {found["handled_max_ms"]:.1f}; to the answer: p50 {found["answered_ms"]:.1f}', flush=True)
        for when in ('at once', 'then'):
            before = _cpu_seconds(running.pids[1])
            time.sleep(seconds)
            used = (_cpu_seconds(running.pids[1]) - before) / seconds
            print(f'{kind}: the worker, idle for {seconds} s, {when}: {used:.2%} of a core', flush=True)
