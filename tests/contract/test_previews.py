"""Images that handlers make are kept with their events, on every database and from every engine, and bounded."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from jsonpath2.path import Path

from pacifica.dispatcher._queue.operator import Operator
from pacifica.dispatcher._queue.previews import Previews
from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher._queue.values import ClaimedEvent, Outcome, Preview
from pacifica.dispatcher._queue.writer import Writer
from pacifica.dispatcher.event_handlers import StagedEventHandler
from pacifica.dispatcher.router import Router
from support.events import ingest_event, received, wait_until
from support.images import png
from support.plotting import Plotting
from support.queues import queue_of, status


def previews(store: Store) -> Previews:
    return Previews(store.connections)


def claimed(store: Store) -> ClaimedEvent:
    store.accept([received()])
    found = store.claim('me', 60)
    assert found
    return found


def plotting_router(**settings: Any) -> Router:
    router = Router()
    router.add_route(Path.parse_str('$'), StagedEventHandler(None, Plotting(), None, **settings), name='plot')
    return router


def test_an_image_is_kept_with_its_bytes_and_found_by_its_event(store: Store) -> None:
    event = claimed(store)

    assert store.keep_preview(event, Preview('a/fit é.png', 'image/png', png(), 'plot', '54')) is None

    [kept] = previews(store).of(event.task_id)
    assert (kept.number, kept.name, kept.media, kept.size) == (1, 'a/fit é.png', 'image/png', len(png()))
    assert previews(store).content(event.task_id, 1) == ('image/png', png())
    assert previews(store).content(event.task_id, 2) is None


def test_one_of_the_same_name_takes_its_place_and_a_sixth_is_refused(store: Store) -> None:
    event = claimed(store)
    for number in range(5):
        assert store.keep_preview(event, Preview(f'{number}.png', 'image/png', png())) is None

    assert store.keep_preview(event, Preview('6.png', 'image/png', png())) == '5 are kept of an event'
    assert store.keep_preview(event, Preview('2.png', 'image/png', png(7))) is None

    assert [(each.number, each.name) for each in previews(store).of(event.task_id)] == [
        (number + 1, f'{number}.png') for number in range(5)]
    assert previews(store).content(event.task_id, 3) == ('image/png', png(7))


def test_a_lost_lease_keeps_none_and_the_next_run_s_first_takes_the_place_of_all(store: Store) -> None:
    lost = claimed(store)
    store.keep_preview(lost, Preview('a.png', 'image/png', png()))
    store.keep_preview(lost, Preview('b.png', 'image/png', png()))
    store.release([lost])
    held = store.claim('other', 60)
    assert held

    assert store.keep_preview(lost, Preview('c.png', 'image/png', png())) == 'the lease of the event is over'
    assert len(previews(store).of(held.task_id)) == 2
    assert store.keep_preview(held, Preview('d.png', 'image/png', png())) is None

    assert [each.name for each in previews(store).of(held.task_id)] == ['d.png']


def test_they_are_bounded_in_all_and_the_oldest_go_first(store: Store) -> None:
    small = Store(Writer(store.connections), store.name, keep_previews=4 * len(png()))
    events = [claimed(small) for _ in range(9)]
    for event in events:
        small.keep_preview(event, Preview('a.png', 'image/png', png(), 'plot'))

    assert [each.task_id for each in previews(store).latest(100)] == [each.task_id for each in events[:-5:-1]]
    none = Store(Writer(store.connections), store.name, keep_previews=0)
    assert 'no images are kept' in (none.keep_preview(claimed(none), Preview('a.png', 'image/png', png())) or '')


def test_they_are_found_by_route_and_instrument_newest_first(store: Store) -> None:
    events = [claimed(store) for _ in range(4)]
    for event, route, instrument in zip(events, ('fit', 'plot', 'fit', 'fit'), ('54', '54', '', '104')):
        store.keep_preview(event, Preview('a.png', 'image/png', png(), route, instrument))
    found = previews(store)

    by_route = found.latest(2, route='fit')
    assert [each.task_id for each in by_route] == [events[3].task_id, events[2].task_id]
    older, = found.latest(2, route='fit', before=by_route[-1].image.created)
    assert (older.task_id, older.instrument) == (events[0].task_id, '54')
    assert [each.task_id for each in found.latest(9, route='fit', instrument='104')] == [events[3].task_id]
    assert found.choices() == (['fit', 'plot'], ['104', '54'])


def test_they_are_deleted_with_their_event(store: Store) -> None:
    event = claimed(store)
    store.keep_preview(event, Preview('a.png', 'image/png', png()))
    store.finish(event, Outcome.succeeded())

    assert store.prune(-60) == 1

    assert previews(store).latest(9) == []


@pytest.mark.parametrize('isolation', ['process', 'thread'])
def test_a_staged_handler_keeps_its_images_also_when_it_runs_again(model: Any, isolation: str) -> None:
    queue = queue_of(model, plotting_router(previews=['*.svg']))
    task_id = UUID(queue.delay(ingest_event()).id)
    worker, found = queue.create_worker(concurrency=1, isolation=isolation), Previews(model._writer.connections)
    worker.start()
    try:
        wait_until(lambda: status(model, task_id) == '200 OK')
        first = found.of(task_id)
        Operator(model._writer).retry([task_id])
        wait_until(lambda: status(model, task_id) == '200 OK' and found.of(task_id) != first)
    finally:
        worker.stop()

    assert [(each.name, each.media) for each in found.of(task_id)] == [
        ('fit.png', 'image/png'), ('plots/a.svg', 'image/svg+xml')]
    assert [(each.route, each.instrument) for each in found.latest(1)] == [('plot', '54')]
