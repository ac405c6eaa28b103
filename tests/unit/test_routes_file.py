"""A routes file says in TOML what a program says with ``add_route``; what is wrong in it is named with its line."""

from __future__ import annotations

import json
import logging
import os
import pickle
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pacifica.dispatcher._routes import following
from pacifica.dispatcher._routes.lines import lines_of, parse
from pacifica.dispatcher._routes.values import schema
from pacifica.dispatcher.conditions import event_type, files, instrument, key_value, project, submitter
from pacifica.dispatcher.event_handlers import CommandEventHandler, StagedEventHandler
from pacifica.dispatcher.exceptions import ConfigurationError
from pacifica.dispatcher.router import Route, Router
from support.routes_files import BAD, GOOD, Bad, event, lay_out


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with what a routes file needs, that is not the working directory."""
    monkeypatch.setattr(sys, 'path', sys.path[:])
    lay_out(tmp_path)
    yield tmp_path
    for name in ('handlers_of_routes', 'broken_handlers'):
        sys.modules.pop(name, None)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a change of a file be looked at and taken at once."""
    for name in ('_LOOK_SECONDS', '_SETTLED_SECONDS', '_AGAIN_SECONDS'):
        monkeypatch.setattr(following, name, 0.0)


def load(directory: Path, text: str) -> Router:
    (directory / 'routes.toml').write_text(text)
    return Router.from_file(directory / 'routes.toml')


def route_of(directory: Path, text: str, runs: str = 'command = ["scripts/run"]') -> Route:
    [route] = load(directory, f'[[route]]\nname = "a"\n{runs}\n{text}\n')
    return route


# What a file can say

@pytest.mark.parametrize('text, condition', [
    ('when = { type = "a" }', event_type('a')),
    ('when = { type = ["a", "b"], project = "1234a" }', event_type('a', 'b') & project('1234a')),
    ('when = { instrument = [54, "x"], submitter = { not = 10 } }', instrument(54, 'x') & ~submitter(10)),
    ('when.files = "*.csv"', files('*.csv')),
    ('when.files = { not = ["*.csv", "raw/**"] }', ~files('*.csv', 'raw/**')),
    ('when = { key_values = { a = "b", c = ["d", 5] } }', key_value('a', 'b') & key_value('c', 'd', 5)),
    ('[route.when.key_values]\n"a b" = { not = "c" }', ~key_value('a b', 'c')),
    ('when.key_values = ["a", "b"]', key_value('a') & key_value('b')),
    ('when.not = { type = "a", instrument = 1 }', ~(event_type('a') & instrument(1))),
    ('when.any = [{ type = "a" }, { instrument = 1, project = "b" }]',
     event_type('a') | (project('b') & instrument(1))),
], ids=repr)
def test_when_is_a_condition(directory: Path, text: str, condition: Any) -> None:
    assert route_of(directory, text).path == condition


def test_without_when_every_event_is_taken(directory: Path) -> None:
    assert str(route_of(directory, '').path) == str(route_of(directory, 'when = {}').path) == '$'


def test_when_and_jsonpath_must_both_hold(directory: Path) -> None:
    route = route_of(directory, """when.instrument = 54\njsonpath = '$["x"]'""")
    assert not route.match(event()) and not route.match({'x': 1}) and route.match({**event(), 'x': 1})


def test_a_command_is_staged_for_and_limited(directory: Path) -> None:
    route = route_of(directory, '''
        concurrency = 2
        concurrency_key = "project"
        priority = 5
        parameters = { threshold = 1.5, modes = ["fast"] }
        stage_in = "*.csv"
        timeout = "10m"
        memory = "3GB"
        nice = 5
        environment = { A = "b" }
        keep_failed = "kept"
        download_timeout = 90
        upload = { key_values = { done = "yes" } }
    ''')
    assert (route.concurrency, route.concurrency_key, route.priority) == (2, 'project', 5)
    assert route.parameters == {'threshold': 1.5, 'modes': ['fast']}
    handler = route.event_handler
    assert isinstance(handler, StagedEventHandler) and isinstance(handler.event_handler, CommandEventHandler)
    assert (handler.stage_in, handler.key_values) == (['*.csv'], {'done': 'yes'})
    assert (handler.keep_failed, handler.download_timeout) == (directory / 'kept', 90.0)
    command = handler.event_handler
    assert (command.timeout, command.memory, command.nice) == (600.0, 3_000_000_000, 5)
    assert (command.environment, command.directory) == ({'A': 'b'}, directory)


