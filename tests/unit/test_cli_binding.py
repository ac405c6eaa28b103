"""What ``send`` makes of an event is what the receiver reads: the same event in either mode."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pacifica.dispatcher._clients import ClientError
from pacifica.dispatcher._clients.event_files import FileEvent, Mode, request_for
from pacifica.dispatcher._events import ReceivedEvent, decode, to_event
from support.front_door import INGEST

EVENT = {'specversion': '1.0', 'id': '1', 'source': '/a', 'type': 't'}


def received(event: dict[str, Any], mode: Mode) -> ReceivedEvent:
    text = json.dumps(event, ensure_ascii=False)
    message = request_for(FileEvent('event.json', text, event), mode)
    [found] = decode({name.lower(): value for name, value in message.headers.items()}, message.body)
    return found


@pytest.mark.parametrize('event', [
    EVENT,
    {**EVENT, 'source': '/é "quoted" 100 % \u20ac \U0001f600', 'subject': ' spaces '},
    {**EVENT, 'time': '2026-11-24T08:54:35.1+01:00'},
    {**EVENT, 'data': [{'größe': 1.0, 'n': 12345678901234567890}, None]},
    {**EVENT, 'data': 'a string', 'datacontenttype': 'application/json'},
    {**EVENT, 'data': 'Grüße', 'datacontenttype': 'text/plain'},
    {**EVENT, 'data': 'Grüße', 'datacontenttype': 'text/plain; charset=iso-8859-1'},
    {**EVENT, 'data_base64': '/wD+', 'datacontenttype': 'application/octet-stream'},
    {**EVENT, 'specversion': '0.3', 'data': '/wD+', 'datacontentencoding': 'base64', 'datacontenttype': 'image/png'},
    {**EVENT, 'specversion': '0.3', 'schemaurl': 'http://x/y', 'data': {'a': None}},
], ids=str)
def test_both_modes_carry_the_same_event(event: dict[str, Any]) -> None:
    structured, binary = (to_event(json.loads(received(event, mode).event_json)).d for mode in ('structured', 'binary'))
    if 'data' in event:
        structured.setdefault('contentType', 'application/json')  # what its absence means, and what a header must say
    assert binary == structured


def test_values_that_are_no_strings_are_written_as_the_specification_says() -> None:
    event = {**EVENT, 'flag': True, 'number': -7}
    headers = request_for(FileEvent('event.json', json.dumps(event), event), 'binary').headers
    assert (headers['ce-flag'], headers['ce-number']) == ('true', '-7')


def test_a_0_1_event_is_sent_as_pacifica_sends_it() -> None:
    text = json.dumps(INGEST, indent=1)
    message = request_for(FileEvent('event.json', text, INGEST), 'structured')
    assert (message.headers, message.body) == ({'content-type': 'application/json'}, text.encode())


@pytest.mark.parametrize('event, reason', [
    (INGEST, 'event.json is a CloudEvent 0.1, which has no binary mode'),
    ({**EVENT, 'subject': '\ud800'}, 'has an attribute that no header can hold'),
    ({**EVENT, 'datacontenttype': 'text/plain; a=é', 'data': 'x'}, 'has an attribute that no header can hold'),
    ({**EVENT, 'data_base64': 'not base64'}, 'data_base64 is no base64'),
    ({**EVENT, 'data': 'é', 'datacontenttype': 'text/plain; charset=ascii'}, "can't be written in 'ascii'"),
])
def test_what_binary_mode_cannot_carry_is_refused(event: dict[str, Any], reason: str) -> None:
    with pytest.raises(ClientError) as caught:
        request_for(FileEvent('event.json', json.dumps(event), event), 'binary')
    assert reason in caught.value.message


def test_nothing_is_made_up_for_an_event_that_lacks_it() -> None:
    event = {'specversion': '1.0', 'type': 't'}
    assert request_for(FileEvent('event.json', json.dumps(event), event), 'binary').headers == {
        'ce-specversion': '1.0', 'ce-type': 't',
    }
