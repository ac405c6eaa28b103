"""Requests to events: every mode and version, and every fault of an event in one error."""

import base64
import json

import pytest

from pacifica.dispatcher._events import decode, from_dict, is_batch, loads
from pacifica.dispatcher._events.decoding import MAX_BATCH
from pacifica.dispatcher.exceptions import InvalidEventError
from support.front_door import INGEST

JSON = {'content-type': 'application/json'}
STRUCTURED = {'content-type': 'application/cloudevents+json'}
BATCHED = {'content-type': 'application/cloudevents-batch+json; charset=UTF-8'}
NEW = {'specversion': '1.0', 'id': '1', 'source': '/s', 'type': 't'}


def encode(event):
    return json.dumps(event).encode()


def refused(headers, body):
    with pytest.raises(InvalidEventError) as caught:
        decode(headers, body)
    return caught.value


def fields(error):
    return [field for field, _ in error.faults]


def test_an_event_of_0_1_is_kept_to_the_byte():
    body = json.dumps(INGEST, indent=3, ensure_ascii=False).encode()
    event, = decode(JSON, body)
    assert event.event_json.encode() == body
    assert json.loads(event.data_json) == INGEST['data']
    assert event.data_json in event.event_json
    assert (event.event_type, event.source, event.event_id, event.cloud_events_version, event.event_time) == (
        INGEST['eventType'], INGEST['source'], INGEST['eventID'], '0.1', INGEST['eventTime'])
    assert (event.event_type_version, event.schema_url, event.content_type) == (None, None, 'application/json')


@pytest.mark.parametrize('version, schema', [('1.0', 'dataschema'), ('0.3', 'schemaurl')])
@pytest.mark.parametrize('headers', [STRUCTURED, JSON])
def test_an_event_of_1_0_and_0_3_fills_the_columns(version, schema, headers):
    body = encode({
        **NEW, 'specversion': version, 'time': '2026-11-24T08:54:35.5+01:00', schema: 'http://x/y', 'data': {'a': [1]},
        'datacontenttype': 'application/json', 'subject': 's', 'extension1': 5,
    })
    event, = decode(headers, body)
    assert (event.event_type, event.source, event.event_id, event.cloud_events_version) == ('t', '/s', '1', version)
    assert (event.event_time, event.schema_url) == ('2026-11-24T08:54:35.5+01:00', 'http://x/y')
    assert (event.content_type, event.data_json, event.event_json) == (
        'application/json', '{"a": [1]}', body.decode())


def test_null_is_an_absent_attribute():
    event, = decode(STRUCTURED, encode({**NEW, 'time': None, 'datacontenttype': None, 'ext': None, 'data': None}))
    assert (event.event_time, event.content_type, event.data_json) == (None, None, 'null')
    assert fields(refused(STRUCTURED, encode({**NEW, 'id': None}))) == ['id']
    assert decode(JSON, encode({**INGEST, 'eventTime': None}))[0].event_time is None


@pytest.mark.parametrize('value, good', [
    (0, True), (-2**31, True), (2**31 - 1, True), (True, True), (5.0, True), ('x', True), (2**31, False), (5.5, False),
    (-2.0**31 - 1, False), (1e300, False), ([], False), ({}, False),
])
def test_an_extension_is_a_string_a_boolean_or_an_integer_of_32_bits(value, good):
    body = encode({**NEW, 'ext': value})
    if good:
        assert decode(STRUCTURED, body)
    else:
        assert fields(refused(STRUCTURED, body)) == ['ext']


def test_all_faults_are_named_in_one_error():
    error = refused(JSON, encode({
        'cloudEventsVersion': 1, 'eventType': '', 'source': None, 'contentType': '', 'schemaURL': [], 'extensions': 3,
    }))
    assert fields(error) == [
        'cloudEventsVersion', 'eventType', 'source', 'eventID', 'schemaURL', 'contentType', 'extensions']
    assert all(field in str(error) for field in fields(error))
    error = refused(STRUCTURED, encode({
        'specversion': '1.1', 'id': '', 'source': 5, 'time': 'noon', 'subject': '', 'datacontenttype': 3, 'Bad': 'x',
        'big': 2**40, 'list': [], 'data': 1, 'data_base64': '!',
    }))
    assert sorted(set(fields(error))) == sorted([
        'specversion', 'id', 'source', 'type', 'time', 'subject', 'datacontenttype', 'Bad', 'big', 'list',
        'data_base64'])


@pytest.mark.parametrize('time', [
    '2026-11-24', '2026-11-24T08:54:35', '20261124T085435Z', '2026-13-24T08:54:35Z', '2026-11-24 08:54:35Z', '', 5,
])
def test_a_time_that_is_not_rfc_3339_is_refused_in_1_0(time):
    assert fields(refused(STRUCTURED, encode({**NEW, 'time': time}))) == ['time']


@pytest.mark.parametrize('time', ['2026-11-24T08:54:35Z', '2016-12-31t23:59:60.123z', '2026-11-24T08:54:35-08:00'])
def test_any_time_by_rfc_3339_is_taken(time):
    assert decode(STRUCTURED, encode({**NEW, 'time': time}))[0].event_time == time


def test_binary_data_of_1_0_is_stored_as_its_base64():
    assert decode(STRUCTURED, encode({**NEW, 'data_base64': 'AQID'}))[0].data_json == '"AQID"'
    old = {**NEW, 'specversion': '0.3', 'datacontentencoding': 'base64', 'data': 'AQID'}
    assert decode(STRUCTURED, encode(old))[0].data_json == '"AQID"'


