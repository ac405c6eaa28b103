"""Each path of the cookbook matches the event there, and not one without what it asks for."""

from __future__ import annotations

import copy
import doctest
import json
import re
from typing import Any

import pytest

from pacifica.dispatcher._operate.never import why_never
from pacifica.dispatcher._routing.cures import cured
from pacifica.dispatcher.event_handlers import NoopEventHandler
from pacifica.dispatcher.exceptions import ConfigurationError, RouteNotFoundRouterError
from pacifica.dispatcher.router import Route, Router
from support.documents import PROJECT, rst_blocks

PAGE = PROJECT / 'docs' / 'howto' / 'paths.rst'
EVENT: dict[str, Any] = json.loads(rst_blocks(PAGE, 'json')['event.json'])
PATHS = [path.strip() for path in rst_blocks(PAGE, 'text').values()]
OTHERWISE = re.findall(r'^   \* - ``(.+)``\n     - ``(.+)``$', PAGE.read_text('utf-8'), re.MULTILINE)
SUBMITTER, INSTRUMENT, PROJECT_ROW, SAMPLE, TEMPERATURE, SCAN, README, TRANSACTION = range(8)
# What makes the event another one, for each path: the number of a row, and what is in it then; or members of the event.
OTHER: list[tuple[int | None, dict[str, Any]]] = [
    (None, {'eventType': 'org.pacifica.metadata.orm'}),
    (PROJECT_ROW, {'value': '1235'}),
    (INSTRUMENT, {'value': '54'}),
    (INSTRUMENT, {'value': 55}),
    (SUBMITTER, {'value': 11}),
    (None, {'eventType': 'org.pacifica.metadata.orm'}),
    (SAMPLE, {'key': 'Sample'}),
    (SAMPLE, {'value': 'Quartz'}),
    (SAMPLE, {'value': 'none'}),
    (TEMPERATURE, {'value': 20}),
    (TEMPERATURE, {'key': 'pressure'}),
    (SCAN, {'name': 'scan-2.csv'}),
    (SCAN, {'name': 'scan-1.CSV'}),
    (SCAN, {'name': 'my-scan-1.csv'}),
    (SCAN, {'subdir': 'raw'}),
    (SCAN, {'subdir': 'done/raw/'}),
    (SCAN, {'mimetype': 'text/plain'}),
    (SCAN, {'size': 1000000}),
    (README, {'name': 'calibration.csv'}),
    (None, {'data': EVENT['data'][:7]}),
]


def routed(path: str) -> Router:
    """Return a router of one route."""
    router = Router()
    router.add_route(Route.parse(path, NoopEventHandler()).path, NoopEventHandler())
    return router


def test_there_are_twenty() -> None:
    assert len(PATHS) == len(set(PATHS)) == len(OTHER) == 20


@pytest.mark.parametrize('path, row, members', [(path, *other) for path, other in zip(PATHS, OTHER, strict=True)])
def test_each_path_matches_what_it_says(path: str, row: int | None, members: dict[str, Any]) -> None:
    router = routed(path)
    [route] = router
    assert router.match_first_or_raise(EVENT) is route
    assert why_never(route.path) == []
    other = copy.deepcopy(EVENT)
    (other if row is None else other['data'][row]).update(members)
    with pytest.raises(RouteNotFoundRouterError):
        router.match_first_or_raise(other)


@pytest.mark.parametrize('refused, instead', OTHERWISE)
def test_what_is_written_differently_elsewhere_is_refused_with_what_to_write(refused: str, instead: str) -> None:
    with pytest.raises(ConfigurationError):
        routed(refused)
    assert cured(refused)[1] == instead
    assert routed(instead)


def test_what_is_said_of_a_path_is_said() -> None:
    assert len(OTHERWISE) == 7
    [session] = rst_blocks(PAGE, 'pycon').values()
    test = doctest.DocTestParser().get_doctest(session, {}, 'paths', str(PAGE), 0)
    assert doctest.DocTestRunner().run(test).failed == 0
