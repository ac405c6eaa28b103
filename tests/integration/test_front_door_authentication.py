"""Who may send and who may read, over real sockets."""

import base64
import json
import logging
import time
from datetime import datetime, timezone

import pytest
import requests
from standardwebhooks import Webhook

from pacifica.dispatcher._http import create_application
from pacifica.dispatcher.authentication import Basic, BearerTokens, Secret, StandardWebhooks
from pacifica.dispatcher.exceptions import ConfigurationError
from support.front_door import INGEST, MemoryStore, cherrypy_server

STORE = MemoryStore()
OLD_KEY, NEW_KEY = ('whsec_' + base64.b64encode(letter * 24).decode() for letter in (b'o', b'n'))
BODY = json.dumps(INGEST).encode()
JSON = {'Content-Type': 'application/json'}
PASSWORD = 'pässword'


@pytest.fixture(scope='module')
def url():
    application = create_application(STORE.accept, STORE, authenticate=[
        BearerTokens([Secret('send-token'), Secret('send-token-2')], rights={'send'}),
        BearerTokens(Secret('read-token'), rights={'read'}),
        Basic({'operator': Secret(PASSWORD)}),
        StandardWebhooks([Secret(OLD_KEY), Secret(NEW_KEY)], tolerance=60),
        lambda credentials: {'read'} if credentials.headers.get('x-of-the-host') == 'yes' else None,
    ])
    with cherrypy_server(application) as client:
        yield f'http://127.0.0.1:{client.port}'


@pytest.fixture(autouse=True)
def empty_store():
    STORE.__init__()


def bearer(token):
    return {'Authorization': f'Bearer {token}'}


def signed(key, body=BODY, age=0, content_type='application/json', **changed):
    at = datetime.fromtimestamp(int(time.time()) - age, timezone.utc)
    signature = Webhook(key).sign('msg_1', at, body.decode())
    return {
        'Content-Type': content_type, 'webhook-id': 'msg_1', 'webhook-timestamp': str(int(at.timestamp())),
        'webhook-signature': signature, **changed,
    }


@pytest.mark.parametrize('headers', [
    {}, bearer('nobody'), bearer(''), {'Authorization': 'Bearer'}, {'Authorization': 'bearer'},
    {'Authorization': 'Basic'}, {'Authorization': 'Basic !!!'}, {'Authorization': 'Basic b3BlcmF0b3I='},
    {'Authorization': 'Basic ' + base64.b64encode(b'operator:wrong').decode()},
    {'Authorization': 'Basic ' + base64.b64encode(b'nobody:').decode()},
    {'Authorization': 'Digest x'}, {'X-Of-The-Host': 'no'}, {'webhook-id': 'x'}, {'Authorization': '\xff'},
])
def test_without_known_credentials_nothing_is_sent_or_read(url, headers):
    for answered in (
        requests.post(url + '/receive', BODY, headers={**JSON, **headers}, timeout=9),
        requests.get(url + '/', headers=headers, timeout=9),
        requests.get(url + '/nothing', headers=headers, timeout=9),
        requests.get(url + '/openapi.json', headers=headers, timeout=9),
    ):
        assert answered.status_code == 401
        assert answered.headers['Content-Type'] == 'application/json' and answered.json()['message']
        assert {'Bearer', 'Basic', 'StandardWebhooks'} <= {
            challenge.split()[0] for challenge in answered.headers['WWW-Authenticate'].split(', ')}
    assert not STORE.events


def test_rights_to_send_and_to_read_are_separate(url):
    for token in ('send-token', 'send-token-2'):
        assert requests.post(url + '/receive', BODY, headers={**JSON, **bearer(token)}, timeout=9).status_code == 200
        assert requests.get(url + '/', headers=bearer(token), timeout=9).status_code == 403
    assert requests.post(url + '/receive', BODY, headers={**JSON, **bearer('read-token')}, timeout=9).status_code == 403
    assert len(requests.get(url + '/', headers=bearer('read-token'), timeout=9).json()) == 2
    assert len(STORE.events) == 2


def test_the_token_may_be_in_the_query_and_is_not_logged(url, caplog):
    caplog.set_level(logging.INFO)  # on DEBUG the client logs its own requests
    for name in ('access_token', 'access%5Ftoken'):
        assert requests.post(f'{url}/receive?{name}=send-token', BODY, headers=JSON, timeout=9).status_code == 200
    refused = requests.post(url + '/receive?access_token=no-such-token', BODY, headers=JSON, timeout=9)
    assert (refused.status_code, 'no-such' in refused.text) == (401, False)
    listed = requests.get(url + '/?access_token=read-token&limit=1', timeout=9)
    assert (listed.status_code, listed.headers['Cache-Control']) == (200, 'private')
    assert 'access_token' not in listed.headers['Link']
    assert '/receive' in caplog.text and '-token' not in caplog.text.replace('access_token', '')


