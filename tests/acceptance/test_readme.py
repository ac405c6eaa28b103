"""The README's programs and commands work as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.command_line import run, started
from support.documents import PROJECT, README, markdown_blocks
from support.environments import copy_of_project
from support.events import wait_until
from support.staging import DEMO_EVENT, write_demo_files

PROGRAM = markdown_blocks(README, 'python')[0]
CHECKS = '''
import json, pathlib, sys
test_uppercase()
assert handler.uploader_runner is not None
assert cherrypy.tree.apps['/events'] is application
event = json.loads(pathlib.Path(sys.argv[1]).read_bytes())
task_id = queue.delay(event).id
assert queue.create_worker().run_once()
assert str(ReceiveTaskModel.get().task_id) == task_id and ReceiveTaskModel.get().task_status == '200 OK'
assert len(list(pathlib.Path('bundles').glob('*.tar'))) == 1
'''


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with the files of the demo's event in ``archive``, and the event beside it."""
    (tmp_path / 'event.json').write_bytes(DEMO_EVENT)
    write_demo_files(tmp_path / 'archive')
    return tmp_path


def test_the_first_program_is_of_twenty_lines() -> None:
    assert len(re.findall(r'^.*\S.*$', PROGRAM, re.MULTILINE)) <= 20


def test_the_first_program_is_served(directory: Path) -> None:
    (directory / 'uppercase.py').write_text(PROGRAM)
    with started('serve', 'uppercase:router', '--port', '0', cwd=directory, env={'DATABASE_URL': ''}) as service:
        url = service.expect(r'listening: POST events to (\S+)/receive')[1]
        task_id = service.call(f'{url}/receive', (directory / 'event.json').read_bytes())
        wait_until(lambda: service.call(f'{url}/status/{task_id}') == '200 OK')
        assert service.stop() == 0
    assert len(list((directory / 'bundles').glob('*.tar'))) == 1


def test_the_event_to_send_is_handled(tmp_path: Path) -> None:
    (tmp_path / 'uppercase.py').write_text(PROGRAM)
    (tmp_path / 'event.json').write_text(markdown_blocks(README, 'json')[0])
    prepare, _ = next(block for block in markdown_blocks(README, 'sh') if 'mkdir' in block).splitlines()
    subprocess.run(['bash', '-c', prepare], cwd=tmp_path, check=True)
    with started('serve', 'uppercase:router', '--port', '0', cwd=tmp_path, env={'DATABASE_URL': ''}) as service:
        url = service.expect(r'listening: POST events to (\S+)')[1]
        sent = run('send', 'event.json', '--wait', '--url', url, cwd=tmp_path)
        assert service.stop() == 0
    assert sent.returncode == 0, sent
    assert len(list((tmp_path / 'bundles').glob('*.tar'))) == 1


def test_all_programs_run_in_their_order(directory: Path) -> None:
    program = '\n'.join([*markdown_blocks(README, 'python'), CHECKS])
    done = subprocess.run(
        [sys.executable, '-c', program, directory / 'event.json'], cwd=directory, check=False, timeout=150,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    assert done.returncode == 0, done.stdout


def test_every_file_that_the_readme_links_to_is_there() -> None:
    links = re.findall(r'\]\((?!https?:)([^)]+)\)', README.read_text('utf-8'))
    assert links
    assert [link for link in links if not (PROJECT / link).is_file()] == []


def test_the_two_commands_are_one_line_each() -> None:
    commands = [block for block in markdown_blocks(README, 'sh') if 'venv' in block]
    assert commands == [
        'python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/pacifica-dispatcher demo\n',
        'python3 -m venv .venv && .venv/bin/pip install tox && .venv/bin/tox\n',
    ]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_first_command_runs_the_demo_on_a_clean_copy(tmp_path: Path) -> None:
    command = markdown_blocks(README, 'sh')[0]
    (tmp_path / 'bin').mkdir()
    (tmp_path / 'bin' / 'python3').symlink_to(sys._base_executable)
    foreign = ('PYTHON', 'COVERAGE', 'VIRTUAL')
    env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    env.update(PATH=f'{tmp_path / "bin"}:{env["PATH"]}', TMPDIR=str(tmp_path))
    done = subprocess.run(
        ['bash', '-c', command], cwd=copy_of_project(tmp_path / 'clone'), env=env, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    assert done.returncode == 0, done.stdout
    assert '"taskStatus": "200 OK"' in done.stdout
