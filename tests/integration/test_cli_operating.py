"""``status``, ``list``, ``show``, ``retry``, ``cancel``, ``prune`` and ``replay``, on a real table."""

from __future__ import annotations

import getpass
import json
import logging
import os
import pty
import re
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from playhouse.db_url import connect

from pacifica.dispatcher._cli import main
from pacifica.dispatcher._lineage import step
from pacifica.dispatcher.receiver import create_peewee_model
from pacifica.dispatcher.router import Router
from pacifica.dispatcher.task_context import current_task, stage
from support.command_line import PROGRAM, run, run_on_terminal
from support.databases import KINDS, temporary_database
from support.events import ingest_event, received, router_to, wait_until
from support.queues import count, drain

HOSTILE = 'a\x1b[2J\x1b]0;owned\x07\x9b31m\r\nb\tc\u202egnp\x00\x7f\ud800\u2028end'
COMMANDS = ('status', 'list', 'show', 'retry', 'cancel', 'prune', 'replay')
ARGUMENTS = {'show': [str(uuid4())], 'retry': ['--failed'], 'cancel': [str(uuid4())], 'prune': ['--older-than', '1d'],
             'replay': ['--all']}


class Events:
    """Events in a database: made, run, and read back."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.database = connect(url)
        self.model = create_peewee_model(self.database)
        self.model.migrate()
        self.error: Exception | None = None
        self.seen: list[str] = []
        self.results: list[Any] = []
        self.queue = self.model.create_queue(router_to(self.handle), 'my.app', 'my.app.receive')

    def handle(self, event: Any) -> None:
        task = current_task()
        assert task is not None
        self.seen.append(event.event_id)
        self.results.append(task.result.get('uploads'))
        with stage('download', files=2, bytes=2_000):
            pass
        task.save_result(uploads=[{'service': 'http://ingest', 'job_id': 42, 'attempt': 1, 'state': {'state': 'OK'}}])
        if self.error is not None:
            raise self.error

    def add(self, number: int = 1, **attributes: Any) -> list[str]:
        return [self.queue.delay(ingest_event(**attributes)).id for _ in range(number)]

    def ended(self, number: int = 1, error: Exception | None = None, **attributes: Any) -> list[str]:
        """Return the ids of new events that have been run, ending in *error* if there is one."""
        task_ids = self.add(number, **attributes)
        self.error = error
        self.drain()
        self.error = None
        return task_ids

    def drain(self) -> None:
        drain(self.queue.create_worker())

    def status(self, task_id: str) -> str:
        return str(self.model.get(self.model.task_id == UUID(task_id)).task_status)[:3]

    def column(self, task_id: str, name: str) -> Any:
        return getattr(self.model.get(self.model.task_id == UUID(task_id)), name)

    def close(self) -> None:
        self.model.close_connections()
        self.database.close()


@pytest.fixture
def events(tmp_path: Path) -> Iterator[Events]:
    """An empty table in SQLite."""
    made = Events(f'sqlite:///{tmp_path / "events.db"}')
    yield made
    made.close()


@pytest.fixture(params=KINDS)
def events_anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Events]:
    """An empty table in a database of each kind in turn."""
    with temporary_database(request.param, tmp_path) as url:
        made = Events(url)
        yield made
        made.close()


Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """What runs the command line on the table of some events, and returns its exit status and both outputs.

    In place of the events may be the URL of a database; paths begin in the test's directory.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging, 'basicConfig', lambda **_: None)  # by "prune", which logs to this process's stderr

    def call(events: Events | str, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setenv('DATABASE_URL', events if isinstance(events, str) else events.url)
        monkeypatch.setattr(sys, 'path', sys.path[:])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main(arguments)
        output = capsys.readouterr()
        assert isinstance(exit_.value.code, int)
        return exit_.value.code, output.out, output.err
    return call


def ids(output: str) -> list[str]:
    return [line.partition('\t')[0] for line in output.splitlines()]


def objects(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


# --- databases without a table of ours

@pytest.mark.parametrize('command', COMMANDS)
def test_a_mistyped_database_is_said_to_be_empty_and_not_made(tmp_path: Path, command: str, call: Call) -> None:
    status, out, err = call('sqlite:///typo.db', command, *ARGUMENTS.get(command, []))

    assert (status, out) == (2, '')
    assert re.fullmatch(r"pacifica-dispatcher: there are no events in database 'typo.db': .*migrate.*\n", err)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('command', COMMANDS)
def test_a_database_of_somebody_elses_is_left_as_it_is(tmp_path: Path, command: str, call: Call) -> None:
    connection = sqlite3.connect(tmp_path / 'other.db')
    connection.execute('CREATE TABLE other (x)')
    connection.close()
    before = (tmp_path / 'other.db').read_bytes()

    status, out, err = call('sqlite:///other.db', command, *ARGUMENTS.get(command, []))

    assert (status, out) == (2, '')
    assert "there are no events in database 'other.db'" in err
    assert (tmp_path / 'other.db').read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ['other.db']


def make_table_of_0_2(path: Path) -> None:
    """Make a table with the columns of the 0.2 series, with a row that waits."""
    names = ('uuid', 'event_type', 'event_type_version', 'cloud_events_version', 'source', 'event_id', 'event_time',
             'schema_url', 'content_type', 'event_data', 'data', 'task_id', 'task_application_name', 'task_name',
             'task_status', 'exc_type', 'exc_value', 'exc_traceback', 'created', 'updated', 'deleted')
    values = {'uuid': uuid4().hex, 'event_data': '{}', 'data': '[]', 'task_id': uuid4().hex, 'exc_traceback': '',
              'task_application_name': 'a', 'task_name': 'b', 'task_status': '202 Accepted',
              'created': '2020-01-01 00:00:00', 'updated': '2020-01-01 00:00:00'}
    connection = sqlite3.connect(path)
    connection.execute(f'CREATE TABLE receivetaskmodel ({", ".join(names)})')
    connection.execute(f'INSERT INTO receivetaskmodel ({", ".join(values)}) VALUES ({", ".join("?" * len(values))})',
                       list(values.values()))
    connection.commit()
    connection.close()


@pytest.mark.parametrize('command', COMMANDS)
def test_a_table_of_0_2_is_not_upgraded_unasked(tmp_path: Path, command: str, call: Call) -> None:
    make_table_of_0_2(tmp_path / 'old.db')
    before = (tmp_path / 'old.db').read_bytes()

    status, out, err = call('sqlite:///old.db', command, *ARGUMENTS.get(command, []))

    assert (status, out) == (2, '')
    assert 'is of an earlier version: run "pacifica-dispatcher migrate"' in err
    assert (tmp_path / 'old.db').read_bytes() == before


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize('kind', KINDS)
def test_rows_that_0_2_5_itself_wrote_are_shown_and_run_again(tmp_path: Path, kind: str, call: Call) -> None:
    subprocess.run([sys.executable, '-m', 'venv', tmp_path / 'old'], check=True)
    python = tmp_path / 'old' / 'bin' / 'python'
    subprocess.run([python, '-m', 'pip', 'install', '-q', 'pacifica-dispatcher==0.2.5', 'setuptools<81',
                    'psycopg[binary]', 'pymysql'], check=True)
    with temporary_database(kind, tmp_path) as url:
        made = Path(__file__).parent.parent / 'support' / 'make_0_2_table.py'
        subprocess.run([python, made, url], check=True)
        refused = run('list', '--database', url, cwd=tmp_path)
        migrated = run('migrate', '--database', url, cwd=tmp_path)
        events = Events(url)

        listed = call(events, 'list', '--json')
        shown = call(events, 'show', str(UUID(int=4)))
        retried = call(events, 'retry', str(UUID(int=4)))
        replayed = call(events, 'replay', '--status', 'ok', '--yes')
        pruned = call(events, 'prune', '--older-than', '30d')
        events.close()

    assert (refused.returncode, migrated.returncode) == (2, 0)
    assert 'earlier version' in refused.stderr
    assert len(objects(listed[1])) == 6
    assert shown[0] == retried[0] == replayed[0] == 0
    assert replayed[2] == '2 of 2 events were replayed\n'
    assert '"eventID": "metadata.ingest.4"' in shown[1]
    assert pruned[1] == '1 events were deleted\n'  # 422; what was being processed has ended just now


@pytest.mark.parametrize('command', COMMANDS)
def test_a_database_that_does_not_answer_is_one_line(command: str, call: Call) -> None:
    pytest.importorskip('psycopg')
    status, out, err = call('postgresql://me:secret@127.0.0.1:1/name', command, *ARGUMENTS.get(command, []))

    assert (status, out) == (2, '')
    assert len(err.splitlines()) == 1
    assert 'refused' in err.lower() and 'secret' not in err


# --- what was skipped

def test_a_skipped_event_is_told_from_one_that_was_handled(events: Events, tmp_path: Path, call: Call) -> None:
    [handled] = events.ended(1)
    [route] = events.queue.router
    made_by = {'source_transaction': 19, 'lineage.1': step('my.app', route.name)}
    [skipped] = events.ended(1, data=[
        {'destinationTable': 'TransactionKeyValue', 'key': f'Pacifica.Dispatcher.{key}', 'value': value}
        for key, value in made_by.items()])

    shown = call(events, 'show', skipped)[1]
    listed = {row['taskID']: row['skipped'] for row in objects(call(events, 'list', '--json')[1])}
    _, table = run_on_terminal('list', cwd=tmp_path, env={'DATABASE_URL': events.url}, columns=200)
    found = call(events, 'list', '--parent', '19')[1]
    status = json.loads(call(events, 'status', '--json')[1])

    assert len(events.seen) == 1
    assert f'200 OK, skipped: made by my.app/{route.name} from transaction 19' in shown
    assert bool(listed[skipped]) and not listed[handled]
    assert re.search(rf'skipped.*{skipped}', table) and not re.search(rf'skipped.*{handled}', table)
    assert ids(found) == [skipped]
    assert status['skipped'] == 1


# --- list

def test_list_filters_and_pages_newest_first(events_anywhere: Events, call: Call) -> None:
    failed = events_anywhere.ended(2, ValueError('100% of_it broke'))
    fine = events_anywhere.ended(3, eventType='other')
    waiting = events_anywhere.add(2, source='http://élsewhere', data=[
        {'destinationTable': 'Transactions._id', 'value': 4711}])
    newest_first = [*reversed(waiting), *reversed(fine), *reversed(failed)]

    def listed(*arguments: str) -> list[str]:
        status, out, _ = call(events_anywhere, 'list', *arguments)
        assert status == 0
        return ids(out)

    assert listed() == newest_first
    assert listed('--limit', '3') == newest_first[:3]
    assert listed('--limit', '3', '--after', newest_first[2]) == newest_first[3:6]
    assert listed('--all') == listed('--limit', '0') == newest_first
    for name, expected in (('failed', failed), ('500', failed), ('500 Internal Server Error', failed), ('ok', fine),
                           ('waiting', waiting), ('processing', []), ('unrouted', [])):
        assert listed('--status', name) == [*reversed(expected)]
    assert listed('--type', 'other') == [*reversed(fine)]
    assert listed('--source', 'http://élsewhere') == listed('--transaction', '4711') == [*reversed(waiting)]
    assert listed('--project', '1234a') == listed('--submitter', '10') == [*reversed(fine), *reversed(failed)]
    assert listed('--project', '1234a', '--instrument', '54', '--type', 'other') == [*reversed(fine)]
    assert listed('--route-name', 'nobody') == listed('--kv', 'a=b') == listed('--file', '*.csv') == []
    assert listed('--text', '100% OF_IT') == [*reversed(failed)]
    assert listed('--text', fine[1]) == [fine[1]]
    assert listed('--since', '1h') == listed('--until', '2999-01-01') == newest_first
    assert listed('--until', '1h') == listed('--since', '2999-01-01T00:00:00Z') == []
    assert listed('--status', 'failed', '--type', 'other') == []


def test_list_prints_lines_of_json_with_the_keys_of_get(events: Events, call: Call) -> None:
    [task_id] = events.ended(1, ValueError('it broke'))

    _, out, _ = call(events, 'list', '--json')
    [listed] = objects(out)
    [shown] = objects(call(events, 'show', task_id, '--json')[1])

    assert {key: shown[key] for key in listed} == listed
    assert (listed['taskID'], listed['exceptionValue']) == (task_id, 'it broke')


def test_times_are_utc_or_of_a_zone_that_is_named(events: Events, call: Call) -> None:
    [task_id] = events.add()
    moment = datetime.now(timezone.utc)
    zone = timezone(timedelta(hours=5))
    later, earlier = moment + timedelta(minutes=1), moment - timedelta(minutes=1)

    for since, expected in ((earlier.strftime('%Y-%m-%dT%H:%M:%S'), [task_id]), (later.isoformat(), []),
                            (earlier.astimezone(zone).isoformat(), [task_id])):
        assert ids(call(events, 'list', '--since', since)[1]) == expected


@pytest.mark.parametrize(('arguments', 'reason'), [
    (['list', '--status', 'lost'], "'lost' is no status: write waiting, processing, ok, failed, unrouted, or"),
    (['list', '--since', 'yesterday'], "'yesterday' is no time: write ISO 8601, for example"),
    (['list', '--since', '2026-13-01'], 'is no time'),
    (['list', '--until', '999999999w'], 'is no time'),
    (['list', '--after', '12'], "'12' is no task id"),
    (['list', '--after', str(UUID(int=1))], 'there is no event 00000000-.* perhaps it was pruned'),
    (['list', '--limit', '-1'], "Invalid value for '--limit'"),
    (['show', 'nope'], "'nope' is no task id, which is a UUID as"),
    (['show'], "Missing argument 'ID'"),
    (['retry'], 'say which events: .*See "pacifica-dispatcher retry --help"'),
    (['retry', str(UUID(int=1)), '--failed'], 'either by their task ids, or'),
    (['retry', '--failed', '--status', 'ok'], 'contradict each other'),
    (['retry', str(UUID(int=1)), 'nope'], "'nope' is no task id"),
    (['cancel'], 'say which events'),
    (['cancel', '--status', 'failed'], "No such option:? '?--status"),
    (['prune'], "Missing option '--older-than'"),
    (['prune', '--older-than', '30'], "'30' is no length of time .* 30d"),
    (['prune', '--older-than', '1000w5m1000000d'], 'at most a hundred years'),
    (['prune', '--older-than', '1d', '--task-name', 'x'], '--task-name needs --name'),
    (['replay'], 'say which events'),
    (['replay', '--all', '--since', '1d'], 'say which events'),
    (['replay', '--jsonpath', '$['], r"'\$\[' is no JSONPath: line 1:2 mismatched"),
    (['replay', '--all', '--route', 'nowhere:router'], "there is no module 'nowhere'"),
    (['replay', '--all', '--rate', '-1'], "Invalid value for '--rate'"),
    (['status', '--watch'], '--watch is for a terminal'),
    (['status', '--fail-if-older', 'soon'], "'soon' is no length of time"),
])
def test_what_cant_be_meant_is_one_line_and_status_2(
    events: Events, call: Call, arguments: list[str], reason: str,
) -> None:
    status, out, err = call(events, *arguments)

    assert (status, out) == (2, '')
    assert re.fullmatch(r'pacifica-dispatcher: [^\n]+\n', err)
    assert re.search(reason, err)


# --- show

def test_show_tells_the_whole_story_of_an_event(events: Events, call: Call) -> None:
    [task_id] = events.ended(1, ValueError('first line\nsecond line'))
    call(events, 'retry', task_id, '--by', 'the operator')
    events.drain()

    status, out, _ = call(events, 'show', task_id)

    assert status == 0
    assert re.search(r'^Status        200 OK$', out, re.MULTILINE)
    assert re.search(r'^Type          org.pacifica.metadata.ingest$', out, re.MULTILINE)
    assert re.search(r'^Transaction   \d+$', out, re.MULTILINE)
    timeline = out[out.index('Timeline'):]
    told = [
        r'accepted', r'attempt 1 by \S+ → 500 Internal Server Error after \d+ ms', r'download: .*2 files, 2.0 kB',
        r'ValueError: first line …', r'retry by the operator', r'attempt 1 by \S+ → 200 OK', r'Uploads',
        r'http://ingest: job 42, confirmed', r'"cloudEventsVersion": "0.1"', r'… \d+ more lines: --full',
    ]
    assert re.search('.*'.join(told), timeline, re.DOTALL)


def test_show_folds_the_event_and_the_traceback_unless_asked(events: Events, call: Call) -> None:
    [task_id] = events.ended(1, ValueError('it broke'), data=[{'long': list(range(1000))}])

    folded = call(events, 'show', task_id, '--lines', '5')[1]
    full = call(events, 'show', task_id, '--full', '--traceback')[1]

    assert len(folded.splitlines()) < 40 < 1000 < len(full.splitlines())
    assert 'its traceback has' in folded and 'Traceback (most recent' not in folded
    assert 'Traceback (most recent' in full and '--full' not in full
    event = full[full.index('\nEvent\n') + 7:]
    assert json.loads(event) == json.loads(events.column(task_id, 'event_data'))


def test_an_unknown_event_is_status_1(events: Events, call: Call) -> None:
    task_id = str(uuid4())

    assert call(events, 'show', task_id) == (1, '', f'pacifica-dispatcher: there is no event {task_id}\n')


# --- what events may say

@pytest.mark.parametrize('arguments', [
    ['list'], ['list', '--json'], ['show', '{}', '--full', '--traceback'], ['show', '{}', '--json'],
    ['replay', '--all', '--dry-run', '--route', 'hostile_routes:router'], ['status'],
    ['retry', '{}', '--by', '\x1b[2J'], ['retry', '{}', '--json'],
])
@pytest.mark.parametrize('terminal', [True, False])
def test_no_control_character_of_an_event_reaches_the_output(
    tmp_path: Path, arguments: list[str], terminal: bool,
) -> None:
    events = Events(f'sqlite:///{tmp_path / "events.db"}')
    events.queue = events.model.create_queue(router_to(events.handle), 'a\x1b[2Jowned\nb', 'c\x9b31m')
    [task_id] = events.ended(1, ValueError(HOSTILE), source=HOSTILE, eventType=HOSTILE, eventID=HOSTILE, data=HOSTILE)
    events.add(1, source=HOSTILE)
    events.close()
    (tmp_path / 'hostile_routes.py').write_text(ROUTES)
    command = [argument.format(task_id) if argument == '{}' else argument for argument in arguments]

    if terminal:
        status, out = run_on_terminal(*command, cwd=tmp_path, env={'DATABASE_URL': events.url}, columns=400)
        out = re.sub(r'\x1b\[[\d;]*m|\x1b\[\?25[lh]|\x1b\[\d?[KA]|\r', '', out)  # colours and the bar are ours
        assert '\x1b[31m' not in out
    else:
        done = run(*command, cwd=tmp_path, env={'DATABASE_URL': events.url})
        status, out = done.returncode, done.stdout + done.stderr

    assert status == 0, out
    assert out.replace('\n', '').replace('\t', '').isprintable()
    assert 'owned' in out or arguments[0] == 'retry'
    assert not re.search(r'^b', out, re.MULTILINE)  # its line break made no line


def test_rich_markup_and_emoji_codes_are_shown_as_they_are(tmp_path: Path) -> None:
    events = Events(f'sqlite:///{tmp_path / "events.db"}')
    events.ended(1, ValueError('[bold]x[/bold] :boom: [link=http://x]'), data=[
        {'destinationTable': 'Transactions.project', 'value': '[red]t[/red]'}])
    events.close()

    _, out = run_on_terminal('list', cwd=tmp_path, env={'DATABASE_URL': events.url}, columns=300)

    assert '[bold]x[/bold] :boom: [link=http://x]' in out and '[red]t[/red]' in out


# --- on a terminal

def test_a_terminal_gets_a_table_whose_task_ids_are_whole(tmp_path: Path) -> None:
    events = Events(f'sqlite:///{tmp_path / "events.db"}')
    task_ids = events.ended(3, ValueError('x' * 500))
    events.close()

    status, out = run_on_terminal('list', '--limit', '2', cwd=tmp_path, env={'DATABASE_URL': events.url}, columns=90)

    assert status == 0
    assert 'AGE' in out and 'FILES' not in out and all(task_id in out for task_id in task_ids[1:])
    assert f'there are more: --after {task_ids[1]}, or --all' in out


@pytest.mark.parametrize(('answer', 'status', 'seen'), [('y\n', 0, '202'), ('n\n', 1, '500'), ('\x04', 130, '500')])
def test_before_more_than_one_event_is_changed_it_asks(tmp_path: Path, answer: str, status: int, seen: str) -> None:
    events = Events(f'sqlite:///{tmp_path / "events.db"}')
    task_ids = events.ended(2, ValueError('it broke'))

    done, out = run_on_terminal('retry', '--failed', cwd=tmp_path, env={'DATABASE_URL': events.url}, answer=answer)

    assert done == status
    assert '2 events would be retried. Go on? [y/N]' in out
    assert [events.status(task_id) for task_id in task_ids] == [seen, seen]
    events.close()


def test_status_is_watched_until_it_is_interrupted(tmp_path: Path) -> None:
    events = Events(f'sqlite:///{tmp_path / "events.db"}')
    events.add(3)

    status, out = run_on_terminal(
        'status', '--watch', '0.1', cwd=tmp_path, env={'DATABASE_URL': events.url}, interrupt_after='no workers')

    assert status == 0
    assert '202 Accepted' in out and 'my.app' in out and 'Traceback' not in out
    events.close()


def test_what_is_piped_goes_into_the_pipe_while_the_terminal_shows_a_bar(tmp_path: Path) -> None:
    events = Events(f'sqlite:///{tmp_path / "events.db"}')
    task_ids = events.ended(3)
    events.close()
    terminal, program = pty.openpty()
    command = [*PROGRAM, 'replay', '--all', '--yes', '--database', events.url]

    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=program, env={**os.environ, 'TERM': 'xterm'})
    os.close(program)

    assert ids(done.stdout.decode()) == task_ids
    assert b'3 of 3 events were replayed' in os.read(terminal, 65536)
    os.close(terminal)


def test_a_reader_that_has_seen_enough_ends_it_without_a_word(tmp_path: Path) -> None:
    events = Events(f'sqlite:///{tmp_path / "events.db"}')
    events.queue.accept([received(source='x' * 5_000) for _ in range(200)])
    events.close()
    process = subprocess.Popen(
        [*PROGRAM, 'list', '--all', '--database', events.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None

    assert process.stdout.readline()
    process.stdout.close()

    assert process.stderr.read() == b''
    process.stderr.close()
    process.wait()


# --- retry and cancel

def test_retry_says_for_each_event_what_was_done(events_anywhere: Events, call: Call) -> None:
    failed, other = events_anywhere.ended(2, ValueError('it broke'))
    [waiting] = events_anywhere.add()
    unknown = str(uuid4())

    status, out, err = call(events_anywhere, 'retry', failed, waiting, unknown, other, failed, '--yes', '--by', 'me')

    assert status == 1
    assert out.splitlines() == [
        f'{failed}\tretried', f'{waiting}\tnot retried: it is in 202 Accepted',
        f'{unknown}\tnot retried: there is no such event', f'{other}\tretried',
    ]
    assert err == '2 of 4 events were retried\n'
    events_anywhere.drain()
    assert [events_anywhere.status(task_id) for task_id in (failed, waiting, other)] == ['200', '200', '200']
    assert len(events_anywhere.seen) == 5
    assert json.loads(events_anywhere.column(failed, 'history'))[1]['by'] == 'me'


def test_retry_by_a_filter_means_those_that_failed(events_anywhere: Events, call: Call) -> None:
    failed = events_anywhere.ended(3, ValueError('it broke'))
    fine = events_anywhere.ended(2)

    dry = call(events_anywhere, 'retry', '--since', '1h', '--dry-run')
    status, out, err = call(events_anywhere, 'retry', '--type', 'org.pacifica.metadata.ingest', '--yes')

    assert (dry[0], ids(dry[1]), dry[2]) == (0, failed, '3 of 3 events would be retried\n')
    assert (status, ids(out), err) == (0, failed, '3 of 3 events were retried\n')
    assert [events_anywhere.status(task_id) for task_id in fine] == ['200', '200']
    assert call(events_anywhere, 'retry', '--failed', '--yes')[0] == 1  # none is left
    assert call(events_anywhere, 'retry', '--status', 'ok', '--yes')[0] == 0


def test_a_dry_run_changes_nothing(events: Events, call: Call) -> None:
    events.ended(3, ValueError('it broke'))
    events.add(2)
    before = [row.__data__ for row in events.model.select()]

    for arguments in (['retry', '--failed'], ['cancel', '--since', '1d'], ['prune', '--older-than', '0s'],
                      ['replay', '--all']):
        assert call(events, *arguments, '--dry-run')[0] == 0

    assert [row.__data__ for row in events.model.select()] == before


@pytest.mark.parametrize('command', [['retry', '--failed'], ['cancel', '--since', '1d'], ['replay', '--all']])
def test_without_a_terminal_more_than_one_event_is_changed_only_with_yes(
    events: Events, call: Call, command: list[str],
) -> None:
    events.ended(2, ValueError('it broke'))
    events.add(2)

    status, out, err = call(events, *command)

    assert (status, out) == (2, '')
    assert re.fullmatch(r'pacifica-dispatcher: \d events would be .*: say --yes, .*\n', err)
    assert sorted(row.task_status[:3] for row in events.model.select()) == ['202', '202', '500', '500']


def test_one_event_is_changed_without_asking(events: Events, call: Call) -> None:
    [failed] = events.ended(1, ValueError('it broke'))

    assert call(events, 'retry', failed) == (0, f'{failed}\tretried\n', '')


def test_cancel_takes_what_waits_and_nothing_else(events_anywhere: Events, call: Call) -> None:
    [fine] = events_anywhere.ended(1)
    named, *others = events_anywhere.add(3)

    both = call(events_anywhere, 'cancel', named, fine, '--yes', '--by', 'me')
    rest = call(events_anywhere, 'cancel', '--since', '1h', '--yes')

    assert (both[0], both[1].splitlines()) == (
        1, [f'{named}\tcancelled', f'{fine}\tnot cancelled: it is in 200 OK'])
    assert (rest[0], ids(rest[1])) == (0, others)
    assert events_anywhere.column(named, 'exc_value') == 'cancelled by me while it waited'
    events_anywhere.drain()
    assert len(events_anywhere.seen) == 1


def test_acts_as_json_say_what_was_done_and_what_is(events: Events, call: Call) -> None:
    [failed] = events.ended(1, ValueError('it broke'))
    [waiting] = events.add()

    _, dry, _ = call(events, 'retry', failed, waiting, '--json', '--dry-run')
    status, out, _ = call(events, 'retry', failed, waiting, '--json', '--yes')

    assert status == 1
    assert objects(dry) == [
        {'taskID': failed, 'action': 'retry', 'done': False, 'possible': True,
         'taskStatus': '500 Internal Server Error'},
        {'taskID': waiting, 'action': 'retry', 'done': False, 'possible': False, 'taskStatus': '202 Accepted'}]
    assert [(line['taskID'], line['done'], line['taskStatus']) for line in objects(out)] == [
        (failed, True, '202 Accepted'), (waiting, False, '202 Accepted')]


# --- prune

def test_prune_deletes_what_ended_long_ago(events_anywhere: Events, call: Call) -> None:
    old = events_anywhere.ended(3)
    [fresh] = events_anywhere.ended(1)
    [waiting] = events_anywhere.add()
    model = events_anywhere.model
    model.update(finalized=datetime(2020, 1, 1)).where(model.task_id.in_([UUID(one) for one in old])).execute()

    dry = call(events_anywhere, 'prune', '--older-than', '30d', '--dry-run')
    other = call(events_anywhere, 'prune', '--older-than', '30d', '--name', 'other')
    done = call(events_anywhere, 'prune', '--older-than', '30d', '--name', 'my.app', '--json')

    assert dry == (0, '3 events would be deleted\n', '')
    assert other == (0, '0 events were deleted\n', '')
    assert (done[0], json.loads(done[1])) == (0, {'found': 3, 'deleted': 3})
    assert {str(row.task_id) for row in model.select()} == {fresh, waiting}


@pytest.mark.parametrize('options, by', [([], getpass.getuser()), (['--by', 'the operator'], 'the operator')])
def test_who_pruned_and_where_is_logged(events: Events, tmp_path: Path, options: list[str], by: str) -> None:
    events.ended(2)

    done = run('prune', '--older-than', '0s', *options, '--database', events.url, cwd=tmp_path)

    entry, = (line for line in done.stderr.splitlines() if ' events.pruned ' in line)
    assert entry.endswith(f' application=any by={by} deleted=2 host={socket.gethostname()} older_than=0.0')


def test_prune_says_that_a_sqlite_file_keeps_its_size_and_makes_it_smaller_if_asked_to(
    events: Events, call: Call, tmp_path: Path,
) -> None:
    file = Path(events.database.database)
    for number in (1, 2):
        events.ended(3, data='x' * 1_000_000)
        events.model.close_connections()
        before = file.stat().st_size
        code, out, err = call(events, 'prune', '--older-than', '0s', *(['--vacuum'] if number == 2 else []))
        assert (code, out) == (0, '3 events were deleted\n')
        assert ('--vacuum makes it smaller' in err) == (number == 1)
    assert file.stat().st_size < before / 10


def test_only_a_sqlite_file_is_vacuumed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(['prune', '--older-than', '1d', '--vacuum', '--database', 'postgresql://127.0.0.1/none'])
    assert '--vacuum is for SQLite files' in capsys.readouterr().err


# --- status

def test_status_counts_and_says_how_long_and_who(events: Events, call: Call) -> None:
    events.ended(2)
    events.ended(1, ValueError('it broke'))
    worker = events.queue.create_worker(3)
    worker.start()
    wait_until(lambda: json.loads(call(events, 'status', '--json')[1])['workers'])
    glance = json.loads(call(events, 'status', '--json')[1])
    worker.stop()
    events.add(1)
    lines = [line.split('\t') for line in call(events, 'status')[1].splitlines()]

    assert glance['counts'] == {'202 Accepted': 0, '102 Processing': 0, '200 OK': 2, '422 Unprocessable Entity': 0,
                                '500 Internal Server Error': 1}
    assert glance['queues'] == []
    [shown] = glance['workers']
    assert (shown['taskApplicationName'], shown['engine'], shown['concurrency'], shown['lost']) == (
        'my.app', 'threads', 3, False)
    for span in ('hour', 'day'):
        assert glance['ended'][span]['counts']['200 OK'] == 2
        assert 0 <= glance['ended'][span]['p50'] <= glance['ended'][span]['p95'] < 60
    assert ['count', '202 Accepted', '1'] in lines
    assert any(line[:3] == ['queue', 'my.app', 'my.app.receive'] for line in lines)
    assert not any(line[0] == 'worker' for line in lines)


def test_failures_that_are_alike_are_a_group_that_is_listed_and_run_again(events: Events, call: Call) -> None:
    alike = [*events.ended(2, ValueError('no calibration for run 7')), *events.ended(1, ValueError(
        'no calibration for run 8'))]
    events.ended(1, ValueError('disk full'))

    groups = json.loads(call(events, 'status', '--json')[1])['failing']
    lines = [line.split('\t') for line in call(events, 'status')[1].splitlines() if line.startswith('group')]
    group = groups[0]['group']
    listed = call(events, 'list', '--group', group)[1]
    retried = call(events, 'retry', '--group', group, '--yes')[1]

    [route] = json.loads(call(events, 'status', '--json')[1])['routes']

    assert route['hour']['p50'] <= route['day']['p95'] and route['day']['counts']['200 OK'] == 0
    assert [(each['count'], each['exceptionType']) for each in groups] == [(3, 'ValueError'), (1, 'ValueError')]
    assert groups[0]['taskID'] in alike and 'no calibration for run' in groups[0]['exceptionValue']
    assert [line[:3] for line in lines] == [['group', each['group'], str(each['count'])] for each in groups]
    assert set(ids(listed)) == set(ids(retried)) == set(alike)
    assert len(json.loads(call(events, 'status', '--json')[1])['failing']) == 1


def test_status_fails_if_something_has_waited_too_long(events: Events, call: Call) -> None:
    [task_id] = events.add()
    events.model.update(due=events.model.due - 600).execute()

    assert call(events, 'status', '--fail-if-older', '20m')[0] == 0
    status, out, err = call(events, 'status', '--fail-if-older', '60')

    assert status == 1
    assert 'count\t202 Accepted\t1' in out
    assert re.fullmatch(r'an event of my\.app, task my\.app\.receive, has been due for 10 min.*\n', err)
    call(events, 'cancel', task_id)
    assert call(events, 'status', '--fail-if-older', '0')[0] == 0


def test_status_tells_of_which_types_the_events_without_a_route_are(
    events: Events, tmp_path: Path, call: Call,
) -> None:
    queue = events.model.create_queue(Router(), 'my.app', 'my.app.receive')
    queue.accept([received(eventType=kind) for kind in ('noise', 'mine', 'noise')])
    drain(queue.create_worker())

    lines = [line.split('\t') for line in call(events, 'status')[1].splitlines()]
    _, table = run_on_terminal('status', cwd=tmp_path, env={'DATABASE_URL': events.url})

    assert json.loads(call(events, 'status', '--json')[1])['unrouted'] == {'noise': 2, 'mine': 1}
    assert [line[1:] for line in lines if line[0] == 'unrouted'] == [['noise', '2'], ['mine', '1']]
    assert re.search(r'LATEST WITHOUT A ROUTE.*\n.*noise +2 *\s+.*mine +1\s', table)


# --- replay

ROUTES = '''
from jsonpath2.path import Path
from pacifica.dispatcher.event_handlers import ExceptionEventHandler, NoopEventHandler
from pacifica.dispatcher.router import Router
router = Router()
router.add_route(Path.parse_str('$[?(@["eventType"] = "one")]'), NoopEventHandler())
router.add_route(Path.parse_str('$[?(@["eventType"] = "two")]'), ExceptionEventHandler())
'''


def test_replay_runs_events_again_from_the_beginning(events: Events, call: Call) -> None:
    [fine] = events.ended(1, eventType='one')
    [failed] = events.ended(1, ValueError('it broke'), eventType='one')
    events.ended(1, eventType='two')
    [waiting] = events.add(1, eventType='one')
    events.seen.clear()
    events.results.clear()

    status, out, err = call(events, 'replay', '--jsonpath', '$[?(@["eventType"] = "one")]', '--yes')
    before = events.status(waiting)
    events.drain()

    assert (status, ids(out), err) == (0, [fine, failed], '2 of 2 events were replayed\n')
    assert before == '202'
    assert len(events.seen) == 3  # and the one that waited
    assert events.results == [None, None, None]  # no upload of before is known
    assert json.loads(events.column(fine, 'history'))[1]['action'] == 'replay'


def test_a_replay_previews_which_route_takes_what(events: Events, call: Call, tmp_path: Path,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'routes_of_replay.py').write_text(ROUTES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'path', sys.path[:])
    for event_type in ('one', 'one', 'two', 'three'):
        events.ended(1, eventType=event_type)
    arguments = ('replay', '--all', '--dry-run', '--route', 'routes_of_replay:router')

    status, out, err = call(events, *arguments)
    as_json = objects(call(events, *arguments, '--json')[1])

    assert status == 0
    assert [line.rpartition('\t')[2].rpartition(' ')[2] for line in out.splitlines()] == [
        '422)', 'ExceptionEventHandler', 'NoopEventHandler', 'NoopEventHandler']
    assert err.splitlines()[0] == '2 by $[?(@["eventType"] = "one")] → NoopEventHandler'
    assert err.splitlines()[-1] == '4 events would be replayed'
    assert [row['wouldRun'] is None for row in as_json] == [True, False, False, False]
    assert call(events, *arguments[:2], *arguments[3:])[0] == 2  # without --dry-run
    sys.modules.pop('routes_of_replay')


def test_a_replay_keeps_few_events_waiting_as_workers_take_them(events: Events, call: Call) -> None:
    task_ids = events.ended(30)
    events.seen.clear()
    most, finished = [0], threading.Event()

    def work() -> None:
        worker = events.queue.create_worker()
        while not finished.is_set():
            most[0] = max(most[0], count(events.model, '202 Accepted'))
            if not worker.run_once():
                finished.wait(0.01)
        events.database.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        status, out, err = call(events, 'replay', '--all', '--yes', '--max-waiting', '5')
        wait_until(lambda: len(events.seen) == 30)
    finally:
        finished.set()
        thread.join()

    assert (status, ids(out)) == (0, task_ids)
    assert '30 of 30 events were replayed' in err
    assert 1 <= most[0] <= 5


def test_a_replay_is_no_faster_than_its_rate(events: Events, call: Call) -> None:
    events.ended(5)

    began = time.time()

    assert call(events, 'replay', '--all', '--yes', '--rate', '2')[0] == 0

    # From the start, not from one another: on a busy machine the first ones may be late and the next on time.
    due = sorted(row.due for row in events.model.select())
    assert len(due) == 5
    assert due[2] - began > 0.9 and due[4] - began > 1.9


# --- many

@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ten_thousand_events(tmp_path: Path) -> None:
    events = Events(f'sqlite:///{tmp_path / "events.db"}')
    task_ids = []
    for _ in range(20):
        task_ids += events.queue.accept([received() for _ in range(500)])

    listed = run('list', '--all', '--database', events.url, cwd=tmp_path)
    cancelled = run('cancel', '--since', '1d', '--yes', '--database', events.url, cwd=tmp_path)
    retried = run('retry', '--failed', '--yes', '--json', '--database', events.url, cwd=tmp_path)
    run('cancel', '--since', '1d', '--yes', '--database', events.url, cwd=tmp_path)
    replayed = run('replay', '--all', '--yes', '--max-waiting', '0', '--database', events.url, cwd=tmp_path)
    run('cancel', '--since', '1d', '--yes', '--database', events.url, cwd=tmp_path)
    pruned = run('prune', '--older-than', '0s', '--database', events.url, cwd=tmp_path)

    newest_first = ids(listed.stdout)
    assert sorted(newest_first) == sorted(task_ids)
    assert cancelled.stderr == '10,000 of 10,000 events were cancelled\n'
    assert ids(cancelled.stdout) == ids(replayed.stdout) == newest_first[::-1]
    assert [line['taskID'] for line in objects(retried.stdout)] == newest_first[::-1]
    assert pruned.stdout == '10,000 events were deleted\n'
    assert events.model.select().count() == 0
    events.close()
