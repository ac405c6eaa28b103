"""An in-memory store behind the front door, real servers in front of it, and raw requests to them."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import cherrypy

from pacifica.dispatcher._events import ReceivedEvent
from support.processes import free_port

INGEST: dict[str, Any] = {
    'cloudEventsVersion': '0.1',
    'eventType': 'org.pacifica.metadata.ingest',
    'source': 'http://metadata.pacifica.org/transactions?_id=19',
    'eventID': 'metadata.ingest.19',
    'eventTime': '2026-11-24T08:54:35',
    'extensions': {},
    'contentType': 'application/json',
    'data': [
        {'destinationTable': 'Transactions.submitter', 'value': 10},
        {'destinationTable': 'TransactionKeyValue', 'key': 'Pacifica.Example', 'value': 'café'},
        {
            '_id': 363, 'destinationTable': 'Files', 'name': 'événement.txt', 'subdir': 'sub/dir', 'size': 11,
            'hashtype': 'sha1', 'hashsum': 'a95330fae38035baeb0e827676ad0e246dbc0e36', 'mimetype': 'text/plain',
            'ctime': '2020-08-01T12:00:00', 'mtime': '2020-08-01T12:00:00',
        },
        {'destinationTable': 'Transactions._id', 'value': 19},
    ],
}


class MemoryStore:
    """What a queue does for the front door: ``accept``, and the look-ups of ``Records``, in a list."""

    def __init__(self) -> None:
        self.events: dict[uuid.UUID, ReceivedEvent] = {}
        self.statuses: dict[uuid.UUID, str] = {}
        self.failure: Exception | None = None
        self._lock = threading.Lock()

    def accept(self, events: Sequence[ReceivedEvent]) -> list[str]:
        if self.failure:
            raise self.failure
        with self._lock:
            ids = [uuid.uuid4() for _ in events]
            self.events.update(zip(ids, events, strict=True))
            self.statuses.update((each, '202 Accepted') for each in ids)
        return [str(each) for each in ids]

    def status(self, task_id: uuid.UUID) -> str | None:
        if self.failure:
            raise self.failure
        return self.statuses.get(task_id)

    def get(self, task_id: uuid.UUID) -> Mapping[str, Any] | None:
        if self.failure:
            raise self.failure
        event = self.events.get(task_id)
        if event is None:
            return None
        return {
            'taskID': str(task_id), 'taskStatus': self.statuses[task_id], 'eventType': event.event_type,
            'eventID': event.event_id, 'eventData': event.event_json, 'data': event.data_json,
        }

    def outputs(self, task_id: uuid.UUID) -> list[Any] | None:
        """Return nothing that a handler has printed."""
        return None if self.get(task_id) is None else []

    def page(
        self, *, limit: int, after: uuid.UUID | None = None, status: str | None = None, since: str | None = None,
        source: str | None = None, event_type: str | None = None, **_others: str | None,
    ) -> list[Mapping[str, Any]]:
        if self.failure:
            raise self.failure
        ids = list(reversed(self.events))
        if after in self.events:
            ids = ids[ids.index(after) + 1:]
        found = [
            each for each in ids
            if status in (None, self.statuses[each]) and source in (None, self.events[each].source)
            and event_type in (None, self.events[each].event_type) and (since is None or since <= '2026-11-24')
        ]
        return [
            {'taskID': str(each), 'created': '2026-11-24 10:39:01.297593', 'updated': '2026-11-24 10:39:01.297593',
             'deleted': None}
            for each in found[:limit]
        ]


class Answer:
    """What a server answered."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Requests to one server, each on a connection of its own."""

    def __init__(self, port: int) -> None:
        self.port = port

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None,
    ) -> Answer:
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=30)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.request('GET', path, headers={name.replace('_', '-'): value for name, value in headers.items()})

    def post(self, event: Any, content_type: str = 'application/json', path: str = '/receive') -> Answer:
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        return self.request('POST', path, body, {'Content-Type': content_type})

    def raw(self, data: bytes, half_close: bool = False) -> bytes:
        """Send *data* as it is and return all that comes back until the server closes or falls silent."""
        with socket.create_connection(('127.0.0.1', self.port), timeout=30) as connection:
            connection.sendall(data)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            received = b''
            while part := connection.recv(65536):
                received += part
            return received


@contextmanager
def cherrypy_server(*applications: Any, config: Mapping[str, Any] | None = None, **settings: Any) -> Iterator[Client]:
    """Serve *applications* with CherryPy's engine, as consumers do."""
    port = free_port()
    saved = dict(cherrypy.config)
    cherrypy.config.update({
        'server.socket_port': port, 'server.socket_host': '127.0.0.1', 'server.thread_pool': 5,
        'server.socket_timeout': 10,  # which would stay as another test has set it
        'engine.autoreload.on': False, 'log.screen': False, 'checker.on': False, **settings,
    })
    for application in applications:
        cherrypy.tree.mount(application, application.script_name or '/', config=config)
    cherrypy.server.httpserver = None
    try:
        cherrypy.engine.start()
        cherrypy.engine.wait(cherrypy.engine.states.STARTED)
        yield Client(port)
    finally:
        cherrypy.engine.exit()
        cherrypy.server.httpserver = None
        cherrypy.tree.apps.clear()
        cherrypy.config.clear()
        cherrypy.config.update(saved)


@contextmanager
def wsgi_server(application: Callable[..., Any]) -> Iterator[Client]:
    """Serve a WSGI *application* with the standard library's server, without CherryPy's engine."""
    class Quiet(WSGIRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    with make_server('127.0.0.1', 0, application, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.01})
        thread.start()
        try:
            yield Client(server.server_port)
        finally:
            server.shutdown()
            thread.join()
