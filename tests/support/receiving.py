"""A receiver of outgoing events that answers as it is told, and remembers what it got."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Delivery:
    """One request: its headers (names in lower case) and its body."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.body)
        return event


@dataclass
class Receiving:
    """What came, and what is answered: the statuses in ``answers`` in turn, the last again and again.

    An answer of ``0`` is none: the connection is closed.
    """

    port: int = 0
    answers: list[int] = field(default_factory=lambda: [200])
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b'"a task id"'
    deliveries: list[Delivery] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f'http://127.0.0.1:{self.port}/receive'

    def next_answer(self) -> int:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def receiving() -> Iterator[Receiving]:
    """Run a receiver while the ``with`` block runs."""
    state = Receiving()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers['Content-Length']))
            headers = {name.lower(): value for name, value in self.headers.items()}
            state.deliveries.append(Delivery(self.path, headers, body))
            answer = state.next_answer()
            if not answer:
                self.close_connection = True
                return
            self.send_response(answer)
            for name, value in {**state.headers, 'Content-Length': str(len(state.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(state.body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
        state.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.01})
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
