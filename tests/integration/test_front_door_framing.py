"""Where a request ends and how long it may take: malformed framing and slow clients, over raw sockets."""

import json
import re
import socket
import threading
import time

import pytest

from pacifica.dispatcher._events import from_dict
from pacifica.dispatcher._http import create_application
from support.front_door import INGEST, MemoryStore, cherrypy_server

STORE = MemoryStore()
BODY = json.dumps(INGEST).encode()
THREADS = 3
SECONDS = 0.4
#: How long slow clients stay: much longer than two rounds of them should take, even on a busy machine.
PATIENCE = 50 * SECONDS


@pytest.fixture(scope='module')
def server():
    application = create_application(STORE.accept, STORE, max_body=100_000, request_timeout=SECONDS)
    with cherrypy_server(application, **{'server.thread_pool': THREADS, 'server.socket_timeout': SECONDS}) as client:
        yield client


@pytest.fixture(autouse=True)
def empty_store():
    STORE.__init__()


def request(*headers, body=BODY, method='POST', path='/receive', length=True):
    lines = [f'{method} {path} HTTP/1.1', 'Host: localhost', 'Content-Type: application/json', *headers]
    if length:
        lines.append(f'Content-Length: {len(body)}')
    return '\r\n'.join([*lines, '', '']).encode('latin-1') + body


def parse(received):
    """Return the status and the JSON body of the last response in *received*."""
    start = [match.start() for match in re.finditer(rb'HTTP/1.1 \d{3} ', received)][-1]
    head, _, body = received[start:].partition(b'\r\n\r\n')
    assert b'content-type: application/json' in head.lower()
    return int(head.split()[1]), json.loads(body)


@pytest.mark.parametrize('data, status', [
    (request('Content-Length: 3'), 400),
    (request('Content-Length: 5, 6', length=False), 400),
    (request('Content-Length: -5', length=False), 400),
    (request('Content-Length: 1_0', length=False), 400),
    (request('Content-Length: +10', length=False), 400),
    (request('Content-Length: ' + '9' * 30, length=False), 400),
    (request('Transfer-Encoding: chunked'), 400),
    (request('Transfer-Encoding: gzip, chunked', length=False), 400),
    (request('Content-Encoding: gzip'), 415),
    (request('Content-Encoding: x, y'), 415),
    (request('Ce-Id: 1', 'Ce-Id: 2'), 400),
    (request('Authorization: a', 'Authorization: b'), 400),
    (request('Transfer-Encoding: chunked', body=b'zz\r\n', length=False), 400),
    (request('Transfer-Encoding: chunked', body=b'5\r\nabcdefgh\r\n0\r\n\r\n', length=False), 400),
    (request('Transfer-Encoding: chunked', body=b'5\r\nabc', length=False), 400),
    (request('Transfer-Encoding: chunked', body=b'fffffffffffff\r\nabc', length=False), 400),
    (request('Transfer-Encoding: chunked', body=b'20000\r\n' + b' ' * 0x20000 + b'\r\n0\r\n\r\n', length=False), 413),
    (b'POST /receive HTTP/1.1\r\nContent-Length: 0\r\n\r\n', 400),
    (b'POST /receive HTTP/1.1\nHost: x\n\n', 400),
    (b'POST /receive HTTP/3.0\r\nHost: x\r\n\r\n', 505),
    (b'nonsense\r\n\r\n', 400),
    (b'GET //[ HTTP/1.1\r\nHost: x\r\n\r\n', 400),
    (b'GET http://[/ HTTP/1.1\r\nHost: x\r\n\r\n', 400),
    (b'CONNECT x:99999 HTTP/1.1\r\nHost: x\r\n\r\n', 400),
    (b'post /receive HTTP/1.1\r\nHost: x\r\n\r\n', 400),
    (request('X: ' + 'x' * 600_000), 413),
])
def test_malformed_framing_is_refused_in_json_and_harms_no_next_request(server, data, status):
    got, error = parse(server.raw(data, half_close=True))
    assert (got, error['status'][:3]) == (status, str(status))
    assert error['message'] and set(error) <= {'status', 'message', 'faults'}
    assert not STORE.events
    assert server.post(INGEST).status == 200


def test_a_body_cut_short_is_refused(server):
    status, error = parse(server.raw(request('Content-Length: 5000', length=False), half_close=True))
    assert status == 400 and '5000' in error['message']
    assert not STORE.events


