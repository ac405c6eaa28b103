"""An explanation names what decides: the step of a path that selects nothing, the parts of a filter, the values."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonpath2.expression import Expression
from jsonpath2.path import Path
from jsonpath2.subscripts.filter import FilterSubscript

from pacifica.dispatcher._operate.explain import explain

EVENT: dict[str, Any] = {
    'eventType': 'ingest',
    'data': [
        {'destinationTable': 'Files', 'size': 70, 'name': 'a'},
        {'destinationTable': 'Files', 'size': 55, 'name': 'b'},
        {'destinationTable': 'Transactions._id', 'value': 19},
    ],
    'nothing': None,
}


def explained(path: str, event: Any = None) -> list[str]:
    return explain(Path.parse_str(path), EVENT if event is None else event)


@pytest.mark.parametrize('path, lines', [
    ('$[?(@["eventType"] = "x")]', [
        'the event doesn\'t satisfy ?(@["eventType"] = "x")',
        '@["eventType"] = "x" is false: @["eventType"] is "ingest"']),
    ('$[?(@["type"] = "x")]', [
        'the event doesn\'t satisfy ?(@["type"] = "x")',
        '@["type"] = "x" is false: the event has no member "type": it has "eventType", "data", "nothing"']),
    ('$["data"][*][?(@["size"] > 60 and @["name"] = "b")]', [
        'none of the 3 values at $["data"][*] satisfies ?(@["size"] > 60 and @["name"] = "b")',
        '@["name"] = "b" is false for 2 of them: @["name"] is "a", and selects nothing for 1 of these',
        '@["size"] > 60 is false for 2 of them: @["size"] is 55, and selects nothing for 1 of these']),
    ('$["data"][?(@["size"])]', [
        '$["data"] doesn\'t satisfy ?(@["size"]): it is an array, itself asked, not its 3 elements: those are '
        '$["data"][*]',
        '@["size"] is false: @ has no member "size": it is an array of 3 elements']),
    ('$[?(not (@["eventType"] = "ingest" or @["data"]))]', [
        'the event doesn\'t satisfy ?(not (@["eventType"] = "ingest" or @["data"]))',
        '@["eventType"] = "ingest" is true: @["eventType"] is "ingest"',
        '@["data"] is true: @["data"] is an array of 3 elements']),
    ('$[?(@["eventType"] > 3)]', [
        'the event doesn\'t satisfy ?(@["eventType"] > 3)',
        '@["eventType"] > 3 is false: @["eventType"] is "ingest"; > compares numbers only']),
    ('$[?(@["data"][*]["size"] = $["eventType"])]', [
        'the event doesn\'t satisfy ?(@["data"][*]["size"] = $["eventType"])',
        '@["data"][*]["size"] = $["eventType"] is false: @["data"][*]["size"] is 70 or 55; $["eventType"] is "ingest"',
    ]),
    ('$["data"][7]["size"]', ['$["data"] has no element 7: it is an array of 3 elements']),
    ('$["data"][*]["hash"]', [
        'none of the 3 values at $["data"][*] has a member "hash": they have "destinationTable", "size", "name", '
        '"value"']),
    ('$["a","b"]', [
        'the event has no member "a": it has "eventType", "data", "nothing"',
        'the event has no member "b": it has "eventType", "data", "nothing"']),
    ('$[*]["a"][?(@)]', [
        'none of the 3 values at $[*] has a member "a": they are strings or arrays or null']),
    ('$..["size"][?(@ > 70)]', [
        'none of the 2 values at $..["size"] satisfies ?(@ > 70)', '@ > 70 is false for all of them: @ is 70 or 55']),
    ('$["data"][length()][length()]', ['[length()] selects nothing in $["data"][length()]: it is 3']),
    ('$["data"][3:]', ['[3:] selects nothing in $["data"]: it is an array of 3 elements']),
    ('$[?("a" = "b")]', ['the event doesn\'t satisfy ?("a" = "b")', '"a" = "b" is false: it compares constants']),
    ('$[?(false)]', ['the event doesn\'t satisfy ?(false)', 'false is false: it is a constant']),
])
def test_why_a_path_does_not_match(path: str, lines: list[str]) -> None:
    found = explained(path)
    assert found[:1] == lines[:1]
    assert sorted(found) == sorted(lines)


@pytest.mark.parametrize('path, lines', [
    ('$', ['selects $, which is an object of 3 members']),
    ('$["data"][*]["size"]', ['selects 2 values, first $["data"][0]["size"], which is 70']),
    ('$["data"][*][?(@["size"] > 60)]["name"]', [
        'selects $["data"][0]["name"], which is "a"',
        '1 of the 3 values at $["data"][*] satisfy ?(@["size"] > 60)',
        '@["size"] > 60 is true: @["size"] is 70']),
    ('$[?(@["nothing"])]', [
        'selects $, which is an object of 3 members', '@["nothing"] is true: @["nothing"] is null']),
])
def test_why_a_path_matches(path: str, lines: list[str]) -> None:
    assert explained(path) == lines


LEAVES = [f'@["{name}"] = 1' for name in 'abcd']
EXPRESSIONS = st.recursive(st.sampled_from(LEAVES), lambda inner: st.one_of(
    inner.map(lambda each: f'not ({each})'),
    st.lists(inner, min_size=2, max_size=3).map(lambda parts: f'({" and ".join(parts)})'),
    st.lists(inner, min_size=2, max_size=3).map(lambda parts: f'({" or ".join(parts)})'),
), max_leaves=8)


@given(EXPRESSIONS, st.fixed_dictionaries({name: st.integers(0, 1) for name in 'abcd'}))
def test_the_parts_that_are_named_decide_whatever_the_others_are(expression: str, event: dict[str, int]) -> None:
    path = Path.parse_str(f'$[?({expression})]')
    verdict = any(True for _ in path.match(event))
    named = {}
    for line in explain(path, event)[1:]:
        match = re.match(r'@\["(.)"\] = 1 is (true|false): @\["(.)"\] is ([01])$', line)
        assert match is not None and match[1] == match[3], line
        assert (match[2] == 'true') is (event[match[1]] == 1) is (match[4] == '1')
        named[match[1]] = event[match[1]]
    others = sorted(event.keys() - named)
    for values in itertools.product((0, 1), repeat=len(others)):
        changed = {**named, **dict(zip(others, values, strict=True))}
        assert any(True for _ in path.match(changed)) is verdict


def test_an_expression_of_a_kind_that_is_not_known_is_said_to_evaluate_to_nothing() -> None:
    class Never(Expression):  # type: ignore[misc]  # jsonpath2 has no types
        def evaluate(self, root_value: object, current_value: object) -> bool:
            return False

        def __jsonpath__(self) -> Iterator[str]:
            yield 'never()'

    path = Path.parse_str('$[?(@["a"])]')
    [subscript] = path.root_node.next_node.subscripts
    assert isinstance(subscript, FilterSubscript)
    subscript.expression = Never()
    assert explain(path, {})[1:] == ['never() is false: it evaluates to nothing']


def test_a_path_of_another_library_is_not_taken_apart() -> None:
    assert explain('$.x', {}) == ['it is no jsonpath2.path.Path, so there is no more to say']


def test_many_values_are_not_all_shown() -> None:
    event = {'data': [{'n': number} for number in range(1000)]}
    assert explained('$["data"][*][?(@["n"] < 0)]', event)[1:] == [
        '@["n"] < 0 is false for all of them: @["n"] is 0 or 1 or 2 or 997 others']