def test_data_that_is_not_base64_is_refused():
    for member in ({'data_base64': 'AQI'}, {'data_base64': None}, {'data_base64': 'AQID', 'data': None}):
        assert fields(refused(STRUCTURED, encode({**NEW, **member}))) == ['data_base64']
    old = {**NEW, 'specversion': '0.3', 'datacontentencoding': 'base64', 'data': 'AQI'}
    assert fields(refused(STRUCTURED, encode(old))) == ['data']


# --- binary mode ------------------------------------------------------------------------------------------------

def binary(content_type='', **attributes):
    attributes = {'specversion': '1.0', 'id': '1', 'source': '/s', 'type': 't', **attributes}
    return {'content-type': content_type, **{f'ce-{name}': value for name, value in attributes.items()}}


@pytest.mark.parametrize('content_type', [
    'application/json', 'application/vnd.x+json; charset=utf-8', 'text/json', 'APPLICATION/JSON', '',
])
def test_json_stays_json_in_binary_mode(content_type):
    event, = decode(binary(content_type), b' {"a": 1.50,\n "b": [12345678901234567890123]} ')
    stored = loads(event.event_json)
    assert stored['data'] == {'a': 1.5, 'b': [12345678901234567890123]}
    assert stored.get('datacontenttype') == event.content_type == (content_type or None)
    assert '1.50' in event.data_json


def test_text_stays_text_and_the_rest_is_base64_in_binary_mode():
    stored = loads(decode(binary('text/plain; charset=iso-8859-1'), b'caf\xe9')[0].event_json)
    assert stored['data'] == 'café'
    for content_type, body in (
        ('application/octet-stream', b'plain'), ('text/plain', b'\xff\x00'), ('text/plain; charset=klingon', b'x'),
        ('image/png', b'\x89PNG'), ('', b'\xff'),
    ):
        stored = loads(decode(binary(content_type), body)[0].event_json)
        assert base64.b64decode(stored['data_base64']) == body and 'data' not in stored
    old = loads(decode(binary('image/png', specversion='0.3'), b'\x89PNG')[0].event_json)
    assert (old['datacontentencoding'], base64.b64decode(old['data'])) == ('base64', b'\x89PNG')


def test_an_empty_body_is_no_data_in_binary_mode():
    event, = decode(binary('application/json'), b'')
    assert event.data_json == 'null' and 'data' not in loads(event.event_json)


def test_headers_are_unquoted_and_percent_decoded_once():
    event, = decode(binary(id='"a \\"b\\" %C3%A9"', source='/%2525', subject='Euro%20%E2%82%AC%20%F0%9F%98%80'), b'')
    stored = loads(event.event_json)
    assert (event.event_id, event.source, stored['subject']) == ('a "b" é', '/%25', 'Euro € 😀')


@pytest.mark.parametrize('value', ['%C0%A0', '%ff', '%ED%A0%80', 'caf\xe9', 'a\x00b'])
def test_headers_that_are_not_utf_8_are_refused(value):
    error = refused(binary(id=value, time='noon'), b'')
    assert sorted(fields(error)) == ['id', 'time'] and 'ce-id' in str(error)


def test_all_faults_of_headers_are_named_in_one_error():
    headers = binary(type='', time='noon', **{'not-a-name': 'x', 'datacontenttype': 'text/plain'})
    del headers['ce-specversion']
    assert sorted(fields(refused(headers, b''))) == ['datacontenttype', 'not-a-name', 'specversion', 'time', 'type']


def test_data_that_is_not_the_json_it_says_is_refused_in_binary_mode():
    assert fields(refused(binary('application/json'), b'{')) == ['data']
    assert fields(refused(binary('application/json'), b'{"a":1,"a":2}')) == ['data']


# --- batched mode -----------------------------------------------------------------------------------------------

def test_a_batch_is_its_events_in_order():
    body = b'[' + b', '.join(encode({**NEW, 'id': str(number)}) for number in range(5)) + b',' + encode(INGEST) + b']'
    events = decode(BATCHED, body)
    assert [event.event_id for event in events] == ['0', '1', '2', '3', '4', INGEST['eventID']]
    assert events[3].event_json == encode({**NEW, 'id': '3'}).decode()
    assert is_batch(BATCHED) and not is_batch(STRUCTURED)
    assert decode(BATCHED, b'[]') == []


def test_one_bad_event_refuses_its_batch_and_is_named():
    error = refused(BATCHED, encode([NEW, {**NEW, 'id': ''}, 5, {}]))
    assert fields(error) == ['[1].id', '[2]', '[3].specversion', '[3].id', '[3].source', '[3].type']
    assert fields(refused(BATCHED, encode(NEW))) == []


def test_a_batch_of_more_events_than_fit_a_transaction_is_413():
    assert len(decode(BATCHED, b'[' + b','.join([encode(NEW)] * MAX_BATCH) + b']')) == MAX_BATCH
    assert refused(BATCHED, b'[' + b','.join([encode(NEW)] * (MAX_BATCH + 1)) + b']').status == 413


@pytest.mark.parametrize('content_type', [
    '', 'text/plain', 'application/x-www-form-urlencoded', 'application/cloudevents+xml', 'application/cloudevents',
    'application/cloudevents-batch+xml', 'application/json; charset=utf-16',
    'application/cloudevents+json; charset=latin-1',
])
def test_what_is_not_understood_says_415(content_type):
    assert refused({'content-type': content_type}, encode(NEW)).status == 415


# --- handed over by a program -----------------------------------------------------------------------------------

def test_a_dict_is_an_event_as_a_request_is():
    event = from_dict(INGEST)
    assert loads(event.event_json) == INGEST
    assert from_dict({**NEW, 'data': '\ud800\x00'}).data_json == '"\\ud800\\u0000"'
    for bad in ({}, {**INGEST, 'data': {1, 2}}, {**INGEST, 'data': float('nan')}):
        with pytest.raises(InvalidEventError):
            from_dict(bad)
