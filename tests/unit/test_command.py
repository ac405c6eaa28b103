"""Programs as handlers: what they are given, how their end is judged, and that nothing of them is left."""

from __future__ import annotations

import json
import os
import pickle
import stat
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from cloudevents.model import Event

from pacifica.dispatcher.downloader_runners import LocalDownloaderRunner
from pacifica.dispatcher.event_handlers import CommandEventHandler, StagedEventHandler
from pacifica.dispatcher.exceptions import (
    CancelledError, CommandError, ConfigurationError, HandlerTimeoutError, RetryLater,
)
from pacifica.dispatcher.staging import StagedEvent
from pacifica.dispatcher.task_context import TaskContext, task_context
from pacifica.dispatcher.uploader_runners import LocalUploaderRunner
from support.events import wait_until
from support.processes import is_alive
from support.staging import event_of, read_bundle, write_files

FILES = {'a.csv': 'a,b\n', 'sub/c d.txt': 'hello'}
#: Writes its arguments and what of its environment is ours as JSON to output/seen.json.
SHOW = ('import json, os, sys; json.dump([sys.argv[1:], os.getcwd(), {name: value for name, value in os.environ.items()'
        ' if name.startswith("PACIFICA_")}], open("output/seen.json", "w"))')


def run(root: Path, command, event=None, **settings) -> StagedEvent:
    """Run a command on a staged event, and return the event."""
    staged = StagedEvent.for_test(root, FILES if event is None else None, event=event)
    CommandEventHandler(command, **settings).handle(staged)
    return staged


def event_with(*pairs, **fields):
    """Return an event of a transaction with these fields and key-values."""
    data = [{'destinationTable': f'Transactions.{name}', 'value': value} for name, value in fields.items()]
    data += [{'destinationTable': 'TransactionKeyValue', 'key': key, 'value': value} for key, value in pairs]
    return {'cloudEventsVersion': '0.1', 'eventType': 'x', 'eventID': '1', 'source': 'http://x', 'data': data}


def test_a_program_gets_its_files_its_event_and_what_the_event_says(tmp_path):
    event = event_with(('Sample', 'two  words; $(touch x)'), _id=19, project='1234a', instrument=54, submitter=10)
    command = [sys.executable, '-c', SHOW, '{input}', 'x{transaction}-{project}', '{instrument}', '{submitter}',
               '{kv:Sample}', '{event}', '{print}', '{output}']
    staged = run(tmp_path, command, event)

    arguments, directory, environment = json.loads((staged.output_directory / 'seen.json').read_text())
    assert arguments == [
        str(staged.input_directory), 'x19-1234a', '54', '10', 'two  words; $(touch x)', str(tmp_path / 'event.json'),
        '{print}', str(staged.output_directory)]
    assert directory == str(tmp_path)
    assert {name: value for name, value in environment.items() if 'DISPATCHER' not in name} | {
        'PACIFICA_TRANSACTION': '19', 'PACIFICA_PROJECT': '1234a', 'PACIFICA_INSTRUMENT': '54',
        'PACIFICA_SUBMITTER': '10', 'PACIFICA_INPUT': str(staged.input_directory),
        'PACIFICA_OUTPUT': str(staged.output_directory), 'PACIFICA_EVENT': str(tmp_path / 'event.json'),
    } == {name: value for name, value in environment.items() if 'DISPATCHER' not in name}
    assert json.loads((tmp_path / 'event.json').read_text()) == event


def test_download_and_output_are_where_scripts_look_for_them(tmp_path):
    staged = run(tmp_path, 'find download -type f | sort > output/list; cat "$PACIFICA_INPUT/a.csv"', shell=True)
    assert (staged.output_directory / 'list').read_text() == 'download/a.csv\ndownload/sub/c d.txt\n'


def test_a_task_is_named_in_the_environment_and_gets_what_the_program_writes(tmp_path):
    written = []
    task = TaskContext(uuid4(), 2, route='r', output=lambda stream, data: written.append((stream, data)))
    with task_context(task):
        run(tmp_path, 'echo "$PACIFICA_TASK_ID $PACIFICA_ATTEMPT $PACIFICA_ROUTE"; echo oh >&2', shell=True)
    assert sorted(written) == [('stderr', b'oh\n'), ('stdout', f'{task.task_id} 2 r\n'.encode())]


