"""Large transactions, and workers that are killed while they transfer, on the real services.

PACIFICA_STACK says how to start them; PACIFICA_TEST_FILES how many files a large transaction has.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from cloudevents.model import Event
from pacifica.downloader import Downloader

from pacifica.dispatcher._lineage import SOURCE_KEY
from pacifica.dispatcher._transfers.metadata import Metadata
from pacifica.dispatcher.downloader_runners import Progress, RemoteDownloaderRunner
from pacifica.dispatcher.event_handlers import EventHandler
from pacifica.dispatcher.models import Transaction
from pacifica.dispatcher.staging import StagedEvent, StagedEventHandler
from pacifica.dispatcher.uploader_runners import RemoteUploaderRunner
from support.events import wait_until
from support.fakes import Fake, Handler
from support.stack import Stack
from support.transferring import dispatcher, work

# One set of services at a time, in one process of the test run.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600), pytest.mark.xdist_group('services')]
FILES = int(os.environ.get('PACIFICA_TEST_FILES', '450'))
SECONDS = 300.0 + FILES  # Cartd needs half a second for a file where all else is busy, and makes a cart at a time


class Gateway(Fake):
    """Before Ingest or Cartd: knows the carts, and can keep an answer to itself."""

    def __init__(self, target: str) -> None:
        super().__init__()
        self.target = target
        self.swallow, self.swallowed = False, threading.Event()
        self.ordered: list[int] = []
        self.open: set[str] = set()

    def do_post(self, handler: Handler, path: str, query: dict[str, list[str]]) -> None:
        """Hand a bundle or an order on."""
        body = handler.body()
        answer = requests.post(self.target + path, data=body, timeout=300, headers={
            'Content-Type': handler.headers['Content-Type']})
        if path != '/upload':
            self.open.add(path)
            self.ordered.append(len(json.loads(body)['fileids']))
        if self.swallow:
            self.swallow = False
            self.swallowed.set()
            self.closing.wait(60)
        handler.answer(answer.status_code, answer.content, Content_Type='application/json')

    def do_get(self, handler: Handler, path: str, query: dict[str, list[str]]) -> None:
        """Hand a question on."""
        answer = requests.request(handler.command, self.target + handler.path, timeout=300)
        self.open -= {path} if handler.command == 'DELETE' else set()
        headers = {name.replace('-', '_'): value for name, value in answer.headers.items() if name.startswith('X-')}
        handler.answer(answer.status_code, answer.content, **headers)

    do_head = do_delete = do_get


@pytest.fixture
def gateways(stack: Stack) -> Iterator[tuple[Gateway, Gateway]]:
    """Before Cartd and Ingest."""
    with Gateway(stack.url('cartd')) as cartd, Gateway(stack.url('ingest')) as ingest:
        yield cartd, ingest


def source_of(stack: Stack, root: Path, count: int) -> dict[str, Any]:
    """Put a transaction of small files into the archive, and return its event."""
    for number in range(count):
        path = root / f'{number % 20}' / f'{number}.txt'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'file {number}\n')
    _, job_id, _ = RemoteUploaderRunner(stack.uploader()).upload(
        str(root), Transaction(submitter=10, instrument=54, project='1234a'))
    assert job_id is not None
    return Metadata(stack.url('metadata')).event_of(job_id)


def results_of(stack: Stack, event: dict[str, Any]) -> list[int]:
    """Return the transactions that were made from that of *event*."""
    return Metadata(stack.url('metadata')).transactions_with(SOURCE_KEY, str(event['data'][-1]['value']))


def test_of_five_thousand_files_the_two_that_are_wanted_are_ordered_and_fetched(
    stack: Stack, gateways: tuple[Gateway, Gateway], tmp_path: Path,
) -> None:
    cartd, _ = gateways
    event = source_of(stack, tmp_path / 'source', 100)
    known = next(row for row in event['data'] if row['destinationTable'] == 'Files')
    event['data'][:0] = [{**known, '_id': 10**9 + number, 'name': f'other-{number}.txt'} for number in range(4_900)]
    steps: list[Progress] = []
    runner = RemoteDownloaderRunner(Downloader(addr='127.0.0.1', port=str(cartd.port)), progress=steps.append)
    seen: list[Any] = []

    class Look(EventHandler):
        """Notes the files."""

        def handle(self, event: StagedEvent) -> None:
            """Look what there is."""
            there = [path for path in event.input_directory.rglob('*') if path.is_file()]
            seen.append((len(event.files), sorted(path.read_text() for path in there)))

    StagedEventHandler(runner, Look(), None, stage_in=['7.txt', '/13/13.txt']).handle(Event(event))

    assert seen == [(5_000, ['file 13\n', 'file 7\n'])]
    assert cartd.ordered == [2]
    assert steps[-1].bytes_done == len('file 13\nfile 7\n')


def test_an_upload_whose_worker_is_killed_before_it_knows_the_job_is_one_transaction(
    stack: Stack, gateways: tuple[Gateway, Gateway], tmp_path: Path,
) -> None:
    cartd, ingest = gateways
    event = source_of(stack, tmp_path / 'source', 3)
    where = (tmp_path, cartd.port, ingest.port, stack.url('metadata'))
    model, queue = dispatcher(*where)
    task_id = queue.delay(event).id
    ingest.swallow = True
    spawn = multiprocessing.get_context('spawn')
    first, second = (spawn.Process(target=work, args=where, daemon=True) for _ in range(2))

    first.start()
    assert ingest.swallowed.wait(120)
    first.kill()
    first.join()
    second.start()
    try:
        wait_until(lambda: model.get(model.task_id == task_id).task_status[:3] not in ('202', '102'), 300)
    finally:
        second.kill()
        second.join()

    row = model.get(model.task_id == task_id)
    assert (row.task_status, row.attempts) == ('200 OK', 2)
    assert len(results_of(stack, event)) == 1
    assert ingest.count('POST') == 1


def test_a_large_transaction_is_pulled_once_and_leaves_no_cart(
    stack: Stack, gateways: tuple[Gateway, Gateway], tmp_path: Path,
) -> None:
    cartd, ingest = gateways
    event = source_of(stack, tmp_path / 'source', FILES)
    model, queue = dispatcher(tmp_path, cartd.port, ingest.port, stack.url('metadata'))
    task_id = queue.delay(event).id
    worker = queue.create_worker(1)

    worker.start()
    try:
        wait_until(lambda: model.get(model.task_id == task_id).task_status[:3] not in ('202', '102'), SECONDS)
    finally:
        worker.stop(10)

    assert model.get(model.task_id == task_id).task_status == '200 OK'
    result, = results_of(stack, event)
    found = Metadata(stack.url('metadata')).event_of(result)
    assert sum(row['destinationTable'] == 'Files' for row in found['data']) == FILES
    assert cartd.count('POST') == -(-FILES // 200) and cartd.open == set()


def test_a_worker_that_is_killed_in_a_large_download_costs_a_part_at_most(
    stack: Stack, gateways: tuple[Gateway, Gateway], tmp_path: Path,
) -> None:
    cartd, ingest = gateways
    event = source_of(stack, tmp_path / 'source', FILES)
    where = (tmp_path, cartd.port, ingest.port, stack.url('metadata'))
    model, queue = dispatcher(*where)
    task_id = queue.delay(event).id
    spawn = multiprocessing.get_context('spawn')
    first, second = (spawn.Process(target=work, args=where, daemon=True) for _ in range(2))

    first.start()
    wait_until(lambda: sum(cartd.ordered) > FILES / 2, SECONDS)
    first.kill()
    first.join()
    second.start()
    try:
        wait_until(lambda: model.get(model.task_id == task_id).task_status[:3] not in ('202', '102'), SECONDS)
    finally:
        second.kill()
        second.join()

    assert model.get(model.task_id == task_id).task_status == '200 OK'
    assert len(results_of(stack, event)) == 1
    assert FILES <= sum(cartd.ordered) <= FILES + 200 and cartd.open == set()
    assert not list(tmp_path.glob('.pacifica-kept-*'))
