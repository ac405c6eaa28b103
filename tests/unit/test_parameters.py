"""Parameters of handlers: which there may be, how they are written, and what handlers and programs get."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonpath2.path import Path as JSONPath

from pacifica.dispatcher._parameters import parse, require_declared, setting
from pacifica.dispatcher.event_handlers import CommandEventHandler, NoopEventHandler, StagedEventHandler
from pacifica.dispatcher.exceptions import CommandError, ConfigurationError
from pacifica.dispatcher.router import Route
from pacifica.dispatcher.staging import StagedEvent
from support.events import Calling, ingest_event

EVERYTHING = JSONPath.parse_str('$')


@pytest.mark.parametrize(('setting', 'value'), [
    ('a=5', 5), ('a=5.5', 5.5), ('a=true', True), ('a=null', None), ('a=[1, "b"]', [1, 'b']), ('a={"b": 1}', {'b': 1}),
    ('a=text', 'text'), ('a="5"', '5'), ('a=', ''), ('a=b=c', 'b=c'), ('a=NaN', 'NaN'), ('a=True', 'True'),
])
def test_a_value_that_is_json_stands_for_that_and_any_other_for_itself(setting: str, value: Any) -> None:
    assert parse([setting]) == {'a': value}


@pytest.mark.parametrize(('value', 'line'), [
    (5, 'a=5'), (True, 'a=true'), (None, 'a=null'), ([1, 'b'], 'a=[1, "b"]'), ('text', 'a=text'), ('5', 'a="5"'),
    ('', 'a='), ('b=c', 'a=b=c'), ('two\nlines', 'a="two\\nlines"'), (' x', 'a=" x"'), ('\u2028', 'a="\\u2028"'),
])
def test_a_parameter_is_written_in_one_line_as_it_is_read(value: Any, line: str) -> None:
    assert setting('a', value) == line and parse([line]) == {'a': value}


def test_of_two_values_for_one_name_the_last_counts() -> None:
    assert parse(['a=1', 'b=2', 'a=3']) == {'a': 3, 'b': 2}


@pytest.mark.parametrize('setting', ['threshold', '=5', ' =5', '{a}=5', 'a\n=5', f'a={"x" * 10_000}'])
def test_what_is_no_setting_is_refused(setting: str) -> None:
    with pytest.raises(ConfigurationError):
        parse([setting])


@pytest.mark.parametrize('parameters', [{'a': {1}}, {'a': float('nan')}, {5: 1}, {'': 1}, {'a=b': 1}])
def test_a_route_has_no_parameters_that_json_has_not(parameters: Any) -> None:
    with pytest.raises(ConfigurationError):
        Route(EVERYTHING, NoopEventHandler(), parameters=parameters)


def test_a_name_that_is_not_declared_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ConfigurationError, match="no parameter 'treshold'; 'threshold' is meant"):
        require_declared(['treshold'], ['threshold', 'width'])
    with pytest.raises(ConfigurationError, match="it has 'threshold', 'width'"):
        require_declared(['x'], ['threshold', 'width'])


def test_a_route_that_declares_none_takes_any() -> None:
    require_declared(['x'], [])


def test_a_staged_handler_reads_the_defaults_of_its_route_and_cant_change_them_for_others() -> None:
    seen: list[Any] = []

    def handle(event: StagedEvent) -> None:
        seen.append(event.parameters['list'][:])
        event.parameters['list'].append('more')

    route = Route(EVERYTHING, StagedEventHandler(None, Calling(handle), None), parameters={'list': (1, 2)})

    route(ingest_event())
    route(ingest_event())

    assert seen == [[1, 2], [1, 2]]


def test_an_event_goes_to_another_process_with_its_parameters() -> None:
    events: list[Any] = []

    Route(EVERYTHING, Calling(events.append), parameters={'a': 1})(ingest_event())

    assert pickle.loads(pickle.dumps(events[0])).event_id == events[0].event_id


def test_a_staged_event_for_a_test_has_the_parameters_that_it_is_given(tmp_path: Path) -> None:
    assert StagedEvent.for_test(tmp_path, parameters={'threshold': 5}).parameters == {'threshold': 5}


def test_a_program_gets_parameters_as_arguments_and_in_its_environment(tmp_path: Path) -> None:
    event = StagedEvent.for_test(tmp_path, parameters={'threshold': 5, 'word-list': ['a'], 'text': 'as it is'})
    show = ('import json, os, sys; json.dump([sys.argv[1:], {name: value for name, value in os.environ.items()'
            ' if name.startswith("PACIFICA_PARAMETER_")}], open("output/seen", "w"))')

    CommandEventHandler([
        sys.executable, '-c', show, '--threshold={parameter:threshold}', '{parameter:word-list}', '{parameter:text}',
    ]).handle(event)

    assert json.loads((event.output_directory / 'seen').read_text()) == [
        ['--threshold=5', '["a"]', 'as it is'],
        {'PACIFICA_PARAMETER_THRESHOLD': '5', 'PACIFICA_PARAMETER_WORD_LIST': '["a"]',
         'PACIFICA_PARAMETER_TEXT': 'as it is'}]


def test_a_program_that_wants_a_parameter_which_is_not_there_is_not_started(tmp_path: Path) -> None:
    event = StagedEvent.for_test(tmp_path)

    with pytest.raises(CommandError, match='the route has no parameter:threshold, which an argument of true wants'):
        CommandEventHandler(['true', '{parameter:threshold}']).handle(event)
