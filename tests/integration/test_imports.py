"""What importing a module loads: a handler's unit test needs no web server, a receiver no Celery."""

from __future__ import annotations

import subprocess
import sys

import pytest


def loaded_by(module: str) -> set[str]:
    """Return the top-level names in ``sys.modules`` of a fresh interpreter that imported *module*."""
    program = f'import sys, {module}; print(*sorted({{name.partition(".")[0] for name in sys.modules}}))'
    return set(subprocess.run(
        [sys.executable, '-W', 'error', '-c', program], check=True, capture_output=True, text=True,
    ).stdout.split())


@pytest.mark.parametrize('module', ['pacifica.dispatcher.router', 'pacifica.dispatcher.event_handlers'])
def test_router_and_handlers_load_no_server_and_no_client(module: str) -> None:
    assert not loaded_by(module) & {'cherrypy', 'cheroot', 'celery', 'requests', 'peewee', 'rich', 'click'}
