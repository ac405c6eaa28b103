"""The connection to the database is cut at any message: no event is lost or runs twice, and each answer is true."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
from peewee import MySQLDatabase
from playhouse.db_url import connect, parse
from playhouse.shortcuts import ReconnectMixin

from pacifica.dispatcher._queue.availability import PATIENCE
from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher._queue.values import Outcome, QueueName
from pacifica.dispatcher._queue.writer import Writer
from pacifica.dispatcher.exceptions import DatabaseUnavailableError
from pacifica.dispatcher.receiver import create_peewee_model
from support.cutting import Cutter, Where
from support.databases import connections_to, model_in, temporary_database
from support.events import ingest_event, received, wait_until
from support.queues import APPLICATION, TASK, queue_of, record

LEASE = 600.0  # seconds: longer than any test, so that nothing is mended by the end of a lease


class Reconnecting(ReconnectMixin, MySQLDatabase):
    """A database of an application that wants new connections made for it whenever one turns out to be gone."""


class Way(NamedTuple):
    """A database, as the tests see it and as the queue does, whose connections *cutter* cuts."""

    cutter: Cutter
    model: Any
    queues: Any


@pytest.fixture(params=['postgresql', 'mysql', 'reconnecting'])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Way]:
    kind = 'postgresql' if request.param == 'postgresql' else 'mysql'
    with temporary_database(kind, tmp_path) as url, model_in(url) as model:
        model.create_table()
        cutter = Cutter(f'{url}?sslmode=disable' if kind == 'postgresql' else url)
        database = Reconnecting(**parse(cutter.url)) if request.param == 'reconnecting' else connect(cutter.url)
        queues = create_peewee_model(database)
        yield Way(cutter, model, queues)
        queues.close_connections()
        cutter.close()


class Bench:
    """A worker that is started, and what its handler has done."""

    def __init__(self, way: Way) -> None:
        self._cutter, self._model = way.cutter, way.model
        self._marks: list[tuple[str, str]] = []
        self._ended: list[str] = []
        self._queue = queue_of(
            way.queues, self._handle, on_finished=lambda task: self._ended.append(str(task.task_id)))
        self.worker = self._queue.create_worker(concurrency=1, lease=LEASE)

    def _handle(self, event: Any) -> None:
        self._marks.append(('start', event.event_id))
        self._marks.append(('end', event.event_id))

    def run(self) -> None:
        """Have two events accepted, claimed, handled and finished; fail unless each is, once, and is said to be."""
        ids, events = [], [ingest_event() for _ in range(2)]
        self._marks.clear()
        self._ended.clear()
        for event in events:
            ids.append(self._queue.delay(event).id)

        wait_until(lambda: len(self._ended) == 2, 60)
        rows = [record(self._model, task_id) for task_id in ids]
        names = [event['eventID'] for event in events]
        ends = [(row.event_id, row.task_status, row.attempts) for row in rows]
        assert ends == [(name, '200 OK', 1) for name in names]
        assert self._marks == [(what, name) for name in names for what in ('start', 'end')]
        assert self._ended == ids


@pytest.mark.parametrize('step', [29, pytest.param(1, marks=pytest.mark.slow)])
def test_wherever_the_connection_is_cut_each_event_runs_once_and_is_said_to_have(way: Way, step: int) -> None:
    bench, cuts = Bench(way), 0
    bench.worker.start()
    try:
        for begin, where in enumerate(get_args(Where)):
            number = begin * step // 3
            way.cutter.cut_at(number, where)
            bench.run()
            while way.cutter.has_cut:
                cuts += 1
                number += step
                way.cutter.cut_at(number, where)
                bench.run()
    finally:
        bench.worker.stop(5)

    print(f'{cuts} cuts')
    assert cuts >= 60 // step


# --- a commit is done, and nobody hears of it

class Exchange(NamedTuple):
    """What a test asks the store for, and how: once, or as the worker does, again and again."""

    way: Way
    store: Store
    insist: Callable[[Callable[[], Any]], Any]

    def accept(self, number: int) -> list[Any]:
        """Store so many events, due in this order."""
        return [self.store.accept([received()])[0] for _ in range(number)]

    def unheard(self, ask: Callable[[], Any]) -> Any:
        """Return what *ask* returns in the end if the answer to its first commit is lost."""
        self.way.cutter.cut_answer_to(b'COMMIT')
        result = self.insist(ask)
        assert self.way.cutter.has_cut
        return result

    def attempts(self) -> list[tuple[str, int]]:
        """Return the status of each event, and how many attempts are counted, in the order in which they came."""
        model = self.way.model
        return [(row.task_status, row.attempts) for row in model.select().order_by(model.created)]


def _until_it_answers(ask: Callable[[], Any]) -> Any:
    def answer() -> list[Any]:
        try:
            return [ask()]
        except DatabaseUnavailableError:
            return []

    return wait_until(answer)[0]


@contextmanager
def exchange_by(way: Way, *, patient: bool = True) -> Iterator[Exchange]:
    """Yield what tries again in the transaction; if not *patient*, each try is a call of the store's."""
    with connections_to(way.queues) as connections:
        connections.prepare()
        store = Store(Writer(connections, PATIENCE if patient else 0.0), QueueName(APPLICATION, TASK))
        yield Exchange(way, store, (lambda ask: ask()) if patient else _until_it_answers)


