"""Stored events come back as the Event that handlers know, whichever version they have."""

import json

import pytest
from cloudevents.model import Event

from pacifica.dispatcher._events import decode, loads, to_event
from support.front_door import INGEST

NEW = {'specversion': '1.0', 'id': '1', 'source': '/s', 'type': 't'}


def test_an_event_of_0_1_is_what_cloudevents_python_makes_of_it():
    assert isinstance(to_event(INGEST), Event)
    assert to_event(INGEST).to_dict() == Event(INGEST).to_dict() == INGEST


def test_the_attributes_of_1_0_have_the_names_of_event():
    event = to_event({
        **NEW, 'time': '2026-11-24T08:54:35Z', 'dataschema': 'http://x', 'datacontenttype': 'text/csv', 'subject': 's',
        'traceparent': '00', 'flag': True, 'data': 'a,b',
    })
    assert (event.event_type, event.event_id, event.source, event.cloud_events_version) == ('t', '1', '/s', '1.0')
    assert (event.event_time, event.schema_url, event.content_type, event.data) == (
        '2026-11-24T08:54:35Z', 'http://x', 'text/csv', 'a,b')
    assert event.extensions == {'subject': 's', 'traceparent': '00', 'flag': True}
    assert event.event_type_version is None


def test_binary_data_comes_back_as_bytes():
    assert to_event({**NEW, 'data_base64': 'AQID'}).data == b'\x01\x02\x03'
    old = {**NEW, 'specversion': '0.3', 'schemaurl': 'u', 'datacontentencoding': 'base64', 'data': 'AQID'}
    event = to_event(old)
    assert (event.data, event.schema_url, event.extensions) == (b'\x01\x02\x03', 'u', None)


@pytest.mark.parametrize('content_type, data, expected', [
    ('application/json', '{"a": 1}', {'a': 1}),
    ('application/x+json', '[1]', [1]),
    ('application/json', 'no json', 'no json'),
    ('application/json', '[' * 100_000, '[' * 100_000),
    ('text/plain', '{"a": 1}', '{"a": 1}'),
    (None, '{"a": 1}', '{"a": 1}'),
    (None, None, None),
])
def test_string_data_of_0_1_is_parsed_if_it_is_json_and_says_so(content_type, data, expected):
    event, = decode({'content-type': 'application/json'}, json.dumps(
        {**INGEST, 'contentType': content_type, 'data': data}).encode())
    assert to_event(loads(event.event_json)).data == expected


def test_string_data_of_1_0_is_a_string():
    assert to_event({**NEW, 'datacontenttype': 'application/json', 'data': '{"a": 1}'}).data == '{"a": 1}'
