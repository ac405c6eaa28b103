"""The front door over real sockets: what it takes, what it refuses, and how."""

import json
import uuid

import pytest

from pacifica.dispatcher._http import create_application
from pacifica.dispatcher.exceptions import DatabaseUnavailableError, QueueFullError
from support.front_door import INGEST, MemoryStore, cherrypy_server

STORE = MemoryStore()


@pytest.fixture(scope='module')
def server():
    with cherrypy_server(create_application(STORE.accept, STORE, max_body=100_000)) as client:
        yield client


@pytest.fixture(autouse=True)
def empty_store():
    STORE.__init__()
    return STORE


def test_the_id_of_an_accepted_event_is_known_at_once(server):
    accepted = server.post(INGEST)
    assert (accepted.status, accepted.headers['Content-Type']) == (200, 'application/json')
    task_id = accepted.json()
    assert str(uuid.UUID(task_id)) == task_id
    assert server.get(f'/status/{task_id}').json() == '202 Accepted'
    assert server.get(f'/get/{task_id}').json()['eventID'] == INGEST['eventID']
    assert [each['taskID'] for each in server.get('/').json()] == [task_id]


NOBODYS = uuid.UUID(int=0x7000_8000_0000_0000_0000_0000)  # the same in every process that collects the tests


@pytest.mark.parametrize('method, path, status', [
    ('GET', f'/status/{NOBODYS}', 404),
    ('GET', f'/get/{NOBODYS}', 404),
    ('GET', '/status/not-a-uuid', 422),
    ('GET', '/get/not-a-uuid', 422),
    ('GET', '/get/', 404),
    ('GET', '/status', 404),
    ('GET', f'/get/{NOBODYS}/more', 404),
    ('GET', '/nothing', 404),
    ('GET', '/_records', 404),
    ('GET', '/%00%ff', 404),
    ('GET', '/?nobody=asked', 404),
    ('GET', f'/get/{NOBODYS}?x=1', 404),
    ('GET', '/?%ff=%fe', 404),
    ('POST', '/receive?x=1', 404),
    ('POST', '/receive/more', 404),
    ('PUT', '/receive', 405),
    ('GET', '/receive', 405),
    ('POST', '/', 405),
    ('DELETE', f'/get/{NOBODYS}', 405),
    ('BREW', '/receive', 405),
])
def test_what_nobody_offers_is_refused_in_json(server, method, path, status):
    refused = server.request(method, path)
    assert (refused.status, refused.headers['Content-Type']) == (status, 'application/json')
    error = refused.json()
    assert error['status'].startswith(f'{status} ') and error['message']
    assert set(error) <= {'status', 'message', 'faults'}
    assert b'Traceback' not in refused.body
    if status == 405:
        assert refused.headers['Allow']


@pytest.mark.parametrize('body, field', [
    (b'', None),
    (b'{', None),
    (b'[]', None),
    (b'null', None),
    (b'"\xff"', None),
    (b'{}', 'eventType'),
    (json.dumps({**INGEST, 'eventID': ''}).encode(), 'eventID'),
    (json.dumps({**INGEST, 'source': 7}).encode(), 'source'),
    (json.dumps({**INGEST, 'eventTime': 7}).encode(), 'eventTime'),
    (b'{"specversion": "1.0", "id": "1", "source": "/s"}', 'type'),
])
def test_what_is_no_cloudevent_is_refused_and_not_stored(server, body, field):
    refused = server.post(body)
    assert refused.status == 400
    assert refused.headers['Content-Type'] == 'application/json'
    if field:
        assert field in [fault['field'] for fault in refused.json()['faults']]
        assert field in refused.json()['message']
    assert not STORE.events
    assert server.post(INGEST).status == 200


def test_a_format_that_is_not_understood_is_415(server):
    for content_type in ('text/plain', 'application/x-www-form-urlencoded', 'application/cloudevents+xml', ''):
        assert server.post(INGEST, content_type).status == 415
    assert not STORE.events


def test_head_answers_as_get_without_a_body(server):
    task_id = server.post(INGEST).json()
    for path in ('/', f'/get/{task_id}', f'/status/{task_id}'):
        head = server.request('HEAD', path)
        assert (head.status, head.body) == (200, b'')
        assert head.headers['Content-Length'] == server.get(path).headers['Content-Length']


@pytest.mark.parametrize('failure, status, retry_after', [
    (QueueFullError('too many events are waiting', 17), 429, '17'),
    (DatabaseUnavailableError('secret-host is down'), 503, '5'),
    (RuntimeError('secret'), 500, None),
])
def test_a_store_that_fails_shows_no_detail(server, failure, status, retry_after):
    STORE.failure = failure
    refused = server.post(INGEST)
    assert (refused.status, refused.headers['Retry-After']) == (status, retry_after)
    assert refused.headers['Content-Type'] == 'application/json'
    assert b'secret' not in refused.body and b'Traceback' not in refused.body
    STORE.failure = None
    assert server.post(INGEST).status == 200


def test_a_body_over_the_limit_is_413(server):
    refused = server.post({**INGEST, 'data': 'x' * 200_000})
    assert refused.status == 413
    assert refused.headers['Content-Type'] == 'application/json'
    assert not STORE.events
