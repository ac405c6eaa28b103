"""How many events of a route, a project or an instrument run at once, whoever claims them, and in which order."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from jsonpath2.path import Path

from pacifica.dispatcher._engine.places import RouterPlaces
from pacifica.dispatcher._queue.operator import Operator
from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher._queue.transitions import move
from pacifica.dispatcher._queue.transitions.line import IN_LINE
from pacifica.dispatcher._queue.values import Outcome, Place, QueueName
from pacifica.dispatcher._queue.writer import Writer
from pacifica.dispatcher.exceptions import ConfigurationError, RetryLater
from pacifica.dispatcher.router import Route, Router
from support.databases import connections_to
from support.events import Calling, ingest_event, received, wait_until
from support.queues import APPLICATION, TASK, count, drain, queue_of


def router_with(handle: Callable[[Any], object] = lambda event: None, **limits: Any) -> Router:
    """Return a router of one route for all events."""
    router = Router()
    router.add_route(Path.parse_str('$'), Calling(handle), name='the route', **limits)
    return router


def of_project(project: str, *others: Any, **attributes: Any) -> dict[str, Any]:
    """Return an event of this project."""
    data = [{'destinationTable': 'Transactions.project', 'value': project}, *others]
    return ingest_event(data=data, **attributes)


def store_of(writer: Writer, router: Router) -> Store:
    """Return the queue as workers with these routes see it."""
    return Store(writer, QueueName(APPLICATION, TASK), places=RouterPlaces(router))


def project_of(claimed: Any) -> str:
    """Return the project of a claimed event."""
    return str(json.loads(claimed.event_data)['data'][0]['value'])


class AtOnce:
    """Counts how many calls of it run at once; the first ones wait until *expected* do."""

    def __init__(self, expected: int) -> None:
        self._lock = threading.Lock()
        self._expected = expected
        self._reached = threading.Event()
        self._running = self.most = self.calls = 0

    def __call__(self, event: Any) -> None:
        with self._lock:
            self._running += 1
            self.most = max(self.most, self._running)
            if self._running == self._expected:
                self._reached.set()
        assert self._reached.wait(60)
        threading.Event().wait(0.02)
        with self._lock:
            self._running -= 1
            self.calls += 1


@pytest.mark.parametrize('limit', [1, 3])
def test_no_more_run_at_once_than_the_limit_over_all_workers(model: Any, started: Any, limit: int) -> None:
    handle = AtOnce(limit)
    queues = [queue_of(model, router_with(handle, concurrency=limit)) for _ in range(2)]
    for _ in range(20):
        queues[0].delay(ingest_event())

    for queue in queues:
        started(queue.create_worker(concurrency=4))
    wait_until(lambda: count(model, '200 OK') == 20)

    assert handle.calls == 20
    assert handle.most == limit


@pytest.mark.parametrize('limits', [{'concurrency': 2}, {}, {'concurrency': 100}], ids=str)
def test_who_comes_last_of_another_project_waits_behind_few(model: Any, limits: dict[str, int]) -> None:
    seen: list[str] = []
    router = router_with(lambda event: seen.append(event.data[0]['value']), concurrency_key='project', **limits)
    queue = queue_of(model, router)
    queue.accept([received(**of_project('A')) for _ in range(60)])
    queue.delay(of_project('B'))

    assert drain(queue.create_worker()) == 61
    assert seen.index('B') <= 10
    assert seen.count('A') == 60


def test_an_event_that_waits_for_a_limit_takes_no_attempt_and_no_slot(model: Any, writer: Writer) -> None:
    router = router_with(concurrency=1, concurrency_key='project')
    store = store_of(writer, router)
    for project in 'AAB':
        store.accept([received(**of_project(project))])

    first, second = store.claim('one', 30.0), store.claim('two', 30.0)

    assert first is not None and second is not None
    assert [project_of(first), project_of(second)] == ['A', 'B']
    assert store.claim('three', 30.0) is None
    assert store.finish(first, Outcome.succeeded())
    third = store.claim('three', 30.0)
    assert third is not None and (project_of(third), third.attempt) == ('A', 1)


def test_of_two_in_one_transaction_one_goes_beyond_no_limit(model: Any, writer: Writer) -> None:
    store = store_of(writer, router_with(concurrency=1))
    store.accept([received() for _ in range(3)])
    claim = store._claim('me', 30.0, '')

    assert [each is not None for each in writer.run(claim, claim, claim)] == [True, False, False]


def test_higher_priorities_run_first_and_each_by_age(model: Any) -> None:
    seen: list[str] = []
    router, handler = Router(), Calling(lambda event: seen.append(event.event_id))
    for name, priority in (('low', -1), ('usual', 0), ('high', 10)):
        path = Path.parse_str(f'$[?(@["data"][*]["value"] = "{name}")]')
        router.add_route(path, handler, name=name, priority=priority)
    queue = queue_of(model, router)
    for number, project in enumerate(['low', 'usual', 'high', 'low', 'usual', 'high']):
        queue.delay(of_project(project, eventID=f'{number}'))

    drain(queue.create_worker())
    assert seen == ['2', '5', '1', '4', '0', '3']


def test_without_priorities_what_has_one_from_before_runs_too(model: Any, store: Store) -> None:
    queue_of(model, router_with(priority=3)).delay(ingest_event())
    queue_of(model, router_with(priority=-3)).delay(ingest_event())

    store.straighten_line()
    assert drain(queue_of(model).create_worker()) == 2


def test_a_changed_limit_holds_from_the_next_claim(model: Any, writer: Writer) -> None:
    router = router_with(concurrency=1)
    store = store_of(writer, router)
    store.accept([received() for _ in range(6)])
    assert store.claim('me', 30.0) and not store.claim('me', 30.0)

    next(iter(router)).concurrency = 3
    assert store.claim('me', 30.0) and store.claim('me', 30.0) and not store.claim('me', 30.0)
    next(iter(router)).concurrency = 2
    assert not store.claim('me', 30.0)


def test_events_that_were_stored_before_there_was_a_limit_keep_it(model: Any, store: Store, writer: Writer) -> None:
    store.accept([received() for _ in range(30)])
    limited = store_of(writer, router_with(concurrency=1))

    claimed = limited.claim('me', 30.0)
    assert claimed is not None and limited.claim('me', 30.0) is None
    done = 0
    while claimed is not None:
        done += 1
        _, claimed = limited.finish_and_claim(claimed, Outcome.succeeded(), 'me', 30.0)
    assert done == 30


def test_events_whose_route_has_changed_count_for_the_new_one(model: Any, writer: Writer) -> None:
    store_of(writer, router_with(concurrency=1)).accept([received() for _ in range(2)])
    router = Router()
    router.add_route(Path.parse_str('$'), Calling(lambda event: None), name='another', concurrency=2)
    store = store_of(writer, router)

    claimed = [store.claim('me', 30.0), store.claim('me', 30.0)]
    assert [each and each.place.lane for each in claimed] == ['another/', 'another/']


@pytest.mark.parametrize('isolation', ['thread', 'process'])
def test_workers_run_no_more_of_them_at_once_either(model: Any, store: Store, started: Any, isolation: str) -> None:
    store.accept([received() for _ in range(IN_LINE + 12)])
    router = router_with(repr, concurrency=1)  # which other processes can import

    started(queue_of(model, router).create_worker(concurrency=4, isolation=isolation))
    wait_until(lambda: count(model, '200 OK') == IN_LINE + 12)

    attempts = sorted((each['started'], each['ended']) for row in model.select() for each in json.loads(row.history))
    assert len(attempts) == IN_LINE + 12
    assert all(ended <= started_at for (_, ended), (started_at, _) in zip(attempts, attempts[1:]))


def test_a_cancelled_event_is_not_kept_waiting_when_it_gets_its_place(model: Any, writer: Writer) -> None:
    store = store_of(writer, router_with(concurrency=1))
    store.accept([received() for _ in range(IN_LINE)])
    [task_id] = Store(writer, store.name).accept([received()])
    claimed = Store(writer, store.name).claim_task(task_id, 'me', 30.0)
    assert claimed is not None

    Operator(writer).cancel([task_id])
    assert writer.run(lambda session: move(session, store.name, claimed, Place('the route/'))) == [True]
    assert model.get(model.task_id == task_id).due > 0


def test_a_dead_worker_s_place_is_free_once_its_event_is_taken(model: Any, writer: Writer) -> None:
    store = store_of(writer, router_with(concurrency=1))
    store.accept([received() for _ in range(2)])
    assert store.claim('the dead', 0.0, 'w1') and store.claim('another', 30.0) is None

    store.rescue(3, worker_id='w1')
    assert store.claim('another', 30.0) is not None


def test_what_waits_for_a_retry_leaves_its_place_to_others(model: Any, writer: Writer) -> None:
    store = store_of(writer, router_with(concurrency=1))
    [first], [second] = store.accept([received()]), store.accept([received()])
    claimed = store.claim('me', 30.0)
    assert claimed is not None and claimed.task_id == first

    store.finish(claimed, Outcome.retry(RetryLater(), 3600.0))
    following = store.claim('me', 30.0)
    assert following is not None and following.task_id == second


def test_the_line_is_short_and_who_is_behind_comes_in_when_all_in_it_are_cancelled(model: Any, writer: Writer) -> None:
    store = store_of(writer, router_with(concurrency=1))
    task_ids = store.accept([received() for _ in range(IN_LINE + 5)])
    assert model.select().where(model.due < 0).count() == 5

    Operator(writer).cancel(task_ids[:IN_LINE])
    assert store.claim('me', 30.0) is None
    store.straighten_line()
    claimed = store.claim('me', 30.0)
    assert claimed is not None and claimed.task_id in task_ids[IN_LINE:]


def test_without_limits_all_that_were_behind_come_in(model: Any, writer: Writer, store: Store) -> None:
    store_of(writer, router_with(concurrency=1)).accept([received() for _ in range(IN_LINE + 30)])

    store.straighten_line()
    assert model.select().where(model.due < 0).count() == 0


def test_an_event_of_a_message_waits_for_its_limit_too(model: Any, writer: Writer) -> None:
    store = store_of(writer, router_with(concurrency=1))
    first, second = store.accept([received() for _ in range(2)])

    claimed = store.claim_task(first, 'me', 30.0)
    assert claimed is not None and store.claim_task(second, 'me', 30.0) is None
    store.finish(claimed, Outcome.succeeded())
    assert store.claim_task(second, 'me', 30.0) is not None


def test_processes_that_claim_at_the_same_time_keep_the_limit(model: Any) -> None:
    router, claimed = router_with(concurrency=3), []
    with connections_to(model) as one, connections_to(model) as two:
        stores = [store_of(Writer(connections), router) for connections in (one, two)]
        stores[0].accept([received() for _ in range(40)])
        start = threading.Barrier(8)

        def claim(store: Store) -> None:
            start.wait(30)
            claimed.append(store.claim('me', 30.0))

        threads = [threading.Thread(target=claim, args=(stores[number % 2],)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sum(each is not None for each in claimed) == 3


@pytest.mark.parametrize(('key', 'lane'), [
    (None, 'the route/'), ('project', 'the route/12%2F34'), ('instrument', 'the route/54'), ('submitter', 'the route/'),
    ('kv:Sample name', 'the route/é'), ('kv:other', 'the route/'),
])
def test_a_limit_counts_by_a_field_or_a_key_value(key: str | None, lane: str) -> None:
    places = RouterPlaces(router_with(concurrency=1, concurrency_key=key))()
    event = received(**of_project(
        '12/34', {'destinationTable': 'Transactions.instrument', 'value': 54},
        {'destinationTable': 'TransactionKeyValue', 'key': 'Sample name', 'value': 'é'}, 7))

    assert places is not None and places.of(event.event_json).lane == lane


def test_long_names_and_keys_are_told_apart() -> None:
    router = Router()
    for end in 'ab':
        router.add_route(
            Path.parse_str(f'$[?(@["source"] = "{end}")]'), Calling(lambda event: None), name='x/' * 120 + end,
            concurrency=1, concurrency_key='project')
    places = RouterPlaces(router)()
    assert places is not None
    lanes = [places.of(received(**of_project('y' * 300 + project, source=source)).event_json).lane
             for source in 'ab' for project in 'cd']

    assert len(set(lanes)) == 4
    assert all(lane is not None and len(lane) <= 255 and not places.room(lane, 1) for lane in lanes)


@pytest.mark.parametrize('limits', [{'concurrency': 0}, {'concurrency_key': 'projekt'}, {'concurrency_key': 'kv:'}])
def test_a_limit_that_can_t_be_is_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match='of a route'):
        Route(Path.parse_str('$'), Calling(lambda event: None), **limits)
