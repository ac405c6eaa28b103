"""Where connections wait, all in one thread: one gets a thread of the server's when its request is complete.

A client that is slow, or sends nothing, costs a socket and what it has sent. So does one that is told no.
"""

from __future__ import annotations

import errno
import json
import selectors
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from cheroot.connections import ConnectionManager

from pacifica.dispatcher._http.arrival import Arrival
from pacifica.dispatcher._http.streams import PIECE

#: How long, and up to how many bytes, a client that is being refused is still read from.
_LINGER_SECONDS = 5.0
_LINGER_BYTES = 64 * 1024 * 1024
#: How long a process that has too many files open lets a connection wait that it can't take.
_PAUSE = 0.05
_NOT_YET = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_CONTINUE = b'HTTP/1.1 100 Continue\r\n\r\n'


def refusal(protocol: str, status: str, message: str = '') -> bytes:
    """Return the last answer on a connection: an error that the server found, in JSON."""
    body = json.dumps({'status': status, 'message': message or status[4:]}).encode()
    head = (
        f'{protocol} {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n'
        'Connection: close\r\n\r\n'
    )
    return head.encode('latin-1') + body


class Leaving:
    """A connection whose client is still sending what nobody reads, so that it gets to see its answer.

    A socket that is closed with unread bytes in it is reset, and an answer on its way is lost (RFC 9112, 9.6).
    """

    size = 0  # nothing of a request

    def __init__(self) -> None:
        self.until = time.monotonic() + _LINGER_SECONDS
        self._left = _LINGER_BYTES

    def add(self, data: bytes) -> bool:
        """Forget *data*; return whether that was enough."""
        self._left -= len(data)
        return self._left <= 0

    def close(self) -> None:
        """Do nothing."""


class Connections(ConnectionManager):
    """The connections of a server that no thread works on, and how many there are altogether.

    :param server: a ``FrontDoorServer``.
    """

    # What the base class has, and its types leave out.
    _selector: Any
    _stop_requested: bool
    _from_server_socket: Callable[[Any], Any]

    def __init__(self, server: Any) -> None:
        super().__init__(server)
        self._open = 0
        self._by_address = Counter[str]()
        self._lock = threading.Lock()

    def put(self, conn: Any) -> None:
        """Take *conn* back after an answer, and wait for its next request, some of which may have come already."""
        rest = conn.rfile.rest()
        conn.arrival.close()
        conn.arrival, conn.continued = self._arrival(), False
        if rest and self._add(conn, rest):
            self._start(conn)
        else:
            self._watch(conn)

    def leave(self, conn: Any) -> None:
        """Take *conn*, which has had its last answer, until its client has seen it."""
        conn.lingers = False
        conn.arrival.close()
        conn.arrival = Leaving()
        try:
            conn.socket.shutdown(socket.SHUT_WR)
            self._watch(conn)
        except (OSError, ValueError, KeyError):  # gone, or the server has stopped
            conn.close()

    def closed(self, conn: Any) -> None:
        """Count *conn* no more."""
        with self._lock:
            address = conn.remote_addr or ''
            self._open -= 1
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]

    def _arrival(self) -> Arrival:
        server = self.server
        return Arrival(server.max_request_header_size, server.body_limits, time.monotonic() + server.timeout)

    def _watch(self, conn: Any) -> None:
        self._selector.register(conn.socket.fileno(), selectors.EVENT_READ, data=conn)

    def _run(self, expiration_interval: float) -> None:
        """Read what comes; once a stop was requested, only the rest of requests that have begun."""
        last = time.monotonic()
        stop_by = None
        while stop_by is None or (time.monotonic() < stop_by and self._begun()):
            if self._stop_requested and stop_by is None:
                stop_by = time.monotonic() + self.server.shutdown_timeout
                self._selector.unregister(self.server.socket.fileno())
                continue
            ready = self._selector.select(timeout=0.1 if stop_by else expiration_interval)
            for fileno, conn in list(ready):
                if conn is self.server:
                    self._accept()
                elif self._read(conn):
                    self._selector.unregister(fileno)
                    self._start(conn)
            if time.monotonic() - last > expiration_interval:
                last = time.monotonic()
                self._expire(last)

    def _begun(self) -> bool:
        return any(conn.arrival.size for _, conn in list(self._selector.connections) if conn is not self.server)

    def _accept(self) -> None:
        try:
            conn = self._from_server_socket(self.server.socket)
        except OSError as exc:
            self.server.error_log(f'a connection can\'t be taken: {exc}', 40)
            time.sleep(_PAUSE)
            return
        if conn is None:
            return
        conn.arrival = self._arrival()
        address = conn.remote_addr or ''
        with self._lock:
            self._open += 1
            self._by_address[address] += 1
            of_address = self._by_address[address]
        over = 'total' if self._open > self.server.max_connections > 0 else ''
        if address and of_address > self.server.max_connections_per_address > 0:
            over = 'address'
        if over:
            self.server.count_refused(over)
            self._refuse(conn, '503 Service Unavailable', 'too many connections are open: close some, or try later')
        else:
            self._watch(conn)

    def _read(self, conn: Any) -> bool:
        """Read what has come; ``False`` if there is more to wait for."""
        conn.socket.settimeout(0)
        try:
            while data := conn.socket.recv(PIECE):
                if self._add(conn, data):
                    return True
                if not getattr(conn.socket, 'pending', int)():  # what TLS has read already wakes no selector
                    return False
        except _NOT_YET:
            return False
        except OSError:
            conn.broken = True
        return True

    def _add(self, conn: Any, data: bytes) -> bool:
        arrival = conn.arrival
        try:
            complete: bool = arrival.add(data)
            if arrival.size and arrival.waits and not complete:
                arrival.waits = False
                conn.continued = True
                conn.socket.send(_CONTINUE)
        except OSError as exc:
            full = exc.errno in _FULL
            self.server.error_log(f'a request can\'t be kept until it is complete: {exc}', 40)
            conn.refused = ('507 Insufficient Storage' if full else '503 Service Unavailable'), (
                'there is no room for this request now: try again later')
            return True
        return complete

    def _start(self, conn: Any) -> None:
        """Have a thread answer the request on *conn*, which is no longer watched; or close it if there is none."""
        if conn.broken or not conn.arrival.size:
            conn.close()
        elif conn.refused:
            self._refuse(conn, *conn.refused)
        else:
            conn.rfile.raw.arrived = conn.arrival.rewound()
            self.server.process_conn(conn)

    def _refuse(self, conn: Any, status: str, message: str) -> None:
        """Answer *status* without waiting for anything."""
        self.server.count_answer(conn, status)
        with suppress(OSError):  # gone, or it reads nothing
            conn.socket.settimeout(0)
            conn.socket.send(refusal(self.server.protocol, status, message))
        conn.lingers = True
        conn.close()

    def _expire(self, threshold: float) -> None:
        for fileno, conn in list(self._selector.connections):
            if conn is self.server or conn.arrival.until > threshold:
                continue
            self._selector.unregister(fileno)
            if conn.arrival.size:
                part = 'request' if conn.arrival.body is None else 'body'
                self._refuse(conn, '408 Request Timeout', f'the {part} did not arrive in time')
            else:
                conn.close()

    @property
    def can_add_keepalive_connection(self) -> bool:
        """Whether a connection may be kept: the limit on all of them is enough."""
        return True