@pytest.mark.parametrize('runs, suffix', [
    ('handler = "handlers_of_routes:Upper"', ''),
    ('handler = "handlers_of_routes:Upper"\noptions = { suffix = ".x" }', '.x'),
    ('handler = "handlers_of_routes:upper"', '.made'),
    ('handler = "handlers_of_routes:make"', '.factory'),
])
def test_a_handler_is_a_class_an_object_or_what_a_function_makes(directory: Path, runs: str, suffix: str) -> None:
    route = route_of(directory, 'timeout = "1h"\nmemory = "2GiB"\nloops = "allow"', runs)
    assert isinstance(route.event_handler, StagedEventHandler)
    assert route.event_handler.event_handler.suffix == suffix  # type: ignore[attr-defined]  # what is staged in
    assert (route.timeout, route.memory_limit, route.loops) == (3600.0, 2 << 30, 'allow')


def test_a_handler_that_stages_itself_stays_as_it_is(directory: Path) -> None:
    route = route_of(directory, '', 'handler = "handlers_of_routes:staged"')
    assert route.event_handler is sys.modules['handlers_of_routes'].staged


def test_a_side_can_be_left_out(directory: Path) -> None:
    handler = route_of(directory, 'download = false\nupload = false').event_handler
    assert isinstance(handler, StagedEventHandler)
    assert handler.downloader_runner is None and handler.uploader_runner is None


def test_the_archive_is_remote_unless_it_is_a_directory(directory: Path) -> None:
    archive = '[archive]\ncartd = "http://cart:1/"\ningest = "http://ingest:2"\n'
    [route] = load(directory, f'{archive}[[route]]\nname = "a"\ncommand = ["scripts/run"]\n')
    handler = pickle.loads(pickle.dumps(route.event_handler))
    assert handler.downloader_runner._runner.downloader.cart_api.cart_api_url == 'http://cart:1'
    assert handler.downloader_runner.input_directory('a') == Path('a/data')
    assert handler.uploader_runner._runner.uploader._upload_url == 'http://ingest:2/upload'
    assert handler.uploader_runner._runner.uploader._status_url == 'http://ingest:2/get_state'


def test_an_argument_that_would_be_looked_for_elsewhere_is_doubtful(directory: Path) -> None:
    router = load(directory, '[[route]]\nname = "a"\ncommand = ["scripts/run",\n  "scripts/notes.txt", "output"]\n')
    assert router.warnings == [
        'routes.toml, line 4: the argument \'scripts/notes.txt\' lies beside this file, but is looked for in the '
        'directory of each event: write "{directory}/scripts/notes.txt"']


# What is wrong

@pytest.mark.parametrize('bad', BAD.values(), ids=BAD.keys())
def test_what_is_wrong_is_named_with_its_line_and_a_cure(directory: Path, bad: Bad) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(directory, GOOD + bad.text)
    said = str(raised.value)
    assert said.startswith(f'routes.toml, line {GOOD.count(chr(10)) + bad.line}: ') and bad.words in said, said
    assert '; line' not in said.replace('; the', ''), said  # one mistake is one fault


