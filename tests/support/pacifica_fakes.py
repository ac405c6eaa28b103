"""Cartd and Ingest as small servers on the loopback, which speak the real ones' protocol and fail as a test says.

What they answer when nothing is wrong is what the real services answer; the tests on these, with PACIFICA_STACK set,
run the same transfers.
"""

from __future__ import annotations

import hashlib
import io
import json
import socket
import struct
import tarfile
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

#: Answers a request in a way that is wrong; told the handler of the request.
Fault = Callable[['Handler'], None]


class Handler(BaseHTTPRequestHandler):
    """One request: a fault if one is due, else what the service answers."""

    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True  # else each answer in two parts takes 40 ms
    server: Fake

    def _handle(self) -> None:
        if self.server.closing.is_set():  # a connection that was kept alive
            self.close_connection = True
            return
        path = urlsplit(self.path)
        self.server.requests.append((self.command, path.path))
        fault = self.server.due(self.command)
        if fault is not None:
            fault(self)
        else:
            getattr(self.server, f'do_{self.command.lower()}')(self, path.path, parse_qs(path.query))

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _handle

    def body(self) -> bytes:
        """Return the whole body of the request."""
        body = self.rfile.read(int(self.headers['Content-Length']))
        if len(body) < int(self.headers['Content-Length']):
            raise ConnectionError('the client left before it had sent all')
        return body

    def answer(self, status: int, body: bytes = b'', **headers: str) -> None:
        """Answer, as the real services do."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace('_', '-'), value)
        if self.command != 'HEAD' and status != 204:
            self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(body)

    def answer_json(self, value: Any, status: int = 200) -> None:
        """Answer with JSON."""
        self.answer(status, json.dumps(value).encode(), Content_Type='application/json')

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Return what the header Date says: the time by the service's clock."""
        return super().date_time_string(self.server.clock() if timestamp is None else timestamp)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


class Fake(ThreadingHTTPServer):
    """A service on a free port; a context manager."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(('127.0.0.1', port), Handler)
        self.requests: list[tuple[str, str]] = []
        #: Returns the seconds since 1970 by the service's clock.
        self.clock: Callable[[], float] = time.time
        self.closing = threading.Event()
        self._faults: dict[str, list[Fault]] = {}
        self._lock = threading.Lock()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def fail(self, method: str, *faults: Fault) -> None:
        """Answer the next requests of *method* by these faults, one each."""
        self._faults.setdefault(method, []).extend(faults)

    def due(self, method: str) -> Fault | None:
        """Return the fault for this request, if there is one."""
        with self._lock:
            faults = self._faults.get(method)
            return faults.pop(0) if faults else None

    def count(self, method: str) -> int:
        """Return how many requests of *method* came."""
        return sum(found == method for found, _ in self.requests)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: the clients of these servers leave when they like."""

    def __enter__(self) -> Any:
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *args: Any) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()


def status(code: int, body: bytes = b'{"message": "said by the service"}', **headers: str) -> Fault:
    """Answer with this status."""
    def fault(handler: Handler) -> None:
        if handler.command in ('POST', 'PUT'):
            handler.body()
        handler.answer(code, body, **headers)
    return fault


