"""One upload leads to as many transactions as it should, in the real archive; PACIFICA_STACK says how to start it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonpath2.path import Path as JSONPath
from playhouse.db_url import connect

from pacifica.dispatcher._cli.demo_handler import Uppercase
from pacifica.dispatcher.downloader_runners import RemoteDownloaderRunner
from pacifica.dispatcher.event_handlers import EventHandler, StagedEventHandler
from pacifica.dispatcher.models import Transaction
from pacifica.dispatcher.receiver import create_peewee_model
from pacifica.dispatcher.router import Router
from pacifica.dispatcher.uploader_runners import RemoteUploaderRunner
from support.archiving import OfOldStyle
from support.events import wait_until
from support.stack import Stack, Subscriber

# One set of services at a time, in one process of the test run.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.xdist_group('services')]
INGEST = '$[?(@["eventType"] = "org.pacifica.metadata.ingest")]'
SECONDS = 120


class Dispatcher:
    """A queue in a table of its own, with one worker; a context manager."""

    def __init__(self, name: str, router: Router, directory: Path) -> None:
        self.model = create_peewee_model(connect(f'sqlite:///{directory / name}.db'))
        self.queue = self.model.create_queue(router, name, f'{name}.receive')
        self._worker = self.queue.create_worker(1)

    def __enter__(self) -> Dispatcher:
        self._worker.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._worker.stop(30)
        self.model.close_connections()

    def ended(self) -> dict[str, tuple[str, bool]]:
        """Return the transactions whose events have ended, each with its status and whether it was skipped."""
        rows = self.model.select().where(self.model.finalized.is_null(False))
        return {row.transaction_id: (row.task_status, bool(row.skipped)) for row in rows}


class Forwarder(Subscriber):
    """Gives each event that Notifications delivers to every one of some dispatchers."""

    dispatchers: tuple[Dispatcher, ...] = ()

    def receive(self, event: dict[str, Any]) -> None:
        for dispatcher in self.dispatchers:
            dispatcher.queue.delay(event)
        super().receive(event)


@pytest.fixture(scope='module')
def forwarder(stack: Stack) -> Iterator[Forwarder]:
    """Subscribed to the ingests of the archive."""
    with Forwarder(stack) as server:
        assert isinstance(server, Forwarder)
        yield server


def staged(stack: Stack) -> StagedEventHandler:
    return StagedEventHandler(
        RemoteDownloaderRunner(stack.downloader()), Uppercase(), RemoteUploaderRunner(stack.uploader()))


def router_of(*routes: tuple[str | None, str, EventHandler]) -> Router:
    router = Router()
    for name, path, handler in routes:
        router.add_route(JSONPath.parse_str(path), handler, name=name)
    return router


def follow(
    stack: Stack, forwarder: Forwarder, tmp_path: Path, dispatchers: tuple[Dispatcher, ...], further: int,
) -> None:
    """Upload a file; fail unless *further* transactions follow, of which every event has ended everywhere."""
    before = set(forwarder.events)
    forwarder.dispatchers = dispatchers
    (tmp_path / 'upload').mkdir()
    (tmp_path / 'upload' / 'notes.txt').write_text('sample 7')
    RemoteUploaderRunner(stack.uploader()).upload(
        str(tmp_path / 'upload'), Transaction(submitter=10, instrument=54, project='1234a'))

    def at_rest() -> bool:
        """Whether each transaction is one whose event has ended, so that nothing is left that could cause another."""
        new = {str(transaction) for transaction in set(forwarder.events) - before}
        return len(new) > 1 + further or (
            len(new) == 1 + further and all(new == set(each.ended()) for each in dispatchers))

    wait_until(at_rest, SECONDS)
    assert len(set(forwarder.events) - before) == 1 + further
    assert {status for each in dispatchers for status, _ in each.ended().values()} == {'200 OK'}


@pytest.mark.parametrize('kind', ['staged', 'old style'])
def test_one_upload_leads_to_one_result(stack: Stack, forwarder: Forwarder, tmp_path: Path, kind: str) -> None:
    (tmp_path / 'result').mkdir()
    handler = staged(stack) if kind == 'staged' else OfOldStyle(
        RemoteUploaderRunner(stack.uploader()), tmp_path / 'result')
    with Dispatcher('my.app', router_of((None, INGEST, handler)), tmp_path) as dispatcher:
        follow(stack, forwarder, tmp_path, (dispatcher,), 1)

        assert sorted(skipped for _, skipped in dispatcher.ended().values()) == [False, True]


def test_two_dispatchers_that_take_everything_come_to_rest(stack: Stack, forwarder: Forwarder, tmp_path: Path) -> None:
    with Dispatcher('first', router_of((None, INGEST, staged(stack))), tmp_path) as first, \
            Dispatcher('second', router_of((None, INGEST, staged(stack))), tmp_path) as second:
        follow(stack, forwarder, tmp_path, (first, second), 4)


def test_a_chain_in_one_dispatcher_runs_to_its_end(stack: Stack, forwarder: Forwarder, tmp_path: Path) -> None:
    after = '$["data"][*][?(@["value"] = "my.app/{}")]'
    router = router_of(('plot', after.format('clean'), staged(stack)), ('clean', after.format('raw'), staged(stack)),
                       ('raw', INGEST, staged(stack)))
    with Dispatcher('my.app', router, tmp_path) as dispatcher:
        follow(stack, forwarder, tmp_path, (dispatcher,), 3)
