"""What an event says of where it comes from, and the key-values that say it of an upload."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonpath2.path import Path as JSONPath

from pacifica.dispatcher._lineage import MOST_STEPS, SOURCE_KEY, Lineage, step
from pacifica.dispatcher._transfers.uploads import with_provenance
from pacifica.dispatcher.event_handlers import NoopEventHandler
from pacifica.dispatcher.exceptions import ConfigurationError
from pacifica.dispatcher.models import TransactionKeyValue
from pacifica.dispatcher.router import Route, Router
from pacifica.dispatcher.task_context import TaskContext, task_context

JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | (
    st.dictionaries(st.sampled_from(['destinationTable', 'key', 'value', 'x']), inner)))


def row(key: Any, value: Any) -> dict[str, Any]:
    return {'destinationTable': 'TransactionKeyValue', 'key': key, 'value': value}


def event(*rows: Any, transaction: Any = 19) -> dict[str, Any]:
    return {'data': [*rows, {'destinationTable': 'Transactions._id', 'value': transaction}]}


def test_what_one_route_says_the_next_reads() -> None:
    first = Lineage.of(event()).key_values('a/raw')
    second = Lineage.of(event(*(row(*pair) for pair in first.items()), transaction=20))

    assert first == {SOURCE_KEY: 19, 'Pacifica.Dispatcher.lineage.1': 'a/raw'}
    assert (second.steps, second.source, second.transaction) == (('a/raw',), 19, 20)
    assert second.key_values('a/clean') == {
        SOURCE_KEY: 20, 'Pacifica.Dispatcher.lineage.1': 'a/raw', 'Pacifica.Dispatcher.lineage.2': 'a/clean'}


def test_steps_are_in_the_order_of_their_numbers() -> None:
    rows = [row(f'Pacifica.Dispatcher.lineage.{number}', f'a/{number}') for number in (10, 2, 1)]

    assert Lineage.of(event(*rows)).steps == ('a/1', 'a/2', 'a/10')


def test_an_own_result_is_a_loop_unless_that_is_allowed_and_short() -> None:
    lineage = Lineage(('my.app/raw', 'my.app/clean'), 19, 20)
    long = Lineage(tuple(f'a/{number}' for number in range(MOST_STEPS)), 19, 20)

    assert lineage.loop('my.app/raw', allowed=False) == 'made by my.app/clean from transaction 19'
    assert lineage.loop('my.app/raw', allowed=True) is None
    assert lineage.loop('my.app/plot', allowed=False) is None
    assert long.loop('my.app/raw', allowed=True) == 'made by a/15 from transaction 19, after 16 steps'


@given(JSON)
def test_whatever_is_no_lineage_is_passed_over(data: Any) -> None:
    lineage = Lineage.of({'data': data})

    assert lineage.loop('my.app/raw', allowed=False) is None or lineage.steps


@given(st.text(), st.text(min_size=1), st.text(), st.text(min_size=1))
def test_other_applications_and_routes_have_other_steps(a: str, route_a: str, b: str, route_b: str) -> None:
    assert (step(a, route_a) == step(b, route_b)) == ((a, route_a) == (b, route_b))


def test_a_long_name_is_a_step_that_metadata_keeps() -> None:
    steps = {step('a', 'x' * length) for length in range(200, 300)}

    assert len(steps) == 100 and max(map(len, steps)) == 255


def test_an_upload_says_where_it_comes_from_in_the_place_of_what_was_copied() -> None:
    copied = [TransactionKeyValue(key=SOURCE_KEY, value=18), TransactionKeyValue(key='mine', value='1'),
              TransactionKeyValue(key='Pacifica.Dispatcher.lineage.1', value='other/raw')]
    provenance = Lineage.of(event()).key_values('a/raw')

    with task_context(TaskContext(uuid4(), provenance=provenance)):
        once = with_provenance(copied)
        twice = with_provenance(once)

    assert [(pair.key, pair.value) for pair in once] == [*provenance.items(), ('mine', '1')]
    assert [(pair.key, pair.value) for pair in twice] == [*provenance.items(), ('mine', '1')]
    assert with_provenance(copied) == copied  # outside of a task
    assert with_provenance(None) == []


class Scripted:
    """No path of jsonpath2, and so without a text of its own."""


def test_routes_without_a_name_have_one_that_differs_and_stays() -> None:
    def names() -> list[str]:
        router = Router()
        for path in (JSONPath.parse_str('$'), JSONPath.parse_str('$'), Scripted()):
            router.add_route(path, NoopEventHandler())
        return [route.name for route in router]

    assert names() == names() == ['$ \u2192 NoopEventHandler', '$ \u2192 NoopEventHandler (2)',
                                  'Scripted \u2192 NoopEventHandler']


def test_a_name_given_twice_is_refused() -> None:
    router = Router()
    router.add_route(JSONPath.parse_str('$'), NoopEventHandler(), name='raw')

    with pytest.raises(ConfigurationError, match="there is a route 'raw' already"):
        router.add_route(JSONPath.parse_str('$.x'), NoopEventHandler(), name='raw')


@pytest.mark.parametrize('given', [{'name': ''}, {'name': 'x' * 256}, {'name': 'a\nb'}, {'loops': 'never'}])
def test_a_name_or_loops_that_cannot_be_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        Route(JSONPath.parse_str('$'), NoopEventHandler(), **given)


def test_a_route_class_of_0_2_that_sets_its_attributes_itself_has_a_name_too() -> None:
    class Own(Route):
        def __init__(self, path: Any, event_handler: Any) -> None:
            self.path, self.event_handler = path, event_handler

    route = Own(JSONPath.parse_str('$'), NoopEventHandler())

    assert (route.name, route.loops) == ('$ \u2192 NoopEventHandler', 'stop')