def test_outside_of_a_task_output_goes_to_the_caller_s_own(tmp_path, capsys):
    run(tmp_path, ['echo', 'héllo'])
    assert capsys.readouterr().out == 'héllo\n'


def test_a_relative_program_is_beside_the_given_directory_and_named_by_a_placeholder(tmp_path):
    script = tmp_path / 'scripts' / 'run'
    script.parent.mkdir()
    script.write_text('#!/bin/sh\ntest -x "$1/run"')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    (tmp_path / 'event').mkdir()
    run(tmp_path / 'event', ['./run', '{directory}'], directory=script.parent)


@pytest.mark.parametrize(('name', 'text', 'found'), [
    ('kvp.csv', 'a,1\n"b, c","two\n', None),
    ('kvp.csv', 'a,1\nb,2,3\n', None),
    ('kvp.csv', 'a,1\r\n\n"b, c",zwei ü\n', {'a': '1', 'b, c': 'zwei ü'}),
    ('key_values.json', '{"a": "x", "n": 4}', {'a': 'x', 'n': '4'}),
    ('key_values.json', '{"a": ["x"]}', None),
    ('key_values.json', '["a"]', None),
    ('key_values.json', '{', None),
])
def test_key_values_of_the_upload_are_what_the_program_left_and_are_no_files_of_it(tmp_path, name, text, found):
    staged = StagedEvent.for_test(tmp_path, {})
    (tmp_path / 'text').write_text(text)
    handler = CommandEventHandler(['cp', str(tmp_path / 'text'), f'output/{name}'])
    if found is None:
        with pytest.raises(CommandError, match=f"output/{name} can't be read: "):
            handler.handle(staged)
    else:
        handler.handle(staged)
        assert {each.key: each.value for each in staged.key_values if each.key in found} == found
        assert list(staged.output_directory.iterdir()) == []


def test_a_key_that_the_route_gives_and_the_program_too_has_the_program_s_value(tmp_path):
    runner = LocalDownloaderRunner(str(write_files(tmp_path / 'archive', {'a': b'1'})), link=False)
    command = CommandEventHandler('echo k,program > output/kvp.csv; md5sum download/* > output/sums', shell=True)
    StagedEventHandler(
        runner, command, LocalUploaderRunner(tmp_path / 'bundles'), key_values={'k': 'route', 'do_processing': 'False'},
    ).handle(event_of({'a': b'1'}))

    contents, metadata = read_bundle(next((tmp_path / 'bundles').iterdir()))
    assert list(contents) == ['data/sums']
    pairs = [(each['key'], each['value']) for each in metadata if each['destinationTable'] == 'TransactionKeyValue']
    assert ('k', 'program') in pairs and ('do_processing', 'False') in pairs and ('k', 'route') not in pairs


@pytest.mark.parametrize(('script', 'error', 'why'), [
    ('exit 75', RetryLater, 'sh asked to be run again later'),
    ('echo not yet >&2; exit 75', RetryLater, 'later: not yet'),
    ('for i in $(seq 50); do echo line $i >&2; done; exit 3', CommandError, 'exit code 3: line 41\n.*line 50$'),
    ('exit 3', CommandError, 'exit code 3, and wrote nothing to stderr'),
    ('kill -SEGV $$', CommandError, 'was killed by SIGSEGV'),
    ('printf "\\377" >&2; exit 1', CommandError, 'exit code 1: \ufffd'),
])
def test_the_end_of_a_program_is_judged_by_its_exit_code(tmp_path, script, error, why):
    with pytest.raises(error, match=f'(?s){why}'):
        run(tmp_path, script, shell=True)


@pytest.mark.parametrize(('command', 'event', 'why'), [
    (['true', '{project}'], event_with(_id=1), 'the event has no project'),
    (['true', '{kv:Sample}'], event_with(_id=1), 'the event has no kv:Sample'),
    (['true', '{project}'], event_with(project='a\0b'), 'has characters that no argument can have'),
    (['true', '{project}'], event_with(project='\ud800'), 'has characters that no argument can have'),
    (['true', '{project}'], event_with(project=['a']), 'is no text and no number'),
    (['true', '{kv:a}'], event_with(('a', True)), 'is no text and no number'),
    (['no-such-program'], None, "no program 'no-such-program'"),
    (['./no-such-program'], None, "no program './no-such-program'"),
])
def test_a_program_that_can_t_be_run_says_why(tmp_path, command, event, why):
    with pytest.raises(CommandError, match=why):
        run(tmp_path, command, event)


