"""Whatever comes in, over a real socket into a real database: no 5xx, no leak, no event lost, no thread lost.

``PACIFICA_FUZZ=100000 pytest -s tests/integration/test_front_door_fuzz.py --timeout 0`` runs that many requests, and
5,000 of hypothesis's. A failure prints a ``@reproduce_failure`` line, or the seed that repeats it.
"""

import json
import os
import random
import socket
import threading
import uuid

import cherrypy
import pytest
from cheroot.workers.threadpool import WorkerThread
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from playhouse.db_url import connect

from pacifica.dispatcher._events import loads
from pacifica.dispatcher.receiver import create_peewee_model
from pacifica.dispatcher.router import Router
from support.front_door import INGEST, cherrypy_server
from support.threads import together

REQUESTS = int(os.environ.get('PACIFICA_FUZZ') or 200)
THREADS = 4

NEW = {'specversion': '1.0', 'id': '1', 'source': '/s', 'type': 't', 'time': '2026-11-24T08:54:35Z', 'data': {'a': 1}}
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
SCALARS |= st.sampled_from(['', '\x00', '\ud800', '0.3'])
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


PIECES = [b'{', b'[' * 300, b'"', b'\\', b'\\u', b'\\ud800', b'\x00', b'NaN', b'1e999', b',', b'\xff', b'"id":"1",']


@st.composite
def changed_events(draw):
    """An event with some of its members replaced, left out or added, as JSON."""
    event = dict(draw(st.sampled_from([INGEST, NEW, {**NEW, 'specversion': '0.3'}])))
    names = st.sampled_from([*event, 'extensions', 'data_base64', 'datacontentencoding', 'subject', 'ext']) | st.text()
    for name in draw(st.lists(names, max_size=3)):
        if draw(st.booleans()):
            event.pop(name, None)
        else:
            event[name] = draw(JSON)
    return json.dumps(event, ensure_ascii=True).encode()


@st.composite
def damaged_events(draw):
    """An event with bytes replaced, cut out or put in."""
    body = draw(changed_events())
    start = draw(st.integers(0, len(body)))
    end = draw(st.integers(start, min(len(body), start + 8)))
    piece = draw(st.binary(max_size=6) | st.sampled_from(PIECES))
    return body[:start] + piece + body[end:]


BATCHES = st.lists(changed_events() | damaged_events(), max_size=3).map(lambda parts: b'[' + b','.join(parts) + b']')
BODIES = changed_events() | damaged_events() | BATCHES | st.binary(max_size=200)
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xff), max_size=30) | st.sampled_from([
    '', '1.0', '0.3', '%C3%A9', '%ff', '"a\\"b"', '=?utf-8?b?!!!?=', '=?x?q?a?=', '2026-11-24T08:54:35Z', 'Bearer x',
    'Basic !!!', 'a=b; c', '*', 'gzip', 'W/"x"',
])
CONTENT_TYPES = [
    'application/json', 'application/json; charset=utf-8', 'application/cloudevents+json',
    'application/cloudevents-batch+json', 'text/plain', 'text/plain; charset=latin-1', 'image/png',
    'multipart/form-data', 'application/x-www-form-urlencoded', 'application/cloudevents+xml',
]
TYPES = st.sampled_from(CONTENT_TYPES) | VALUES
HEADERS = [
    'ce-id', 'ce-type', 'ce-source', 'ce-specversion', 'ce-time', 'ce-subject', 'ce-a-b', 'ce-', 'Content-Encoding',
    'Authorization', 'Cookie', 'Range', 'If-None-Match', 'If-Modified-Since', 'Accept', 'Accept-Encoding', 'Expect-X',
    'WebHook-Request-Origin', 'WebHook-Request-Rate', 'X-HTTP-Method-Override', 'X-Forwarded-Host', 'Referer',
    'Upgrade',
]
NAMES = st.sampled_from(HEADERS)
PLACES = [
    '/', '/receive', '/receive/', '/status/x', '/get/x', f'/get/{uuid.UUID(int=1)}', '/openapi.json', '/receive?a=b',
    '/?limit=2', '/?after=x', '/?since=x&source=%00', '/?status=%ed%a0%80', '/?type=%F0%9F%98%80', '/?access_token=%00',
]
PATHS = st.sampled_from(PLACES)
PATHS |= st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7e, exclude_characters='#'), max_size=20).map(
    '/'.__add__)
METHODS = st.sampled_from(['GET', 'HEAD', 'POST', 'OPTIONS', 'PUT', 'DELETE', 'PATCH', 'TRACE'])
TARGETS = st.just(('POST', '/receive')) | st.just(('POST', '/receive')) | st.tuples(METHODS, PATHS)


class Connection:
    """A connection that is kept open as long as the server keeps it."""

    def __init__(self, port):
        self._address = ('127.0.0.1', port)
        self._socket = self._file = None

    def request(self, method, path, headers, body):
        """Send one request and return status, headers and body of its answer."""
        lines = [f'{method} {path} HTTP/1.1', 'Host: localhost', *(f'{name}: {value}' for name, value in headers)]
        lines.append(f'Content-Length: {len(body)}')
        data = '\r\n'.join([*lines, '', '']).encode('latin-1') + body
        status = int(self._send(data).split()[1])
        answered = {}
        while (line := self._file.readline()) != b'\r\n':
            name, _, value = line.decode('latin-1').partition(':')
            answered[name.lower()] = value.strip()
        length = 0 if method == 'HEAD' or status == 304 else int(answered['content-length'])
        content = self._file.read(length)
        if answered.get('connection') == 'close':
            self.close()
        return status, answered, content

    def _send(self, data):
        """Send the request and return the first line of its answer; anew if the server had closed the connection."""
        if self._socket is not None:
            try:
                self._socket.sendall(data)
                if line := self._file.readline():
                    return line
            except OSError:
                pass
            self.close()
        self._socket = socket.create_connection(self._address, timeout=20)
        self._file = self._socket.makefile('rb')
        self._socket.sendall(data)
        return self._file.readline()

    def close(self):
        if self._socket is not None:
            self._file.close()
            self._socket.close()
            self._socket = None


