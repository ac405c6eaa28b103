"""CherryPy's HTTP server, strict about framing, with an end to every wait, and with errors in JSON.

Used in place of CherryPy's own when the engine starts with the front door mounted, unless another server was chosen.
"""

from __future__ import annotations

import re
import socket
import sys
import time
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

import cherrypy
from cheroot.server import HeaderReader, HTTPConnection
from cherrypy._cpwsgi_server import CPWSGIHTTPRequest, CPWSGIServer
from cherrypy.lib import httputil

from pacifica.dispatcher._http.arrival import Arrival
from pacifica.dispatcher._http.connections import Connections, Leaving, refusal
from pacifica.dispatcher._http.framing import Chunks, Headers
from pacifica.dispatcher._http.streams import PIECE, Deadlines, RequestStream, ResponseStream, TimedSocket

_NAME = f'{__name__}.FrontDoorServer'

#: The most bytes of a refused body that are read so that the connection can be kept.
_MAX_UNREAD = 64 * 1024
#: The most connections at the same time, in all and from one address.
MAX_CONNECTIONS = 1000
MAX_CONNECTIONS_PER_ADDRESS = 800
#: The connections that the system has taken for a process and it has not yet, unless ``server.socket_queue_size`` is
#: set; one more is tried again by its client after a second. CherryPy's default is 5.
_BACKLOG = 256
#: Files that a process has open beside its connections: databases, handlers' files, large requests.
_OTHER_FILES = 200
_ORIGIN = re.compile(r'^[A-Za-z][A-Za-z0-9+.-]*://[^/]*')


class Request(CPWSGIHTTPRequest):  # type: ignore[misc]  # CherryPy has no types
    header_reader = HeaderReader()
    authority: bytes
    path: bytes

    def __init__(self, server: Any, conn: Connection) -> None:
        super().__init__(server, conn)
        self.inheaders = Headers()
        self.inheaders.continued = conn.continued

    def parse_request(self) -> None:
        """Read the request line and the headers, which must all have come by the connection's deadline."""
        super().parse_request()
        self.conn.deadlines.read_by = None

    def read_request_line(self) -> bool:
        """Read the request line; ``False`` if an error was answered. cheroot fails on some that are no URI."""
        try:
            if not super().read_request_line():
                return False
        except ValueError:
            self.simple_response('400 Bad Request', 'Malformed Request-URI')
            return False
        if self.uri.startswith(b'//'):  # a path all the same (RFC 9112, section 3.2.1)
            self.path = b'/' + self.authority + self.path
            self.authority = b''
        return True

    def read_request_headers(self) -> bool:
        """Read the headers; ``False`` if an error was answered."""
        if not super().read_request_headers():
            return False
        self.conn.wfile.flush()  # a "100 Continue" that the client waits for
        if b'Transfer-Encoding' in self.inheaders:
            self.close_connection = True  # cheroot doesn't read the trailer
            if b'Content-Length' in self.inheaders:
                self.simple_response('400 Bad Request', 'Content-Length and Transfer-Encoding exclude each other')
                return False
        return True

    def respond(self) -> None:
        if self.chunked_read:
            self.rfile = Chunks(self.conn.rfile, self.server.max_request_body_size)
            self.server.gateway(self).respond()
            self.ensure_headers_sent()
            if self.chunked_write:
                self.conn.wfile.write(b'0\r\n\r\n')
        else:
            super().respond()
        self.conn.wfile.flush()

    def send_headers(self) -> None:
        """Make the headers ready to go out with the first bytes of the body."""
        unread = getattr(self.rfile, 'remaining', 0)
        if unread and (unread > _MAX_UNREAD or self.status[:3] in (b'400', b'408', b'413')):
            self.close_connection = True
        self.conn.lingers = bool(unread) and self.close_connection
        super().send_headers()

    def write(self, chunk: bytes) -> None:
        """Send a part of the body, and the headers before the first."""
        super().write(chunk)
        self.conn.wfile.flush()

    def simple_response(self, status: str, msg: str = '') -> None:
        """Answer an error that the server found, in JSON, after which the connection is closed."""
        self.server.count_answer(self.conn, status)
        self.close_connection = self.conn.lingers = True
        with suppress(OSError):  # the client is gone
            self.conn.wfile.write(refusal(self.server.protocol, status, msg))
            self.conn.wfile.flush()


class Connection(HTTPConnection):
    RequestHandlerClass = Request

    def __init__(self, server: Any, sock: Any, makefile: Any = None) -> None:
        self.deadlines = Deadlines(server.timeout)
        self.lingers = self.broken = self.closed = self.continued = False
        self.refused: tuple[str, str] | None = None
        self.arrival: Arrival | Leaving | None = None
        super().__init__(server, sock, self._file)

    def _file(self, sock: Any, mode: str, _size: int) -> RequestStream | ResponseStream:
        stream = RequestStream if 'r' in mode else ResponseStream
        return stream(TimedSocket(sock, self.deadlines), PIECE)

    def communicate(self) -> bool:
        """Read a request and respond to it; ``True`` if the connection may be used for another."""
        self.deadlines.read_by = time.monotonic() + self.deadlines.idle
        self.deadlines.write_by = self.deadlines.write_within = None
        return bool(super().communicate())  # type: ignore[no-untyped-call]  # cheroot is typed in part

    def close(self) -> None:
        """Close the connection, or leave that to who waits until the client has seen its last answer."""
        if self.lingers and self.server.ready:
            self.server.connections.leave(self)
        elif not self.closed:
            self.closed = True
            super().close()
            if self.arrival is not None:
                self.arrival.close()
            self.server.connections.closed(self)


