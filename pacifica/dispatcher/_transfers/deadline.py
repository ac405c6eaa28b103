"""Wall-clock limits that hold against any server: one that hangs, drips a byte at a time, or answers late.

The HTTP client's own time limits are per wait: a server that sends one byte a second never runs into them. So the
sockets of a transfer are wrapped: before each wait they are given what is left of the transfer's time.
"""

from __future__ import annotations

import io
import time
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

__all__ = ['Deadline', 'DeadlineAdapter', 'Limits']

_LEAST = 0.001  # a socket that may wait 0 s doesn't wait but fails with another error


class Deadline:
    """A point in time, so many *seconds* from now."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def remaining(self) -> float:
        """The seconds that are left, not less than 0."""
        return max(0.0, self._end - time.monotonic())

    def sleep(self, seconds: float) -> None:
        """Sleep, but not beyond the deadline."""
        time.sleep(min(seconds, self.remaining))


class Limits:
    """How long one transfer may wait for its peer.

    :param deadline: when the transfer must be over.
    :param silence: seconds that the peer may be silent, or accept no byte, in one request.
    """

    def __init__(self, deadline: Deadline, silence: float) -> None:
        self.deadline = deadline
        self.silence = silence
        #: Seconds that the peer may take to begin its answer.
        self.patience = silence

    def to_send(self) -> float:
        """Return the seconds that sending may wait now."""
        return max(_LEAST, min(self.silence, self.deadline.remaining))

    def to_receive(self) -> float:
        """Return the seconds that receiving may wait now."""
        return max(_LEAST, min(self.patience, self.deadline.remaining))


class _Socket:
    """A connected socket, plain or TLS, whose waits are limited."""

    def __init__(self, sock: Any, limits: Limits) -> None:
        self._sock, self._limits = sock, limits
        self._readers, self._closed = 0, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def recv_into(self, *args: Any) -> int:
        self._sock.settimeout(self._limits.to_receive())
        return int(self._sock.recv_into(*args))

    def sendall(self, *args: Any) -> None:
        self._sock.settimeout(self._limits.to_send())
        self._sock.sendall(*args)

    def makefile(self, mode: str = 'rb', *args: Any, **kwargs: Any) -> io.BufferedReader:
        self._readers += 1
        return io.BufferedReader(_SocketReader(self))

    def close(self) -> None:
        # As of any socket: what still reads from it keeps it open.
        self._closed = True
        if not self._readers:
            self._sock.close()

    def reader_closed(self) -> None:
        self._readers -= 1
        if self._closed:
            self.close()


class _SocketReader(io.RawIOBase):
    def __init__(self, sock: _Socket) -> None:
        self._sock = sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._sock.recv_into(buffer)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._sock.reader_closed()


def _pool_class(pool: type[Any], connection: type[Any], limits: Limits) -> type[Any]:
    def connect(self: Any) -> None:
        connection.connect(self)
        self.sock = _Socket(self.sock, limits)

    limited = type(connection.__name__, (connection,), {'connect': connect})
    return type(pool.__name__, (pool,), {'ConnectionCls': limited})


class DeadlineAdapter(HTTPAdapter):
    """Connects the HTTP client by sockets that keep *limits*; never tries again by itself."""

    def __init__(self, limits: Limits) -> None:
        self._pools = {
            'http': _pool_class(HTTPConnectionPool, HTTPConnection, limits),
            'https': _pool_class(HTTPSConnectionPool, HTTPSConnection, limits),
        }
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Give the pools our connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Give the pools that connect by a proxy our connections."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager
