"""What was uploaded while somebody was away is handled all the same, once; PACIFICA_STACK starts the real services.

The receiver is ``serve --metadata`` as its users start it, subscribed in the real Notifications, which disable its
subscription for ever at the first event that it doesn't take. Nobody enables it again.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from pacifica.dispatcher._transfers.metadata import Metadata
from pacifica.dispatcher.downloader_runners import RemoteDownloaderRunner
from pacifica.dispatcher.exceptions import UploadError
from pacifica.dispatcher.models import File, Transaction
from pacifica.dispatcher.uploader_runners import RemoteUploaderRunner
from support.command_line import Running, run, started
from support.databases import model_in
from support.events import ingest_event, wait_until
from support.processes import free_port
from support.queues import count, queue_of, status
from support.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group('services')]
ROUTES = '''
from jsonpath2.path import Path
from pacifica.dispatcher.event_handlers import EventHandler
from pacifica.dispatcher.router import Router

class Notes(EventHandler):
    def handle(self, event):
        with open('handled', 'a') as file:
            file.write(f'{event.event_id}\\n')

router = Router()
router.add_route(Path.parse_str('$[?(@["eventType"] = "org.pacifica.metadata.ingest")]'), Notes())
'''
HEADERS = {'Http-Remote-User': 'dmlb2001'}


@contextmanager
def serving(stack: Stack, directory: Path, port: int) -> Iterator[Running]:
    """Run the receiver, at a port that was free."""
    with started('serve', 'noting:router', '--database', 'sqlite:///events.db', '--port', str(port),
                 '--metadata', stack.url('metadata'), cwd=directory) as service:
        service.expect('listening')
        yield service
        assert service.stop() == 0


def upload(stack: Stack, directory: Path) -> str:
    """Upload a file; return the id of the event that announces it."""
    (directory / 'up').mkdir(exist_ok=True)
    (directory / 'up' / 'a.txt').write_text('a')
    _, job_id, _ = RemoteUploaderRunner(stack.uploader()).upload(
        str(directory / 'up'), Transaction(submitter=10, instrument=54, project='1234a'), [])
    return f'metadata.ingest.{job_id}'


def handled(directory: Path) -> Counter[str]:
    """Return how often each event was handled."""
    file = directory / 'handled'
    return Counter(file.read_text().split() if file.exists() else [])


def subscription(stack: Stack) -> dict[str, str]:
    """Return the subscription that was made."""
    found = requests.get(f'{stack.url("notifications")}/eventmatch', headers=HEADERS, timeout=30).json()
    return next(each for each in found if each['name'] == 'outages')


@pytest.fixture
def port(stack: Stack, tmp_path: Path) -> Iterator[int]:
    """The port of a receiver that is subscribed, and handled an event."""
    free = free_port()
    (tmp_path / 'noting.py').write_text(ROUTES)
    options = ('subscribe', '--receiver', f'http://127.0.0.1:{free}', '--name', 'outages', '--user', 'dmlb2001',
               '--notifications', stack.url('notifications'))
    with serving(stack, tmp_path, free):
        assert run(*options, cwd=tmp_path).returncode == 0
        first = upload(stack, tmp_path)
        wait_until(lambda: first in handled(tmp_path), 60)
    yield free
    run(*options, '--delete', cwd=tmp_path)


def test_three_uploads_while_the_receiver_is_down_are_handled_after_its_next_start(
    stack: Stack, tmp_path: Path, port: int,
) -> None:
    missed = [upload(stack, tmp_path) for _ in range(3)]
    wait_until(lambda: subscription(stack)['disabled'], 60)

    began = time.monotonic()
    with serving(stack, tmp_path, port):
        wait_until(lambda: handled(tmp_path).keys() >= set(missed), 60)
        took = time.monotonic() - began

    assert set(handled(tmp_path).values()) == {1}
    assert subscription(stack)['disabled']
    print(f'handled {took:.1f} s after the start')


@pytest.mark.parametrize('away', ['notifications', 'metadata'])
def test_uploads_around_an_outage_are_all_handled_once(stack: Stack, tmp_path: Path, port: int, away: str) -> None:
    made: list[str] = []

    def try_to_upload() -> None:
        try:
            made.append(upload(stack, tmp_path))
        except UploadError:  # without Metadata nothing is ingested
            assert away == 'metadata'

    with serving(stack, tmp_path, port):
        for _ in range(7):
            try_to_upload()
        with stack.without(away):
            until = time.monotonic() + 30
            for _ in range(6):
                try_to_upload()
            wait_until(lambda: time.monotonic() > until, 60)
        for _ in range(7):
            try_to_upload()
        wait_until(lambda: handled(tmp_path).keys() >= set(made), 150)

    assert len(made) >= 14
    assert set(handled(tmp_path).values()) == {1}
    print(f'{len(made)} of 20 were ingested, all handled once')


def test_events_wait_for_cartd_without_a_slot_and_end_when_it_is_back(stack: Stack, tmp_path: Path) -> None:
    outage = float(os.environ.get('PACIFICA_TEST_OUTAGE', '20'))  # seconds
    event = Metadata(stack.url('metadata')).event_of(int(upload(stack, tmp_path).rpartition('.')[2]))
    runner = RemoteDownloaderRunner(stack.downloader())

    def handle(found: Any) -> None:
        if files := File.from_cloudevents_model(found):
            runner.download(str(tmp_path / found.event_id), files)

    with model_in(f'sqlite:///{tmp_path}/events.db') as model:
        queue = queue_of(model, handle)
        worker = queue.create_worker()
        worker.start()
        try:
            with stack.without('cartd'):
                began = time.monotonic()
                for number in range(8):
                    queue.delay({**event, 'eventID': f'waits.{number}'})
                other = queue.delay(ingest_event()).id
                wait_until(lambda: status(model, other) == '200 OK', 60)
                took = time.monotonic() - began
                wait_until(lambda: time.monotonic() > began + outage, outage + 60)
                # All eight wait, once the one that may be asking just now whether Cartd is back waits again.
                wait_until(lambda: count(model, '202 Accepted') == 8, 60)
            back = time.monotonic()
            wait_until(lambda: count(model, '200 OK') == 9, 180)
            after = time.monotonic() - back
        finally:
            worker.stop()

    print(f'the other route took {took:.1f} s; all eight ended {after:.1f} s after an outage of {outage:g} s')
    assert took < 10
    assert after < 90
