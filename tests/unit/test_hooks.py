"""How outgoing events are sent, and what can't be configured."""

from __future__ import annotations

import dataclasses
import json
import pickle
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from pacifica.dispatcher._engine.outgoing import Sender
from pacifica.dispatcher._queue.values import OUTGOING_ATTEMPTS, ClaimedEvent
from pacifica.dispatcher.authentication import Credentials, Secret, StandardWebhooks
from pacifica.dispatcher.exceptions import ConfigurationError
from pacifica.dispatcher.hooks import FinishedTask, Notify, listed
from support.events import ingest_event
from support.fakes import Answers, Scripted, drip

TOKEN = 'a-token-that-nobody-may-see'
SIGNING = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'


@pytest.fixture
def receiver() -> Iterator[Scripted]:
    with Scripted() as receiver:
        yield receiver


def held(attempt: int = 1) -> ClaimedEvent:
    event = {'specversion': '1.0', 'type': 't', 'source': 's', 'id': 'the-id', 'data': 'é'}
    return ClaimedEvent(
        uuid=None, task_id=uuid4(), token='', attempt=attempt, event_data=json.dumps(event), result=None, history=None,
        owner='', claimed_at=0.0, created='2026-11-24 08:54:35.000000', destination='notify')


def send(url: str, attempt: int = 1, **settings: Any) -> Any:
    return Sender([Notify(url, **settings)]).send(held(attempt), 'notify')


def test_an_event_is_posted_in_structured_mode(receiver: Scripted) -> None:
    outcome = send(receiver.url)

    [delivery] = receiver.asked
    assert outcome.status.value == '200 OK'
    assert delivery.headers['content-type'] == 'application/cloudevents+json; charset=utf-8'
    assert delivery.event['data'] == 'é'
    assert 'authorization' not in delivery.headers


def test_the_token_is_sent_and_nothing_out_of_a_netrc(
    receiver: Scripted, tmp_path: Any, monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / 'netrc').write_text('machine 127.0.0.1 login somebody password something\n')
    monkeypatch.setenv('NETRC', str(tmp_path / 'netrc'))

    send(receiver.url, token=Secret(TOKEN))
    send(receiver.url)

    assert [each.headers.get('authorization') for each in receiver.asked] == [f'Bearer {TOKEN}', None]


def test_a_receiver_with_the_same_secret_takes_the_signature(receiver: Scripted) -> None:
    send(receiver.url, signing_secret=Secret(SIGNING))

    [delivery] = receiver.asked
    verify = StandardWebhooks(Secret(SIGNING))
    assert verify(Credentials(delivery.headers, None, lambda: delivery.body)) == {'send'}
    assert not verify(Credentials(delivery.headers, None, lambda: delivery.body + b' '))
    assert delivery.headers['webhook-id'] == 'the-id'


@pytest.mark.parametrize(('said', 'least', 'most'), [
    ('120', 120, 120), ('0', 2.5, 5), ('9999999', 3600, 3600), ('soon', 2.5, 5), ('-5', 2.5, 5),
    ('Fri, 31 Dec 1999 23:59:59 GMT', 2.5, 5), ('Fri, 31 Dec 2999 23:59:59 GMT', 3600, 3600),
])
def test_retry_after_is_honoured_within_an_hour(receiver: Scripted, said: str, least: float, most: float) -> None:
    receiver.answers = [Answers(503, headers={'Retry-After': said})]

    outcome = send(receiver.url)

    assert outcome.status.value == '202 Accepted'
    assert least <= outcome.delay <= most


def test_the_waits_of_all_attempts_are_about_an_hour(receiver: Scripted) -> None:
    receiver.answers = [Answers(500)]

    waits = [send(receiver.url, attempt).delay for attempt in range(1, OUTGOING_ATTEMPTS + 1)]

    assert waits.pop() is None
    assert 1_800 <= sum(waits) <= 3_700


@pytest.mark.parametrize('answer', [0, 401, 503])
def test_no_credential_and_no_path_is_in_what_is_written_of_a_fault(receiver: Scripted, answer: int) -> None:
    said = f'you sent {TOKEN} and {SIGNING} to /services/T024BE7LD4JK9Q2M1?key=of-the-query'
    receiver.answers = [Answers(answer, said.encode())]
    url = f'{receiver.url}/services/T024BE7LD4JK9Q2M1?key=of-the-query'

    outcome = send(url, token=Secret(TOKEN), signing_secret=Secret(SIGNING))

    written = repr(outcome)
    assert receiver.url in written
    assert [text for text in (TOKEN, SIGNING, 'T024BE7LD4JK9Q2M1', 'of-the-query') if text in written] == []


def test_what_holds_the_answer_up_is_cut_off(receiver: Scripted) -> None:
    receiver.fail('POST', drip)
    began = time.monotonic()

    outcome = send(receiver.url, timeout=0.3)

    assert outcome.status.value == '202 Accepted'
    assert time.monotonic() - began < 5


def test_a_receiver_that_could_not_be_reached_is_left_alone_for_a_moment_but_not_at_the_last_attempt(
    receiver: Scripted,
) -> None:
    receiver.answers = [Answers(0), Answers(200)]
    sender = Sender([Notify(receiver.url)])

    outcomes = [sender.send(held(attempt), 'notify') for attempt in (1, 1, OUTGOING_ATTEMPTS, 1)]

    assert [outcome.status.value[:3] for outcome in outcomes] == ['202', '202', '200', '200']
    assert 'a moment ago' in outcomes[1].exc_value
    assert len(receiver.asked) == 3


@pytest.mark.parametrize('settings', [
    {'url': 'ftp://host/'}, {'url': 'host/receive'}, {'url': 'http://'}, {'url': 'http://host:port/'},
    {'url': 'http://user:password@host/'}, {'token': 'text'}, {'token': Secret('a b')}, {'token': Secret('a\nb')},
    {'signing_secret': Secret('not base64!')}, {'event_types': 'one'}, {'timeout': 0}, {'name': ''},
])
def test_what_cant_work_is_refused_at_once_and_without_the_secret(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Notify(**{'url': 'http://host/', **settings})

    assert 'password@' not in str(refused.value)
    assert 'not base64!' not in str(refused.value)


def test_receivers_have_names_of_their_own() -> None:
    with pytest.raises(ConfigurationError, match='name of its own'):
        listed([Notify('http://one/'), Notify('http://two/')])
    with pytest.raises(ConfigurationError, match='must be a Notify'):
        listed('http://one/')  # type: ignore[arg-type]  # what users may try


def test_a_receiver_shows_its_host_alone() -> None:
    notify = Notify('https://[::1]:8443/secret/path?secret', token=Secret(TOKEN))

    assert repr(notify) == str(notify) == "Notify(https://[::1]:8443, name='notify')"


def test_a_finished_task_is_a_value_that_decodes_its_event_when_asked() -> None:
    task = FinishedTask(uuid4(), '200 OK', '{broken')
    with pytest.raises(ValueError, match='(?i)json|expect|malformed'):
        task.event  # noqa: B018  # what is asked for

    event = ingest_event()
    task = dataclasses.replace(task, event_json=json.dumps(event), result={'a': 1})
    assert task.event.event_id == event['eventID']
    assert pickle.loads(pickle.dumps(task)) == task
    assert hash(task)
    with pytest.raises(dataclasses.FrozenInstanceError):
        task.status = 'other'  # type: ignore[misc]  # what users may try
