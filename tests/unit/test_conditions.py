"""A condition in plain terms holds for the events people expect, and is a JSONPath to whoever asks."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonpath2.path import Path

from pacifica.dispatcher._conditions import logic
from pacifica.dispatcher._conditions.facts import Facts
from pacifica.dispatcher.conditions import Condition, event_type, files, instrument, key_value, project, submitter
from pacifica.dispatcher.event_handlers import NoopEventHandler
from pacifica.dispatcher.exceptions import ConfigurationError
from pacifica.dispatcher.router import Router
from support.events import ingest_event

INGEST = 'org.pacifica.metadata.ingest'
EVENT = ingest_event(data=[
    {'destinationTable': 'Transactions.submitter', 'value': 10},
    {'destinationTable': 'Transactions.instrument', 'value': '54'},
    {'destinationTable': 'Transactions.project', 'value': '1234a'},
    {'destinationTable': 'TransactionKeyValue', 'key': 'do_processing', 'value': 'True'},
    {'destinationTable': 'TransactionKeyValue', 'key': 'runs', 'value': 3},
    {'destinationTable': 'Files', 'name': 'a.csv', 'subdir': 'raw/day'},
    {'destinationTable': 'Files', 'name': 'b.tif', 'subdir': None},
])


def holds(condition: Path, event: Any = EVENT) -> bool:
    return any(True for _ in condition.match(event))


@pytest.mark.parametrize('condition', [
    event_type(INGEST), event_type('other', INGEST), project('1234a'), submitter('10'), submitter(10), submitter(10.0),
    instrument(54), instrument('54'), instrument(34, 54), key_value('do_processing'),
    key_value('do_processing', 'True'), key_value('runs', '3'), key_value('runs', 3), files('*.csv'), files('raw/**'),
    files('*.png', '*.tif'), ~project('x'), instrument(54) & files('*.csv'), instrument(34) | files('*.csv'),
    instrument(54) & Path.parse_str('$["eventID"]'), Path.parse_str('$["eventID"]') & instrument(54),
    Path.parse_str('$["nothing"]') | instrument(54),
], ids=repr)
def test_holds(condition: Condition) -> None:
    assert holds(condition)
    assert not holds(~condition)


@pytest.mark.parametrize('condition', [
    event_type('ingest'), project(1234), submitter(1), instrument(5), instrument('054'), key_value('do_processing', 1),
    key_value('True'), files('*.CSV'), files('raw/*.csv'), files('/a.csv'), instrument(54) & project('x'),
], ids=repr)
def test_does_not_hold(condition: Condition) -> None:
    assert not holds(condition)
    assert holds(~condition)


@pytest.mark.parametrize('event', [
    {'cloudEventsVersion': '0.1', 'eventType': INGEST}, {'specversion': '0.3', 'type': INGEST},
    {'specversion': '1.0', 'type': INGEST},
])
def test_a_type_is_found_in_every_version_of_the_specification(event: dict[str, Any]) -> None:
    assert holds(event_type(INGEST), event)


def test_a_match_is_the_event_as_of_any_path() -> None:
    [match] = instrument(54).match(EVENT)
    assert match.current_value is match.root_value is EVENT
    assert match.node.tojsonpath() == '$'


def test_routes_go_through_the_data_of_an_event_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    monkeypatch.setattr(logic, 'Facts', lambda event: made.append(event) or Facts(event))
    router = Router()
    for number in range(10):
        router.add_route(instrument(number), NoopEventHandler(), name=f'{number}')
    router.add_route(instrument(54), NoopEventHandler(), name='last')
    assert router.match_first_or_raise(EVENT).name == 'last'
    assert made == [EVENT]


# Any event, any condition

_VALUES = st.sampled_from(['54', 54, 54.0, 5, '5', 0.5, '0.5', '1e3', 1000, '', 'ä', 'a"b', 'a\\b', 'ingest', '-0'])
_JSON = st.recursive(
    _VALUES | st.none() | st.booleans() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(['data', 'value', 'key', 'destinationTable', 'name', 'subdir']), inner, max_size=4),
    max_leaves=6)
_TABLES = st.sampled_from([
    'Transactions.project', 'Transactions.instrument', 'Transactions.submitter', 'TransactionKeyValue', 'Files'])
_ROWS = st.fixed_dictionaries(
    {'destinationTable': _TABLES}, optional={name: _VALUES | _JSON for name in ('value', 'key', 'name', 'subdir')})
_EVENTS = _JSON | st.fixed_dictionaries(
    {}, optional={'eventType': _VALUES | _JSON, 'type': _VALUES, 'data': st.lists(_ROWS | _JSON, max_size=5) | _JSON})
_SINGLE = st.one_of(
    st.builds(event_type, _VALUES.filter(lambda value: isinstance(value, str))),
    st.builds(project, _VALUES, _VALUES), st.builds(instrument, _VALUES), st.builds(submitter, _VALUES),
    st.builds(key_value, st.sampled_from(['54', 'ä', 'a"b'])), st.builds(key_value, st.just('54'), _VALUES),
    st.just(Path.parse_str('$["data"][*]["key"]') | instrument(5)))
_CONDITIONS = st.recursive(
    _SINGLE | st.just(files('*.csv', '54')),
    lambda inner: st.builds(lambda a, b: a & b, inner, inner) | st.builds(lambda a, b: a | b, inner, inner)
    | inner.map(lambda a: ~a), max_leaves=5)


@given(_CONDITIONS, _EVENTS)
def test_no_event_makes_a_condition_raise(condition: Condition, event: Any) -> None:
    assert holds(condition, event) is not holds(~condition, event)
    assert condition.explain(event, lambda path, event: ['as other paths are explained'])


@given(_CONDITIONS, _EVENTS)
def test_the_text_is_a_jsonpath_with_the_same_answer_where_there_is_one(condition: Condition, event: Any) -> None:
    text = str(condition)
    if text.startswith('$'):
        assert holds(Path.parse_str(text), event) is holds(condition, event), text
    else:
        assert any(each in text for each in ('files(', '"', '\\'))
    assert any(True for _ in condition.root_node.match(event, event)) is holds(condition, event)


@given(_CONDITIONS)
def test_conditions_that_are_alike_are_equal_also_in_another_process(condition: Condition) -> None:
    copy = pickle.loads(pickle.dumps(condition))
    assert copy == condition and hash(copy) == hash(condition) and repr(copy) == repr(condition)
    assert condition != (condition & project('another'))


@pytest.mark.parametrize('make, words', [
    (lambda: event_type(), 'needs at least one'), (lambda: instrument(), 'needs at least one'),
    (lambda: files(), 'needs a pattern'), (lambda: event_type(1), 'is a text, not 1'),
    (lambda: instrument(True), 'a text or a number, not True'), (lambda: project(None), 'not None'),
    (lambda: project(float('nan')), 'not nan'), (lambda: key_value(1, 'a'), 'is a text, not 1'),
    (lambda: key_value('a', ['b']), 'not \\[\'b\'\\]'),
])
def test_a_condition_that_cannot_hold_is_refused(make: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        make()


def test_nothing_but_paths_can_be_combined() -> None:
    with pytest.raises(TypeError):
        instrument(54) & 'project'  # type: ignore[operator]  # what users may try


@pytest.mark.parametrize('condition, lines', [
    (instrument(34), ['instrument is "54", not 34']),
    (instrument(34, 35) | project('b'), ['instrument is "54", not 34 or 35', 'project is "1234a", not "b"']),
    (instrument(34) & project('1234a'), ['instrument is "54", not 34']),
    (instrument(54) & project('1234a'), ['instrument is "54"', 'project is "1234a"']),
    (~instrument(54), ['instrument is "54"']),
    (key_value('do_processing', 'False'), ['do_processing is "True", not "False"']),
    (key_value('x'), ['the event has no key-value "x"; its keys are do_processing, runs']),
    (files('*.csv'), ['1 of 2 files match *.csv, first raw/day/a.csv']),
    (files('*.png', 'x/**'), ['no file matches *.png or x/**; there are raw/day/a.csv, b.tif']),
], ids=repr)
def test_an_explanation_names_what_decides(condition: Condition, lines: list[str]) -> None:
    assert condition.explain(EVENT, lambda path, event: []) == lines


def test_an_event_without_data_is_explained_too() -> None:
    condition = instrument(54) | files('*') | key_value('a') | event_type('b')
    assert condition.explain({}, lambda path, event: []) == [
        'the event has no instrument', 'the event has no files', 'the event has no key-value "a"',
        'the event has no type']
