"""The two directions of a connection, each with a time by which it must be done.

A socket's own timeout is for each piece of data: a client that sends one byte every nine seconds would hold its thread
for ever. These hold it until a deadline.
"""

from __future__ import annotations

import io
import socket
import time
from typing import IO, Any

#: Bytes of a stream's buffer: a request of the usual size comes in one piece.
PIECE = 64 * 1024


class Deadlines:
    """The times of one connection's current request, on the monotonic clock; ``None`` for no such time.

    :param idle: seconds that a single wait may take at most.

    ``read_by`` is when the request must have arrived; ``write_within`` how many seconds the response may take from its
    first byte, from which ``write_by`` follows.
    """

    __slots__ = ('idle', 'read_by', 'write_by', 'write_within')

    def __init__(self, idle: float) -> None:
        self.idle = idle
        self.read_by: float | None = None
        self.write_by: float | None = None
        self.write_within: float | None = None

    def wait(self, until: float | None) -> float:
        """Return how long a wait may take now.

        :raises TimeoutError: if *until* has passed; its argument is what cheroot knows a timeout by.
        """
        if until is None:
            return self.idle
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError('timed out')
        return min(left, self.idle)


class TimedSocket(io.RawIOBase):
    """A connection's bytes in one direction, without a buffer."""

    def __init__(self, connection: socket.socket, deadlines: Deadlines) -> None:
        self.deadlines = deadlines
        self.moved = 0
        self.may_wait = True
        #: What has come of the request already.
        self.arrived: IO[bytes] | None = None
        self._socket = connection

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.arrived is not None:
            data = self.arrived.read(len(buffer))
            if data:
                buffer[:len(data)] = data
                self.moved += len(data)
                return len(data)
            self.arrived = None
        if not self.may_wait:
            return None
        self._socket.settimeout(self.deadlines.wait(self.deadlines.read_by))
        count = self._socket.recv_into(buffer)
        self.moved += count
        return count

    def write(self, data: Any) -> int:
        deadlines = self.deadlines
        if deadlines.write_by is None and deadlines.write_within is not None:
            deadlines.write_by = time.monotonic() + deadlines.write_within
        self._socket.settimeout(deadlines.wait(deadlines.write_by))
        count = self._socket.send(data)
        self.moved += count
        return count


class RequestStream(io.BufferedReader):
    """A request's bytes, as cheroot reads them."""

    raw: TimedSocket

    @property
    def bytes_read(self) -> int:
        """How many bytes came, for cheroot's statistics."""
        return self.raw.moved

    def rest(self) -> bytes:
        """Return what has come after the request that was read."""
        self.raw.may_wait = False
        try:
            return self.read() or b''
        finally:
            self.raw.may_wait = True


class ResponseStream(io.BufferedWriter):
    """A response's bytes, as cheroot writes them: what is written goes out in one piece when it is flushed."""

    raw: TimedSocket

    @property
    def bytes_written(self) -> int:
        """How many bytes went out, for cheroot's statistics."""
        return self.raw.moved
