"""The examples about callbacks and outgoing events do what the document says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pacifica.dispatcher._events import from_dict
from support.command_line import started
from support.documents import HOOKS, rst_blocks
from support.events import ingest_event, wait_until
from support.fakes import Scripted
from support.processes import free_port

EVENT = ingest_event(data=[
    {'destinationTable': 'Files', '_id': 1},
    {'destinationTable': 'Transactions._id', 'value': 19},
])
RUN = '''
worker = queue.create_worker()
while worker.run_once():
    pass
'''


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with the files that the document shows."""
    for name, text in rst_blocks(HOOKS, 'python').items():
        (tmp_path / name).write_text(text, 'utf-8')
    return tmp_path


def program(directory: Path, text: str, **environment: str) -> None:
    subprocess.run(
        [sys.executable, '-c', text], cwd=directory, env={**os.environ, **environment}, check=True, timeout=50)


def test_the_chat_is_told_what_failed(directory: Path) -> None:
    with Scripted() as chat:
        program(directory, f'''
from chat import queue
queue.delay({ingest_event(data=['broken'], eventID='the bad one')!r})
queue.delay({EVENT!r})
{RUN}''', CHAT_URL=chat.url)

    [message] = [delivery.event['text'] for delivery in chat.asked]
    assert message.startswith('the bad one ended in 500 Internal Server Error: TypeError: ')


@pytest.mark.slow
def test_one_dispatcher_feeds_another_that_was_down_at_first(directory: Path) -> None:
    port = str(free_port())
    export, report, measure = rst_blocks(HOOKS, 'sh')['0'].strip().splitlines()
    environment = {'REPORT_TOKEN': export.partition('=')[2]}

    def arguments(command: str) -> list[str]:
        return command.replace('8070', port).removeprefix('pacifica-dispatcher ').split()

    with started(*arguments(measure), '--port', '0', cwd=directory, env=environment) as first:
        url = first.expect(r'listening: POST events to (\S+)/receive')[1]
        task_id = first.call(f'{url}/receive', json.dumps(EVENT).encode())
        waiting = wait_until(lambda: [
            each for each in first.call(f'{url}/')
            if (first.call(f'{url}/get/{each["taskID"]}')['exceptionType']) == 'DeliveryError'])
        with started(*arguments(report), cwd=directory, env=environment) as second:
            second.expect('listening')
            wait_until(lambda: first.call(f'{url}/status/{waiting[0]["taskID"]}') == '200 OK', 120)
            told = json.loads(first.call(f'{url}/get/{waiting[0]["taskID"]}')['eventData'])
            wait_until(lambda: (directory / 'report.txt').exists())
        assert first.call(f'{url}/status/{task_id}') == '200 OK'

    assert environment['REPORT_TOKEN'] not in first.output + second.output
    assert (directory / 'report.txt').read_text() == f'{EVENT["eventID"]}: 1 files\n'
    assert told['subject'] == task_id


def test_the_event_that_is_shown_is_one_and_has_the_fields_of_those_that_are_sent(directory: Path) -> None:
    shown = json.loads(rst_blocks(HOOKS, 'json')['0'])
    from_dict(shown)

    with Scripted() as receiver:
        example = directory / 'notifying.py'
        example.write_text(example.read_text('utf-8').replace('8070', str(receiver.port)), 'utf-8')
        program(directory, f'from notifying import queue\nqueue.delay({EVENT!r})\n{RUN}', REPORT_TOKEN='x')

    [sent] = [delivery.event for delivery in receiver.asked]
    assert sent.keys() == shown.keys()
    assert sent['data'].keys() == shown['data'].keys()
    assert sent['data']['route'] == shown['data']['route']
    assert (sent['source'], sent['data']['result'], sent['data']['transactionID']) == ('measure', {'files': 1}, '19')
