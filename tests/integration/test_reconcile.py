"""``reconcile`` and ``EventQueue.reconcile``: what was never delivered is found, once, and only what a route wants."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from jsonpath2.path import Path as JSONPath

from pacifica.dispatcher._cli import main
from pacifica.dispatcher._transfers.metadata import Metadata
from pacifica.dispatcher.event_handlers import NoopEventHandler
from pacifica.dispatcher.exceptions import ConfigurationError, TransferError
from pacifica.dispatcher.router import Router
from support.command_line import ROUTES
from support.fake_metadata import FakeMetadata
from support.fakes import status
from support.queues import TASK, queue_of

SINCE = datetime(2026, 11, 27, 11, 0, tzinfo=timezone.utc)
LATER, EARLIER = '2026-11-27T11:22:42', '2026-11-27T10:59:59'


@pytest.fixture
def metadata() -> Iterator[FakeMetadata]:
    """Metadata with three transactions since eleven o'clock, and one before."""
    with FakeMetadata({1: EARLIER, 2: LATER, 3: LATER, 4: LATER}) as fake:
        yield fake


def transactions(model: Any) -> list[str]:
    return sorted(row.transaction_id for row in model.select())


def test_what_is_missing_is_stored_once(model: Any, metadata: FakeMetadata) -> None:
    queue = queue_of(model)

    first = queue.reconcile(metadata.url, SINCE)
    second = queue.reconcile(metadata.url, SINCE)

    assert (first.looked_at, list(first.missing), first.unwanted) == (3, [2, 3, 4], set())
    assert (second.looked_at, second.missing) == (3, {})
    assert transactions(model) == ['2', '3', '4']
    assert set(first.missing.values()) == {str(row.task_id) for row in model.select()}


@pytest.mark.parametrize('delivered_first', [True, False])
def test_an_event_that_is_delivered_too_is_that_event(
    model: Any, metadata: FakeMetadata, delivered_first: bool,
) -> None:
    queue = queue_of(model)
    delivered = Metadata(metadata.url).event_of(3)
    both: list[Callable[[], Any]] = [lambda: queue.delay(delivered), lambda: queue.reconcile(metadata.url, SINCE)]

    for act in both if delivered_first else reversed(both):
        act()

    assert transactions(model) == ['2', '3', '4']


def test_what_a_live_worker_of_0_2_had_after_the_upgrade_is_not_missing(model: Any, metadata: FakeMetadata) -> None:
    queue = queue_of(model)
    model.create_table()
    event = Metadata(metadata.url).event_of(3)
    of_0_2 = model.create(  # its columns alone
        event_type=event['eventType'], source=event['source'], event_id=event['eventID'], event_data=json.dumps(event),
        data=json.dumps(event['data']), task_id=UUID(int=7), task_application_name='my.app', task_name=TASK,
        task_status='200 OK')

    found = queue.reconcile(metadata.url, SINCE)

    assert (of_0_2.event_key, list(found.missing)) == (None, [2, 4])


def test_what_no_route_wants_is_not_stored(model: Any, metadata: FakeMetadata) -> None:
    metadata.key_values[3] = [('kind', 'raw')]
    router = Router()
    router.add_route(JSONPath.parse_str('$["data"][*][?(@["value"] = "raw")]'), NoopEventHandler())

    found = queue_of(model, router).reconcile(metadata.url, SINCE)

    assert (list(found.missing), found.unwanted) == ([3], {2, 4})
    assert transactions(model) == ['3']


def test_a_dry_run_stores_nothing(model: Any, metadata: FakeMetadata) -> None:
    found = queue_of(model).reconcile(metadata.url, SINCE, dry_run=True)

    assert found.missing == {2: None, 3: None, 4: None}
    assert transactions(model) == []