def test_basic_gives_both_rights(url):
    auth = ('operator'.encode(), PASSWORD.encode())
    assert requests.post(url + '/receive', BODY, headers=JSON, auth=auth, timeout=9).status_code == 200
    assert requests.get(url + '/', auth=auth, timeout=9).status_code == 200


@pytest.mark.parametrize('key', [OLD_KEY, NEW_KEY])
def test_a_signature_by_either_key_lets_an_event_in(url, key):
    assert requests.post(url + '/receive', BODY, headers=signed(key), timeout=9).status_code == 200
    assert requests.get(url + '/', headers=signed(key, b''), timeout=9).status_code == 403


@pytest.mark.parametrize('headers', [
    signed('whsec_' + base64.b64encode(b'x' * 24).decode()),
    signed(NEW_KEY, BODY + b' '),
    signed(NEW_KEY, **{'webhook-id': 'msg_2'}),
    signed(NEW_KEY, **{'webhook-signature': 'v1,'}),
    signed(NEW_KEY, **{'webhook-signature': 'v1'}),
    signed(NEW_KEY, **{'webhook-timestamp': 'now'}),
    signed(NEW_KEY, **{'webhook-timestamp': '9' * 400}),
], ids=['key', 'body', 'id', 'empty', 'malformed', 'time', 'overflow'])
def test_a_signature_of_something_else_is_refused(url, headers):
    assert requests.post(url + '/receive', BODY, headers=headers, timeout=9).status_code == 401
    assert not STORE.events


@pytest.mark.parametrize('age, status', [(0, 200), (50, 200), (-50, 200), (90, 401), (-90, 401)])
def test_a_signature_is_good_within_the_tolerance(url, age, status):
    assert requests.post(url + '/receive', BODY, headers=signed(NEW_KEY, age=age), timeout=9).status_code == status


def test_the_signature_is_over_the_raw_bytes_whatever_they_are(url):
    import hashlib
    import hmac
    body = b'\x89PNG\xff\x00'
    stamp = str(int(time.time()))
    mac = hmac.new(b'n' * 24, f'm.{stamp}.'.encode() + body, hashlib.sha256).digest()
    headers = {
        'Content-Type': 'image/png', 'ce-specversion': '1.0', 'ce-id': '1', 'ce-type': 't', 'ce-source': '/s',
        'webhook-id': 'm', 'webhook-timestamp': stamp, 'webhook-signature': 'v1,' + base64.b64encode(mac).decode(),
    }
    assert requests.post(url + '/receive', body, headers=headers, timeout=9).status_code == 200
    assert requests.post(url + '/receive', body + b'x', headers=headers, timeout=9).status_code == 401


def test_the_host_application_can_bring_its_own_scheme(url):
    assert requests.get(url + '/', headers={'X-Of-The-Host': 'yes'}, timeout=9).status_code == 200


def test_the_handshake_needs_no_credentials_but_an_allowed_origin(url):
    assert requests.options(
        url + '/receive', headers={'WebHook-Request-Origin': 'sender.example'}, timeout=9).status_code == 403


def test_secrets_show_nowhere(tmp_path, monkeypatch):
    (tmp_path / 'token').write_text(' s3cret\n')
    monkeypatch.setenv('TOKEN', 's3cret')
    for secret in (Secret.from_file(tmp_path / 'token'), Secret.from_environment('TOKEN')):
        assert secret.equals('s3cret') and not secret.equals('s3cre') and not secret.equals('\ud800')
        assert 's3cret' not in repr(secret) + str(secret) + repr(BearerTokens(secret).__dict__)
    for wrong in (
        lambda: Secret.from_file(tmp_path / 'none'), lambda: Secret.from_environment('NONE'), lambda: Secret(''),
        lambda: BearerTokens([]), lambda: BearerTokens('s3cret'), lambda: BearerTokens(Secret('s3cret'), rights='send'),
        lambda: BearerTokens(Secret('s3cret'), rights={'write'}), lambda: Basic({}),
        lambda: StandardWebhooks(Secret('s3cret!!!')), lambda: StandardWebhooks(Secret(NEW_KEY), tolerance=1e9),
        lambda: create_application(STORE.accept, STORE, authenticate=[]),
        lambda: create_application(STORE.accept, STORE, authenticate=['s3cret']),
    ):
        with pytest.raises(ConfigurationError) as caught:
            wrong()
        assert 's3cret' not in str(caught.value)
