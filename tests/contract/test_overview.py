"""The state of the whole table, on every database: counts, queues, workers, and what ended when."""

from __future__ import annotations

from typing import Any

import pytest

from pacifica.dispatcher._operate.report import StatusReport
from pacifica.dispatcher._queue import overview as module
from pacifica.dispatcher._queue.connections import Connections
from pacifica.dispatcher._queue.overview import Overview
from pacifica.dispatcher._queue.status import Status
from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher._queue.transitions import Heartbeat
from support.events import received, router_to
from support.queues import TASK, drain, queue_of


def handle(event: Any) -> None:
    """Fail if the event says so."""
    if event.event_type == 'broken':
        raise ValueError('broken')


ROUTER = router_to(handle, '$[?(@["eventType"] != "none")]')


def test_events_are_counted_by_status(model: Any, connections: Connections) -> None:
    queue = queue_of(model, ROUTER)
    queue.accept([received(eventType=kind) for kind in ('broken', 'broken', 'good', 'none')])
    drain(queue.create_worker())
    queue.accept([received(), received(), received()])
    assert Overview(connections).counts() == {
        Status.ACCEPTED: 3, Status.PROCESSING: 0, Status.OK: 1, Status.UNPROCESSABLE: 1, Status.FAILED: 2}


def test_counting_ends_at_its_limit_and_is_not_repeated_at_once(
    model: Any, connections: Connections, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, 'COUNT_LIMIT', 3)
    queue = queue_of(model, ROUTER)
    queue.accept([received() for _ in range(5)])
    overview = Overview(connections)
    assert overview.counts()[Status.ACCEPTED] == 3
    model.delete().execute()
    assert overview.counts()[Status.ACCEPTED] == 3
    assert Overview(connections).counts()[Status.ACCEPTED] == 0


def test_events_without_a_route_are_counted_by_type_the_most_first(
    model: Any, connections: Connections, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, '_UNROUTED', 6)
    monkeypatch.setattr(module, '_MOST_TYPES', 2)
    queue = queue_of(model, router_to(handle, '$[?(@["eventType"] = "good")]'))
    for kind in ('long ago', 'long ago', 'long ago', 'good', 'a', 'b', 'b', 'c', 'b', 'a'):
        queue.accept([received(eventType=kind)])
    drain(queue.create_worker())
    assert list(Overview(connections).unrouted().items()) == [('b', 3), ('a', 2)]


def test_each_queue_tells_how_long_its_oldest_event_is_due(model: Any, connections: Connections) -> None:
    overview = Overview(connections)
    assert overview.queues() == []
    for name in ('b.app', 'a.app'):
        model.create_queue(ROUTER, name, TASK).accept([received(), received()])
    model.update(due=model.due - 100).where(model.task_application_name == 'b.app').execute()
    drain(model.create_queue(ROUTER, 'c.app', TASK).create_worker())
    first, second = overview.queues()
    assert (first.application, second.application) == ('a.app', 'b.app')
    assert 0 <= first.oldest_age < 60 <= second.oldest_age < 200


def test_what_is_not_due_yet_waits_but_has_no_age(model: Any, connections: Connections) -> None:
    queue_of(model, ROUTER).accept([received()])
    model.update(due=model.due + 1000).execute()
    [queue] = Overview(connections).queues()
    assert (queue.waiting, queue.oldest_age) == (1, 0)


def test_workers_are_there_until_they_are_silent_for_longer_than_their_lease(
    model: Any, connections: Connections, store: Store,
) -> None:
    overview = Overview(connections)
    store.beat(Heartbeat('a' * 32, store.name, 'host:1', 'threads', 4, 30.0))
    [worker] = overview.workers()
    assert (worker.owner, worker.engine, worker.concurrency, worker.lost) == ('host:1', 'threads', 4, False)
    connections.writer.execute('UPDATE receivetaskworker SET seen = seen - 31')
    [worker] = overview.workers()
    assert worker.lost and worker.age >= 31
    store.deregister('a' * 32)
    assert overview.workers() == []


def test_what_ended_is_in_the_span_in_which_it_ended(model: Any, connections: Connections) -> None:
    queue = queue_of(model, ROUTER)
    queue.accept([received(eventType=kind) for kind in ('broken', 'good', 'good', 'none')])
    drain(queue.create_worker())
    buckets = Overview(connections).ended(3600.0, 24)
    assert len(buckets) == 24
    assert [bucket.begin - buckets[0].begin for bucket in buckets] == [3600.0 * number for number in range(24)]
    total: dict[Status, int] = {}
    for bucket in buckets[-2:]:  # the hour may have just turned
        for status, count in bucket.counts.items():
            total[status] = total.get(status, 0) + count
    assert total == {Status.OK: 2, Status.UNPROCESSABLE: 1, Status.FAILED: 1}
    seconds = [each for bucket in buckets[-2:] for each in bucket.seconds]
    assert len(seconds) == 4 and all(0 <= each < 60 for each in seconds)
    assert all(not any(bucket.counts.values()) and not bucket.seconds for bucket in buckets[:-2])


def test_each_route_tells_what_of_it_ended_and_how_long_it_took(model: Any, connections: Connections) -> None:
    queue = queue_of(model, ROUTER)
    queue.accept([received(eventType=kind) for kind in ('broken', 'good', 'good', 'none')])
    drain(queue.create_worker())

    [route] = StatusReport(Overview(connections)).routes

    assert (route.name, route.limited) == (next(iter(ROUTER)).name, False)
    for ended in route.ended.values():
        assert +ended.counts == {Status.OK: 2, Status.FAILED: 1}
        median, high = ended.percentile(0.5), ended.percentile(0.95)
        assert median is not None and high is not None and 0 <= median <= high < 60


def test_a_span_that_is_over_is_remembered_and_the_current_one_is_not(model: Any, connections: Connections) -> None:
    queue = queue_of(model, ROUTER)
    queue.accept([received(), received()])
    drain(queue.create_worker())
    model.update(finalized='2026-01-01 00:00:30.000000').where(
        model.task_id == model.select(model.task_id).order_by(model.task_id).first().task_id).execute()
    now = connections.writer.now()
    overview = Overview(connections)
    number = int((now - 1_767_225_600) // 86_400) + 1  # days since 2026-01-01
    first = overview.ended(86_400.0, number)
    assert (sum(first[0].counts.values()), sum(sum(each.counts.values()) for each in first[-2:])) == (1, 1)
    queue.accept([received()])
    drain(queue.create_worker())
    model.update(finalized=None).where(model.finalized < '2026-01-02 00:00:00.000000').execute()
    second = overview.ended(86_400.0, number)
    assert (sum(second[0].counts.values()), sum(sum(each.counts.values()) for each in second[-2:])) == (1, 2)
    assert sum(Overview(connections).ended(86_400.0, number)[0].counts.values()) == 0


def test_an_empty_table_has_nothing_to_tell(model: Any, connections: Connections) -> None:
    overview = Overview(connections)
    assert set(overview.counts().values()) == {0}
    assert overview.workers() == [] and overview.queues() == []
    assert all(bucket.seconds == [] for bucket in overview.ended(60.0, 60))