def test_the_time_may_be_of_any_zone(model: Any, metadata: FakeMetadata) -> None:
    zone = timezone(timedelta(hours=5))

    assert queue_of(model).reconcile(metadata.url, SINCE.astimezone(zone), dry_run=True).looked_at == 3
    assert queue_of(model).reconcile(metadata.url, SINCE.replace(tzinfo=None), dry_run=True).looked_at == 3


def test_a_key_given_twice_has_both_its_values(metadata: FakeMetadata) -> None:
    metadata.key_values[2] = [('a', '1'), ('a', '2'), ('b', '3')]

    data = Metadata(metadata.url).event_of(2)['data']

    assert [(row['key'], row['value']) for row in data if row['destinationTable'] == 'TransactionKeyValue'] == [
        ('a', '1'), ('a', '2'), ('b', '3')]


@pytest.mark.slow
def test_hundreds_are_found_page_by_page_and_asked_for_only_if_missing(model: Any) -> None:
    queue = queue_of(model)
    seen: list[int] = []
    with FakeMetadata(dict.fromkeys(range(1, 301), LATER)) as metadata:
        queue.reconcile(metadata.url, SINCE)
        model.delete().where(model.transaction_id.in_(['7', '300'])).execute()
        metadata.asked.clear()

        found = queue.reconcile(metadata.url, SINCE, progress=lambda found: seen.append(found.looked_at))

    assert list(found.missing) == [7, 300]
    assert metadata.asked == {'transsip': 4, 'transactioninfo': 2, 'trans_key_value': 2}
    assert seen == [100, 200, 300, 300]


def test_a_passing_fault_is_tried_again(model: Any, metadata: FakeMetadata) -> None:
    metadata.fail('GET', status(503), status(502))

    assert len(queue_of(model).reconcile(metadata.url, SINCE).missing) == 3


@pytest.mark.parametrize('answer', [
    status(404), status(500), status(200, b'{}'), status(200, b'[{"created": 1}]'), status(200, b'not JSON'),
], ids=['404', '500', 'object', 'array', 'text'])
def test_what_is_no_metadata_is_an_error_that_names_it(metadata: FakeMetadata, answer: Any) -> None:
    service = Metadata(metadata.url, timeout=1.0)
    metadata.fail('GET', *[answer] * 1000)

    with pytest.raises(TransferError, match=re.escape(f'{metadata.url}/transactioninfo/by_id/2')):
        service.event_of(2)


def test_a_queue_that_knows_no_repeated_events_is_refused(model: Any, metadata: FakeMetadata) -> None:
    with pytest.raises(ConfigurationError, match='deduplicate=True'):
        queue_of(model, deduplicate=False).reconcile(metadata.url, SINCE)


def test_the_command_says_what_it_did(
    metadata: FakeMetadata, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / 'reconciled.py').write_text(ROUTES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def reconcile(*more: str, url: str = metadata.url, expected: int = 0) -> tuple[str, str]:
        with pytest.raises(SystemExit) as exit_:
            main(['reconcile', 'reconciled:router', '--metadata', url, '--since', '2026-11-27T11:00:00Z', *more])
        assert exit_.value.code == expected
        return tuple(capsys.readouterr())  # type: ignore[return-value]  # a named tuple of two texts

    dry, _ = reconcile('--dry-run')
    done = json.loads(reconcile('--json')[0])
    again, _ = reconcile()
    metadata.fail('GET', status(404))
    _, error = reconcile(expected=2)

    assert dry == ('3 transactions since 2026-11-27 11:00:00 UTC, 3 of which were missing\n'
                   'would be stored: the events of 2, 3, 4\n')
    assert [each['transactionID'] for each in done['missing']] == ['2', '3', '4']
    assert (done['lookedAt'], done['unwanted'], done['dryRun']) == (3, 0, False)
    assert again == '3 transactions since 2026-11-27 11:00:00 UTC, 0 of which were missing\n'
    assert f'{metadata.url}/transsip was answered 404' in error and 'run it again' in error
