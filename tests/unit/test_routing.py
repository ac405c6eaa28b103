"""A compiled path selects what jsonpath2 selects, fails where it fails, and asks it where it must."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import random
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from jsonpath2.node import MatchData
from jsonpath2.nodes.root import RootNode
from jsonpath2.nodes.subscript import SubscriptNode
from jsonpath2.nodes.terminal import TerminalNode
from jsonpath2.path import Path
from jsonpath2.subscripts.wildcard import WildcardSubscript

from pacifica.dispatcher._routing import AskedEvent
from pacifica.dispatcher._routing.compiling import compiled, select
from pacifica.dispatcher.event_handlers import NoopEventHandler
from pacifica.dispatcher.router import Route, RouteNotFoundRouterError, Router
from support.paths import Tape, event_from, path_from, smaller

# PACIFICA_TEST_ROUTING=500000 pytest tests/unit/test_routing.py --timeout 0; PACIFICA_TEST_ROUTING_SEED repeats a run.
PAIRS = int(os.environ.get('PACIFICA_TEST_ROUTING', '12000'))
PATHS, EVENTS = 5, 4  # the paths share what they find out about an event


@pytest.fixture
def index_of_few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have indexes made of as few rows as generated events have."""
    monkeypatch.setattr('pacifica.dispatcher._routing.compiling._MANY', 2)


def outcome(ask: Callable[[], Iterable[Any]]) -> str:
    """Return which values there are, and what is raised after them; 1, 1.0 and True are not the same here."""
    found: list[Any] = []
    try:
        found.extend(ask())
    except Exception as exc:
        return f'{found}, {type(exc).__name__}'
    return f'{found}'


def asked(path: Path, event: Any, shared: AskedEvent) -> tuple[str, str | None]:
    """Return what *path* selects by jsonpath2, and as it is compiled, or ``None`` if it is not."""
    expected = outcome(lambda: [found.current_value for found in path.match(event)])
    test = compiled(path)
    if test is None:
        return expected, None
    found = outcome(lambda: select(path.root_node)(shared, event))
    assert test(shared, event) is (found != '[]')
    return expected, found


def answers(tape: Tape) -> Iterator[tuple[str, str, str | None]]:
    """Yield path and event of each pair that *tape* makes, and the two answers."""
    paths = [path_from(tape) for _ in range(PATHS)]
    for _ in range(EVENTS):
        event = event_from(tape)
        shared = AskedEvent(event)
        yield from ((f'{path} in {event}', *asked(path, event, shared)) for path in paths)


def differ(tape: Tape) -> list[str]:
    """Return what differs of what *tape* makes."""
    return [f'{pair}: jsonpath2 finds {expected}, the compiled path {found}'
            for pair, expected, found in answers(tape) if found not in (None, expected)]


@pytest.mark.usefixtures('index_of_few_rows')
def test_a_compiled_path_selects_what_jsonpath2_selects() -> None:
    seed = int(os.environ.get('PACIFICA_TEST_ROUTING_SEED') or random.randrange(10**9))
    print(f'PACIFICA_TEST_ROUTING={PAIRS} PACIFICA_TEST_ROUTING_SEED={seed}')
    source = random.Random(seed)
    for _ in range(0, PAIRS, PATHS * EVENTS):
        tape = Tape(source=source)
        if differ(tape):
            pytest.fail('\n'.join(differ(Tape(smaller(tape.choices, lambda each: bool(differ(each)))))))


def routed(*paths: Any) -> Router:
    """Return a router of these paths."""
    router = Router()
    for path in paths:
        router.add_route(Path.parse_str(path) if isinstance(path, str) else path, NoopEventHandler())
    return router


def matching(router: Router, event: Any) -> list[int]:
    """Return the numbers of the routes that match."""
    return [list(router).index(route) for route in router.match(event)]


FILES = {'data': [{'destinationTable': 'Files', 'name': f'{number}.csv', 'size': number} for number in range(50)]}
HAS_FILE = '$["data"][*][?(@["destinationTable"] = "Files" and @["name"] = "%s")]'


def test_routes_are_found_by_what_their_rows_hold() -> None:
    router = routed(*(HAS_FILE % name for name in ('50.csv', '49.csv', '0.csv')), '$["data"][*][?(@["size"] = 51)]')
    assert matching(router, FILES) == [1, 2]
    with pytest.raises(RouteNotFoundRouterError):
        routed(HAS_FILE % '50.csv').match_first_or_raise(FILES)


@pytest.mark.parametrize('copied', [copy.copy, copy.deepcopy, lambda router: pickle.loads(pickle.dumps(router))])
def test_a_router_that_has_routed_can_be_copied(copied: Callable[[Router], Router]) -> None:
    router = routed(HAS_FILE % '50.csv', HAS_FILE % '49.csv')
    router.match_first_or_raise(FILES)
    assert matching(copied(router), FILES) == [1]


