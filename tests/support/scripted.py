"""An HTTP server that answers what a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Asked(NamedTuple):
    """A request that came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Answers(NamedTuple):
    """What a request is answered."""

    status: int
    body: bytes = b''
    headers: Mapping[str, str] = {}


class Scripted:
    """The server: *answers* in order, the last of them for good; :attr:`asked` has the requests."""

    def __init__(self, *answers: Answers) -> None:
        self.asked: list[Asked] = []
        script, left = self, list(answers)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get('Content-Length') or 0))
                script.asked.append(Asked(self.command, self.path, self.headers, body))
                answer = left.pop(0) if len(left) > 1 else left[0]
                self.send_response(answer.status)
                for name, value in {'Content-Length': str(len(answer.body)), **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body)

            do_GET = do_POST = _answer

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f'http://127.0.0.1:{self.server.server_address[1]}'


@contextmanager
def scripted(*answers: Answers) -> Iterator[Scripted]:
    """Run a server that gives *answers*."""
    script = Scripted(*answers)
    thread = threading.Thread(target=script.server.serve_forever, kwargs={'poll_interval': 0.01})
    thread.start()
    try:
        yield script
    finally:
        script.server.shutdown()
        thread.join()
        script.server.server_close()
