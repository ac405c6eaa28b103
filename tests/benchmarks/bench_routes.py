"""How long it takes to find an event's route: ``python tests/benchmarks/bench_routes.py``.

100 routes that each ask for a key and its value, of an event of 10,000 files; and 3 of an event of 20. Beside the
router is jsonpath2, of which each route is asked by itself, in the same run.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

if __name__ == '__main__':
    raise SystemExit(pytest.main([__file__, '--bench', '-s', '-q', *sys.argv[1:]]))

from benchmarks.bench_models import make_event

from pacifica.dispatcher.event_handlers import NoopEventHandler
from pacifica.dispatcher.router import Route, Router

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]

PATH = (
    '$[?(@["eventType"] = "org.pacifica.metadata.ingest" and $["data"][*][?(@["destinationTable"] = '
    '"TransactionKeyValue" and @["key"] = "Micronic Adjustment" and @["value"] = "%s")])]'
)


def routed(count: int) -> Router:
    """Return a router whose last route is the one of ``last``."""
    router = Router()
    for number in range(count - 1):
        router.add_route(Route.parse(PATH % number, NoopEventHandler()).path, NoopEventHandler())
    router.add_route(Route.parse(PATH % 'last', NoopEventHandler()).path, NoopEventHandler())
    return router


def event_of(files: int, value: str) -> dict[str, Any]:
    """Return an ingest of so many files, with that value of the key."""
    model = make_event(files)
    return {'eventType': model.event_type, 'data': [
        {**row, 'value': value} if row.get('key') else row for row in model.data]}


def best(runs: int, ask: Callable[[], object]) -> float:
    """Return the milliseconds that *ask* took when it took the least."""
    spent = []
    for _ in range(runs):
        began = time.perf_counter()
        ask()
        spent.append(time.perf_counter() - began)
    return min(spent) * 1000


@pytest.mark.parametrize('routes, files, value, runs', [
    (100, 10_000, 'none', (9, 1)), (100, 10_000, 'last', (9, 1)), (3, 20, 'none', (500, 200)),
    (3, 20, 'last', (500, 200)),
])
def test_routing(routes: int, files: int, value: str, runs: tuple[int, int]) -> None:
    router, event = routed(routes), event_of(files, value)
    began = time.perf_counter()
    found = next(router.match(event), None)
    first = (time.perf_counter() - began) * 1000
    assert (found is not None) is (value == 'last')
    ours = best(runs[0], lambda: next(router.match(event), None))
    theirs = best(runs[1], lambda: next((route for route in router if route.match(event)), None))
    print(f'{routes} routes, {files:,} files, {"none" if value == "none" else "the last"} matches: {ours:.3f} ms '
          f'({first:.1f} ms the first time), jsonpath2 {theirs:,.2f} ms, ratio {ours / theirs:.5f}')
