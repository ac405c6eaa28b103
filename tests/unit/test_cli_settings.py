"""What ``serve`` and ``work`` can be told on the command line, they can be told in the environment and in a file."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from pacifica.dispatcher._cli.program import program
from pacifica.dispatcher._engine.event_queue import EventQueue
from pacifica.dispatcher.receiver import ReceiveTaskModelBase
from support.command_line import ROUTES, refusal

PREFIX = 'PACIFICA_DISPATCHER_'
Write = Callable[[str], Path]


def command(name: str) -> click.Command:
    found = program.get_command(click.Context(program), name)
    assert found is not None
    return found


def options(name: str) -> list[click.Option]:
    return [each for each in command(name).params if isinstance(each, click.Option) and each.opts != ['--config']]


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Be in a directory with a module ``served``, without any setting in the environment."""
    (tmp_path / 'served.py').write_text(f'{ROUTES}\ndef schemes(credentials): ...\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'path', sys.path[:])
    monkeypatch.delenv('DATABASE_URL', raising=False)
    yield tmp_path
    sys.modules.pop('served', None)


@pytest.fixture
def write(directory: Path) -> Write:
    """Write the lines of ``[service]`` of a file, which has another table too, and return its path."""
    def write(lines: str) -> Path:
        file = directory / 'dispatcher.toml'
        file.write_text(f'[service]\n{lines}\n[routes]\nanything = 1\n')
        return file
    return write


def read(name: str, *arguments: str) -> dict[str, Any]:
    """Return the values that a command gets for *arguments*, without running it."""
    reference = ['served:router'] if name in ('serve', 'work', 'check', 'reconcile') else []
    values = command(name).make_context(name, [*reference, *arguments]).params
    return {name: getattr(value, 'database', value) for name, value in values.items()}


# Every option

def another_value(option: click.Option) -> bool | int | str:
    """Return a value of the option that isn't its default; an option of a new kind needs a line here."""
    special = {'--database': 'sqlite:///other.db', '--since': '2026-11-24',
               '--transaction-url': 'https://other/{transaction}'}
    if option.is_flag:
        return True
    if isinstance(option.type, click.IntRange):
        return 7
    if isinstance(option.type, click.Choice):
        return next(each for each in map(str, option.type.choices) if each != option.default)
    return special.get(option.opts[0]) or {
        'ADDRESS': '127.0.0.2', 'MODULE:NAME': 'served:schemes', 'NAME': 'OTHER', 'SIZE': '512M', 'TIME': '90m',
        'URL': 'http://other:8121',
    }[str(option.metavar)]


@pytest.mark.parametrize('name, option', [
    pytest.param(name, option, id=f'{name}{option.opts[0]}') for name in ('serve', 'work') for option in options(name)
])
def test_every_option_may_come_from_environment_and_file(
    name: str, option: click.Option, write: Write, monkeypatch: pytest.MonkeyPatch,
) -> None:
    value, key = another_value(option), option.opts[0].removeprefix('--').replace('-', '_')
    given = read(name, option.opts[0], *([] if option.is_flag else [str(value)]))
    assert given != read(name)
    assert read(name, '--config', str(write(f'{key} = {json.dumps(value)}'))) == given
    monkeypatch.setenv(f'{PREFIX}{key.upper()}', str(value))
    assert read(name) == given


@pytest.mark.parametrize('setting', [
    'isolation', 'handler_timeout', 'max_attempts', 'lease', 'grace', 'retention', 'max_backlog', 'memory_limit',
])
@pytest.mark.parametrize('name', ['serve', 'work'])
def test_both_commands_have_the_settings_of_a_worker(name: str, setting: str) -> None:
    assert setting in read(name)


@pytest.mark.parametrize('name', ['serve', 'work'])
def test_the_defaults_are_those_of_the_library(name: str) -> None:
    methods = (EventQueue.create_worker, ReceiveTaskModelBase.create_queue)
    defaults = {each.name: each.default for method in methods for each in inspect.signature(method).parameters.values()
                if each.default is not inspect.Parameter.empty}
    values = read(name)
    shared = defaults.keys() & values.keys() - {'isolation'}  # a service's handlers may have another one
    assert shared >= {'concurrency', 'lease', 'grace', 'max_attempts'}
    assert {each: values[each] for each in shared} == {each: defaults[each] for each in shared}


# Which source goes first

@pytest.mark.parametrize('key, of_line, of_environment, of_file, values', [
    ('concurrency', '5', '6', '7', (5, 6, 7)),
    ('lease', '5s', '6', '"1m"', (5.0, 6.0, 60.0)),
    ('database', 'sqlite:///line', 'sqlite:///environment', '"sqlite:///file"', ('line', 'environment', 'file')),
])
def test_the_command_line_goes_before_the_environment_and_that_before_the_file(
    key: str, of_line: str, of_environment: str, of_file: str, values: tuple[Any, ...], write: Write,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line, file = (f'--{key}', of_line), ('--config', str(write(f'{key} = {of_file}')))
    assert read('work', *file)[key] == values[2]
    assert read('work', *file, *line)[key] == read('work', *line, *file)[key] == values[0]
    monkeypatch.setenv(f'{PREFIX}{key.upper()}', of_environment)
    assert read('work', *file)[key] == values[1]
    assert read('work', *line)[key] == read('work', *file, *line)[key] == values[0]
    assert read('work')[key] == values[1]


def test_the_environment_can_switch_a_flag_of_the_file_off(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    file = str(write('metrics = true'))
    assert read('serve', '--config', file)['metrics'] is True
    monkeypatch.setenv(f'{PREFIX}METRICS', 'false')
    assert read('serve', '--config', file)['metrics'] is False


def test_the_environment_can_name_the_file_and_the_command_line_another(
    write: Write, directory: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(f'{PREFIX}CONFIG', str(write('concurrency = 7')))
    (directory / 'other.toml').write_text('[service]\nlease = 5\n')
    assert read('work')['concurrency'] == 7
    assert [read('work', '--config', 'other.toml')[each] for each in ('concurrency', 'lease')] == [4, 5.0]


def test_a_variable_of_our_own_goes_before_the_one_that_others_read_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('DATABASE_URL', 'sqlite:///common')
    assert read('work')['database'] == 'common'
    monkeypatch.setenv(f'{PREFIX}DATABASE', 'sqlite:///ours')
    assert read('work')['database'] == 'ours'


def test_a_file_without_the_table_says_nothing(directory: Path) -> None:
    (directory / 'other.toml').write_text('[routes]\nconcurrency = 7\n')
    assert read('work', '--config', 'other.toml') == read('work')


# A routes file

@pytest.fixture
def routes(directory: Path) -> str:
    """A routes file in another directory, with settings of the service; its path."""
    (directory / 'elsewhere').mkdir()
    (directory / 'elsewhere' / 'made.toml').write_text(
        '[service]\nconcurrency = 7\nlease = 5\ndatabase = "sqlite:///kept.db"\n'
        '[[route]]\nname = "a"\ncommand = ["sh"]\n')
    return 'elsewhere/made.toml'


def test_a_routes_file_has_settings_after_all_others(
    routes: str, write: Write, monkeypatch: pytest.MonkeyPatch,
) -> None:
    def values(*arguments: str) -> list[Any]:
        given = command('work').make_context('work', [*arguments]).params
        return [given[each] for each in ('concurrency', 'lease')]

    assert values(routes) == [7, 5.0]
    file = str(write('concurrency = 6'))
    assert values(routes, '--config', file) == values('--config', file, routes) == [6, 5.0]
    monkeypatch.setenv(f'{PREFIX}CONCURRENCY', '4')
    assert values(routes, '--config', file) == [4, 5.0]
    assert values(routes, '--concurrency', '2') == [2, 5.0]


@pytest.mark.parametrize('arguments', [
    ['work', 'elsewhere/made.toml'], ['doctor', 'elsewhere/made.toml'], ['list', '--config', 'elsewhere/made.toml']])
def test_the_database_of_a_routes_file_lies_beside_it_for_every_command(
    arguments: list[str], routes: str, directory: Path,
) -> None:
    params = command(arguments[0]).make_context(arguments[0], arguments[1:]).params
    assert params['database'].database == str(directory / 'elsewhere' / 'kept.db')


def test_help_is_shown_though_the_routes_file_is_wrong(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (directory / 'bad.toml').write_text('[service]\nconcurency = 7\n')
    with pytest.raises(click.exceptions.Exit):
        command('serve').make_context('serve', ['bad.toml', '--help'])
    assert 'Usage: serve' in capsys.readouterr().out


# Other commands

@pytest.mark.parametrize('name', [
    'cancel', 'doctor', 'list', 'migrate', 'prune', 'replay', 'retry', 'show', 'status'])
def test_every_command_finds_the_database_of_the_service(name: str, write: Write) -> None:
    event = [str(each) for each in ('6ba7b810-9dad-11d1-80b4-00c04fd430c8',) if name == 'show']
    age = ['--older-than', '1d'] if name == 'prune' else []
    assert read(name, *event, *age, '--config', str(write('database = "sqlite:///kept"')))['database'] == 'kept'


def test_check_and_reconcile_act_for_the_application_of_the_service(
    write: Write, monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = ('--config', str(write('name = "of file"')))
    looking = ('--metadata', 'http://metadata:8121', '--since', '1d')
    assert [read('check', *file)['name'], read('reconcile', *looking, *file)['name']] == ['of file'] * 2
    monkeypatch.setenv(f'{PREFIX}NAME', 'of variable')
    assert [read('check')['name'], read('reconcile', *looking)['name']] == ['of variable'] * 2


def test_options_of_the_same_name_and_another_meaning_are_left_alone(write: Write) -> None:
    file = str(write('name = "uppercase"\nsince = "2d"'))
    assert read('doctor', '--config', file)['name'] is None  # that of the subscription
    assert read('list', '--config', file)['since'] is None


# What can't be used

@pytest.mark.parametrize('name', ['serve', 'work', 'status', 'doctor', 'check'])
@pytest.mark.parametrize('line, said', [
    ('concurency = 4', "[service] has no key 'concurency'; the nearest one is 'concurrency'"),
    ('handler-timeout = 4', "[service] has no key 'handler-timeout'; the nearest one is 'handler_timeout'"),
    ('config = "other.toml"', "[service] has no key 'config'"),
    ('concurrency = "4"', 'concurrency in [service] must be an integer, not of type str'),
    ('concurrency = true', 'concurrency in [service] must be an integer, not of type bool'),
    ('max_backlog = 2.5', 'max_backlog in [service] must be an integer, not of type float'),
    ('metrics = "no"', 'metrics in [service] must be true or false, not of type str'),
    ('lease = false', 'lease in [service] must be a string or a number, not of type bool'),
    ('database = ["secret"]', 'database in [service] must be a string or a number, not of type list'),
    ('notify = {url = "secret"}', 'notify in [service] must be a string or a number, not of type dict'),
])
def test_a_key_or_type_that_is_wrong(
    name: str, line: str, said: str, write: Write, capsys: pytest.CaptureFixture[str],
) -> None:
    file = write(line)
    refused = refusal(capsys, name, *(['served:router'] if name in ('serve', 'work', 'check') else []),
                      '--config', str(file))
    assert f'{file}: {said}' in refused
    assert 'secret' not in refused


@pytest.mark.parametrize('key, value, said', [
    ('concurrency', 0, '0 is not in the range x>=1'),
    ('port', 65536, '65536 is not in the range'),
    ('isolation', 'fork', "'fork' is not one of 'process', 'thread'"),
    ('lease', '5 minutes', "'5 minutes' is no length of time"),
    ('handler_timeout', 0, 'it must be longer than 0 seconds'),
    ('memory_limit', '2XB', "'2XB' is no size: write for example 512M"),
    ('database', 'events.db', "'events.db' is not the URL of a database"),
])
def test_a_value_that_is_wrong_is_refused_with_its_source(
    key: str, value: int | str, said: str, write: Write, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = write(f'{key} = {json.dumps(value)}')
    refused = refusal(capsys, 'serve', 'served:router', '--config', str(file))
    assert f"'{key}' in [service] of {file}: " in refused and said in refused
    monkeypatch.setenv(f'{PREFIX}{key.upper()}', str(value))
    refused = refusal(capsys, 'serve', 'served:router')
    assert f"(env var: '{PREFIX}{key.upper()}'): " in refused and said in refused


@pytest.mark.parametrize('file, said', [
    ('nowhere.toml', "nowhere.toml can't be read: No such file or directory"),
    ('.', ". can't be read: Is a directory"),
    ('cut.toml', 'cut.toml is no TOML: '),
    ('binary.toml', 'binary.toml is no TOML: '),
    ('value.toml', 'value.toml: service must be a table, [service]'),
])
def test_a_file_that_is_none(
    file: str, said: str, directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    (directory / 'cut.toml').write_text('[service\n')
    (directory / 'binary.toml').write_bytes(b'\xff\xfe')
    (directory / 'value.toml').write_text('service = 1\n')
    assert said in refusal(capsys, 'work', 'served:router', '--config', file)
    monkeypatch.setenv(f'{PREFIX}CONFIG', file)
    assert said in refusal(capsys, 'status')


@pytest.mark.parametrize('setting', ['handler_timeout = 60', 'memory_limit = "512M"'])
@pytest.mark.parametrize('name', ['serve', 'work'])
def test_what_only_a_process_can_obey_is_refused_with_threads(
    name: str, setting: str, write: Write, capsys: pytest.CaptureFixture[str],
) -> None:
    file = write(f'isolation = "thread"\n{setting}')
    option = '--' + setting.partition(' ')[0].replace('_', '-')
    assert f'{option} needs --isolation process' in refusal(capsys, name, 'served:router', '--config', str(file))


@pytest.mark.parametrize('value, count', [
    ('1', 1), ('512M', 512 << 20), ('2G', 2 << 30), ('64K', 64 << 10), ('1T', 1 << 40), ('1048576', 1 << 20),
    ('2GiB', 2 << 30), ('3GB', 3_000_000_000)])
def test_a_size_has_units_of_1024_bytes_unless_they_are_of_1000(value: str, count: int) -> None:
    assert read('work', '--memory-limit', value)['memory_limit'] == count


@pytest.mark.parametrize('value', ['', '0', '0M', '-1', '1.5G', '2g', '512 M', 'M', '9999999999T', '\u0665M'])
def test_what_is_no_size_is_refused(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert 'is no size' in refusal(capsys, 'work', 'served:router', '--memory-limit', value)