def test_all_that_is_wrong_is_told_at_once_in_the_order_of_lines(directory: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(directory, '[archive]\ndownload = "nowhere"\n[[route]]\nnam = "a"\n'
                        '[[route]]\nname = "b"\ncommand = ["no-such-program"]\nwhen = { type = 1 }\n')
    parts = str(raised.value).split('; line ')
    assert [part.partition(':')[0] for part in parts] == ['routes.toml, line 2', '4', '7', '8']


@pytest.mark.parametrize('text, said', [
    ('', 'routes.toml, line 1: there is no route: write [[route]]'),
    ('route = 1', 'routes.toml, line 1: routes are tables in a list: write [[route]] before each'),
    ('archive = "x"\n[[route]]\nname = "a"\ncommand = ["sh"]', 'routes.toml, line 1: archive is a table'),
    ('[archive]\ncartd = "host:80"\n[[route]]\nname = "a"\ncommand = ["sh"]',
     "line 2: 'host:80' is no URL of a service: write http://HOST:PORT"),
    ('[archive]\ningest = "http://a"\nupload = "b"\n[[route]]\nname = "a"\ncommand = ["sh"]', 'and so does \'b\''),
])
def test_a_file_that_is_none(directory: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(directory, text)
    assert said in str(raised.value)


def test_a_file_that_cannot_be_read(directory: Path) -> None:
    with pytest.raises(ConfigurationError, match='nowhere.toml can\'t be read: No such file or directory'):
        Router.from_file(directory / 'nowhere.toml')
    (directory / 'binary.toml').write_bytes(b'# fine\n\xff')
    with pytest.raises(ConfigurationError, match='binary.toml, line 2: it is no TOML, which is in UTF-8'):
        Router.from_file(directory / 'binary.toml')


@pytest.mark.parametrize('text', [
    'a = 1\n[b]\nc.d = """x\n# no comment\n""" # c\n"e f" = [\n1, [2, # ]\n"]"], { g = \'}\', h = 1 }]\n[[i]]\n'
    'j = 07:32:00\n[i.k]\nl = \'\'\'\n\n\'\'\'\n[[i.m]]\nn = 1\n[[i]]\n"o\\u0041" = {}\n',
])
def test_each_key_is_found_in_its_line(text: str) -> None:
    parse(text)
    found = {where: line for where, line in lines_of(text).items() if isinstance(where[-1], str)}
    assert found == {
        ('a',): 1, ('b',): 2, ('b', 'c'): 3, ('b', 'c', 'd'): 3, ('b', 'e f'): 6, ('b', 'e f', 2, 'g'): 8,
        ('b', 'e f', 2, 'h'): 8, ('i',): 9, ('i', 0, 'j'): 10, ('i', 0, 'k'): 11, ('i', 0, 'k', 'l'): 12,
        ('i', 0, 'm'): 15, ('i', 0, 'm', 0, 'n'): 16, ('i', 1, 'oA'): 18}


# Following the file

def test_a_change_is_taken(directory: Path, at_once: None, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    router = load(directory, GOOD)
    (directory / 'routes.toml').write_text(GOOD.replace('54', '34'))
    assert not list(router.match(event()))
    assert [entry.message for entry in caplog.records] == ['routes.taken']
    assert not list(router.match(event()))
    assert len(caplog.records) == 1


def test_a_file_that_was_just_written_is_not_taken_yet(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, '_LOOK_SECONDS', 0.0)
    monkeypatch.setattr(following, '_SETTLED_SECONDS', 3600.0)
    router = load(directory, GOOD)
    (directory / 'routes.toml').write_text(GOOD.replace('54', '34'))
    assert list(router.match(event()))


def test_a_file_from_the_future_is_taken_once_it_stays_as_it_is(
    directory: Path, at_once: None, monkeypatch: pytest.MonkeyPatch,
) -> None:
    router = load(directory, GOOD)
    (directory / 'routes.toml').write_text(GOOD.replace('54', '34'))
    os.utime(directory / 'routes.toml', (2e9, 2e9))
    assert not list(router.match(event()))


def test_an_event_that_is_routed_keeps_the_routes_it_began_with(directory: Path, at_once: None) -> None:
    router = load(directory, GOOD + GOOD[GOOD.index('[[route]]'):].replace('checksums', 'second'))
    routes = router.match(event())
    first = next(routes)
    (directory / 'routes.toml').write_text(GOOD.replace('checksums', 'third'))
    assert [route.name for route in router.match(event())] == ['third']
    assert [first.name, *(route.name for route in routes)] == ['checksums', 'second']


def test_a_change_of_the_service_is_said_to_need_a_restart(
    directory: Path, at_once: None, caplog: pytest.LogCaptureFixture,
) -> None:
    router = load(directory, GOOD)
    (directory / 'routes.toml').write_text(f'{GOOD}[service]\nconcurrency = 7\n')
    router.refresh()
    assert 'routes.restart_needed' in [entry.message for entry in caplog.records]


def test_what_is_missing_outside_of_the_file_may_come_later(directory: Path, at_once: None) -> None:
    router = load(directory, GOOD)
    (directory / 'routes.toml').write_text(GOOD.replace('scripts/run', 'scripts/later'))
    router.refresh()
    assert [route.name for route in router.match(event())] == ['checksums']
    (directory / 'scripts' / 'run').rename(directory / 'scripts' / 'later')
    router.refresh()
    [handler] = [route.event_handler for route in router]
    assert handler.event_handler.command == ['scripts/later']  # type: ignore[attr-defined]  # what is staged in


def test_a_copy_has_the_state_that_is_in_force_and_says_nothing(
    directory: Path, at_once: None, caplog: pytest.LogCaptureFixture,
) -> None:
    router = load(directory, GOOD)
    (directory / 'routes.toml').write_text('broken')
    (directory / 'scripts' / 'run').unlink()
    copy = pickle.loads(pickle.dumps(router))
    assert [route.name for route in copy.match(event())] == ['checksums']
    assert not caplog.records
    (directory / 'routes.toml').write_text(GOOD.replace('scripts/run', 'sh').replace('54', '34'))
    assert not list(copy.match(event()))


def test_routes_are_added_in_the_file(directory: Path) -> None:
    with pytest.raises(ConfigurationError, match='add one there'):
        load(directory, GOOD).add_route(event_type('a'), None)


# The schema for editors

def test_the_schema_of_the_package_is_the_one_of_the_code() -> None:
    file = resources.files('pacifica.dispatcher') / 'routes.schema.json'
    assert json.loads(file.read_text()) == schema(), 'write json.dumps(schema(), indent=2) and a line break to it'


def test_the_schema_takes_what_is_good_and_refuses_misspelt_keys() -> None:
    validator = jsonschema.validators.validator_for(schema())(schema())
    validator.validate(parse(GOOD))
    assert not validator.is_valid(parse(GOOD.replace('instrument', 'instrumnt')))
    assert not validator.is_valid(parse(f'{GOOD}loops = "alow"'))
