"""Each statement that runs often uses an index made for it, so that finished events cost nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from jsonpath2.path import Path

from pacifica.dispatcher._engine.places import RouterPlaces
from pacifica.dispatcher._queue.connections import Connections
from pacifica.dispatcher._queue.filters import Filter
from pacifica.dispatcher._queue.overview import Overview
from pacifica.dispatcher._queue.previews import Previews
from pacifica.dispatcher._queue.records import Records
from pacifica.dispatcher._queue.search import Search
from pacifica.dispatcher._queue.session import Session
from pacifica.dispatcher._queue.status import Status
from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher._queue.transitions import astray, trim_previews
from pacifica.dispatcher._queue.transitions.line import IN_LINE
from pacifica.dispatcher._queue.values import Outcome, Preview, QueueName
from pacifica.dispatcher._queue.writer import Writer
from pacifica.dispatcher.router import Router
from support.databases import KINDS, connections_to, model_in, temporary_database
from support.events import Calling, received
from support.images import png
from support.queues import APPLICATION, TASK, queue_of

pytestmark = pytest.mark.xdist_group('indexes')  # so that one process fills the tables, and not each


@pytest.fixture
def plans(model: Any, store: Store) -> dict[str, str]:
    """Plans of the statements that selected rows while a queue with many finished and some waiting events worked."""
    store.accept([received() for _ in range(600)])
    model.update(task_status='200 OK', finalized='2999-01-01 00:00:00.000000').execute()
    store.accept([received() for _ in range(40)])
    _analyze(model)
    with _recorded(store.connections.writer) as statements:
        held = store.claim('a worker', 30.0)
        assert held is not None and store.finish(held, Outcome.succeeded())
        store.rescue(3)
        store.prune(3600)
        store.prune(86_400, unrouted=True)
    return {statement: _plan(model, statement, parameters) for statement, parameters in statements
            if statement.startswith('SELECT')}


def test_claims_within_limits_read_indexes_and_never_what_waits_behind(model: Any, writer: Writer) -> None:
    router = Router()
    router.add_route(
        Path.parse_str('$'), Calling(lambda event: None), concurrency=3, concurrency_key='submitter', priority=5)
    places = RouterPlaces(router)
    store = Store(writer, QueueName(APPLICATION, TASK), places=places)
    store.accept([received() for _ in range(400)])
    _analyze(model)
    with _recorded(store.connections.writer) as statements:
        store.straighten_line()
    assert not statements, 'it writes, although all are in their places'

    with _recorded(store.connections.writer) as statements:
        store.accept([received()])
        held = store.claim('a worker', 30.0)
        for _ in range(IN_LINE):
            assert held is not None
            held = store.finish_and_claim(held, Outcome.succeeded(), 'a worker', 30.0)[1]
        astray(store.connections.writer, store.name, places())

    assert any('due DESC' in statement for statement, _ in statements), 'nothing is let into the line'
    for statement, parameters in statements:
        if 'FROM receivetaskmodel' in statement or 'ORDER BY' in statement:
            plan = _plan(model, statement, parameters)
            assert any(f'receivetaskmodel_{name}' in plan for name in ('line', 'lane', 'leased')) or (
                'optimized away' in plan or 'No matching min/max row' in plan), (statement, plan)
            sorts = 'TEMP B-TREE' in plan or 'filesort' in plan or 'Sort' in plan
            assert not ('ORDER BY' in statement and sorts), (statement, plan)


def test_images_are_found_by_indexes_and_counted_without_their_bytes(model: Any, store: Store) -> None:
    store.accept([received() for _ in range(100)])
    for number in range(100):
        event = store.claim('me', 60)
        assert event is not None
        assert store.keep_preview(event, Preview('a.png', 'image/png', png(), f'route {number % 9}', '54')) is None
    previews = Previews(store.connections)
    _analyze(model)
    with store.connections.reading() as session:  # the one that is used next, too
        pass
    with _recorded(session) as looks, _recorded(store.connections.writer) as writes:
        previews.of(event.task_id)
        previews.content(event.task_id, 1)
        previews.latest(5)
        previews.latest(5, route='route 1')
        previews.latest(5, instrument='104')
        store.keep_preview(event, Preview('b.png', 'image/png', png()))
        store._writer.run(lambda session: trim_previews(session, 1 << 40))

    for statement, parameters in [*looks, *writes]:
        if statement.startswith('SELECT') and 'receivetaskpreview' in statement:
            plan = _plan(model, statement, parameters)
            assert 'receivetaskpreview_' in plan, (statement, plan)


def test_events_that_have_come_are_found_by_indexes(model: Any, store: Store) -> None:
    store.accept([received() for _ in range(600)])
    _analyze(model)
    with store.connections.reading() as session:  # the one that is used next, too
        pass
    with _recorded(session) as looks:
        assert not Records(store.connections).known([('http://some', f'id.{number}') for number in range(20)])

    plans = [_plan(model, *look) for look in looks if 'receivetaskmodel' in look[0]]
    assert len(plans) == 2 and all('receivetaskmodel_event_' in plan for plan in plans), plans


@contextmanager
def _recorded(session: Session) -> Iterator[list[tuple[str, Any]]]:
    """Yield the statements, with their parameters, that *session* has sent to the database."""
    statements: list[tuple[str, Any]] = []
    execute = session.database.execute_sql

    def recording(statement: str, parameters: Any = None) -> Any:
        statements.append((statement, parameters))
        return execute(statement, parameters)

    session.database.execute_sql = recording
    yield statements
    del session.database.execute_sql


def _kind(model: Any) -> str:
    return type(model._meta.database).__name__.lower()


def _analyze(model: Any) -> None:
    """Have the server count what is in the table: SQLite plans without."""
    if 'sqlite' not in _kind(model):
        table = 'TABLE receivetaskmodel' if 'mysql' in _kind(model) else 'receivetaskmodel'
        model._meta.database.execute_sql(f'ANALYZE {table}')


def _plan(model: Any, statement: str, parameters: Any) -> str:
    execute = model._meta.database.execute_sql
    explain = 'EXPLAIN QUERY PLAN ' if 'sqlite' in _kind(model) else 'EXPLAIN '
    if 'postgresql' in _kind(model):
        execute('SET enable_seqscan = off')  # so few rows are read fastest without: ask whether an index could serve
    rows = execute(explain + statement, parameters).fetchall()
    return '\n'.join(' '.join(map(str, row)) for row in rows)


def _only(plans: dict[str, str], part: str) -> str:
    [plan] = [plan for statement, plan in plans.items() if part in statement]
    return plan


_UNROUTED = 'AND created <'


def test_a_claim_reads_the_index_of_what_is_due_in_its_order(plans: dict[str, str]) -> None:
    plan = _only(plans, 'due <=')

    assert 'receivetaskmodel_line' in plan
    assert 'TEMP B-TREE' not in plan
    assert 'filesort' not in plan
    assert 'Sort' not in plan


def test_a_rescue_reads_the_index_of_leases(plans: dict[str, str]) -> None:
    assert 'receivetaskmodel_leased' in _only(plans, 'lease_expires <')


def test_pruning_reads_the_index_of_ends(plans: dict[str, str]) -> None:
    others = {statement: plan for statement, plan in plans.items() if _UNROUTED not in statement}

    assert 'receivetaskmodel_ended' in _only(others, 'finalized <')


def test_pruning_of_the_unrouted_reads_the_index_of_these(plans: dict[str, str]) -> None:
    plan = _only(plans, _UNROUTED)

    assert 'receivetaskmodel_unrouted' in plan or 'receivetaskmodel_failed' in plan  # MariaDB has one for both
    assert 'TEMP B-TREE' not in plan
    assert 'filesort' not in plan
    assert 'Sort' not in plan


def test_a_list_reads_an_index(model: Any, connections: Connections) -> None:
    queue = queue_of(model)
    ids = queue.accept([received(source='http://common', eventType='common') for _ in range(600)])
    model.update(task_status='200 OK').execute()
    queue.accept([received(source='http://rare', eventType='rare') for _ in range(5)])
    _analyze(model)
    with connections.reading() as session:  # the one that is used next, too
        pass
    filters: list[tuple[dict[str, str], str]] = [
        ({}, 'created'), ({'since': '2026-01-01 00:00:00.000000'}, 'created'), ({'status': Status.FAILED}, 'failed'),
        ({'status': Status.ACCEPTED}, 'line'), ({'source': 'http://rare'}, 'source'),
        ({'event_type': 'rare'}, 'event_type'), ({'project': 'rare'}, 'project'),
    ]

    for after in (None, UUID(ids[-1])):
        for wanted, index in filters:
            with _recorded(session) as statements:
                Records(connections).page(limit=10, after=after, **wanted)

            assert f'receivetaskmodel_{index}' in _plan(model, *statements[-1]), (wanted, after)


@pytest.fixture(scope='module')
def tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Any]]:
    """Returns the table of a kind of database, filled once: the tests that get it read only."""
    with ExitStack() as stack:
        made: dict[str, Any] = {}

        def table_of(kind: str) -> Any:
            if kind not in made:
                url = stack.enter_context(temporary_database(kind, tmp_path_factory.mktemp(kind)))
                made[kind] = stack.enter_context(model_in(url))
                _fill(made[kind])
            return made[kind]

        yield table_of


def _fill(model: Any) -> None:
    """Store events most of which have ended, such that no condition of the tests holds for more than some of them.

    A condition that holds for most of the rows is one for which an optimizer rightly reads all of them.
    """
    queue = queue_of(model)
    queue.accept([
        received(source=f'http://common/{number % 40}', eventType=f'common.{number % 40}') for number in range(4000)])
    model.update(task_status='200 OK', finalized='2026-01-01 00:00:00.000000').execute()
    queue.accept([received(source='http://rare', eventType='rare') for _ in range(6)])
    model.update(task_status='500 Internal Server Error', finalized=model.created, failure_group='0' * 16).where(
        model.event_type == 'rare').execute()
    queue.accept([received() for _ in range(3)])
    _analyze(model)


@pytest.fixture(params=KINDS)
def table(request: pytest.FixtureRequest, tables: Callable[[str], Any]) -> Any:
    """A table of each kind in turn in which most events have ended."""
    return tables(request.param)


@pytest.fixture
def looking(table: Any) -> Iterator[Connections]:
    """Connections to that table."""
    with connections_to(table) as connections:
        yield connections


def _check_plans(model: Any, connections: Connections, query: Callable[[], object]) -> None:
    """Run *query*, then fail if a statement that it made on the table would read all of it."""
    with connections.reading() as session:  # the one that is used next, too
        pass
    with _recorded(session) as statements:
        query()
    about = [each for each in statements if 'FROM receivetaskmodel' in each[0]]
    assert about
    for statement, parameters in about:
        plan = _plan(model, statement, parameters)
        # MySQL answers some from the index while it plans.
        answered = 'optimized away' in plan or 'No matching min/max row' in plan
        assert 'receivetaskmodel_' in plan or answered, (statement, plan)
        assert 'Seq Scan' not in plan and 'receivetaskmodel ALL' not in plan, (statement, plan)
        whole = [line for line in plan.splitlines() if 'SCAN receivetaskmodel' in line and 'USING' not in line]
        assert not whole, (statement, plan)


_WANTED: list[dict[str, Any]] = [
    {}, *({'status': status} for status in Status), {'event_type': 'rare'}, {'source': 'http://rare'},
    {'transaction_id': '7'}, {'since': '2026-01-02 00:00:00.000000', 'until': '2027-01-01 00:00:00.000000'},
    {'text': 'metadata.ingest.7'}, {'text': 'nowhere'}, {'status': Status.FAILED, 'text': 'nowhere'},
    {'status': Status.OK, 'event_type': 'rare'}, {'status': Status.FAILED, 'source': 'http://rare'},
    {'project': '7'}, {'instrument': '7'}, {'submitter': '7'}, {'submitter': '7', 'file': '*.csv'},
    {'group': '0' * 16}, {'group': '0' * 16, 'status': Status.FAILED},
    {'source': 'http://common/7', 'event_type': 'rare', 'text': 'x'}, {'transaction_id': '7', 'status': Status.FAILED},
]


@pytest.mark.parametrize('before', [None, '2026-12-01 00:00:00.000000~00000000-0000-7000-8000-000000000000'])
def test_a_search_reads_indexes(table: Any, looking: Connections, before: str | None) -> None:
    search = Search(looking)
    for wanted in _WANTED:
        _check_plans(table, looking, partial(search.page, Filter(**wanted), limit=50, before=before))


@pytest.mark.parametrize('query', [
    lambda overview: overview.counts(), lambda overview: overview.queues(),
    lambda overview: overview.unrouted(), lambda overview: overview.ended(3600.0, 24),
    lambda overview: overview.longest_attempts(), lambda overview: overview.failing(),
    lambda overview: overview.route_names([7], 0.0),
], ids=['counts', 'queues', 'unrouted', 'ended', 'longest_attempts', 'failing', 'route_names'])
def test_the_overview_reads_indexes(table: Any, looking: Connections, query: Any) -> None:
    _check_plans(table, looking, lambda: query(Overview(looking)))


def test_pages_follow_one_another_to_the_end(model: Any, connections: Connections) -> None:
    queue = queue_of(model)
    for _ in range(5):
        queue.accept([received(source='http://some') for _ in range(5)])
    queue.accept([received(source='http://other')])
    records = Records(connections)
    seen: list[str] = []
    page = records.page(limit=4, source='http://some')

    while page:
        seen += [record['taskID'] for record in page]
        page = records.page(limit=4, source='http://some', after=UUID(seen[-1]))

    rows = model.select().where(model.source == 'http://some').order_by(model.created.desc(), model.task_id.desc())
    assert seen == [str(row.task_id) for row in rows]
    assert len(seen) == 25
