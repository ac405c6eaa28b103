"""What limits cost: ``python tests/benchmarks/bench_limits.py [-k WORDS]``.

A claim, and its event's end, of a table in which 100,000 events wait, with and without a limit that all are under; and
events of 50 projects, of each of which one may run at once, drained by a worker of eight threads. Everything in this
process. ``PACIFICA_BENCH_EVENTS``, ``PACIFICA_BENCH_WAITING`` and ``PACIFICA_BENCH_ROUNDS`` set other numbers.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonpath2.path import Path as JSONPath

if __name__ == '__main__':
    raise SystemExit(pytest.main([__file__, '--bench', '-s', '-q', *sys.argv[1:]]))

from benchmarks.table import Row, compare, interleave

from pacifica.dispatcher._engine.places import RouterPlaces
from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher._queue.values import Outcome, QueueName
from pacifica.dispatcher.router import Router
from support.databases import KINDS, model_in, temporary_database
from support.events import Calling, ingest_event, received

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]

EVENTS = int(os.environ.get('PACIFICA_BENCH_EVENTS', '5000'))
WAITING = int(os.environ.get('PACIFICA_BENCH_WAITING', '100000'))
ROUNDS = int(os.environ.get('PACIFICA_BENCH_ROUNDS', '3'))
PROJECTS = 50
CLAIMS = 300
LIMITS: dict[str, dict[str, Any]] = {'no limit': {}, 'limited': {'concurrency': 1, 'concurrency_key': 'project'}}


def router_of(**limits: Any) -> Router:
    """Return a router of one route, whose handler does nothing."""
    router = Router()
    router.add_route(JSONPath.parse_str('$[?(@["eventType"])]'), Calling(lambda event: None), name='all', **limits)
    return router


def event_of(number: int) -> dict[str, Any]:
    """Return an event of one of the projects."""
    return ingest_event(data=[{'destinationTable': 'Transactions.project', 'value': f'p{number % PROJECTS}'}])


@pytest.mark.parametrize('kind', KINDS)
def test_draining(kind: str, rows: list[Row], tmp_path: Path) -> None:
    """Drain all by eight threads."""
    def start(limits: dict[str, Any]) -> Callable[[], Any]:
        return lambda: _Draining(kind, tmp_path, limits)

    found = interleave(ROUNDS, {name: start(limits) for name, limits in LIMITS.items()})
    what = f'{EVENTS:,} events of {PROJECTS} projects, one of each at once / no limit, {kind}'
    rows.append(compare(what, '/s', found['limited'], found['no limit'], 0.7))


@pytest.mark.parametrize('kind', KINDS)
def test_claiming(kind: str, rows: list[Row], tmp_path: Path) -> None:
    """Claim and end events one after the other."""
    def start(limits: dict[str, Any]) -> Callable[[], Any]:
        return lambda: _Claiming(kind, tmp_path, limits)

    found = interleave(ROUNDS, {name: start(limits) for name, limits in LIMITS.items()})
    what = f'claim and end, {WAITING:,} waiting, limited / no limit, {kind}'
    rows.append(compare(what, 'ms', found['limited'], found['no limit'], 1.2, at_most=True))


class _Table:
    """A table of its own, for the time of a measurement."""

    def __init__(self, kind: str, directory: Path, limits: dict[str, Any]) -> None:
        self._database = temporary_database(kind, Path(tempfile.mkdtemp(dir=directory)))
        self.router = router_of(**limits)

    def __enter__(self) -> Callable[[], dict[str, float]]:
        self._model_in = model_in(self._database.__enter__())
        self.model = self._model_in.__enter__()
        self.queue = self.model.create_queue(self.router, 'my.app', 'my.tasks.receive')
        self.fill()
        return self.measure

    def __exit__(self, *exc: Any) -> None:
        self._model_in.__exit__(*exc)
        self._database.__exit__(*exc)

    def accept(self, count: int) -> None:
        for first in range(0, count, 500):
            self.queue.accept([received(**event_of(number)) for number in range(first, first + 500)])

    def fill(self) -> None: ...

    def measure(self) -> dict[str, float]:
        raise NotImplementedError


class _Draining(_Table):
    def measure(self) -> dict[str, float]:
        self.accept(EVENTS)
        worker = self.queue.create_worker(concurrency=8)
        began = time.perf_counter()
        worker.start()
        while self.model.select().where(self.model.finalized.is_null()).exists():
            time.sleep(0.05)
        seconds = time.perf_counter() - began
        worker.stop()
        return {'/s': EVENTS / seconds}


class _Claiming(_Table):
    def fill(self) -> None:
        self.accept(WAITING)
        self.store = Store(
            self.model._writer, QueueName('my.app', 'my.tasks.receive'), places=RouterPlaces(self.router))

    def measure(self) -> dict[str, float]:
        claimed = self.store.claim('me', 600.0)
        began = time.perf_counter()
        for _ in range(CLAIMS):
            assert claimed is not None
            _, claimed = self.store.finish_and_claim(claimed, Outcome.succeeded('all'), 'me', 600.0)
        seconds = time.perf_counter() - began
        assert claimed is not None
        self.store.finish(claimed, Outcome.succeeded('all'))
        return {'ms': 1000 * seconds / CLAIMS}
