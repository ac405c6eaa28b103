"""What importing a module loads: a handler's unit test needs no web server, a receiver no Celery."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pacifica.dispatcher


def loaded_by(module: str) -> set[str]:
    """Return the top-level names in ``sys.modules`` of a fresh interpreter that imported *module*."""
    program = f'import sys, {module}; print(*sorted({{name.partition(".")[0] for name in sys.modules}}))'
    return set(subprocess.run(
        [sys.executable, '-c', program], check=True, stdout=subprocess.PIPE, text=True,
    ).stdout.split())


@pytest.mark.parametrize('module', [
    'pacifica.dispatcher.router', 'pacifica.dispatcher.event_handlers', 'pacifica.dispatcher.staging',
    'pacifica.dispatcher.downloader_runners', 'pacifica.dispatcher.uploader_runners', 'pacifica.dispatcher.conditions',
])
def test_router_and_handlers_load_no_server_and_no_client(module: str) -> None:
    assert not loaded_by(module) & {'cherrypy', 'cheroot', 'celery', 'requests', 'peewee', 'rich', 'click'}


def test_receiver_loads_no_celery() -> None:
    assert 'celery' not in loaded_by('pacifica.dispatcher.receiver')


def test_help_of_the_command_line_loads_no_server_and_no_database() -> None:
    program = 'pacifica.dispatcher._cli.program, pacifica.dispatcher._cli.serve'
    assert not loaded_by(program) & {'cherrypy', 'cheroot', 'celery', 'requests', 'peewee', 'rich'}


def imports_of(path: Path) -> Iterator[tuple[str, str]]:
    """Yield ``(module, name)`` for each ``from module import name``, and ``(module, '')`` for ``import module``."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, '') for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name) for alias in node.names)


def test_the_two_cloudevents_distributions_are_entered_by_what_is_theirs_alone() -> None:
    """Each brings another ``cloudevents/__init__.py``; which of them is there depends on the order of installation."""
    root = Path(pacifica.dispatcher.__file__).parent
    for path in root.rglob('*.py'):
        where = path.relative_to(root).as_posix()
        for module, name in imports_of(path):
            assert module != 'cloudevents', where
            if module.startswith('cloudevents.'):
                assert (module, name) == ('cloudevents.model', 'Event') or (
                    module.startswith('cloudevents.core.') and where.startswith(('_events/', '_clients/event_files.py'))
                ), where
