"""``send``, to receivers that are busy, strange or not there."""

from __future__ import annotations

import json
import socket
import sys
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from pacifica.dispatcher._cli import main
from support.fakes import Answers, Scripted

ID = '01a20df1-85b8-70e0-b143-4ac7ab42105f'
ACCEPTED = Answers(200, json.dumps(ID).encode())
EVENT = '{"specversion": "1.0", "id": "1", "source": "/a", "type": "t", "data": 1.0}'


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be in a directory with an event file."""
    (tmp_path / 'event.json').write_text(EVENT)
    (tmp_path / 'two.json').write_text(f'[{EVENT}, {EVENT}]')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('NO_PROXY', '*')
    return tmp_path


def exit_status(*arguments: str) -> Any:
    with pytest.raises(SystemExit) as exit_:
        main(['send', *arguments])
    return exit_.value.code


@pytest.mark.parametrize('busy', [
    Answers(429, headers={'Retry-After': '0'}),
    Answers(503, headers={'Retry-After': formatdate(0, usegmt=True)}),
])
def test_a_receiver_that_is_busy_is_asked_again(busy: Answers, capsys: pytest.CaptureFixture[str]) -> None:
    with Scripted(busy, busy, ACCEPTED) as receiver:
        assert exit_status('event.json', '--url', receiver.url) == 0
    assert [asked.body for asked in receiver.asked] == [EVENT.encode()] * 3
    assert ID in capsys.readouterr().out


def test_a_receiver_that_stays_busy_is_asked_for_a_bounded_time(capsys: pytest.CaptureFixture[str]) -> None:
    busy = Answers(429, b'{"message": "too many events wait"}', {'Retry-After': '3600'})
    with Scripted(busy) as receiver:
        assert exit_status('event.json', '--url', receiver.url, '--retry-for', '5') == 1
    assert len(receiver.asked) == 1
    assert 'event.json was refused: 429 Too Many Requests: too many events wait\n' in capsys.readouterr().err


@pytest.mark.parametrize('status, headers', [(503, {}), (500, {'Retry-After': '0'}), (429, {'Retry-After': 'soon'})])
def test_a_receiver_that_does_not_say_when_is_not_asked_again(status: int, headers: dict[str, str]) -> None:
    with Scripted(Answers(status, b'<html>', headers)) as receiver:
        assert exit_status('event.json', '--url', receiver.url) == 1
    assert len(receiver.asked) == 1


@pytest.mark.parametrize('answer, reason', [
    (Answers(200, b'<html>It works!'), 'answered 200 OK, but no task id: is it where events are received?'),
    (Answers(404), 'answered 404 Not Found: check the path of the URL'),
    (Answers(302, headers={'Location': 'http://192.0.2.1/'}), 'not sent on to where it leads, http://192.0.2.1/'),
    (Answers(401), 'answered 401 Unauthorized: it wants credentials'),
])
def test_what_is_no_receiver_is_not_sent_to_twice(
    answer: Answers, reason: str, capsys: pytest.CaptureFixture[str],
) -> None:
    with Scripted(answer) as receiver:
        assert exit_status('two.json', '--url', receiver.url) == 2
    assert len(receiver.asked) == 1
    line = capsys.readouterr().err
    assert line.startswith(f'pacifica-dispatcher: {receiver.url}/receive ') and reason in line


def test_what_was_sent_before_a_failure_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with Scripted(ACCEPTED, Answers(404)) as receiver:
        assert exit_status('two.json', '--url', receiver.url) == 2
    output = capsys.readouterr()
    assert ID in output.out and '(1 of 2 events were sent: see above)' in output.err


def test_a_receiver_that_gives_no_ids_is_no_receiver_to_wait_for(capsys: pytest.CaptureFixture[str]) -> None:
    with Scripted(Answers(202)) as receiver:
        assert exit_status('event.json', '--url', receiver.url) == 0
        assert 'accepted' in capsys.readouterr().out
        assert exit_status('event.json', '--url', receiver.url, '--wait') == 2
        assert 'gives no task ids' in capsys.readouterr().err
        assert exit_status('event.json', '--url', f'{receiver.url}/broker', '--wait') == 2
    assert [asked.path for asked in receiver.asked] == ['/receive'] * 2


@pytest.mark.parametrize('url, path', [('', '/receive'), ('/', '/receive'), ('/x/receive', '/x/receive')])
def test_statuses_are_asked_for_beside_where_events_go(url: str, path: str) -> None:
    with Scripted(ACCEPTED, Answers(200, b'"102 Processing"'), Answers(200, b'"200 OK"')) as receiver:
        assert exit_status('event.json', '--url', receiver.url + url, '--wait') == 0
    asked = [(each.method, each.path) for each in receiver.asked]
    assert asked == [('POST', path), *[('GET', path.replace('receive', f'status/{ID}'))] * 2]


def test_a_receiver_that_is_silent_is_waited_for_as_long_as_asked(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(('127.0.0.1', 0)) as silent:
        url = f'http://127.0.0.1:{silent.getsockname()[1]}'
        assert exit_status('event.json', '--url', url, '--timeout', '0.1') == 2
    assert f'no answer from {url}/receive in 0.1 s' in capsys.readouterr().err


@pytest.mark.parametrize('arguments, reason', [
    (['nowhere.json'], "File 'nowhere.json' does not exist"),
    (['text'], 'text: it is not JSON: Expecting value at line 1 column 1'),
    (['event.json', '--url', 'http://127.0.0.1:1'], "can't reach http://127.0.0.1:1/receive: Connection refused"),
    (['event.json', '--url', 'http://me:secret@127.0.0.1:1'], 'can be seen by others'),
    (['event.json', 'text', '--url', 'http://127.0.0.1:1'], 'text: it is not JSON'),
    (['event.json', '--token-env', 'NOT_SET_HERE'], 'the environment variable NOT_SET_HERE holds no secret'),
    (['event.json', '--wait', '-1'], '-1'),
    ([], "Missing argument 'FILE...'"),
])
def test_what_cannot_work_is_one_line(
    directory: Path, arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str],
) -> None:
    (directory / 'text').write_text('this is text')
    assert exit_status(*arguments) == 2
    output = capsys.readouterr()
    assert output.out == '' and output.err.count('\n') == 1
    assert output.err.startswith('pacifica-dispatcher: ') and reason in output.err
    assert 'secret@' not in output.err


def test_several_events_move_a_bar_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    with Scripted(ACCEPTED) as receiver:
        assert exit_status('two.json', '--url', receiver.url) == 0
        assert capsys.readouterr().err == ''
        monkeypatch.setattr(sys.stderr, 'isatty', lambda: True)
        monkeypatch.setenv('TERM', 'xterm')
        assert exit_status('two.json', '--url', receiver.url) == 0
        assert '2/2' in capsys.readouterr().err
