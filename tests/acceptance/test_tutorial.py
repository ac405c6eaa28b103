"""The tutorial's handler passes the tutorial's tests, and its service takes the tutorial's event."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.command_line import started
from support.documents import TUTORIAL, rst_blocks
from support.environments import without_pytest
from support.events import wait_until


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with the files that the tutorial shows."""
    for name, text in {**rst_blocks(TUTORIAL, 'python'), **rst_blocks(TUTORIAL, 'json')}.items():
        (tmp_path / name).write_text(text, 'utf-8')
    return tmp_path


def test_the_handler_passes_its_tests(directory: Path) -> None:
    tests = subprocess.Popen(
        [sys.executable, '-X', 'faulthandler', '-m', 'pytest', '-q', '-p', 'no:cacheprovider', 'test_uppercase.py'],
        cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=without_pytest(),
    )
    try:
        said = tests.communicate(timeout=150)[0]
    except subprocess.TimeoutExpired:
        tests.send_signal(signal.SIGABRT)  # it says where it hangs
        said = tests.communicate()[0]
    assert tests.returncode == 0, said
    assert '3 passed' in said


def test_the_service_takes_the_event(directory: Path) -> None:
    prepare, _, command = rst_blocks(TUTORIAL, 'sh')['0'].rpartition('pacifica-dispatcher ')
    subprocess.run(['sh', '-ec', prepare], cwd=directory, check=True)
    with started(*command.split(), '--port', '0', cwd=directory, env={'DATABASE_URL': ''}) as service:
        url = service.expect(r'listening: POST events to (\S+)/receive')[1]
        task_id = service.call(f'{url}/receive', (directory / 'event.json').read_bytes())
        wait_until(lambda: service.call(f'{url}/status/{task_id}') == '200 OK')
    assert len(list((directory / 'bundles').glob('*.tar'))) == 1
