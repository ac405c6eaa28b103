"""Failures in groups, on every database: what is equal is counted together, found, and run again."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from pacifica.dispatcher._queue import failing as module
from pacifica.dispatcher._queue.connections import Connections
from pacifica.dispatcher._queue.filters import Filter
from pacifica.dispatcher._queue.operator import Operator
from pacifica.dispatcher._queue.overview import Overview
from pacifica.dispatcher._queue.schema import ensure_schema
from pacifica.dispatcher._queue.search import Search
from pacifica.dispatcher._queue.writer import Writer
from support.events import received
from support.queues import drain, queue_of

KINDS = ('no calibration for run {}', 'cannot open /data/{}.h5', 'mask has {} pixels')


def fail(event: Any) -> None:
    """Fail in one of three ways, each time with other numbers."""
    number = int(event.event_id)
    raise ValueError(KINDS[number % 3].format(number))


@pytest.fixture
def queue(model: Any) -> Any:
    queue = queue_of(model, fail)
    queue.accept([received(eventID=str(number)) for number in range(31)])
    drain(queue.create_worker())
    return queue


def test_failures_of_three_kinds_are_three_groups(queue: Any, model: Any, connections: Connections) -> None:
    groups = Overview(connections).failing()

    assert [each.count for each in groups] == [11, 10, 10]
    first = groups[0]
    assert (first.exc_type, first.route) == ('ValueError', next(iter(queue.router)).name)
    newest = model.get(model.task_id == UUID(first.task_id))
    assert first.exc_value == f'no calibration for run {newest.event_id}'
    assert first.since < first.last


def test_a_group_is_found_and_combined_with_every_other_condition(queue: Any, connections: Connections) -> None:
    group = Overview(connections).failing()[0].group
    search = Search(connections)

    assert len(search.page(Filter(group=group), limit=50).rows) == 11
    for also in ({'text': 'run 30'}, {'text': '30'}):
        assert [row['eventID'] for row in search.page(Filter(group=group, **also), limit=50).rows] == ['30']
    assert search.page(Filter(group='0' * 16), limit=50).rows == []


def test_what_runs_again_or_was_cancelled_is_in_no_group(
    queue: Any, model: Any, writer: Writer, connections: Connections,
) -> None:
    operator, overview = Operator(writer), Overview(connections)
    group = overview.failing()[0].group
    task_ids = [row.task_id for row in model.select().where(model.failure_group == group)]

    operator.retry(task_ids)

    assert [each.count for each in overview.failing()] == [10, 10]
    operator.cancel(task_ids)
    assert [each.count for each in overview.failing()] == [10, 10]


def test_what_failed_before_yesterday_is_no_group_of_today_but_says_since_when(
    queue: Any, model: Any, connections: Connections,
) -> None:
    long_ago = '2026-01-01 00:00:00.000001'
    model.update(finalized=long_ago).where(model.event_id.not_in(['30'])).execute()

    [group] = Overview(connections).failing()

    assert (group.count, group.since) == (1, long_ago)


def test_no_more_groups_are_looked_at_than_may_be(
    queue: Any, connections: Connections, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, 'MOST_GROUPS', 2)

    assert len(Overview(connections).failing()) == 2


def test_an_upgrade_gives_old_failures_their_groups(queue: Any, model: Any, connections: Connections) -> None:
    groups = Overview(connections).failing()
    session = connections.writer
    index = session.dialect.drop_index.format(index='receivetaskmodel_failure_group', table='receivetaskmodel')
    for statement in (index, 'ALTER TABLE receivetaskmodel DROP COLUMN failure_group'):
        session.execute(statement)

    assert ensure_schema(session) == 'upgraded'

    assert Overview(connections).failing() == groups
