"""Which code a handler is: the names that are shown, and versions and commits as far as they can be told."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from jsonpath2.path import Path as JSONPath

from pacifica.dispatcher import _code
from pacifica.dispatcher._cli.demo_handler import Uppercase
from pacifica.dispatcher._code import code_of, handler_name
from pacifica.dispatcher._lineage import HANDLER_KEY, PARAMETERS_KEY, Code, is_lineage, made_by
from pacifica.dispatcher.event_handlers import CommandEventHandler, EventHandler, StagedEventHandler
from pacifica.dispatcher.router import Route

SOURCE = '''
from pacifica.dispatcher.event_handlers import EventHandler
class Plot(EventHandler):
    def handle(self, event):
        pass
'''
git = pytest.mark.skipif(shutil.which('git') is None, reason='git is not installed')


def staged(handler: EventHandler) -> StagedEventHandler:
    return StagedEventHandler(None, handler, None)


@pytest.fixture(autouse=True)
def nothing_is_known_of_before() -> Iterator[None]:
    for each in (_code._version, _code._checkout):
        each.cache_clear()
    yield


class Checkout:
    """A checkout with the module of a handler in it, and a program."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.program = root / 'clean.sh'
        self.module = root / 'plots_of_a_test.py'
        self.module.write_text(SOURCE)
        self.program.write_text('#!/bin/sh\n')
        self.program.chmod(0o755)

    def git(self, *arguments: str) -> str:
        who = ['-c', 'user.name=a', '-c', 'user.email=a@example.org', '-c', 'commit.gpgsign=false']
        return subprocess.run(
            ['git', *who, *arguments], cwd=self.root, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self) -> str:
        self.git('init', '-q')
        self.git('add', '.')
        self.git('commit', '-q', '-m', 'All')
        return self.git('rev-parse', 'HEAD')

    def handler(self) -> EventHandler:
        spec = importlib.util.spec_from_file_location(self.module.stem, self.module)
        assert spec is not None and spec.loader is not None
        module = sys.modules[self.module.stem] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        made: EventHandler = module.Plot()
        return made


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    made = Checkout(tmp_path)
    yield made
    sys.modules.pop(made.module.stem, None)


def test_what_is_shown_is_the_innermost_handler() -> None:
    route = Route(JSONPath.parse_str('$'), staged(staged(Uppercase())))

    assert route.handler_name == 'Uppercase'
    assert repr(route) == 'Route($, Uppercase)'
    assert route.name == '$ → StagedEventHandler'  # as in the lineage of what is in the archive already


def test_the_version_is_that_of_the_distribution_and_not_of_others_in_its_namespace() -> None:
    code = code_of(staged(Uppercase()))

    assert code[:2] == ('pacifica.dispatcher._cli.demo_handler:Uppercase', version('pacifica-dispatcher'))


def test_a_module_of_no_distribution_has_no_version(checkout: Checkout) -> None:
    assert code_of(checkout.handler()) == Code('plots_of_a_test:Plot')


@git
def test_a_clean_checkout_has_a_commit(checkout: Checkout) -> None:
    commit = checkout.commit()

    code = code_of(staged(checkout.handler()))

    assert code == Code('plots_of_a_test:Plot', None, commit, False)
    assert str(code) == f'plots_of_a_test:Plot {commit[:12]}'


@git
def test_a_changed_file_makes_it_dirty_and_a_new_one_does_not(checkout: Checkout) -> None:
    commit = checkout.commit()
    (checkout.root / 'new').touch()
    handler = checkout.handler()

    assert not code_of(handler).dirty
    _code._checkout.cache_clear()
    checkout.program.write_text('#!/bin/sh\nexit 1\n')

    assert str(code_of(handler)) == f'plots_of_a_test:Plot {commit[:12]} dirty'


@git
def test_a_checkout_is_looked_at_once(checkout: Checkout) -> None:
    checkout.commit()
    handler = checkout.handler()
    before = code_of(handler)

    checkout.module.write_text('changed = True\n')

    assert code_of(handler) == before


@git
def test_what_is_not_tracked_has_no_commit(checkout: Checkout) -> None:
    """As what is installed into an environment that lies in a checkout."""
    checkout.commit()
    checkout.git('rm', '-q', '--cached', checkout.module.name)

    assert code_of(checkout.handler()).commit is None


@git
def test_where_there_is_no_git_there_is_no_commit(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout.commit()
    monkeypatch.setenv('PATH', str(checkout.root))

    assert code_of(checkout.handler()) == Code('plots_of_a_test:Plot')


@git
def test_a_hook_of_another_checkout_changes_nothing(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = checkout.commit()
    monkeypatch.setenv('GIT_DIR', '/nowhere')

    assert code_of(checkout.handler()).commit == commit


@git
@pytest.mark.parametrize(('command', 'name'), [
    (['./clean.sh'], 'clean.sh'), (['/bin/sh', '{directory}/clean.sh', '{input}'], 'sh clean.sh'),
])
def test_the_code_of_a_program_is_its_file_or_that_of_its_script(
    checkout: Checkout, command: list[str], name: str,
) -> None:
    commit = checkout.commit()
    handler = staged(CommandEventHandler(command, directory=checkout.root))

    assert code_of(handler) == Code(name, None, commit)
    assert handler_name(handler) == name


@pytest.mark.parametrize('command', [['no-such-program'], 'cat "$PACIFICA_EVENT"'])
def test_of_a_program_that_is_not_there_and_of_a_shell_the_name_is_known(command: Any) -> None:
    handler = CommandEventHandler(command, shell=isinstance(command, str))

    assert code_of(handler) == Code('sh' if handler.shell else 'no-such-program')


def test_metadata_that_cant_be_read_leave_the_version_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: Any) -> None:
        raise ValueError('broken')

    monkeypatch.setattr(_code, '_has', fail)

    assert code_of(Uppercase()).version is None


def test_key_values_are_never_too_long_and_differ_where_they_were_cut() -> None:
    first, second = (
        made_by(Code('m:' + 'C' * 300), {'list': [*range(200), last]}) for last in (1, 2))

    assert {len(value) for value in (*first.values(), *second.values())} == {255}
    assert first[PARAMETERS_KEY] != second[PARAMETERS_KEY]
    assert set(first) == {HANDLER_KEY, PARAMETERS_KEY}
    assert all(map(is_lineage, first))


def test_without_parameters_nothing_is_said_of_them() -> None:
    assert made_by(Code('m:C', '1.0'), {}) == {HANDLER_KEY: 'm:C 1.0'}


def test_code_is_the_same_when_it_was_kept() -> None:
    for code in (Code('m:C'), Code('m:C', '1', 'a' * 40, True)):
        assert Code.from_json(code.as_json()) == code