def test_a_path_that_is_replaced_is_asked_from_then_on() -> None:
    router = routed('$["data"]', '$["data"]')
    assert matching(router, FILES) == [0, 1]
    first, second = router
    first.path = Path.parse_str('$["other"]')
    second.path.root_node = Path.parse_str('$["other"]').root_node
    assert matching(router, FILES) == []
    router.add_route(Path.parse_str('$["data"]'), NoopEventHandler())
    assert matching(router, FILES) == [2]


class Never(Path):  # type: ignore[misc]  # jsonpath2 has no types
    """A path that matches nothing, whatever it was parsed to."""

    def match(self, root_value: object) -> Any:
        """Match nothing."""
        return iter(())


class Always(WildcardSubscript):  # type: ignore[misc]  # jsonpath2 has no types
    """A subscript that jsonpath2 does not have: it selects all that is asked."""

    def match(self, root_value: object, current_value: object) -> Any:
        """Match the value itself."""
        return [MatchData(TerminalNode(), root_value, current_value)]


class Stranger:
    """No path of jsonpath2's."""

    def match(self, root_value: object) -> Any:
        """Match everything."""
        return [root_value]


def test_what_is_not_jsonpath2s_own_is_asked_itself() -> None:
    always = Path(RootNode(SubscriptNode(TerminalNode(), [Always()])))
    assert compiled(always) is None
    assert matching(routed(Never.parse_str('$'), Stranger(), always, '$'), {}) == [1, 2, 3]


def test_a_route_of_a_class_of_ones_own_is_asked_itself() -> None:
    class Closed(Route):
        def match(self, event_data: Any) -> bool:
            return False

    router = routed('$')
    router._routes.insert(0, Closed(Path.parse_str('$'), NoopEventHandler()))
    assert matching(router, {}) == [1]


def test_a_route_fails_as_jsonpath2_does_and_those_before_it_are_asked() -> None:
    routes = routed('$["data"]', '$["data"][::0]', '$').match({'data': [1]})
    assert str(next(routes).path) == '$["data"]'
    with pytest.raises(ValueError, match='arg 3 must not be zero'):
        next(routes)


def test_a_handler_may_change_the_event_before_the_next_route_is_asked() -> None:
    event = copy.deepcopy(FILES)
    routes = routed(HAS_FILE % '1.csv', HAS_FILE % '2.csv', HAS_FILE % '3.csv').match(event)
    assert next(routes).path
    del event['data'][2]
    assert str(next(routes).path) == HAS_FILE % '3.csv'


def test_nothing_that_was_found_out_outlives_the_event() -> None:
    class Event(dict[str, Any]):
        """A dict that can be referred to weakly."""

    event = Event(FILES)
    router = routed(HAS_FILE % '50.csv', HAS_FILE % '49.csv')
    assert router.match_first_or_raise(event)
    gone = weakref.ref(event)
    del event
    gc.collect()
    assert gone() is None


def test_rows_that_exist_while_they_are_asked_are_not_taken_for_others() -> None:
    event = {'data': [{f'{row} {number}': number for number in range(20)} for row in range(200)]}
    assert matching(routed('$["data"][*][entries()][*][?(@[0] = "199 7" and @[1] = 7)]'), event) == [0]


@pytest.mark.parametrize('path, matches', [
    ('$["text"][charAt(true)]', True), ('$["text"][charAt(9)]', False), ('$["text"][charAt("1")]', False),
    ('$["text"][substring(true,1)]', True), ('$["text"][substring(1,null)]', False), ('$[length()]', False),
    ('$["list"][$["list"][0]]', True), ('$["list"][$["none"]]', False),
    ('$["list"][?(@[*] = true)]', True), ('$["list"][?(@[1] = null)]', True), ('$["list"][?(@[2] = null)]', False),
    ('$[?("a" < "b")]', False), ('$[?(not "a")]', False), ('$[?(not "")]', True), ('$[?({})]', False),
    ('$[?(@["list"][*] = @["ones"][*])]', True), ('$[?(@["ones"][*] = @["list"][*])]', False),  # only 0 is compared
    ('$[?(@["none"] = @["gone"])]', False), ('$[?(@["none"] != @["gone"])]', False), ('$..[-1]', True),
])
def test_the_oddities_of_jsonpath2_are_kept(path: str, matches: bool) -> None:
    event = {'text': 'word', 'list': [1, None], 'ones': [0, 1], 'none': None}
    [route] = routed(path)
    assert route.match(event) is matches
    assert matching(routed(path), event) == [0] * matches
