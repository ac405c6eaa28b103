"""The real Pacifica services: ``subscribe`` keeps events coming through a receiver's outage, ``doctor`` knows them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from pacifica.dispatcher.models import Transaction
from pacifica.dispatcher.uploader_runners import RemoteUploaderRunner
from support.command_line import ROUTES, Running, run, started
from support.events import wait_until
from support.fake_notifications import FakeReceiver
from support.processes import free_port
from support.stack import Stack

# One set of services at a time, in one process of the test run.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group('services')]

USER = 'dmlb2001'
INGESTS = '$[?(@["eventType"] = "org.pacifica.metadata.ingest")]'


@pytest.fixture(autouse=True)
def no_subscriptions(stack: Stack) -> Iterator[None]:
    """Delete the subscriptions afterwards."""
    yield
    for each in subscriptions(stack):
        requests.delete(f'{stack.url("notifications")}/eventmatch/{each["uuid"]}', headers=HEADERS, timeout=30)


HEADERS = {'Http-Remote-User': USER}


def subscriptions(stack: Stack) -> list[dict[str, Any]]:
    """Return all of the user's subscriptions."""
    answer = requests.get(f'{stack.url("notifications")}/eventmatch', headers=HEADERS, timeout=30)
    return [] if answer.status_code == 403 else list(answer.json())


def arguments(stack: Stack, receiver: str, *more: str, jsonpath: str = INGESTS) -> list[str]:
    """Return a command line."""
    return ['subscribe', '--receiver', receiver, '--notifications', stack.url('notifications'), '--jsonpath', jsonpath,
            '--name', 'real', '--user', USER, *more]


def upload(stack: Stack, root: Path) -> int:
    """Make an ingest, and so an event, and return its transaction."""
    (root / 'up').mkdir(exist_ok=True)
    (root / 'up' / 'file.txt').write_text('text')
    _, job_id, _ = RemoteUploaderRunner(stack.uploader()).upload(
        str(root / 'up'), Transaction(submitter=10, instrument=54, project='1234a'))
    assert job_id is not None
    return job_id


def handled(receiver: Running, url: str) -> list[int]:
    """Return the transactions whose events a receiver has handled."""
    records = [receiver.call(f'{url}/get/{task["taskID"]}') for task in receiver.call(url)]
    return sorted(int(each['eventID'].rpartition('.')[2]) for each in records if each['taskStatus'] == '200 OK')


def test_a_subscription_disabled_by_an_outage_of_the_receiver_is_enabled_when_it_is_back(
    stack: Stack, tmp_path: Path,
) -> None:
    (tmp_path / 'routes.py').write_text(ROUTES)
    port = free_port()
    url = f'http://127.0.0.1:{port}'
    serve = ('serve', 'routes:router', '--database', 'sqlite:///events.db', '--port', str(port))
    with started(*arguments(stack, url, '--keep'), cwd=tmp_path) as keeper:
        keeper.expect('receiver.away')
        with started(*serve, cwd=tmp_path) as receiver:
            receiver.expect('listening')
            keeper.expect('subscription.created')
            first = upload(stack, tmp_path)
            wait_until(lambda: handled(receiver, url) == [first], 120)
            assert receiver.stop() == 0

        missed = upload(stack, tmp_path)
        wait_until(lambda: subscriptions(stack)[0]['disabled'], 120)
        keeper.expect('subscription.disabled .*reason=.*refused')
        with started(*serve, cwd=tmp_path) as receiver:
            receiver.expect('listening')
            begun = time.monotonic()
            wait_until(lambda: subscriptions(stack)[0]['disabled'] is None, 120)
            print(f'enabled {time.monotonic() - begun:.1f} s after the receiver was back')
            keeper.expect('events.missed .*seconds=')
            second = upload(stack, tmp_path)
            wait_until(lambda: handled(receiver, url) == [first, second], 120)
            assert missed not in handled(receiver, url)
            assert receiver.stop() == 0
        assert len(subscriptions(stack)) == 1
        assert keeper.stop() == 0


def test_run_again_it_changes_what_differs_and_makes_no_second_one(stack: Stack, tmp_path: Path) -> None:
    with FakeReceiver() as receiver:
        outputs = [run(*each, cwd=tmp_path, env={'TOKEN': 'abc'}) for each in (
            arguments(stack, receiver.url),
            arguments(stack, receiver.url),
            arguments(stack, receiver.url, '--receiver-token-env', 'TOKEN', jsonpath='$["data"][*]'),
            arguments(stack, receiver.url),
        )]
        assert [each.returncode for each in outputs] == [0] * 4, outputs
        assert [each.stdout.split()[0] for each in outputs] == ['made', 'the', 'changed', 'changed']
        upload(stack, tmp_path)
        wait_until(lambda: receiver.events, 120)
    assert receiver.authorizations == ['Bearer abc']
    record, = subscriptions(stack)
    assert record['jsonpath'] == INGESTS


def test_doctor_knows_the_services_and_the_state_of_the_subscription(stack: Stack, tmp_path: Path) -> None:
    def found(receiver: FakeReceiver) -> tuple[int, dict[str, str]]:
        done = run(
            'doctor', '--json', '--receiver', receiver.url, '--name', 'real', '--user', USER,
            *[word for name in ('policy', 'notifications') for word in (f'--{name}', stack.url(name))], cwd=tmp_path,
            env={'CARTD_PORT': str(stack.ports['cartd']), 'INGEST_PORT': str(stack.ports['ingest'])})
        return done.returncode, {each['check']: each['status'] for each in json.loads(done.stdout)['checks']}

    with FakeReceiver() as receiver:
        run(*arguments(stack, receiver.url), cwd=tmp_path)
        status, well = found(receiver)
        receiver.fail('POST', lambda handler: handler.answer(500))
        upload(stack, tmp_path)
        wait_until(lambda: subscriptions(stack)[0]['disabled'], 120)
        status_of_disabled, ill = found(receiver)

    names = ('cartd', 'ingest', 'policy', 'notifications', 'subscription', 'receiver-alive', 'receiver-ready')
    assert (status, [well[name] for name in names]) == (0, ['ok'] * 7)
    assert (status_of_disabled, ill['subscription']) == (1, 'failed')


def test_what_is_another_service_is_told(stack: Stack, tmp_path: Path) -> None:
    done = run('doctor', '--json', '--cartd', stack.url('ingest'), '--ingest', stack.url('policy'), '--policy',
               stack.url('notifications'), '--notifications', stack.url('cartd'), cwd=tmp_path)
    found = {each['check']: each['status'] for each in json.loads(done.stdout)['checks']}
    assert [found[name] for name in ('cartd', 'ingest', 'policy', 'notifications')] == ['failed'] * 4