def reset(handler: Handler) -> None:
    """Reset the connection instead of answering."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    handler.close_connection = True
    handler.rfile.close()
    handler.connection.close()


def hang(handler: Handler) -> None:
    """Never answer."""
    handler.server.closing.wait(30)
    handler.close_connection = True


def drip(handler: Handler) -> None:
    """Answer one byte of a header at a time, for ever."""
    handler.wfile.write(b'HTTP/1.1 200 OK\r\nX-Drip: ')
    handler.close_connection = True
    while not handler.server.closing.wait(0.02):
        try:
            handler.wfile.write(b'.')
        except OSError:
            return


def late(seconds: float) -> Fault:
    """Answer as usual, but not before this time."""
    def fault(handler: Handler) -> None:
        handler.server.closing.wait(seconds)
        path = urlsplit(handler.path)
        getattr(handler.server, f'do_{handler.command.lower()}')(handler, path.path, parse_qs(path.query))
    return fault


def tar_of(contents: dict[str, bytes], top: str = 'data') -> bytes:
    """Return an archive as Cartd makes them: the top folder, folders, files."""
    stream, folders = io.BytesIO(), set()
    with tarfile.open(mode='w|', fileobj=stream, format=tarfile.PAX_FORMAT) as archive:
        for path, content in contents.items():
            parts = f'{top}/{path}'.split('/')
            for end in range(1, len(parts)):
                if (folder := '/'.join(parts[:end])) not in folders:
                    folders.add(folder)
                    member = tarfile.TarInfo(folder)
                    member.type, member.mode = tarfile.DIRTYPE, 0o755
                    archive.addfile(member)
            member = tarfile.TarInfo('/'.join(parts))
            member.size, member.mtime = len(content), 1795509022.5
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


class FakeCartd(Fake):
    """Cartd with an archive of these files, by their paths."""

    def __init__(self, contents: dict[str, bytes]) -> None:
        super().__init__()
        self.contents = contents
        self.carts: dict[str, list[dict[str, Any]]] = {}
        self.ordered: list[list[dict[str, Any]]] = []
        self.deleted: list[str] = []
        self.polls = 0
        #: How many carts stay in staging for ever.
        self.stuck = 0
        #: Makes the tar of a cart; a test replaces it.
        self.archive: Callable[[dict[str, bytes]], bytes] = tar_of

    def do_post(self, handler: Handler, path: str, query: dict[str, list[str]]) -> None:
        """Begin a cart."""
        self.carts[path] = json.loads(handler.body())['fileids']
        self.ordered.append(self.carts[path])
        handler.answer_json({'message': 'Cart Processing has begun'}, 201)

    def do_head(self, handler: Handler, path: str, query: dict[str, list[str]]) -> None:
        """Say how a cart is."""
        self.polls += 1
        if path not in self.carts:
            handler.answer(404, X_Pacifica_Status='error', X_Pacifica_Message=f'No cart with uid {path} found')
        elif list(self.carts).index(path) < self.stuck:
            handler.answer(204, X_Pacifica_Status='staging', X_Pacifica_Message='')
        elif missing := [file for file in self.carts[path] if file['path'] not in self.contents]:
            handler.answer(500, X_Pacifica_Status='error', X_Pacifica_Message=f'Failed to pull file({missing})')
        else:
            handler.answer(204, X_Pacifica_Status='ready', X_Pacifica_Message='')

    def do_get(self, handler: Handler, path: str, query: dict[str, list[str]]) -> None:
        """Send a cart, chunked, as it is made while it is sent."""
        wanted = {file['path']: self.contents[file['path']] for file in self.carts[path]}
        body = self.archive(wanted)
        handler.send_response(200)
        handler.send_header('Transfer-Encoding', 'chunked')
        handler.end_headers()
        for start in range(0, len(body), 10240):
            chunk = body[start:start + 10240]
            handler.wfile.write(b'%x\r\n%b\r\n' % (len(chunk), chunk))
        handler.wfile.write(b'0\r\n\r\n')

    def do_delete(self, handler: Handler, path: str, query: dict[str, list[str]]) -> None:
        """Delete a cart."""
        if self.carts.pop(path, None) is None:
            handler.answer_json({'message': 'Not Found'}, 404)
            return
        self.deleted.append(path)
        handler.answer_json({'message': 'Cart Deleted Successfully'})


class FakeIngest(Fake):
    """Ingest that checks bundles as the real one does."""

    def __init__(self) -> None:
        super().__init__()
        self.bundles: list[bytes] = []
        self.jobs: dict[int, list[dict[str, Any]]] = {}
        #: The states that each job goes through, instead of what the bundle deserves; a test sets it.
        self.script: list[dict[str, Any]] | None = None

    def do_post(self, handler: Handler, path: str, query: dict[str, list[str]]) -> None:
        """Begin a job."""
        body, job_id = handler.body(), len(self.jobs) + 1
        self.bundles.append(body)
        end = {'task': 'ingest metadata', 'task_percent': '100.00000', 'complete': True}
        if fault := fault_of_bundle(body):
            end = {'state': 'FAILED', 'task': 'ingest files', 'complete': True, 'exception': fault}
        self.jobs[job_id] = list(self.script) if self.script is not None else [{'task': 'open tar'}, end]
        handler.answer_json(self.state(job_id, {}))

    def do_get(self, handler: Handler, path: str, query: dict[str, list[str]]) -> None:
        """Say how a job is, and let it go on."""
        job_id = int(query['job_id'][0])
        if job_id not in self.jobs:
            handler.answer_json({'message': f'job ID {job_id} does not exist.', 'traceback': 'Traceback'}, 404)
            return
        states = self.jobs[job_id]
        handler.answer_json(self.state(job_id, states.pop(0) if len(states) > 1 else states[0]))

    @staticmethod
    def state(job_id: int, more: dict[str, Any]) -> dict[str, Any]:
        """Return the record of a job."""
        return {
            'job_id': job_id, 'state': 'OK', 'task': 'UPLOADING', 'task_percent': '0.00000', 'complete': False,
            'updated': '2026-11-24 08:54:09.034399', 'created': '2026-11-24 08:54:09.034399', 'exception': '', **more,
        }


def fault_of_bundle(body: bytes) -> str | None:
    """Return what Ingest would say against a bundle; ``None`` if it is right."""
    try:
        with tarfile.open(fileobj=io.BytesIO(body), mode='r:') as archive:
            metadata = json.load(archive.extractfile('metadata.txt'))
            for item in metadata:
                if item['destinationTable'] == 'Files':
                    # As the real one: one leading "data" is taken away.
                    parts = f'{item["subdir"]}/{item["name"]}'.removeprefix('data/').split('/')
                    path = '/'.join(['data', *filter(None, parts)])
                    content = archive.extractfile(path).read()
                    if hashlib.new(item['hashtype'], content).hexdigest() != item['hashsum']:
                        return f'File {path} failed to validate.'
    except (tarfile.TarError, KeyError, ValueError) as exc:
        return str(exc)
    return None


def until(condition: Callable[[], Any], seconds: float = 10) -> None:
    """Wait until *condition* is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, 'waited in vain'
        time.sleep(0.005)
