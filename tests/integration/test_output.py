"""Where the output of an event is seen: over HTTP, on its page, and on the command line as it comes."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from pacifica.dispatcher._cli import main
from pacifica.dispatcher._operate.output import GAP, Reader
from pacifica.dispatcher._queue.output import Chunk, KeptOutput
from pacifica.dispatcher.authentication import BearerTokens, Secret
from pacifica.dispatcher.exceptions import RetryLater
from pacifica.dispatcher.task_context import current_task
from support.command_line import run_on_terminal, started
from support.dashboard import SCRIPT_NAME, Site, dashboard_site
from support.events import wait_until

HOSTILE = 'a\x1b[2J<b>\u202e\r\n'
READER, SENDER = {'Authorization': 'Bearer reader'}, {'Authorization': 'Bearer sender'}


class Handler:
    """Prints what the test says when it says so; ``None`` ends it."""

    def __init__(self) -> None:
        self.steps: list[str | BaseException | None] = []
        self.more = threading.Semaphore(0)

    def say(self, *steps: str | BaseException | None) -> None:
        """Let a handler do these."""
        self.steps += steps
        for _ in steps:
            self.more.release()

    def __call__(self, event: Any) -> None:
        task = current_task()
        assert task is not None
        while self.more.acquire():
            step = self.steps.pop(0)
            if isinstance(step, BaseException):
                raise step
            if step is None:
                return
            task.output('stdout', step.encode())
            task.progress(0.4, 'fitting peak 4 of 10')


@pytest.fixture
def handler() -> Handler:
    """What handles the events of the site."""
    return Handler()


@pytest.fixture
def site(tmp_path: Path, handler: Handler) -> Iterator[Site]:
    """A dashboard with a worker that runs, for senders and readers."""
    with dashboard_site(tmp_path, handler, authenticate=[
        BearerTokens(Secret('reader'), rights={'read'}), BearerTokens(Secret('sender'), rights={'send'}),
    ]) as served:
        served.worker.start()
        yield served
        handler.say(*[None] * 10)
        served.worker.stop()


def output_of(site: Site, task_id: str) -> Any:
    answer = site.client.get(f'{SCRIPT_NAME}/output/{task_id}', **READER)
    assert answer.status == 200
    return answer.json()


def ended(site: Site, task_id: str) -> None:
    wait_until(lambda: (site.status(task_id) or '')[:3] in ('200', '422', '500'))


def page_with(text: str, site: Site, address: str) -> str:
    """Return the page once it has *text*."""
    html: str = wait_until(lambda: text in (page := site.text(address, **READER)) and page)
    return html


def test_it_is_answered_by_attempt_with_times_and_progress(site: Site, handler: Handler) -> None:
    handler.say('one\n', RetryLater(0), 'two\n', None)
    began = time.time()
    task_id = site.accept()
    ended(site, task_id)

    answer = output_of(site, task_id)

    assert answer['taskID'] == task_id
    first, second = answer['attempts']
    assert (first['attempt'], second['attempt'], second['progress'], second['progressText']) == (
        1, 2, 0.4, 'fitting peak 4 of 10')
    [[at, stream, text]] = first['output']
    assert (stream, text, first['omitted'], first['omittedAfter']) == ('stdout', 'one\n', 0, 1)
    assert began - 1 < at < time.time() + 1
    assert 'one' not in site.client.get(f'{SCRIPT_NAME}/get/{task_id}', **READER).body.decode()


def test_an_event_without_output_has_none_and_an_unknown_one_is_not_there(site: Site, handler: Handler) -> None:
    handler.say(None)
    task_id = site.accept()
    ended(site, task_id)

    assert output_of(site, task_id) == {'taskID': task_id, 'attempts': []}
    assert site.client.get(f'{SCRIPT_NAME}/output/{uuid4()}', **READER).status == 404
    assert site.client.get(f'{SCRIPT_NAME}/output/x', **READER).status == 422


def test_who_may_only_send_sees_no_output(site: Site, handler: Handler) -> None:
    task_id = site.accept()

    assert site.client.get(f'{SCRIPT_NAME}/output/{task_id}', **SENDER).status == 403


def test_the_page_of_a_running_event_shows_it_within_two_seconds(site: Site, handler: Handler) -> None:
    task_id = site.accept()
    address = f'events/{task_id}?fragment=1'
    wait_until(lambda: '102 Processing' in site.text(address, **READER))
    handler.say('first line\n')
    page_with('first line', site, address)

    took = []
    for line in ('second line', 'third line', 'fourth line'):  # a busy machine may be late with one
        began = time.monotonic()
        handler.say(f'{line}\n')
        html = page_with(line, site, address)
        took.append(time.monotonic() - began)

    assert min(took) < 1.5 and 'data-soon' in html  # for which the page looks every 0.5 seconds
    assert re.search(r'<progress max="1" value="0.4"[^>]*></progress> 40 % <bdi>fitting peak 4 of 10</bdi>', html)
    parts = re.findall(r'data-part="([^"]*)"', html)
    assert len(parts) == len(set(parts)) and [part for part in parts if re.fullmatch(r'output-\d+', part)]
    handler.say(None)
    ended(site, task_id)
    assert 'data-soon' not in site.text(address, **READER)


def test_the_page_obeys_nothing_that_was_printed_and_shows_the_end_of_much(site: Site, handler: Handler) -> None:
    handler.say('first\n' + 'x' * 300_000 + '\n', HOSTILE, None)
    task_id = site.accept()
    ended(site, task_id)

    html = site.text(f'events/{task_id}', **READER)

    shown = unescape(re.sub('<[^>]*>', '', html))
    assert 'a\\u001b[2J<b>\\u202e\n' in shown and '<b>' not in html
    assert 'first\n' not in shown and 'This is its end' in html and len(html) < 150_000


def test_show_has_the_latest_attempt_or_the_one_that_is_asked_for(
    site: Site, handler: Handler, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    handler.say('one\n', RetryLater(0), f'two\n{HOSTILE}rest', None)
    task_id = site.accept()
    ended(site, task_id)
    url = f'sqlite:///{tmp_path / "events.db"}'

    def show(*arguments: str) -> tuple[Any, str]:
        with pytest.raises(SystemExit) as exit_:
            main(['show', task_id, '--database', url, *arguments])
        return exit_.value.code, ''.join(capsys.readouterr())

    status, text = show()
    assert status == 0
    assert re.search(r'Progress of attempt 2\n  40%, fitting peak 4 of 10\n\nOutput of attempt 2 \(UTC\)\n'
                     r'  [-\d]{10} [:\d]{8}  stdout    two\n', text)
    assert 'stdout    a\\u001b[2J<b>\\u202e\n' in text and text.index('stdout    rest') < text.index('\nEvent\n')
    assert 'stdout    one' in show('--attempt', '1')[1]
    assert '2 lines before these: --full' in show('--lines', '1')[1]
    assert show('--attempt', '7') == (
        1, 'pacifica-dispatcher: no output of attempt 7 is kept; there is of: 1, 2\n')
    assert show('--follow', '--json')[0] == 2


def test_show_follows_what_a_running_event_prints_until_its_end(
    site: Site, handler: Handler, tmp_path: Path,
) -> None:
    task_id = site.accept()
    with started('show', task_id, '--follow', '--database', f'sqlite:///{tmp_path / "events.db"}',
                 cwd=tmp_path) as following:
        handler.say('one\ntw')
        following.expect('Attempt 1, .*\n.*stdout    one\n')
        following.expect('progress  40%, fitting peak 4 of 10\n')
        assert 'tw' not in following.output
        handler.say('o\n', RetryLater(0), 'again')
        following.expect('stdout    two\n.*\n?Attempt 2, ')
        handler.say(None)
        following.expect('stdout    again\n\nStatus  200 OK\n')
        assert following.process.wait(60) == 0
        assert following.output.count('one') == 1


def test_ctrl_c_ends_following(site: Site, handler: Handler, tmp_path: Path) -> None:
    task_id = site.accept()
    handler.say(HOSTILE)

    status, shown = run_on_terminal(
        'show', '--follow', task_id, '--database', f'sqlite:///{tmp_path / "events.db"}', cwd=tmp_path,
        interrupt_after='u202e')

    assert status == 0
    assert 'Traceback' not in shown and '\x1b[2J' not in shown and '<b>' in shown


def test_there_is_nothing_to_follow_of_an_unknown_event(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(['show', '--follow', str(uuid4()), '--database', f'sqlite:///{tmp_path / "events.db"}'])

    assert exit_.value.code == 1 and 'there is no event' in capsys.readouterr().err


def kept(*chunks: Chunk, head: int, omitted: int = 0) -> KeptOutput:
    return KeptOutput('r', 1, 0.0, 9.0, None, '', omitted, chunks[:head], chunks[head:])


def read(reader: Reader, run_: KeptOutput) -> list[tuple[str, str]]:
    return [line[1:] for line in reader.news(run_)]


def test_what_was_read_is_not_read_again_when_it_grows_or_is_cut() -> None:
    reader = Reader()
    assert read(reader, kept(Chunk(1, 'stdout', 'on', 0), head=1)) == []
    first = Chunk(1, 'stdout', 'one\ntwo\n', 0)
    assert read(reader, kept(first, Chunk(2, 'log', 'x\n', 8), head=1)) == [
        ('stdout', 'one'), ('stdout', 'two'), ('log', 'x')]
    assert read(reader, kept(first, Chunk(2, 'log', 'x\n', 8), Chunk(3, 'log', 'é', 10), head=1)) == []
    assert reader.rest() == [(3, 'log', 'é')]

    cut = kept(first, Chunk(3, 'log', '\n', 12), Chunk(4, 'stdout', 'on\n', 20), head=1, omitted=4)

    assert read(reader, cut) == [('log', ''), ('stdout', 'on')]


def test_what_is_left_out_is_told_once() -> None:
    reader, head = Reader(), Chunk(1, 'stdout', 'one\nbegun', 0)

    assert read(reader, kept(head, Chunk(2, 'stdout', 'last\n', 1009), head=1, omitted=1000)) == [
        ('stdout', 'one'), ('stdout', 'begun'), (GAP, '… 1,000 bytes are not kept …'), ('stdout', 'last')]
    assert read(reader, kept(head, Chunk(2, 'stdout', 'last\n', 1009), head=1, omitted=1000)) == []
    assert read(reader, kept(head, Chunk(3, 'stdout', 'more\n', 2000), head=1, omitted=1991)) == [
        (GAP, '… 986 bytes are not kept …'), ('stdout', 'more')]


def test_output_of_which_the_database_took_nothing_says_so_once() -> None:
    reader = Reader()

    assert read(reader, kept(head=0, omitted=99)) == [(GAP, '… 99 bytes are not kept …')]
    assert read(reader, kept(head=0, omitted=99)) == []
