"""Requests as other software makes them, each handled to ``200 OK``.

The CNCF SDK, structured and binary, and the webhook client of ``cloudevents-python``.
"""

import threading
from datetime import datetime, timezone

import pytest
import requests
from cloudevents.core.bindings import http
from cloudevents.core.v1.event import CloudEvent
from cloudevents.core.v03.event import CloudEvent as CloudEvent03
from cloudevents.model import Event
from cloudevents.webhook import WebhookDestination
from jsonpath2.path import Path

from pacifica.dispatcher.event_handlers import EventHandler
from pacifica.dispatcher.router import Router
from support.events import wait_until
from support.front_door import INGEST, cherrypy_server


class Keep(EventHandler):
    """Keeps the events that it handles."""

    def __init__(self):
        self.events = []
        self.handled = threading.Event()

    def handle(self, event):
        self.events.append(event)
        self.handled.set()


@pytest.fixture
def keep():
    return Keep()


@pytest.fixture
def receiver(model, keep):
    """A receiver with a worker, whose routes match 0.1 by ``eventType`` and 1.0 by ``type``."""
    router = Router()
    router.add_route(Path.parse_str('$[?(@["eventType"] = "org.pacifica.metadata.ingest")]'), keep)
    router.add_route(Path.parse_str('$[?(@["type"] = "com.example.test")]'), keep)
    queue = model.create_queue(router, 'interoperation', 'receive')
    with cherrypy_server(model.create_cherrypy_app(queue)) as client:
        worker = queue.create_worker(concurrency=1)
        worker.start()
        try:
            yield f'http://127.0.0.1:{client.port}'
        finally:
            worker.stop()


def handled(receiver, task_id):
    """Wait until the task has come to an end and return its record."""
    wait_until(lambda: requests.get(f'{receiver}/status/{task_id}', timeout=9).json() not in (
        '202 Accepted', '102 Processing'))
    record = requests.get(f'{receiver}/get/{task_id}', timeout=9).json()
    assert record['taskStatus'] == '200 OK', record
    return record


ATTRIBUTES = {
    'type': 'com.example.test', 'source': '/käse, 100%', 'id': 'ü 1', 'subject': 'a "b"', 'ext': '€',
    'time': datetime(2026, 11, 24, 8, 54, 35, tzinfo=timezone.utc),
}


@pytest.mark.parametrize('make', [http.to_structured_event, http.to_binary_event])
@pytest.mark.parametrize('factory, version', [(CloudEvent, '1.0'), (CloudEvent03, '0.3')])
@pytest.mark.parametrize('data, content_type', [
    ({'message': 'grüße'}, 'application/json'), ('grüße', 'text/plain'), (b'\x89PNG\xff', 'image/png'),
])
def test_requests_of_the_cncf_sdk_are_handled(receiver, keep, make, factory, version, data, content_type):
    event = factory({**ATTRIBUTES, 'specversion': version, 'datacontenttype': content_type}, data)
    message = make(event)
    accepted = requests.post(f'{receiver}/receive', message.body, headers=message.headers, timeout=9)
    assert accepted.status_code == 200, accepted.text
    record = handled(receiver, accepted.json())
    assert (record['eventType'], record['source'], record['eventID']) == ('com.example.test', '/käse, 100%', 'ü 1')
    seen, = keep.events
    assert (seen.data, seen.content_type, seen.cloud_events_version) == (data, content_type, version)
    assert (seen.event_time, seen.extensions['ext'], seen.extensions['subject']) == (
        '2026-11-24T08:54:35Z', '€', 'a "b"')


def test_the_webhook_client_of_cloudevents_python_is_handled(receiver, keep):
    status, task_id = WebhookDestination('sender.example', f'{receiver}/receive').send(Event(INGEST))
    assert status == 200
    handled(receiver, task_id)
    assert keep.events[0].to_dict() == INGEST
