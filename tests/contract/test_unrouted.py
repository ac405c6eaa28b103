"""Events that no route matches are kept for a while, by default a day, and are not what an operator sees first."""

from __future__ import annotations

from typing import Any

import pytest

from pacifica.dispatcher._queue.connections import Connections
from pacifica.dispatcher._queue.filters import Filter
from pacifica.dispatcher._queue.record import timestamp
from pacifica.dispatcher._queue.search import Search
from pacifica.dispatcher.exceptions import ConfigurationError
from pacifica.dispatcher.router import Router
from support.databases import connections_to
from support.events import ingest_event, router_to
from support.queues import queue_of, start_and_stop

DAY = 86_400


def ended(model: Any, router: Router) -> str:
    """Return the task id of an event that *router* has ended."""
    queue = queue_of(model, router)
    task_id = queue.delay(ingest_event()).id
    assert queue.create_worker(keep_unrouted=None).run_once()
    return str(task_id)


def make_older(model: Any, seconds: float) -> None:
    """Let everything have come and ended *seconds* ago."""
    with connections_to(model) as connections, connections.reading() as session:
        time = timestamp(session.now() - seconds)
    model.update(created=time, finalized=time).execute()


def turn(model: Any, **settings: Any) -> set[str]:
    """Let the keeper of a worker take a turn, and return the task ids that are left."""
    start_and_stop(queue_of(model, Router()).create_worker(**settings))
    return {str(row.task_id) for row in model.select()}


def test_after_a_day_they_are_gone_and_others_stay(model: Any) -> None:
    ended(model, Router())
    handled = ended(model, router_to(lambda event: None))
    failed = ended(model, router_to(lambda event: 1 / 0))
    make_older(model, DAY + 60)

    assert turn(model) == {handled, failed}


def test_for_a_day_they_stay(model: Any) -> None:
    task_id = ended(model, Router())
    make_older(model, DAY - 600)

    assert turn(model) == {task_id}
    assert turn(model, keep_unrouted=60) == set()


def test_they_stay_for_ever_if_that_is_wanted(model: Any) -> None:
    task_id = ended(model, Router())
    make_older(model, 1000 * DAY)

    assert turn(model, keep_unrouted=None) == {task_id}


def test_those_of_the_0_2_series_stay(model: Any) -> None:
    task_id = ended(model, Router())
    model.update(claimed=None).execute()
    make_older(model, 1000 * DAY)

    assert turn(model) == {task_id}


def test_those_of_another_queue_stay(model: Any) -> None:
    task_id = ended(model, Router())
    model.update(task_application_name='other.app').execute()
    make_older(model, 2 * DAY)

    assert turn(model) == {task_id}


def test_a_search_can_leave_them_out(model: Any, connections: Connections) -> None:
    ended(model, Router())
    handled = ended(model, router_to(lambda event: None))
    search = Search(connections)

    assert [row['taskID'] for row in search.page(Filter(routed=True), limit=9).rows] == [handled]
    assert len(search.page(Filter(), limit=9).rows) == 2


def test_a_time_that_cannot_be_is_refused(model: Any) -> None:
    with pytest.raises(ConfigurationError, match='keep_unrouted must be more than 0'):
        queue_of(model).create_worker(keep_unrouted=0)
