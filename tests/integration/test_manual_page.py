"""The manual page has every command and option; ``tox -e docs`` runs this, where Sphinx is."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from pacifica.dispatcher._cli.output import EXIT_STATUSES
from pacifica.dispatcher._cli.program import program

DOCS = Path(__file__).parents[2] / 'docs'


@pytest.fixture(scope='module')
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The manual page, in roff, with hyphens as they are."""
    if find_spec('sphinx_click') is None:
        pytest.skip('the extra "docs" is not installed')
    made = tmp_path_factory.mktemp('man')
    subprocess.run([sys.executable, '-m', 'sphinx', '-q', '-W', '-b', 'man', DOCS, made], timeout=150, check=True)
    return (made / 'pacifica-dispatcher.1').read_text('utf-8').replace('\\-', '-')


def test_every_command_has_a_section_with_all_of_its_options(page: str) -> None:
    context = click.Context(program)
    names = program.list_commands(context)
    assert names
    for name in names:
        command = program.get_command(context, name)
        assert command is not None
        _, found, section = page.partition(f'\n.SS {name}\n')
        assert found, f'{name} has no section'
        section = section.partition('\n.SS ')[0]
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert f'.B {parameter.opts[0]}' in section, f'{name} has no {parameter.opts[0]}'


def test_every_exit_status_has_a_meaning(page: str) -> None:
    text = ' '.join(page.replace("\\(aq", "'").replace("\\'", "'").split())
    assert all(f'{status} {meaning}' in text for status, meaning in EXIT_STATUSES.items())
