"""A shell that has read what ``completion`` prints completes commands, options, choices and files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.command_line import run

#: What bash does at a press of Tab, without a terminal: calls the function and shows what it leaves.
PRESS_TAB = '''
source completion.bash
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
compopt() { echo "compopt $2"; }
_pacifica_dispatcher_completion pacifica-dispatcher
printf '%s\\n' "${COMPREPLY[@]}"
'''


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with the script, and with the program under the name that it has when installed."""
    program = tmp_path / 'bin' / 'pacifica-dispatcher'
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pacifica.dispatcher "$@"\n')
    program.chmod(0o755)
    (tmp_path / 'completion.bash').write_text(run('completion', 'bash', cwd=tmp_path).stdout)
    return tmp_path


def completions(directory: Path, *words: str) -> list[str]:
    """Return what bash offers for the last of *words*."""
    bash = shutil.which('bash')
    if bash is None:
        pytest.skip('no bash here')
    done = subprocess.run(
        [bash, '--norc', '-c', PRESS_TAB, 'bash', 'pacifica-dispatcher', *words], cwd=directory, check=True,
        env={**os.environ, 'PATH': f'{directory / "bin"}:{os.environ["PATH"]}'}, capture_output=True, text=True,
        timeout=30,
    )
    assert done.stderr == ''
    return done.stdout.splitlines()


@pytest.mark.parametrize('words, offered', [
    (['se'], ['send', 'serve']),
    (['send', '--mo'], ['--mode']),
    (['send', '--mode', ''], ['structured', 'binary']),
    (['send', '--mode', 'binary', '--to'], ['--token-env', '--token-file']),
    (['completion', ''], ['bash', 'zsh', 'fish']),
])
def test_bash_completes_commands_options_and_choices(directory: Path, words: list[str], offered: list[str]) -> None:
    assert completions(directory, *words) == offered


@pytest.mark.parametrize('words', [
    ['send', 'ev'], ['send', 'x', '--token-file', 'ev'], ['check', 'routes:router', 'ev'],
])
def test_bash_completes_files_itself(directory: Path, words: list[str]) -> None:
    assert completions(directory, *words) == ['compopt default', '']


def test_no_module_is_imported_to_complete_a_command(directory: Path) -> None:
    (directory / 'routes.py').write_text('open("imported", "w").close()')
    assert completions(directory, 'serve', 'routes:router', '--authenticate', 'routes:x', '--por') == ['--port']
    assert not (directory / 'imported').exists()


@pytest.mark.parametrize('shell, registers', [
    ('bash', '-F _pacifica_dispatcher_completion pacifica-dispatcher'),
    ('zsh', 'compdef _pacifica_dispatcher_completion pacifica-dispatcher'),
    ('fish', 'complete --no-files --command pacifica-dispatcher'),
])
def test_every_shell_has_a_script(tmp_path: Path, shell: str, registers: str) -> None:
    done = run('completion', shell, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, '')
    assert registers in done.stdout
