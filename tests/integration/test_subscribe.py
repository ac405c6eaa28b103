"""``subscribe``: one subscription, however often it is run, and enabled again as soon as its receiver is back."""

from __future__ import annotations

import logging
import re
import signal
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from pacifica.dispatcher._cli import main
from pacifica.dispatcher._clients.http import HttpClient
from pacifica.dispatcher._clients.receiver_client import ReceiverClient
from pacifica.dispatcher._clients.subscription import Notifications, Wanted, ensure
from pacifica.dispatcher._clients.subscription_keeper import Redelivery, SubscriptionKeeper
from pacifica.dispatcher._transfers.metadata import Metadata
from support.command_line import started
from support.events import ingest_event, wait_until
from support.fake_metadata import FakeMetadata
from support.fake_notifications import FakeNotifications, FakeReceiver, dead_port
from support.fakes import hang, status
from support.metrics import Scrape
from support.processes import free_port

INGESTS = '$[?(@["eventType"] = "org.pacifica.metadata.ingest")]'


def arguments(notifications: str, receiver: str, *more: str, user: str | None = 'dmlb2001', name: str = 'mine',
              jsonpath: str = INGESTS) -> list[str]:
    """Return a command line."""
    return ['subscribe', '--receiver', receiver, '--notifications', notifications, '--jsonpath', jsonpath,
            '--name', name, *(['--user', user] if user else []), *more]


def said(capsys: pytest.CaptureFixture[str], arguments: list[str], status: int = 0) -> tuple[str, str]:
    """Run a command line and return its output and its errors."""
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    output = capsys.readouterr()
    assert exit_.value.code == status, output
    return output.out, output.err


def the_only(notifications: FakeNotifications) -> dict[str, Any]:
    """Return the only subscription."""
    record, = notifications.records.values()
    return record


def test_run_twice_it_makes_one_subscription_that_gets_events(notifications, receiver, capsys):
    first = said(capsys, arguments(notifications.url, receiver.url))
    second = said(capsys, arguments(notifications.url + '/eventmatch', receiver.url + '/receive'))

    notifications.send(ingest_event())

    assert first[0].startswith("made the subscription 'mine' of dmlb2001\n")
    assert second[0].startswith("the subscription 'mine' of dmlb2001 is there, and enabled\n")
    assert first[1] == second[1] == ''
    assert the_only(notifications)['target_url'] == f'{receiver.url}/receive'
    assert len(receiver.events) == 1


def test_without_a_jsonpath_it_asks_for_ingests(notifications, receiver, capsys):
    given = arguments(notifications.url, receiver.url)
    del given[given.index('--jsonpath'):given.index('--jsonpath') + 2]

    said(capsys, given)

    assert the_only(notifications)['jsonpath'] == INGESTS


def test_it_can_be_removed_and_others_stay(notifications, receiver, capsys):
    said(capsys, arguments(notifications.url, receiver.url))
    said(capsys, arguments(notifications.url, receiver.url, name='other', jsonpath='$["data"]'))

    first = said(capsys, arguments(notifications.url, receiver.url, '--delete'))
    second = said(capsys, arguments(notifications.url, receiver.url, '--delete'))

    assert first == ("removed the subscription 'mine' of dmlb2001\n", '')
    assert second == (f"there is no subscription 'mine' for {receiver.url}/receive\n", '')
    assert the_only(notifications)['name'] == 'other'
    said(capsys, arguments(notifications.url, receiver.url, '--delete', '--keep'), 2)


def test_two_that_saw_none_make_one(notifications, receiver):
    wanted = Wanted('mine', f'{receiver.url}/receive', INGESTS)
    service = Notifications(notifications.url, 'dmlb2001', 10)

    done = [ensure(service, wanted, None) for _ in range(3)]

    assert done[-1].record['uuid'] == the_only(notifications)['uuid']


def test_a_disabled_one_is_enabled_and_what_was_missed_is_told(notifications, receiver, capsys):
    said(capsys, arguments(notifications.url, receiver.url))
    receiver.fail('POST', status(500, b'out of\norder'))
    notifications.send(ingest_event())
    disabled = the_only(notifications)['disabled']
    assert disabled is not None

    output, _ = said(capsys, arguments(notifications.url, receiver.url))

    assert output.startswith("enabled the subscription 'mine' of dmlb2001; it was disabled at ")
    assert disabled in output and '(out of order)' in output and 'will not be' in output
    assert the_only(notifications)['disabled'] is None
    assert the_only(notifications)['error'] is None