class FrontDoorServer(CPWSGIServer):  # type: ignore[misc]  # CherryPy has no types
    """CherryPy's server with these connections; configured by CherryPy's ``server.*`` settings, TLS included."""

    ConnectionClass = Connection

    connections: Connections
    #: A socket that listens already, and that other processes may share; by default it makes its own.
    listening: int | None = None
    request_queue_size: int
    _connections: Any

    def __init__(self, server_adapter: Any = cherrypy.server) -> None:
        super().__init__(server_adapter)
        if 'socket_queue_size' not in vars(server_adapter):  # nobody has set it
            self.request_queue_size = _BACKLOG
        self.ConnectionClass.RequestHandlerClass = Request  # CherryPy has just set its own on the class
        most = getattr(server_adapter, 'max_connections', MAX_CONNECTIONS)
        self.max_connections = min(most or _by_files(), _by_files())
        self.max_connections_per_address = getattr(
            server_adapter, 'max_connections_per_address', MAX_CONNECTIONS_PER_ADDRESS)

    def prepare(self) -> None:
        """Listen, and start the threads."""
        super().prepare()
        # A new connection wakes each process that shares the socket. Those that it doesn't go to must not wait for the
        # next one, which is what cheroot does, for a second in which they would read from none of theirs.
        self.socket.settimeout(0)
        self._connections.close()
        self._connections = self.connections = Connections(self)

    def bind(self, family: int, type: int, proto: int = 0) -> socket.socket:
        """Bind the server's socket, unless it was given one; it listens after this."""
        if self.listening is None:
            bound: socket.socket = super().bind(family, type, proto)
            return bound
        self.socket = socket.socket(fileno=self.listening)
        self.bind_addr = self.resolve_real_bind_addr(self.socket)
        return self.socket

    def body_limits(self, target: bytes) -> tuple[float, int] | None:
        """Return the seconds and the bytes that the body of a request to *target* may take, if that is a front door's.

        Other applications in the same server read their bodies as they come.
        """
        limits: tuple[float, int] | None = getattr(self._app_of(_path(target)), 'body_limits', None)
        return limits

    def _app_of(self, path: str) -> Any:
        app = self.wsgi_app
        return app.apps.get(app.script_name(httputil.urljoin(path))) if isinstance(app, cherrypy._cptree.Tree) else app

    def count_answer(self, conn: Connection, status: str) -> None:
        """Count the answer *status* of the server's own to a delivery, which no front door gets to see."""
        if isinstance(conn.arrival, Arrival) and conn.arrival.method == b'POST':
            path = _path(conn.arrival.target)
            exposition = getattr(self._app_of(path), 'exposition', None)
            if exposition is not None and path.rstrip('/').endswith('/receive'):
                exposition.received(int(status[:3]), 0)

    def count_refused(self, limit: str) -> None:
        """Count a connection that was refused because *limit* was reached, ``total`` or ``address``."""
        for app in (self.wsgi_app, *getattr(self.wsgi_app, 'apps', {}).values()):
            if getattr(app, 'exposition', None) is not None:
                app.exposition.refused(limit)
                return


def _path(target: bytes) -> str:
    return unquote(_ORIGIN.sub('', target.decode('latin-1')).partition('?')[0])


def _by_files() -> int:
    """Return how many connections the process's limit of open files has room for."""
    try:
        from resource import RLIMIT_NOFILE, getrlimit
    except ImportError:  # Windows
        return sys.maxsize
    files = getrlimit(RLIMIT_NOFILE)[0]
    return sys.maxsize if files < 0 else max(files - _OTHER_FILES, 1)


def use_for(bus: Any) -> None:
    """Have CherryPy use this server when *bus* starts, if no other was chosen.

    Its pyOpenSSL connections are no sockets, and keep CherryPy's server.
    """
    server = cherrypy.server
    if server.instance is None and server.httpserver is None and server.ssl_module != 'pyopenssl':
        server.instance = _NAME

        def forget() -> None:
            if server.instance == _NAME:
                server.instance = None
            bus.unsubscribe('stop', forget)

        bus.subscribe('stop', forget)


def limit_exchange(environ: dict[str, Any], seconds: float) -> None:
    """Let the current request arrive, and its response be taken, within *seconds* each.

    Does nothing under another WSGI server, which has settings of its own.
    """
    stream = getattr(environ.get('wsgi.input'), 'rfile', None)
    if isinstance(stream, RequestStream):
        deadlines = stream.raw.deadlines
        deadlines.read_by = time.monotonic() + seconds
        deadlines.write_within = seconds
