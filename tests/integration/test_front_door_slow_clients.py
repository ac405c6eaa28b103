"""Clients that send nothing, half a request or too little hold no thread, and can't fill memory, disk or sockets."""

import errno
import json
import re
import resource
import socket
import statistics
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager

import cherrypy
import pytest

from pacifica.dispatcher._cli.serving import HttpServer
from pacifica.dispatcher._http import create_application
from pacifica.dispatcher._http.arrival import IN_MEMORY, Arrival
from pacifica.dispatcher._http.server import FrontDoorServer
from support.events import wait_until
from support.front_door import INGEST, Client, MemoryStore, cherrypy_server

BODY = json.dumps(INGEST).encode()
HEAD = b'POST /receive HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n'
LENGTH = b'Content-Length: %d\r\n\r\n' % len(BODY)


class Counted:
    """What counts in place of the metrics."""

    def __init__(self):
        self.limits, self.answers = [], []

    def refused(self, limit):
        self.limits.append(limit)

    def received(self, status, _events):
        self.answers.append(status)


@contextmanager
def serving(store=None, request_timeout=30.0, **limits):
    """Serve as the command ``serve`` does."""
    store = store or MemoryStore()
    application = create_application(store.accept, store, request_timeout=request_timeout)
    application.exposition = Counted()
    server = HttpServer(application, '127.0.0.1', 0, **limits)
    server.start()
    try:
        client = Client(int(server.url.rpartition(':')[2]))
        client.server, client.counted = server, application.exposition
        yield client
    finally:
        server.stop()


@contextmanager
def connections(port, *sent):
    """Open a connection for each of *sent*, which is what it sends."""
    with ExitStack() as stack:
        opened = [stack.enter_context(socket.create_connection(('127.0.0.1', port), timeout=30)) for _ in sent]
        for each, data in zip(opened, sent, strict=True):
            each.sendall(data)
        yield opened


def answer_of(connection):
    received = b''
    while part := connection.recv(65536):
        received += part
    head, _, body = received.partition(b'\r\n\r\n')
    return head, body


SLOW = (
    b'', b'POST /rec', HEAD, HEAD + LENGTH, HEAD + LENGTH + BODY[:9],
    HEAD + b'Content-Length : %d\r\n\r\n' % len(BODY) + BODY[:9],
    HEAD + b'Transfer-Encoding: chunked\r\n\r\n5\r\nab', HEAD + b'Transfer-Encoding:\r\n chunked\r\n\r\n',
    HEAD.replace(b'/receive', b'http://x/receive') + LENGTH, HEAD.replace(b'POST', b'GET') + LENGTH,
)


def seconds_of(call):
    began = time.monotonic()
    assert call().status == 200
    return time.monotonic() - began


def test_more_slow_clients_than_threads_hold_none():
    with serving() as client, connections(client.port, *SLOW * 2):
        for _ in range(5):
            assert seconds_of(lambda: client.post(INGEST)) < 5  # of which a busy machine takes most


def test_nor_do_they_under_cherrypy_beside_other_applications():
    class Other:
        @cherrypy.expose
        def index(self):
            return b'x'

    store = MemoryStore()
    application = create_application(store.accept, store, script_name='/events')
    slow = [data.replace(b'/receive', b'//events/receive') for data in SLOW]
    with cherrypy_server(cherrypy.Application(Other(), ''), application) as client, connections(client.port, *slow):
        assert seconds_of(lambda: client.post(INGEST, path='/events/receive')) < 5
        assert client.get('/').body == b'x'


@pytest.mark.slow
def test_a_door_full_of_slow_clients_answers_at_once():
    """500 that send nothing and 50 that stopped half-way, each of which has thirty seconds."""
    with serving() as client, connections(client.port, *[b''] * 500, *SLOW[1:] * 6):
        posts = [seconds_of(lambda: client.post(INGEST)) for _ in range(20)]
        looks = [seconds_of(lambda: client.get('/health/live')) for _ in range(20)]
    print(f'slowest POST {max(posts):.3f} s, slowest GET /health/live {max(looks):.3f} s')
    assert max(posts + looks) < 5  # of which a busy machine takes most
    assert statistics.median(posts) < 0.3 and statistics.median(looks) < 0.3