def test_a_body_in_chunks_is_an_event_as_any_other(server):
    chunks = b''.join(b'%x;x=y\r\n%b\r\n' % (len(piece), piece) for piece in (BODY[:7], BODY[7:300], BODY[300:]))
    status, task_id = parse(server.raw(request(
        'Transfer-Encoding: chunked', body=chunks + b'0\r\nTrailer: x\r\n\r\n', length=False)))
    assert status == 200
    assert server.get(f'/status/{task_id}').status == 200


def test_requests_on_one_connection_are_told_apart(server):
    data = request() + request('Content-Encoding: x') + request(method='GET', path='/') + request('Connection: close')
    received = server.raw(data)
    assert [int(part[:3]) for part in received.split(b'HTTP/1.1 ')[1:]] == [200, 415, 200, 200]
    assert len(STORE.events) == 2


def test_a_large_body_that_is_refused_still_gets_its_answer(server):
    status, _ = parse(server.raw(request(body=b'x' * 20_000_000)))
    assert status == 413


class Dripping:
    """A client that sends a byte from time to time, and counts the seconds until the server has had enough."""

    def __init__(self, port, data, then=b''):
        self.received = b''
        self._address, self._data, self._then = ('127.0.0.1', port), data, then
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        started = time.monotonic()
        with socket.create_connection(self._address, timeout=PATIENCE) as connection:
            connection.sendall(self._data)
            connection.settimeout(0.05)
            while time.monotonic() < started + PATIENCE:
                try:
                    connection.sendall(self._then)
                    part = connection.recv(65536)
                except TimeoutError:
                    continue
                except OSError:
                    break
                if not part:
                    break
                self.received += part
        self.seconds = time.monotonic() - started

    def wait(self):
        self._thread.join()
        return self


@pytest.mark.parametrize('data, then', [
    (b'', b''),
    (b'POST /rec', b''),
    (b'POST /receive HTTP/1.1\r\nHost: x\r\nX: ', b'x'),
    (b'POST /receive HTTP/1.1\r\nHost: x\r\n', b'X: y\r\n'),
    (request('Content-Length: 50000', body=b'{', length=False), b''),
    (request('Content-Length: 50000', body=b'{', length=False), b' '),
    (request('Transfer-Encoding: chunked', body=b'', length=False), b'1\r\n \r\n'),
    (request('Content-Length: 50000', method='GET', path='/', body=b'{', length=False), b' '),
    (request('Content-Length: 50000', path='/nothing', body=b'{', length=False), b' '),
], ids=['silent', 'line', 'header', 'headers', 'body-stalls', 'body-drips', 'chunks', 'get', 'not-found'])
def test_a_slow_client_holds_no_thread_for_longer_than_the_configured_time(server, data, then):
    clients = [Dripping(server.port, data, then) for _ in range(2 * THREADS)]
    accepted = server.post(INGEST)
    seconds = [client.wait().seconds for client in clients]
    assert accepted.status == 200
    assert max(seconds) < PATIENCE  # which a client that is not cut off stays for
    for client in clients:
        if client.received:
            assert parse(client.received)[0] in (200, 400, 404, 408)


def test_a_client_that_does_not_read_holds_no_thread(server):
    large = {**INGEST, 'data': 'x' * 90_000}
    task_id = server.post(large).json()
    with socket.create_connection(('127.0.0.1', server.port)) as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.sendall(request(method='GET', path=f'/get/{task_id}', body=b'') * 200)
        for _ in range(2 * THREADS):
            assert server.post(INGEST).status == 200


def test_a_client_that_takes_its_answer_in_drips_is_cut_off(server):
    size = 30_000_000
    task_id, = STORE.accept([from_dict({**INGEST, 'data': 'x' * size})])
    with socket.create_connection(('127.0.0.1', server.port)) as lazy:
        lazy.sendall(request(method='GET', path=f'/get/{task_id}', body=b''))
        received, started = len(lazy.recv(1)), time.monotonic()  # making the answer takes a busy machine a while
        while time.monotonic() < started + 3 * SECONDS:
            received += len(lazy.recv(size // 100))
            time.sleep(SECONDS / 10)
        while part := lazy.recv(size):
            received += len(part)
    assert received < size
