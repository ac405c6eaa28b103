"""A result of a route is not handled by it again: on every database, in threads and processes, whoever uploads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonpath2.path import Path as JSONPath

from pacifica.dispatcher._queue.connections import Connections
from pacifica.dispatcher._queue.filters import Filter
from pacifica.dispatcher._queue.operator import Operator
from pacifica.dispatcher._queue.overview import Overview
from pacifica.dispatcher._queue.search import Search
from pacifica.dispatcher._queue.writer import Writer
from pacifica.dispatcher.router import Router
from pacifica.dispatcher.staging import StagedEventHandler
from support.archiving import Archive, OfOldStyle, Staged
from support.events import ingest_event, wait_until
from support.queues import queue_of

EVERYTHING = '$'
SOURCE = [{'destinationTable': f'Transactions.{name}', 'value': value}
          for name, value in (('submitter', 10), ('instrument', 54), ('project', '1234a'))]


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """An archive with nothing in it."""
    (tmp_path / 'archive').mkdir()
    return Archive(tmp_path / 'archive')


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """A directory for what handlers upload."""
    (tmp_path / 'scratch').mkdir()
    return tmp_path / 'scratch'


def first() -> dict[str, Any]:
    return ingest_event(data=[*SOURCE, {'destinationTable': 'Transactions._id', 'value': 19}])


def settled(model: Any, archive: Archive, queues: list[Any], **settings: Any) -> list[dict[str, Any]]:
    """Give all *queues* the first event and then each event that follows, until none does; return those that did."""
    workers = [queue.create_worker(1, poll_interval=0.05, **settings) for queue in queues]
    for worker in workers:
        worker.start()
    known, events = 0, [first()]
    try:
        while events:
            for event in events:
                for queue in queues:
                    queue.delay(event)
            wait_until(lambda: not model.select().where(model.finalized.is_null()).count())
            events = archive.events()[known:]
            known += len(events)
            assert known < 50, 'it feeds itself'
        return archive.events()
    finally:
        for worker in workers:
            worker.stop(10)


def steps(event: dict[str, Any]) -> list[str]:
    return [row['value'] for row in event['data'] if str(row.get('key')).startswith('Pacifica.Dispatcher.lineage.')]


def staged(archive: Archive) -> StagedEventHandler:
    return StagedEventHandler(None, Staged(), archive)


@pytest.fixture(params=['thread', 'process'])
def isolation(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where handlers run."""
    yield request.param


@pytest.mark.parametrize('kind', ['staged', 'old style'])
def test_one_upload_leads_to_one_result(
    model: Any, connections: Connections, archive: Archive, scratch: Path, kind: str, isolation: str,
) -> None:
    router = Router()
    handler = staged(archive) if kind == 'staged' else OfOldStyle(archive, scratch)
    router.add_route(JSONPath.parse_str(EVERYTHING), handler, name='raw')
    queue = queue_of(model, router)

    made = settled(model, archive, [queue], isolation=isolation)

    assert [steps(event) for event in made] == [['my.app/raw']]
    row = model.get(model.event_id == 'metadata.ingest.20')
    assert (row.task_status, row.skipped, row.parent_transaction) == ('200 OK', 1, '19')
    assert json.loads(row.result) == {'skipped': 'made by my.app/raw from transaction 19'}
    assert Overview(connections).skipped() == 1
    assert [found['skipped'] for found in Search(connections).page(
        Filter(parent_transaction='19'), limit=5).rows] == [True]


def test_a_chain_of_routes_runs_to_its_end(model: Any, archive: Archive) -> None:
    router = Router()
    after = '$["data"][*][?(@["value"] = "my.app/{}")]'
    for name, path in (('plot', after.format('clean')), ('clean', after.format('raw')), ('raw', EVERYTHING)):
        router.add_route(JSONPath.parse_str(path), staged(archive), name=name)
    queue = queue_of(model, router)

    made = settled(model, archive, [queue])

    assert [steps(event) for event in made] == [
        ['my.app/raw'], ['my.app/raw', 'my.app/clean'], ['my.app/raw', 'my.app/clean', 'my.app/plot']]


def test_two_dispatchers_that_take_everything_come_to_rest(model: Any, archive: Archive) -> None:
    queues = []
    for application in ('first', 'second'):
        router = Router()
        router.add_route(JSONPath.parse_str(EVERYTHING), staged(archive))
        # Each has a table of its own: to the other, an event is not one that it has had.
        queues.append(model.create_queue(router, application, 'my.tasks.receive', deduplicate=False))

    assert len(settled(model, archive, queues)) == 4


def test_loops_that_are_allowed_end_after_sixteen_steps(model: Any, archive: Archive) -> None:
    router = Router()
    router.add_route(JSONPath.parse_str(EVERYTHING), staged(archive), name='raw', loops='allow')
    queue = queue_of(model, router)

    made = settled(model, archive, [queue])

    assert [len(steps(event)) for event in made] == list(range(1, 17))
    assert model.select().where(model.skipped == 1).count() == 1


def test_a_skipped_event_that_is_retried_where_loops_are_allowed_is_handled(
    model: Any, writer: Writer, archive: Archive,
) -> None:
    def queue(loops: str) -> Any:
        router = Router()
        router.add_route(JSONPath.parse_str(EVERYTHING), staged(archive), name='raw', loops=loops)
        return queue_of(model, router)

    settled(model, archive, [queue('stop')])
    skipped = model.get(model.skipped == 1)
    Operator(writer).retry([skipped.task_id])
    worker = queue('allow').create_worker(1)
    worker.start()
    try:
        wait_until(lambda: len(archive.events()) == 2)
        wait_until(lambda: model.get(model.task_id == skipped.task_id).task_status == '200 OK')
    finally:
        worker.stop(10)

    row = model.get(model.task_id == skipped.task_id)
    assert (row.skipped, row.result) == (None, None)
