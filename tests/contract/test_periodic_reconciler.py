"""What was never delivered is found while a service runs: at its start, once an interval, by one service of several."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest

from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher.exceptions import ConfigurationError, InvalidEventError, QueueFullError, TransferError
from pacifica.dispatcher.router import Router
from support.events import router_to, wait_until
from support.fake_metadata import FakeMetadata
from support.fakes import status
from support.metrics import counted

# By the archive's clock, which is years ahead of the one here.
START = datetime(2031, 1, 2, 3, 4, 5)


class Archive(FakeMetadata):
    """Metadata with a clock that stands still until it is moved."""

    def __init__(self) -> None:
        super().__init__({})
        self.time = START
        self.clock = lambda: self.time.replace(tzinfo=timezone.utc).timestamp()

    def upload(self, transaction: int, ago: float = 60.0) -> None:
        """Have a transaction, so many seconds old."""
        self.transactions[transaction] = (self.time - timedelta(seconds=ago)).isoformat()


@pytest.fixture
def archive() -> Iterator[Archive]:
    """Metadata without transactions."""
    with Archive() as fake:
        yield fake


def queue_of(model: Any, name: str = 'my.app', wanted: bool = True) -> Any:
    router = router_to(lambda event: None) if wanted else Router()
    return model.create_queue(router, name, 'my.tasks.receive')


def transactions(model: Any) -> list[str]:
    return sorted(row.transaction_id for row in model.select())


def test_the_very_first_look_finds_what_comes_from_then_on(model: Any, archive: Archive) -> None:
    reconciler = queue_of(model).create_reconciler(archive.url, interval=0.001)
    archive.upload(1, ago=3600)
    first = reconciler.run_once(early=1)
    archive.time += timedelta(minutes=1)
    archive.upload(2, ago=20)

    second = reconciler.run_once(early=1)

    assert (first.looked_at, list(second.missing)) == (0, [2])
    assert transactions(model) == ['2']


def test_the_very_first_look_may_begin_earlier_and_only_that_one(model: Any, archive: Archive) -> None:
    queue = queue_of(model)
    archive.upload(1, ago=7200)
    archive.upload(2, ago=3000)
    zone = timezone(timedelta(hours=-7))

    hour_ago = (START - timedelta(hours=1)).replace(tzinfo=timezone.utc).astimezone(zone)
    queue.create_reconciler(archive.url, interval=0.001, since=hour_ago).run_once(early=1)
    queue.create_reconciler(archive.url, interval=0.001, since=START - timedelta(days=1)).run_once(early=1)

    assert transactions(model) == ['2']


def test_what_was_missed_is_counted_as_it_is_stored_also_if_the_look_fails_then(
    model: Any, archive: Archive, monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine = {'application': f'app-{uuid4().hex}', 'task': 'my.tasks.receive'}
    queue = model.create_queue(router_to(lambda event: None), *mine.values(), metrics=True)
    reconciler = queue.create_reconciler(archive.url, since=START - timedelta(hours=1))
    assert counted('missed_events_total', **mine) == 0
    for number in (1, 2, 3):
        archive.upload(number)
    accept = Store.accept

    def takes_two(store: Store, events: Any) -> Any:
        if events[0].event_id == 'metadata.ingest.3':
            raise QueueFullError('2 events are waiting', retry_after=1)
        return accept(store, events)

    monkeypatch.setattr(Store, 'accept', takes_two)

    with pytest.raises(QueueFullError):
        reconciler.run_once()

    assert counted('missed_events_total', **mine) == len(transactions(model)) == 2


def test_what_becomes_visible_later_than_its_time_is_found(model: Any, archive: Archive) -> None:
    queue = queue_of(model)
    archive.time -= timedelta(hours=2)
    queue.create_reconciler(archive.url, interval=0.001).run_once(early=1)
    archive.time = START
    queue.create_reconciler(archive.url, interval=0.001).run_once(early=1)
    archive.upload(3, ago=3590)

    queue.create_reconciler(archive.url, interval=0.001).run_once(early=1)

    assert transactions(model) == ['3']


def test_what_was_missed_while_no_service_ran_is_found_at_the_next_start(model: Any, archive: Archive) -> None:
    queue_of(model).create_reconciler(archive.url).run_once()
    archive.time += timedelta(days=3)
    for number in (1, 2, 3):
        archive.upload(number, ago=number * 80_000)

    reconciler = queue_of(model).create_reconciler(archive.url)
    found = reconciler.run_once(early=60)  # as at a start

    assert found is not None and sorted(found.missing) == [1, 2, 3]
    assert reconciler.run_once() is None


def test_a_start_looks_at_once_however_short_the_stop_before_it_was(model: Any, archive: Archive) -> None:
    queue_of(model).create_reconciler(archive.url, interval=3600, since=START - timedelta(hours=1)).run_once()
    archive.upload(1)

    reconciler = queue_of(model).create_reconciler(archive.url, interval=3600)
    reconciler.start()
    try:
        wait_until(lambda: transactions(model) == ['1'])
    finally:
        reconciler.stop()


def test_a_transaction_whose_delivery_may_be_on_its_way_is_left_for_a_look_soon(model: Any, archive: Archive) -> None:
    reconciler = queue_of(model).create_reconciler(archive.url, interval=3600)
    reconciler.run_once()
    archive.time += timedelta(seconds=20)
    archive.upload(1, ago=4)
    recent = reconciler.run_once(early=3600)

    archive.time += timedelta(seconds=10)
    found = reconciler.run_once(early=10)

    assert (recent.recent, recent.missing) == (1, {})
    assert list(found.missing) == [1]


def test_several_services_of_a_queue_look_once(model: Any, archive: Archive) -> None:
    looks = [queue_of(model).create_reconciler(archive.url).run_once() for _ in range(3)]

    assert [found is not None for found in looks] == [True, False, False]
    assert queue_of(model, 'other.app').create_reconciler(archive.url).run_once() is not None


def test_while_one_looks_no_other_does_until_its_lease_is_over(model: Any, store: Store, archive: Archive) -> None:
    assert store.claim_reconciliation('a', 1000.0) is not None

    assert store.claim_reconciliation('b', 1000.0) is None
    assert store.renew_reconciliation('a', -1.0)
    assert store.claim_reconciliation('b', 1000.0) is not None

    assert not store.renew_reconciliation('a', 1000.0)
    store.finish_reconciliation('a', 0.0, START)
    store.finish_reconciliation('b', 0.0)
    assert store.claim_reconciliation('c', 1.0).since is None


def test_a_look_that_failed_is_made_again_from_the_same_time(model: Any, archive: Archive) -> None:
    queue = queue_of(model)
    reconciler = queue.create_reconciler(archive.url, interval=0.001)
    reconciler.run_once(early=1)
    archive.time += timedelta(days=1)
    archive.upload(1, ago=80_000)
    archive.fail('GET', status(500))
    with pytest.raises(TransferError):
        reconciler.run_once(early=1)

    assert list(reconciler.run_once(early=1).missing) == [1]


def test_a_transaction_that_metadata_cant_tell_keeps_no_other_from_being_found(
    model: Any, archive: Archive, caplog: pytest.LogCaptureFixture,
) -> None:
    reconciler = queue_of(model).create_reconciler(
        archive.url, interval=0.001, since=START - timedelta(hours=1))
    for number in (1, 2, 3):
        archive.upload(number)
    archive.unknown = {2}

    reconciler.run_once(early=1)
    reconciler.run_once(early=1)
    archive.unknown.clear()
    found = reconciler.run_once(early=1)

    warned = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert [each.message for each in warned] == ['events.reconciled', 'transaction.unreadable', 'events.reconciled']
    assert vars(warned[0])['transactions'] == '1, 3' and vars(warned[1])['transaction'] == 2
    assert list(found.missing) == [2]


def test_what_no_route_wants_is_asked_for_once(model: Any, archive: Archive) -> None:
    reconciler = queue_of(model, wanted=False).create_reconciler(
        archive.url, interval=0.001, since=START - timedelta(hours=1))
    archive.upload(1)

    for _ in range(3):
        reconciler.run_once(early=1)

    assert archive.asked['transactioninfo'] == 1
    assert transactions(model) == []


def test_the_thread_goes_on_while_metadata_is_away_and_says_so_once(
    model: Any, archive: Archive, caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    reconciler = queue_of(model).create_reconciler(archive.url, interval=0.01, since=START - timedelta(hours=1))
    archive.upload(1)
    archive.fail('GET', *[status(500)] * 3)

    reconciler.start()
    wait_until(lambda: 'reconciler.recovered' in caplog.messages)
    reconciler.stop()

    assert caplog.messages.count('reconciler.failed') == 1
    assert transactions(model) == ['1']


def test_an_event_that_cant_be_stored_keeps_no_other_from_being_found(
    model: Any, archive: Archive, monkeypatch: pytest.MonkeyPatch,
) -> None:
    reconciler = queue_of(model).create_reconciler(archive.url, interval=0.001, since=START - timedelta(hours=1))
    for number in (1, 2, 3):
        archive.upload(number)
    accept = Store.accept

    def takes_none_of_2(store: Store, events: Any) -> Any:
        if events[0].event_id == 'metadata.ingest.2':
            raise InvalidEventError('larger than the database takes', status=413)
        return accept(store, events)

    monkeypatch.setattr(Store, 'accept', takes_none_of_2)

    found = reconciler.run_once(early=1)

    assert list(found.missing) == [1, 3]
    assert found.unreadable == {2: 'larger than the database takes'}


@pytest.mark.parametrize('error', [QueueFullError('10 events are waiting', retry_after=1), ZeroDivisionError()])
def test_the_thread_outlives_whatever_happens(
    model: Any, archive: Archive, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, error: Exception,
) -> None:
    caplog.set_level(logging.INFO)
    reconciler = queue_of(model).create_reconciler(archive.url, interval=0.01, since=START - timedelta(hours=1))
    archive.upload(1)
    accept, faults = Store.accept, [error] * 3

    def fails_at_first(store: Store, events: Any) -> Any:
        if faults:
            raise faults.pop()
        return accept(store, events)

    monkeypatch.setattr(Store, 'accept', fails_at_first)

    reconciler.start()
    wait_until(lambda: 'reconciler.recovered' in caplog.messages)
    reconciler.stop()

    assert caplog.messages.count('reconciler.failed') == 1
    assert transactions(model) == ['1']


@pytest.mark.parametrize('settings', [{'interval': 0}, {'interval': -1}])
def test_a_setting_that_cant_work_is_refused(model: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match='interval'):
        queue_of(model).create_reconciler('http://127.0.0.1:1', **settings)
