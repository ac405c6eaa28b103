"""What Notifications never delivered is found in the real Metadata; PACIFICA_STACK says how to start it."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from pacifica.dispatcher._transfers.metadata import Metadata
from pacifica.dispatcher.models import Transaction, TransactionKeyValue
from pacifica.dispatcher.uploader_runners import RemoteUploaderRunner
from support.events import wait_until
from support.queues import queue_of
from support.stack import Stack, Subscriber

# One set of services at a time, in one process of the test run.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.xdist_group('services')]


def upload(stack: Stack, directory: Path, *key_values: tuple[str, Any]) -> int:
    """Upload two files; return their transaction."""
    (directory / 'sub').mkdir(parents=True, exist_ok=True)
    (directory / 'top.txt').write_text('top')
    (directory / 'sub' / 'größe.csv').write_text('1,2')
    _, job_id, _ = RemoteUploaderRunner(stack.uploader()).upload(
        str(directory), Transaction(submitter=10, instrument=54, project='1234a'),
        [TransactionKeyValue(key=key, value=value) for key, value in key_values])
    assert job_id is not None
    return job_id


def before(stack: Stack, transaction: int) -> datetime:
    """Return a time just before the transaction changed, by the archive's clock."""
    answer = requests.get(f'{stack.url("metadata")}/transactioninfo/by_id/{transaction}', timeout=30)
    return datetime.fromisoformat(answer.json()['updated']) - timedelta(seconds=1)  # which are whole


def test_the_event_is_the_one_that_is_delivered(stack: Stack, tmp_path: Path) -> None:
    with Subscriber(stack) as subscriber:
        transaction = upload(stack, tmp_path / 'up', ('a', '1'), ('a', 'zwei'), ('é', 'ü'), ('n', 7))
        delivered = subscriber.event_of(transaction)

    made = Metadata(stack.url('metadata')).event_of(transaction)

    def rows(event: dict[str, Any]) -> list[str]:
        texts = [{name: str(value) for name, value in row.items()} for row in event.pop('data')]
        return sorted(str(sorted(row.items())) for row in texts)

    assert rows(made) == rows(delivered)
    assert {name: value for name, value in made.items() if name != 'eventTime'} == {
        name: value for name, value in delivered.items() if name != 'eventTime'}


def test_uploads_that_nobody_was_told_of_are_handled_once(stack: Stack, tmp_path: Path, model: Any) -> None:
    handled: list[str] = []
    queue = queue_of(model, lambda event: handled.append(event.event_id))
    first = upload(stack, tmp_path / 'up')
    since = before(stack, first)
    missed = [upload(stack, tmp_path / 'up') for _ in range(3)]
    known = {int(each) for each in queue.reconcile(stack.url('metadata'), since, dry_run=True).missing}
    worker = queue.create_worker()
    worker.start()

    queue.reconcile(stack.url('metadata'), since)
    queue.reconcile(stack.url('metadata'), since)
    wait_until(lambda: len(handled) == len(known))
    worker.stop(10)

    assert known >= set(missed)
    assert sorted(handled) == sorted(f'metadata.ingest.{transaction}' for transaction in known)
