"""The handshake and the throttling of the webhook specification, and the clients that follow it."""

import pytest
import requests
from cloudevents.model import Event
from cloudevents.webhook import WebhookDestination

from pacifica.dispatcher._http import create_application
from pacifica.dispatcher.authentication import BearerTokens, Secret
from support.front_door import INGEST, MemoryStore, cherrypy_server, wsgi_server

ORIGIN = 'WebHook-Request-Origin'


def handshake(client, origin, **headers):
    headers = {name.replace('_', '-'): value for name, value in headers.items()}
    return requests.options(f'http://127.0.0.1:{client.port}/receive', headers={ORIGIN: origin, **headers}, timeout=9)


def test_on_the_loopback_without_authentication_every_origin_is_allowed():
    store = MemoryStore()
    with cherrypy_server(create_application(store.accept, store)) as client:
        granted = handshake(client, 'Sender.example', WebHook_Request_Rate='120')
        assert granted.status_code == 200 and granted.headers['Allow'] == 'OPTIONS, POST'
        assert granted.headers['WebHook-Allowed-Origin'] == 'Sender.example'
        assert granted.headers['WebHook-Allowed-Rate'] == '*'
        assert requests.options(f'http://127.0.0.1:{client.port}/receive', timeout=9).status_code == 200
        for bad in ('a b', 'x' * 300, 'a\u00e9'.encode('latin-1')):
            assert ORIGIN.replace('Request', 'Allowed') not in handshake(client, bad).headers
        for rate in ('0', '-1', 'many', '1e3', '٣'.encode()):
            assert handshake(client, 'x', WebHook_Request_Rate=rate).status_code == 400
        destination = WebhookDestination('sender.example', f'http://127.0.0.1:{client.port}/receive')
        status, task_id = destination.send(Event(INGEST))
        assert (status, store.status(__import__('uuid').UUID(task_id))) == (200, '202 Accepted')


@pytest.mark.parametrize('settings, config', [
    ({}, {'server.socket_host': '0.0.0.0'}),
    ({'authenticate': BearerTokens(Secret('x'))}, {}),
    ({'allowed_origins': []}, {}),
    ({'allowed_origins': ['other.example']}, {}),
])
def test_no_origin_is_allowed_unless_configured(settings, config):
    store = MemoryStore()
    with cherrypy_server(create_application(store.accept, store, **settings), **config) as client:
        denied = handshake(client, 'sender.example')
        assert denied.status_code == 403
        assert not [name for name in denied.headers if name.lower().startswith('webhook-')]
        with pytest.raises(RuntimeError, match='not allowed'):
            WebhookDestination('sender.example', f'http://127.0.0.1:{client.port}/receive').send(Event(INGEST))
        assert not store.events


@pytest.mark.parametrize('origins, granted', [(['SENDER.example'], 'sender.example'), (['*'], '*')])
def test_configured_origins_are_allowed_whatever_else(origins, granted):
    store = MemoryStore()
    application = create_application(
        store.accept, store, allowed_origins=origins, allowed_rate=60, authenticate=BearerTokens(Secret('x')))
    with wsgi_server(application) as client:
        answered = handshake(client, 'sender.example', WebHook_Request_Rate='30')
        assert answered.headers['WebHook-Allowed-Origin'] == granted
        assert answered.headers['WebHook-Allowed-Rate'] == '30'
        assert handshake(client, 'sender.example', WebHook_Request_Rate='90').headers['WebHook-Allowed-Rate'] == '60'
        assert handshake(client, 'sender.example').headers['WebHook-Allowed-Rate'] == '60'


def test_deliveries_over_the_allowed_rate_are_429_with_a_time_to_wait():
    store = MemoryStore()
    with cherrypy_server(create_application(store.accept, store, allowed_rate=3)) as client:
        answers = [client.post(INGEST) for _ in range(5)]
        assert [each.status for each in answers] == [200, 200, 200, 429, 429]
        assert 1 <= int(answers[3].headers['Retry-After']) <= 20
        assert len(store.events) == 3
        assert client.get('/').status == 200