@pytest.fixture(scope='module')
def database(tmp_path_factory):
    return connect(f'sqlite:///{tmp_path_factory.mktemp("fuzz")}/events.db')


@pytest.fixture(scope='module')
def model(database):
    return create_peewee_model(database)


@pytest.fixture(scope='module')
def server(model):
    queue = model.create_queue(Router(), 'fuzz', 'fuzz.receive', deduplicate=False)
    application = model.create_cherrypy_app(queue, max_body=50_000)
    with cherrypy_server(application, **{'server.thread_pool': THREADS}) as client:
        yield client


@pytest.fixture(scope='module')
def connection(server):
    opened = Connection(server.port)
    yield opened
    opened.close()


def check(connection, target, content_type, headers, body):
    """Send a request, and look its events up if it was accepted; return how many those are."""
    method, path = target
    status, answered, content = connection.request(method, path, [('Content-Type', content_type), *headers], body)
    assert status < 500, content
    assert answered['content-type'] == 'application/json' or status in (204, 304)
    assert b'Traceback (' not in content and b'site-packages' not in content and b'.py"' not in content
    if not content:
        return 0
    value = json.loads(content)
    if status >= 400:
        assert value['status'].startswith(str(status)) and value['message']
        return 0
    if method != 'POST':
        return 0
    ids = value if isinstance(value, list) else [value]
    for task_id in ids:
        found, _, record = connection.request('GET', f'/get/{task_id}', [], b'')
        assert found == 200
        stored = json.loads(record)
        assert stored['taskStatus'] == '202 Accepted'
        loads(stored['eventData'])
        if len(headers) == 0 and not isinstance(value, list):
            assert stored['eventData'].encode() == body
    return len(ids)


@settings(max_examples=min(REQUESTS, 5000), deadline=None, suppress_health_check=list(HealthCheck))
@given(TARGETS, TYPES, st.lists(st.tuples(NAMES, VALUES), max_size=4, unique_by=lambda pair: pair[0]), BODIES)
def test_whatever_comes_in_is_answered_properly(connection, target, content_type, headers, body):
    check(connection, target, content_type, headers, body)


def damaged(rng):
    """Return a request like those that are good, with up to three things wrong with it."""
    event = dict(rng.choice([INGEST, NEW, {**NEW, 'specversion': '0.3'}]), ext=rng.randrange(10**6))
    body = json.dumps(event, ensure_ascii=rng.random() < 0.5).encode()
    content_type, headers = rng.choice(['application/json', 'application/cloudevents+json']), []
    for _ in range(rng.choice([0, 0, 1, 1, 2, 3])):
        start, kind = rng.randrange(len(body) + 1), rng.randrange(8)
        if kind < 4:
            piece = rng.choice(PIECES + [rng.randbytes(rng.randrange(4)), body[rng.randrange(len(body) + 1):][:20]])
            body = body[:start] + piece + body[start + rng.randrange(6):]
        elif kind == 4:
            body = b'[' + b','.join([body] * rng.randrange(3)) + b']'
            content_type = 'application/cloudevents-batch+json'
        elif kind == 5:
            present = [name for name in NEW if name != 'data' and rng.random() < 0.9]
            headers += [(f'ce-{name}', NEW[name]) for name in present]
            content_type = rng.choice(['application/json', 'text/plain', 'image/png', 'text/plain; charset=x'])
        elif kind == 6:
            value = ''.join(chr(rng.randrange(32, 256)) for _ in range(rng.randrange(12)))
            headers.append((rng.choice(HEADERS), value))
        else:
            content_type = rng.choice(CONTENT_TYPES)
    target = ('POST', '/receive') if rng.random() < 0.95 else (rng.choice(['GET', 'PUT', 'POST']), rng.choice(PLACES))
    return target, content_type, list({name.lower(): (name, value) for name, value in headers}.values()), body


def test_a_flood_of_damaged_requests_is_answered_properly(connection, model):
    seed = int(os.environ.get('PACIFICA_FUZZ_SEED') or random.SystemRandom().randrange(2**32))
    rng, before, accepted = random.Random(seed), model.select().count(), 0
    for number in range(REQUESTS):
        request = damaged(rng)
        try:
            accepted += check(connection, *request)
        except Exception as exc:
            raise AssertionError(f'PACIFICA_FUZZ_SEED={seed}, request {number}: {request}') from exc
    print(f'PACIFICA_FUZZ_SEED={seed}: {accepted} events accepted of {REQUESTS} requests')
    assert model.select().count() - before == accepted > 0


def test_afterwards_every_event_and_every_thread_is_still_there(server, model):
    answers = together(*[lambda: server.post(INGEST).status] * THREADS)
    assert answers == [200] * THREADS
    workers = [thread for thread in threading.enumerate()
               if isinstance(thread, WorkerThread) and thread.server is cherrypy.server.httpserver]
    assert len(workers) == THREADS
    assert model.select().count() == sum(1 for row in model.select() if loads(row.event_data))
