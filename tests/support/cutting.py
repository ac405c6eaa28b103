"""Stands between a client and a server, and cuts a connection at a message that the test chooses."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

Where = Literal['before', 'within', 'after']


class Cutter:
    """A proxy in front of the server of *url*; ``url`` is the same server through it.

    What one end sends at once is a message: drivers of databases send a request, and wait for its answer.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname and parts.port
        self._server = (parts.hostname, parts.port)
        self._listener = socket.create_server(('127.0.0.1', 0))
        user, _, _ = parts.netloc.rpartition('@')
        port = self._listener.getsockname()[1]
        self.url = urlunsplit(parts._replace(netloc=f'{user}{"@" if user else ""}127.0.0.1:{port}'))
        self._lock = threading.Lock()
        self._cuts: Callable[[bytes, bytes | None], bool] | None = None
        self._where: Where = 'before'
        self._connections: set[_Connection] = set()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def cut_at(self, number: int, where: Where) -> None:
        """Cut the connection of the message that is so many messages away, 0 being the next one of any connection."""
        left = iter(range(number, -1, -1))
        self._cut_if(lambda message, asked: next(left) == 0, where)

    def cut_answer_to(self, request: bytes) -> None:
        """Have the server do what it is asked to by the next *request*, and nobody hear of it."""
        # PostgreSQL's answer to a statement that the driver has prepared is all that says which one it was.
        self._cut_if(lambda message, asked: asked is not None and (request in asked or request in message), 'before')

    def _cut_if(self, cuts: Callable[[bytes, bytes | None], bool], where: Where) -> None:
        with self._lock:
            self._cuts, self._where = cuts, where

    @property
    def has_cut(self) -> bool:
        """Whether what was wanted has been done."""
        return self._cuts is None

    def left_of(self, message: bytes, asked: bytes | None) -> bytes | None:
        """Return what to send of a message before its connection is cut; ``None`` to send it and go on.

        :param asked: the last request, if the message is the server's.
        """
        with self._lock:
            if self._cuts is None or not self._cuts(message, asked):
                return None
            self._cuts = None
            return {'before': b'', 'within': message[:len(message) // 2], 'after': message}[self._where]

    def close(self) -> None:
        """Cut every connection, and take no more."""
        with suppress(OSError):  # the thread that waits for connections does not hear of a close
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        for connection in self._connections:
            connection.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._connections.add(_Connection(self, client, socket.create_connection(self._server)))
                self._connections = {each for each in self._connections if each.is_open}


class _Connection:
    """Carries messages both ways in a thread, until either end closes or it is cut."""

    def __init__(self, cutter: Cutter, client: socket.socket, server: socket.socket) -> None:
        self._cutter, self._client, self._server = cutter, client, server
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    @property
    def is_open(self) -> bool:
        return self._thread.is_alive()

    def close(self) -> None:
        """Cut it."""
        with suppress(OSError):
            self._client.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def _carry(self) -> None:
        asked = b''
        with self._client, self._server, selectors.DefaultSelector() as selector, suppress(OSError):
            selector.register(self._client, selectors.EVENT_READ, self._server)
            selector.register(self._server, selectors.EVENT_READ, self._client)
            while True:
                for key, _ in selector.select():
                    source: Any = key.fileobj
                    message = source.recv(1 << 20)
                    if source is self._client:
                        asked = message
                    left = self._cutter.left_of(message, None if source is self._client else asked) if message else b''
                    key.data.sendall(message if left is None else left)
                    if left is not None:
                        return