def test_a_request_in_pieces_is_taken():
    pieces = [HEAD[:3], HEAD[3:] + LENGTH[:-1], LENGTH[-1:], BODY[:10], BODY[10:] + HEAD[:20],
              HEAD[20:-2] + b'\r\nConnection: close\r\n' + LENGTH, BODY]
    with serving() as client, connections(client.port, b'') as (connection,):
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(0.02)  # so that they don't come together; the fact holds if they do
        received = b''.join(answer_of(connection))
        assert received.count(b'HTTP/1.1 200 OK') == 2


def test_a_client_that_waits_to_be_told_to_continue_is_told_once():
    with serving() as client, connections(client.port, HEAD + b'Expect: 100-continue\r\n' + LENGTH) as (connection,):
        assert connection.recv(1024) == b'HTTP/1.1 100 Continue\r\n\r\n'
        connection.sendall(BODY)
        assert connection.recv(1024).startswith(b'HTTP/1.1 200 OK\r\n')


@pytest.mark.parametrize('framing, piece', [(b'Content-Length: 50000\r\n\r\n', b' '),
                                            (b'Transfer-Encoding: chunked\r\n\r\n', b'1\r\n \r\n')])
def test_a_body_that_drips_is_cut_off_after_the_time_for_all_of_it(framing, piece):
    with serving(request_timeout=0.5) as client, connections(client.port, HEAD + framing) as (connection,):
        began = time.monotonic()
        stop = threading.Event()

        def drip():
            while not stop.wait(0.05):
                try:
                    connection.sendall(piece)
                except OSError:
                    return

        thread = threading.Thread(target=drip)
        thread.start()
        head, body = answer_of(connection)
        stop.set()
        thread.join()
        assert time.monotonic() - began < 20
        assert head.startswith(b'HTTP/1.1 408 ') and b'Content-Type: application/json' in head
        assert json.loads(body) == {'status': '408 Request Timeout', 'message': 'the body did not arrive in time'}


@pytest.mark.parametrize('request_, status', [
    (HEAD + b'Content-Length: 200000000\r\n\r\n', 413),
    (HEAD + b'Content-Length: x\r\n\r\n', 400),
    (HEAD + LENGTH + BODY[:-1], 408),
])
def test_a_delivery_that_the_server_itself_refuses_is_counted_and_what_is_none_is_not(request_, status):
    with serving(request_timeout=0.5 if status == 408 else 30.0) as client:
        for each in (request_.replace(b'/receive', b'/dashboard/'), request_):
            with connections(client.port, each) as (connection,):
                assert answer_of(connection)[0].startswith(b'HTTP/1.1 %d ' % status)
        assert client.counted.answers == [status]


@pytest.mark.parametrize('limits, name', [
    ({'max_connections': 5}, 'total'), ({'max_connections_per_address': 5}, 'address')])
def test_a_connection_too_many_is_refused_and_counted_and_one_that_closes_makes_room(limits, name):
    with serving(**limits) as client:
        with connections(client.port, *[b''] * 5):
            with connections(client.port, b'') as (more,):
                head, body = answer_of(more)
                assert head.startswith(b'HTTP/1.1 503 ') and b'Connection: close' in head
                assert 'too many connections' in json.loads(body)['message']
            assert client.counted.limits == [name]
        wait_until(lambda: not client.server._server.connections._open)
        assert client.post(INGEST).status == 200


def test_any_number_of_connections_is_taken_if_asked_for():
    with serving(max_connections=0, max_connections_per_address=0) as client, connections(client.port, *[b''] * 30):
        assert client.post(INGEST).status == 200


def test_many_connections_at_once_wait_until_they_are_taken():
    server = FrontDoorServer(cherrypy._cpserver.Server())
    server.bind_addr = ('127.0.0.1', 0)
    server.prepare()
    with connections(server.bind_addr[1], *[b'hello'] * 100):  # it takes none yet
        server.stop()


def test_how_many_may_wait_can_be_set():
    settings = cherrypy._cpserver.Server()
    settings.socket_queue_size = 7

    assert FrontDoorServer(settings).request_queue_size == 7


def test_a_process_that_shares_its_socket_with_others_waits_for_no_connection_that_one_of_them_got():
    with serving() as client:
        assert not client.server._server.socket.getblocking()


def test_there_are_no_more_connections_than_the_limit_of_open_files_has_room_for(monkeypatch):
    monkeypatch.setattr(resource, 'getrlimit', lambda _: (203, 203))
    with serving(max_connections=0) as client, connections(client.port, *[b''] * 3, b'') as opened:
        assert answer_of(opened[3])[0].startswith(b'HTTP/1.1 503 ')