def test_another_jsonpath_and_other_credentials_change_the_one_there_is(notifications, receiver, capsys, tmp_path):
    (tmp_path / 'token').write_text('abc\n')
    said(capsys, arguments(notifications.url, receiver.url))
    the_only(notifications)['extensions'] = {'site': 'here'}

    output, _ = said(capsys, arguments(
        notifications.url, receiver.url, '--receiver-token-file', str(tmp_path / 'token'), jsonpath='$["data"]'))
    notifications.send(ingest_event())

    assert output.startswith("changed the JSONPath and credentials of the subscription 'mine'")
    assert the_only(notifications)['jsonpath'] == '$["data"]'
    assert the_only(notifications)['extensions'] == {'site': 'here'}
    assert receiver.authorizations == ['Bearer abc']
    assert 'abc' not in output


def test_credentials_stay_unless_others_are_given(notifications, receiver, capsys, monkeypatch):
    monkeypatch.setenv('PASSWORD', 'secret')
    basic = ('--receiver-user', 'who', '--receiver-password-env', 'PASSWORD')
    said(capsys, arguments(notifications.url, receiver.url, *basic))
    receiver.fail('POST', status(503))
    notifications.send(ingest_event())

    output, _ = said(capsys, arguments(notifications.url, receiver.url))
    notifications.send(ingest_event())

    assert output.startswith('enabled')
    assert receiver.authorizations == ['Basic d2hvOnNlY3JldA==']
    assert said(capsys, arguments(notifications.url, receiver.url, *basic))[0].startswith('the subscription')


def test_one_made_by_hand_for_the_same_events_is_taken_over(notifications, receiver, capsys):
    said(capsys, arguments(notifications.url, receiver.url, name='by hand'))
    assert said(capsys, arguments(notifications.url, receiver.url))[0].startswith('changed the name')
    assert the_only(notifications)['name'] == 'mine'


def test_others_are_left_alone(notifications, receiver, capsys):
    with dead_port() as port:
        said(capsys, arguments(notifications.url, receiver.url, name='other', jsonpath='$["data"]'))
        said(capsys, arguments(notifications.url, f'http://127.0.0.1:{port}'))
        said(capsys, arguments(notifications.url, receiver.url, user='somebody'))
        before = [dict(each) for each in notifications.records.values()]

        assert said(capsys, arguments(notifications.url, receiver.url))[0].startswith('made')

    assert [dict(each) for each in notifications.records.values()][:3] == before


def test_a_receiver_that_is_down_is_warned_of(notifications, capsys):
    with dead_port() as port:
        output, errors = said(capsys, arguments(notifications.url, f'http://127.0.0.1:{port}'))
    assert output.startswith('made')
    assert 'warning: the receiver does not seem to be ready' in errors and 'refused' in errors


def test_a_subscription_that_is_nobodys_is_warned_of(notifications, receiver, capsys):
    _, errors = said(capsys, arguments(notifications.url, receiver.url, user=None))
    assert "warning: it belongs to 'default_user'" in errors and '--user' in errors


@pytest.mark.parametrize('change, reason', [
    ({'jsonpath': 'no path'}, "'no path' is no JSONPath"),
    ({'receiver': 'receiver:8069'}, 'is no URL'),
    ({'receiver': 'http://me:secret@receiver'}, 'can be seen by others'),
    ({'more': ('--receiver-user', 'who')}, '--receiver-user needs'),
    ({'more': ('--receiver-token-env', 'A', '--receiver-token-file', 'b')}, 'not several'),
    ({'more': ('--receiver-token-env', 'NOT_SET_ANYWHERE')}, 'NOT_SET_ANYWHERE holds no secret'),
])
def test_what_cant_work_is_refused(notifications, receiver, capsys, change, reason):
    more = change.pop('more', ())
    _, errors = said(capsys, arguments(
        notifications.url, change.pop('receiver', receiver.url), *more, **change), status=2)
    assert re.fullmatch(r'pacifica-dispatcher: [^\n]+\n', errors)
    assert reason in errors and 'secret@' not in errors
    assert notifications.records == {}


def test_a_service_that_is_not_notifications_is_told(receiver, capsys):
    _, errors = said(capsys, arguments(receiver.url, receiver.url), status=2)
    assert 'was answered 404, not as Notifications does' in errors


def test_notifications_that_are_away_are_told(receiver, capsys):
    with dead_port() as port:
        _, errors = said(capsys, arguments(f'http://127.0.0.1:{port}', receiver.url), status=2)
    assert "can't reach" in errors and 'refused' in errors


def test_notifications_that_say_nothing_are_given_up(notifications, receiver, capsys):
    notifications.fail('GET', hang)
    _, errors = said(capsys, arguments(notifications.url, receiver.url, '--timeout', '0.2'), status=2)
    assert 'no answer' in errors


# Looking after it


