"""The real Pacifica services: an upload to Ingest makes Notifications send an event here, where it is handled."""

import threading

import pytest
import requests
from jsonpath2.path import Path

from pacifica.dispatcher.authentication import Basic, BearerTokens, Secret
from pacifica.dispatcher.event_handlers import EventHandler
from pacifica.dispatcher.models import File, Transaction
from pacifica.dispatcher.router import Router
from pacifica.dispatcher.uploader_runners import RemoteUploaderRunner
from support.front_door import cherrypy_server

# One set of services at a time, in one process of the test run.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group('services')]

USER = {'Http-Remote-User': 'dmlb2001'}
INGESTS = '$[?(@["eventType"] = "org.pacifica.metadata.ingest")]'


class Keep(EventHandler):
    """Keeps the events that it handles, by transaction."""

    def __init__(self):
        self.events = {}
        self.arrived = threading.Condition()

    def handle(self, event):
        with self.arrived:
            self.events[Transaction.from_cloudevents_model(event)._id] = event
            self.arrived.notify_all()


@pytest.mark.parametrize('authenticate, auth, read', [
    (None, {}, {}),
    (
        [BearerTokens(Secret('abc'), {'send'}), BearerTokens(Secret('reader'), {'read'})],
        {'auth': {'type': 'header', 'header': {'type': 'Bearer', 'credentials': 'abc'}}},
        {'headers': {'Authorization': 'Bearer reader'}},
    ),
    (
        Basic({'who': Secret('secret')}),
        {'auth': {'type': 'basic', 'basic': {'username': 'who', 'password': 'secret'}}},
        {'auth': ('who', 'secret')},
    ),
], ids=['open', 'bearer', 'basic'])
def test_an_upload_makes_an_event_that_is_handled(stack, model, tmp_path, authenticate, auth, read):
    keep, router = Keep(), Router()
    router.add_route(Path.parse_str(INGESTS), keep)
    queue = model.create_queue(router, 'notifications', 'receive')
    (tmp_path / 'up').mkdir()
    (tmp_path / 'up' / 'événement.txt').write_text('café')
    with cherrypy_server(model.create_cherrypy_app(queue, authenticate=authenticate)) as client:
        worker = queue.create_worker(concurrency=1)
        worker.start()
        here = f'http://127.0.0.1:{client.port}'
        subscription = requests.post(f'{stack.url("notifications")}/eventmatch', headers=USER, timeout=30, json={
            'name': 'front door', 'jsonpath': INGESTS, 'target_url': f'{here}/receive', **auth,
        }).json()['uuid']
        try:
            _, job_id, _ = RemoteUploaderRunner(stack.uploader()).upload(
                str(tmp_path / 'up'), Transaction(submitter=10, instrument=54, project='1234a'))
            with keep.arrived:
                assert keep.arrived.wait_for(lambda: job_id in keep.events, 30), 'no event came'
            file, = File.from_cloudevents_model(keep.events[job_id])
            assert (file.path, file.size) == ('événement.txt', 5)
            tasks = requests.get(here, timeout=9, **read).json()
            status = {requests.get(f'{here}/status/{each["taskID"]}', timeout=9, **read).json() for each in tasks}
            assert status <= {'200 OK', '102 Processing'}
            worker.stop()
            assert requests.get(f'{here}/status/{tasks[0]["taskID"]}', timeout=9, **read).json() == '200 OK'
            kept = requests.get(f'{stack.url("notifications")}/eventmatch/{subscription}', headers=USER, timeout=30)
            assert kept.json()['disabled'] is None
        finally:
            worker.stop()
            requests.delete(f'{stack.url("notifications")}/eventmatch/{subscription}', headers=USER, timeout=30)
