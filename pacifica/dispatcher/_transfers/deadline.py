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

from pacifica.dispatcher._transfers.progress import IdleTimeout

_LEAST = 0.001  # a socket that may wait 0 s doesn't wait but fails with another error


class Deadline:
    """When a transfer must be over, and how long it may wait for its peer until then.

    :param seconds: wall-clock seconds from now; from the last progress if that is an :class:`.IdleTimeout`.
    :param silence: seconds that the peer may be silent, or accept no byte, in one request.
    """

    def __init__(self, seconds: float, silence: float) -> None:
        self.seconds = seconds
        self.silence = silence
        #: Seconds that the peer may take to begin its answer.
        self.patience = silence
        self._end = time.monotonic() + seconds

    def progress(self) -> None:
        """Note that the transfer has come further."""
        if isinstance(self.seconds, IdleTimeout):
            self._end = time.monotonic() + self.seconds

    @property
    def remaining(self) -> float:
        """The seconds that are left, not less than 0."""
        return max(0.0, self._end - time.monotonic())

    @property
    def left(self) -> float:
        """The timeout of what is a part of this transfer: its own one, or what is left of the total."""
        return self.seconds if isinstance(self.seconds, IdleTimeout) else self.remaining

    def sleep(self, seconds: float) -> None:
        """Sleep, but not beyond the deadline."""
        time.sleep(min(seconds, self.remaining))

    def to_send(self) -> float:
        """Return the seconds that sending may wait now."""
        return max(_LEAST, min(self.silence, self.remaining))

    def to_receive(self) -> float:
        """Return the seconds that receiving may wait now."""
        return max(_LEAST, min(self.patience, self.remaining))


class _Socket:
    """A connected socket, plain or TLS, whose waits are limited."""

    def __init__(self, sock: Any, deadline: Deadline) -> None:
        self._sock, self._deadline = sock, deadline

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def sendall(self, *args: Any) -> None:
        self._sock.settimeout(self._deadline.to_send())
        self._sock.sendall(*args)

    def makefile(self, mode: str = 'rb', *args: Any, **kwargs: Any) -> io.BufferedReader:
        return io.BufferedReader(_SocketReader(self._sock, self._deadline))


class _SocketReader(io.RawIOBase):
    def __init__(self, sock: Any, deadline: Deadline) -> None:
        self._sock, self._deadline = sock, deadline
        self._raw = sock.makefile('rb', buffering=0)  # which keeps the socket open until it is closed too

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(self._deadline.to_receive())
        return int(self._raw.readinto(buffer))

    def close(self) -> None:
        self._raw.close()
        super().close()


def _pool_class(pool: type[Any], connection: type[Any], deadline: Deadline) -> type[Any]:
    def connect(self: Any) -> None:
        connection.connect(self)
        self.sock = _Socket(self.sock, deadline)

    limited = type(connection.__name__, (connection,), {'connect': connect})
    return type(pool.__name__, (pool,), {'ConnectionCls': limited})


class DeadlineAdapter(HTTPAdapter):
    """Connects the HTTP client by sockets that keep to *deadline*; never tries again by itself."""

    def __init__(self, deadline: Deadline) -> None:
        self._pools = {
            'http': _pool_class(HTTPConnectionPool, HTTPConnection, deadline),
            'https': _pool_class(HTTPSConnectionPool, HTTPSConnection, deadline),
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