SERVERS = pytest.mark.parametrize('way', ['postgresql', 'mysql'], indirect=True)
ONE = pytest.mark.parametrize('way', ['postgresql'], indirect=True)


@SERVERS
def test_what_was_accepted_unheard_is_accepted_once(way: Way) -> None:
    with exchange_by(way) as exchange:
        event = received()

        task_ids = exchange.unheard(lambda: exchange.store.accept([event]))
        keyless = exchange.unheard(lambda: exchange.store.accept([event], deduplicate=False))

        assert exchange.store.accept([event]) == task_ids
        assert [row.task_id for row in way.model.select().order_by(way.model.created)] == task_ids + keyless


@SERVERS
@pytest.mark.parametrize('patient', [True, False], ids=['one call', 'many calls'])
def test_what_was_claimed_unheard_is_claimed_again_at_once_as_the_same_attempt(way: Way, patient: bool) -> None:
    with exchange_by(way, patient=patient) as exchange:
        store, task_ids = exchange.store, exchange.accept(3)

        first = exchange.unheard(lambda: store.claim('me', LEASE, 'w' * 16))
        second = exchange.unheard(lambda: store.claim_task(task_ids[1], 'me', LEASE, 'w' * 16))
        written, third = exchange.unheard(lambda: store.finish_and_claim(first, Outcome.succeeded(), 'me', LEASE))

        assert [(each.task_id, each.attempt) for each in (first, second, third)] == [(each, 1) for each in task_ids]
        assert written and store.hold(second) and store.hold(third)
        assert exchange.attempts() == [('200 OK', 1), ('102 Processing', 1), ('102 Processing', 1)]


@SERVERS
def test_what_was_finished_unheard_is_said_to_be_written(way: Way) -> None:
    error = ValueError('it broke')
    outcomes = [
        Outcome.succeeded(), Outcome.failed(error), Outcome.retry(error, LEASE), Outcome.wait(error, LEASE)]
    with exchange_by(way) as exchange:
        store = exchange.store
        exchange.accept(len(outcomes))

        for outcome in outcomes:
            claimed = store.claim('me', LEASE)
            assert claimed is not None
            assert exchange.unheard(partial(store.finish, claimed, outcome)) is True

        assert exchange.attempts() == [(str(outcome.status), 0 if outcome.waits else 1) for outcome in outcomes]


@ONE
def test_an_end_that_another_has_written_is_not_said_to_be_ones_own(way: Way) -> None:
    with exchange_by(way) as exchange:
        store = exchange.store
        exchange.accept(1)
        lost = store.claim('me', -1.0)
        store.rescue(max_attempts=3)
        claimed = store.claim('me', LEASE)
        assert lost is not None and claimed is not None and store.finish(claimed, Outcome.succeeded())

        assert exchange.unheard(lambda: store.finish(lost, Outcome.succeeded())) is False


@ONE
def test_callers_that_claimed_together_unheard_each_get_an_event_of_their_own(way: Way) -> None:
    with exchange_by(way) as exchange:
        store = exchange.store
        exchange.accept(4)
        claims = [store._claim('me', LEASE, '') for _ in range(3)]

        results = exchange.unheard(lambda: store._writer.run(*claims, waits=True))

        assert len({each.task_id for each in results}) == 3
        assert exchange.attempts() == [('102 Processing', 1)] * 3 + [('202 Accepted', 0)]