@pytest.mark.parametrize(('arguments', 'settings', 'why'), [
    ('echo', {}, 'a list of the program'),
    (['echo'], {'shell': True}, 'with shell=True one text'),
    ([], {}, 'a command has a program'),
    ([''], {}, 'a command has a program'),
    (['a', 1], {}, 'is of texts'),
    (['a', '{inptu}'], {}, r'there is no \{inptu\}; \{input\} is meant'),
    (['a'], {'timeout': 0}, 'more than 0'),
    (['a'], {'memory': -1}, 'more than 0'),
])
def test_a_command_that_can_t_be_is_refused_as_it_is_made(arguments, settings, why):
    with pytest.raises(ConfigurationError, match=why):
        CommandEventHandler(arguments, **settings)


def test_a_plain_event_is_refused_with_what_to_do():
    with pytest.raises(ConfigurationError, match='make it the handler of a StagedEventHandler'):
        CommandEventHandler(['true']).handle(Event(event_with()))


def pids_in(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()]


STUBBORN = """trap '' TERM
(trap '' TERM; exec sleep 300) & echo $! >> output/pids
(trap '' TERM; exec sleep 300) & echo $! >> output/pids
echo $$ >> output/pids
while :; do sleep 1; done"""


def test_at_its_timeout_a_program_ends_with_all_that_it_started_though_they_ignore_sigterm(tmp_path):
    with pytest.raises(HandlerTimeoutError, match='sh ran longer than its timeout, 0.5 seconds'):
        run(tmp_path, STUBBORN, shell=True, timeout=0.5)
    pids = pids_in(tmp_path / 'output' / 'pids')
    assert len(pids) == 3
    wait_until(lambda: not any(map(is_alive, pids)))


def test_a_program_that_ends_at_sigterm_is_waited_for_no_longer(tmp_path):
    script = 'trap "echo end > output/end; exit 0" TERM; while :; do sleep 0.05; done'
    with pytest.raises(HandlerTimeoutError):
        run(tmp_path, script, shell=True, timeout=0.5)
    assert (tmp_path / 'output' / 'end').exists()


def test_what_a_program_leaves_in_its_process_group_ends_with_it(tmp_path):
    staged = run(tmp_path, 'sleep 300 & echo $! > output/pids', shell=True)
    pids = pids_in(staged.output_directory / 'pids')
    wait_until(lambda: not any(map(is_alive, pids)))


def test_a_program_that_closes_its_output_is_waited_for(tmp_path):
    staged = run(tmp_path, 'exec >&- 2>&-; sleep 0.3; echo > output/done', shell=True)
    assert (staged.output_directory / 'done').exists()


def test_a_cancelled_task_ends_its_program(tmp_path):
    asked = []

    def cancelled():
        asked.append(1)
        return 'enough' if (tmp_path / 'output' / 'pids').exists() else None

    with task_context(TaskContext(uuid4(), cancelled=cancelled)), pytest.raises(CancelledError, match='enough'):
        run(tmp_path, 'echo $$ > output/pids; exec sleep 300', shell=True)
    assert not any(map(is_alive, pids_in(tmp_path / 'output' / 'pids')))


def test_memory_and_niceness_are_those_of_the_program_alone(tmp_path):
    with pytest.raises(CommandError, match='MemoryError'):
        run(tmp_path, [sys.executable, '-c', 'bytearray(10 ** 9)'], memory=512 << 20)
    (tmp_path / 'second').mkdir()
    script = 'import os; open("output/nice", "w").write(str(os.nice(0)))'
    staged = run(tmp_path / 'second', [sys.executable, '-c', script], nice=3, environment={'X': 'y'})
    assert int((staged.output_directory / 'nice').read_text()) == min(os.nice(0) + 3, 19)


def test_more_output_than_memory_would_hold_passes_through(tmp_path):
    count = []
    task = TaskContext(uuid4(), output=lambda stream, data: count.append(len(data)))
    with task_context(task):
        run(tmp_path, ['head', '-c', str(64 << 20), '/dev/zero'])
    assert sum(count) == 64 << 20 and max(count) <= 1 << 16


def test_a_handler_of_a_program_goes_to_another_process():
    handler = pickle.loads(pickle.dumps(CommandEventHandler(['true', '{input}'], timeout=3)))
    assert (handler.command, handler.timeout, handler.program) == (['true', '{input}'], 3, 'true')
