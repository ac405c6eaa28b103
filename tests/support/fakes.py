"""Servers on the loopback that answer as a test says, and fail as it says."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
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
        length = int(self.headers.get('Content-Length') or 0)
        body = self.rfile.read(length)
        if len(body) < length:
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

    @property
    def url(self) -> str:
        """Where it is."""
        return f'http://127.0.0.1:{self.port}'

    def fail(self, method: str, *faults: Fault) -> None:
        """Answer the next requests of *method* by these faults, one each."""
        self._faults.setdefault(method, []).extend(faults)

    def heal(self) -> None:
        """Answer the next requests as the service does."""
        with self._lock:
            self._faults.clear()

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


class Asked(NamedTuple):
    """A request that came; the names of its headers in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        """The event that was sent."""
        event: dict[str, Any] = json.loads(self.body)
        return event


class Answers(NamedTuple):
    """What a request is answered; a status of ``0`` is no answer: the connection is closed."""

    status: int
    body: bytes = b''
    headers: Mapping[str, str] = {}


class Scripted(Fake):
    """Gives *answers* in order, the last of them for good; :attr:`asked` has the requests."""

    def __init__(self, *answers: Answers) -> None:
        super().__init__()
        self.answers = list(answers or [Answers(200, b'"a task id"')])
        self.asked: list[Asked] = []

    def do_get(self, handler: Handler, path: str, query: dict[str, list[str]]) -> None:
        """Give the next answer."""
        headers = {name.lower(): value for name, value in handler.headers.items()}
        self.asked.append(Asked(handler.command, handler.path, headers, handler.body()))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer.status:
            handler.answer(answer.status, answer.body, **answer.headers)
        else:
            handler.close_connection = True

    do_post = do_get