class Kept:
    """A keeper whose turns a test makes; its log."""

    def __init__(
        self, notifications: str, receiver: str, caplog: pytest.LogCaptureFixture, metadata: str | None = None,
    ) -> None:
        kept_for = ReceiverClient.mounted_at(receiver, HttpClient(timeout=5))
        self.now = datetime.now(timezone.utc)
        wanted = Wanted('mine', kept_for.target_url, INGESTS)
        redelivery = None if metadata is None else Redelivery(Metadata(metadata, timeout=1), wanted, 5)
        self.caplog = caplog
        self.looks: list[tuple[bool, bool]] = []
        self.keeper = SubscriptionKeeper(
            Notifications(notifications, 'dmlb2001', 5), kept_for, wanted,
            lambda: self.now, redelivery, lambda *looked: self.looks.append(looked))

    def turn(self) -> list[str]:
        """Make a turn and return what it logged."""
        self.caplog.clear()
        self.keeper.run_once()
        return [record.message for record in self.caplog.records if record.name.startswith('pacifica.')]

    def logged(self, message: str) -> Any:
        """Return an entry of the last turn."""
        return next(record for record in self.caplog.records if record.message == message)


@pytest.fixture
def kept(notifications, receiver, caplog) -> Kept:
    caplog.set_level(logging.INFO, 'pacifica.dispatcher')
    return Kept(notifications.url, receiver.url, caplog)


def test_it_is_made_when_the_receiver_is_ready_and_each_state_is_logged_once(notifications, receiver, kept):
    receiver.ready = False
    assert kept.turn() == ['receiver.away']
    assert kept.turn() == []
    assert notifications.records == {}

    receiver.ready = True
    assert kept.turn() == ['receiver.back', 'subscription.created']
    assert kept.turn() == []


@pytest.mark.parametrize('health', [True, False])
def test_it_is_enabled_when_the_receiver_is_back_and_not_before(notifications, caplog, health):
    caplog.set_level(logging.INFO, 'pacifica.dispatcher')
    with FakeReceiver(health=health) as receiver:
        kept, port = Kept(notifications.url, receiver.url, caplog), receiver.port
        assert kept.turn() == ['subscription.created']
    notifications.send(ingest_event())

    assert kept.turn() == ['subscription.disabled', 'receiver.away']
    assert 'refused' in kept.caplog.text or 'refused' in str(kept.logged('subscription.disabled').reason)
    assert kept.turn() == []
    kept.now += timedelta(seconds=90)
    with FakeReceiver(port, health) as receiver:
        assert kept.turn() == ['receiver.back', 'subscription.enabled', 'events.missed']
        notifications.send(ingest_event())
        assert len(receiver.events) == 1
        assert kept.turn() == []


def test_each_look_tells_whether_it_is_enabled_and_once_that_it_was_disabled(notifications, receiver, kept):
    kept.turn()
    receiver.fail('POST', status(500))
    notifications.send(ingest_event())
    receiver.ready = False
    kept.turn()
    kept.turn()
    receiver.ready = True
    kept.turn()
    notifications.fail('GET', status(500))
    kept.turn()
    notifications.records.clear()
    kept.turn()

    made, disabled, still, enabled, unknown, gone = kept.looks
    assert made == enabled == (True, False)
    assert disabled == (False, True)
    assert still == unknown == (False, False)
    assert gone == (True, True)  # and made anew


@pytest.mark.timeout(120)
def test_prometheus_sees_that_a_subscription_was_disabled_and_is_enabled_again(notifications, receiver, tmp_path):
    port = free_port()
    more = ['--keep', '--interval', '0.1', '--metrics-port', str(port)]

    def total(name: str) -> float:
        with HttpClient(timeout=30) as client:
            answer = client.request('GET', f'http://127.0.0.1:{port}/metrics')
        return Scrape(answer.text).total(name, subscription='mine')

    with started(*arguments(notifications.url, receiver.url, *more), cwd=tmp_path) as keeper:
        keeper.expect('looking after')
        wait_until(lambda: total('subscription_enabled') == 1)
        assert total('subscription_disabled_total') == 0
        receiver.ready = False
        receiver.fail('POST', status(500))
        notifications.send(ingest_event())
        wait_until(lambda: total('subscription_enabled') == 0 and total('subscription_disabled_total') == 1)
        receiver.ready = True
        wait_until(lambda: total('subscription_enabled') == 1)
        assert total('subscription_disabled_total') == 1
        assert keeper.stop() == 0


def test_a_port_for_metrics_needs_keep(notifications, receiver, capsys):
    _, errors = said(capsys, arguments(notifications.url, receiver.url, '--metrics-port', '9470'), status=2)
    assert 'give --keep too' in errors


def test_the_span_of_missed_events_is_in_utc_whatever_the_zone_of_notifications(notifications, receiver, kept):
    kept.turn()
    receiver.fail('POST', status(500))
    notifications.send(ingest_event())
    disabled = datetime.fromisoformat(the_only(notifications)['disabled']) + timedelta(hours=7)

    kept.turn()

    missed = kept.logged('events.missed')
    assert missed.since == f'{disabled:%Y-%m-%dT%H:%M:%SZ}'
    assert missed.until == f'{kept.now:%Y-%m-%dT%H:%M:%SZ}'
    assert abs(missed.seconds) < 60