def test_a_large_body_waits_on_disk_and_leaves_nothing_there(monkeypatch, tmp_path):
    made = []
    real = tempfile.TemporaryFile

    def temporary(*arguments, **keywords):
        made.append(real(*arguments, dir=tmp_path, **keywords))
        return made[-1]

    monkeypatch.setattr(tempfile, 'TemporaryFile', temporary)
    large = json.dumps({**INGEST, 'data': 'x' * 3_000_000}).encode()
    with serving() as client:
        assert client.post(large).status == 200
        with connections(client.port, HEAD + b'Content-Length: 9000000\r\n\r\n' + large):
            wait_until(lambda: len(made) == 2)
        wait_until(lambda: all(file.closed for file in made))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('number, status', [(errno.ENOSPC, 507), (errno.EIO, 503)])
def test_a_full_disk_is_told_to_the_client_and_harms_no_other(monkeypatch, number, status):
    def full(*_arguments, **_keywords):
        raise OSError(number, 'the disk is not well')

    monkeypatch.setattr(tempfile, 'TemporaryFile', full)
    large = json.dumps({**INGEST, 'data': 'x' * 300_000}).encode()
    with serving() as client:
        for _ in range(2):
            with connections(client.port, HEAD + b'Content-Length: %d\r\n\r\n' % len(large) + large) as (connection,):
                head, body = answer_of(connection)
            assert head.startswith(b'HTTP/1.1 %d ' % status) and 'disk' not in json.loads(body)['message']
        assert client.counted.answers == [status] * 2
        assert client.post(INGEST).status == 200


def test_only_so_many_requests_are_kept_on_disk(monkeypatch):
    monkeypatch.setattr('pacifica.dispatcher._http.arrival._FILES', threading.BoundedSemaphore(1))
    first, second = (Arrival(0, lambda _: (1.0, 10**6), 0.0) for _ in range(2))
    piece = HEAD + b'Content-Length: 900000\r\n\r\n' + b'x' * IN_MEMORY
    assert first.add(piece) is False
    with pytest.raises(OSError, match='too many large requests'):
        second.add(piece)
    first.close()
    assert second.add(piece) is False
    second.close()


def test_a_body_that_is_too_large_and_then_stalls_holds_no_thread():
    started = HEAD + b'Transfer-Encoding: chunked\r\n\r\nffffff\r\n' + b' ' * 100_000
    store = MemoryStore()
    application = create_application(store.accept, store, max_body=50_000)
    with cherrypy_server(application) as client, connections(client.port, *[started] * 10) as opened:
        assert seconds_of(lambda: client.post(INGEST)) < 5
        assert {answer_of(each)[0].split()[1] for each in opened} == {b'413'}


def test_what_is_refused_for_its_size_is_not_kept_first():
    arrival = Arrival(0, lambda _: (1.0, 1000), 0.0)
    assert arrival.add(HEAD + b'Content-Length: 1001\r\n\r\n')
    chunked = Arrival(0, lambda _: (1.0, 1000), 0.0)
    assert not chunked.add(HEAD + b'Transfer-Encoding: chunked\r\n\r\n3e8\r\n' + b'x' * 1000 + b'\r')
    assert not chunked.add(b'\nff')
    assert chunked.add(b'\r\nxxxx')


@pytest.mark.parametrize('size', [1, 2, 7, 1000])
def test_the_end_of_chunks_is_found_however_they_come(size):
    data = HEAD + b'Transfer-Encoding: chunked\r\n\r\n5\r\n0\r\n\r\n\r\n1;x=y\r\n\n\r\n0\r\n'
    arrival = Arrival(0, lambda _: (1.0, 1000), 0.0)
    pieces = [data[start:start + size] for start in range(0, len(data), size)]
    assert [arrival.add(piece) for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert re.sub(rb'.*\r\n\r\n5', b'5', arrival.rewound().read(), flags=re.DOTALL).startswith(b'5\r\n')


def test_stopping_finishes_requests_that_have_begun_and_closes_idle_connections():
    with serving() as client, connections(client.port, HEAD + LENGTH + BODY[:9], b'') as (begun, idle):
        wait_until(lambda: client.server._server.connections._begun())
        thread = threading.Thread(target=client.server.stop)
        thread.start()
        begun.sendall(BODY[9:])
        assert answer_of(begun)[0].startswith(b'HTTP/1.1 200 OK\r\n')
        assert idle.recv(1) == b''
        thread.join()
