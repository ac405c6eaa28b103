"""CherryPy's HTTP server, strict about framing, with an end to every wait, and with errors in JSON.

Used in place of CherryPy's own when the engine starts with the front door mounted, unless another server was chosen.
"""

from __future__ import annotations

import json
import re
import socket
import time
from contextlib import suppress
from typing import Any

import cherrypy
from cheroot.server import HeaderReader, HTTPConnection
from cherrypy._cpwsgi_server import CPWSGIHTTPRequest, CPWSGIServer

from pacifica.dispatcher._http.streams import PIECE, Deadlines, RequestStream, ResponseStream, TimedSocket

_NAME = f'{__name__}.FrontDoorServer'

_ONCE = frozenset((
    b'Authorization', b'Content-Encoding', b'Content-Length', b'Content-Type', b'Host', b'Transfer-Encoding',
))
_ONCE_PREFIXES = (b'Ce-', b'Webhook-')
_CHUNK_SIZE = re.compile(rb'([0-9a-fA-F]{1,15})[ \t]*(;[^\r\n]*)?\r\n')
_MAX_LINE = 8 * 1024
#: The most bytes of a refused body that are read so that the connection can be kept.
_MAX_UNREAD = 64 * 1024
#: How long, and up to how many bytes, a client that is being refused is still read from.
_LINGER_SECONDS = 1.0
_LINGER_BYTES = 64 * 1024 * 1024


class _Headers(dict[bytes, bytes]):
    """A request's headers, as cheroot's reader fills them in; it answers 400 with the message of a ``ValueError``.

    Those that decide where a request ends, or who sends it, may stand in it once (cheroot takes the last of them), and
    a length must be digits (RFC 9110, section 8.6; RFC 9112, section 6.3).
    """

    def __setitem__(self, name: bytes, value: bytes) -> None:
        once = name in _ONCE or name.startswith(_ONCE_PREFIXES)
        if b'_' in name and not once:
            dashed = name.replace(b'_', b'-').title()
            if dashed in _ONCE or dashed.startswith(_ONCE_PREFIXES):
                return  # WSGI can't tell it from the real one
        if once and name in self:
            raise ValueError(f'the header {str(name, "latin-1")} appears more than once')
        if name == b'Content-Length' and not (value.isdigit() and len(value) < 20):
            raise ValueError('Content-Length must be one number of bytes')
        if name == b'Transfer-Encoding' and value.lower() != b'chunked':
            raise ValueError('the only Transfer-Encoding that is understood is chunked')
        super().__setitem__(name, value)


class _Chunks:
    """A body in chunks, as ``wsgi.input``, read to the letter (RFC 9112, section 7.1)."""

    def __init__(self, stream: RequestStream, limit: int) -> None:
        self.rfile = stream
        self.remaining = 1  # unknown, but not nothing, until the last chunk was read
        self._limit = limit or float('inf')
        self._left = 0

    def read(self, size: int = -1) -> bytes:
        """Return up to *size* bytes, nothing at the end; all that is left if *size* is negative."""
        parts = []
        while size and self.remaining:
            if not self._left and not self._next_chunk():
                break
            part = self.rfile.read(min(self._left, size if size > 0 else _MAX_LINE))
            if not part:
                raise ValueError('the chunks end early')
            parts.append(part)
            self._left -= len(part)
            size -= len(part) if size > 0 else 0
            if not self._left and self.rfile.readline(2) != b'\r\n':
                raise ValueError('a chunk is longer than it says')
        return b''.join(parts)

    def _next_chunk(self) -> bool:
        size = _CHUNK_SIZE.fullmatch(self.rfile.readline(_MAX_LINE))
        if not size:
            raise ValueError('a chunk has no size')
        self._left = int(size[1], 16)
        self._limit -= self._left
        if self._limit < 0:
            raise ValueError('the chunks are too large')
        if not self._left:
            self.remaining = 0
        return bool(self._left)


class Request(CPWSGIHTTPRequest):  # type: ignore[misc]  # CherryPy has no types
    header_reader = HeaderReader()

    def __init__(self, server: Any, conn: Connection) -> None:
        super().__init__(server, conn)
        self.inheaders = _Headers()

    def parse_request(self) -> None:
        """Read the request line and the headers, which must all have come by the connection's deadline."""
        super().parse_request()
        self.conn.deadlines.read_by = None

    def read_request_line(self) -> bool:
        """Read the request line; ``False`` if an error was answered. cheroot fails on some that are no URI."""
        try:
            return bool(super().read_request_line())
        except ValueError:
            self.simple_response('400 Bad Request', 'Malformed Request-URI')
            return False

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
            self.rfile = _Chunks(self.conn.rfile, self.server.max_request_body_size)
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
        self.close_connection = self.conn.lingers = True
        body = json.dumps({'status': status, 'message': msg or status[4:]}).encode()
        head = (
            f'{self.server.protocol} {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n'
            'Connection: close\r\n\r\n'
        )
        with suppress(OSError):  # the client is gone
            self.conn.wfile.write(head.encode('latin-1') + body)
            self.conn.wfile.flush()


class Connection(HTTPConnection):
    RequestHandlerClass = Request

    def __init__(self, server: Any, sock: Any, makefile: Any = None) -> None:
        self.deadlines = Deadlines(server.timeout)
        self.lingers = False
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
        """Close the connection, so that the client gets to see the answer to a request that it is still sending.

        A socket that is closed with unread bytes in it is reset, and an answer on its way is lost (RFC 9112, 9.6).
        """
        if self.lingers:
            with suppress(OSError):  # gone, or slow: there is nothing more to do for it
                self._drain()
        super().close()

    def _drain(self) -> None:
        until = time.monotonic() + _LINGER_SECONDS
        left = _LINGER_BYTES
        self.socket.shutdown(socket.SHUT_WR)
        while left > 0 and time.monotonic() < until:
            self.socket.settimeout(_LINGER_SECONDS)
            piece = self.socket.recv(64 * 1024)
            if not piece:
                return
            left -= len(piece)


class FrontDoorServer(CPWSGIServer):  # type: ignore[misc]  # CherryPy has no types
    """CherryPy's server with these connections; configured by CherryPy's ``server.*`` settings, TLS included."""

    ConnectionClass = Connection

    def __init__(self, server_adapter: Any = cherrypy.server) -> None:
        super().__init__(server_adapter)
        self.ConnectionClass.RequestHandlerClass = Request  # CherryPy has just set its own on the class


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