def test_notifications_may_go_and_come(receiver, caplog):
    caplog.set_level(logging.INFO, 'pacifica.dispatcher')
    with FakeNotifications() as notifications:
        kept, port = Kept(notifications.url, receiver.url, caplog), notifications.port
        kept.turn()
        records = notifications.records

    assert kept.turn() == ['notifications.away']
    assert kept.turn() == kept.turn() == []
    assert kept.keeper.delay(1) == 8
    assert kept.keeper.delay(15) == 60
    kept.now += timedelta(seconds=30)
    with FakeNotifications(port) as notifications:
        notifications.records = records
        assert kept.turn() == ['notifications.back', 'events.may_be_missed']
        assert kept.logged('events.may_be_missed').seconds == 30
        assert kept.keeper.delay(15) == 15
        assert kept.turn() == []


def test_a_change_that_is_refused_is_logged_once(notifications, receiver, kept):
    notifications.fail('POST', *[status(500)] * 3)
    assert kept.turn() == ['notifications.away']
    assert kept.turn() == kept.turn() == []
    assert kept.turn() == ['subscription.created', 'notifications.back']


def test_one_that_was_deleted_is_made_again(notifications, receiver, kept):
    kept.turn()
    notifications.records.clear()
    assert kept.turn() == ['subscription.gone', 'subscription.created', 'events.missed']


@pytest.mark.parametrize('auth', [None, {'type': 'header', 'header': {'type': 'Bearer', 'credentials': 'mellon'}}, {
    'type': 'basic', 'basic': {'username': 'mé', 'password': 'ü'}}], ids=['open', 'bearer', 'basic'])
def test_what_was_missed_is_sent_again_as_soon_as_that_works(notifications, receiver, caplog, auth):
    caplog.set_level(logging.INFO, 'pacifica.dispatcher')
    now = datetime.now(timezone.utc).replace(tzinfo=None)
    ages = {1: timedelta(days=1), 2: timedelta(minutes=9), 3: timedelta(0), 4: timedelta(0)}
    with FakeMetadata({number: (now - age).isoformat() for number, age in ages.items()}) as metadata:
        metadata.unknown = {4}
        kept = Kept(notifications.url, receiver.url, caplog, metadata.url)
        assert kept.turn() == ['subscription.created']
        if auth is not None:
            the_only(notifications)['auth'] = auth
        receiver.fail('POST', status(500), status(503))
        notifications.send(ingest_event())

        assert kept.turn() == [
            'subscription.disabled', 'subscription.enabled', 'events.missed', 'events.not_sent_again']
        assert kept.turn() == ['transaction.unreadable', 'events.sent_again']
        assert kept.logged('events.sent_again').count == 2
        assert kept.turn() == []

    assert [event['eventID'] for event in receiver.events] == ['metadata.ingest.2', 'metadata.ingest.3']
    expected = {'open': None, 'header': 'Bearer mellon', 'basic': 'Basic bcOpOsO8'}[(auth or {'type': 'open'})['type']]
    assert receiver.authorizations[-2:] == [expected] * 2


def test_an_event_that_the_receiver_refuses_for_good_keeps_no_other_from_being_sent(notifications, receiver, caplog):
    caplog.set_level(logging.INFO, 'pacifica.dispatcher')
    now = datetime.now(timezone.utc).replace(tzinfo=None).isoformat()
    with FakeMetadata({1: now, 2: now}) as metadata:
        kept = Kept(notifications.url, receiver.url, caplog, metadata.url)
        kept.turn()
        receiver.fail('POST', status(500), status(413))
        notifications.send(ingest_event())
        messages = kept.turn()

    assert messages[-2:] == ['event.refused', 'events.sent_again']
    assert [event['eventID'] for event in receiver.events] == ['metadata.ingest.2']


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_the_command_looks_after_it_until_a_signal(notifications, tmp_path: Path, number):
    with FakeReceiver() as receiver:
        port = receiver.port
        command = arguments(notifications.url, receiver.url, '--keep', '--interval', '0.1')
        with started(*command, cwd=tmp_path) as running:
            running.expect('subscription.created')
            receiver.__exit__()
            notifications.send(ingest_event())
            running.expect('subscription.disabled .*reason=.*refused')
            with FakeReceiver(port) as again:
                running.expect('subscription.enabled')
                wait_until(lambda: the_only(notifications)['disabled'] is None)
                notifications.send(ingest_event())
                assert len(again.events) == 1
                assert running.stop(number) == 0
            assert running.output.endswith('stopped\n(end of output)\n')
            assert 'Traceback' not in running.output
