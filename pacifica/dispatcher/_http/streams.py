"""The two directions of a connection, each with a time by which it must be done.

A socket's own timeout is for each piece of data: a client that sends one byte every nine seconds would hold its thread
for ever. These hold it until a deadline.
"""

from __future__ import annotations

import socket
import time

__all__ = ['Deadlines', 'RequestStream', 'ResponseStream']

_PIECE = 64 * 1024


class Deadlines:
    """The times of one connection's current request.

    :param idle: seconds that a single wait may take at most.

    ``read_by`` is when the request must have arrived, on the monotonic clock, or ``None`` for no such time;
    ``write_within`` how many seconds the response may take from its first byte, or ``None``.
    """

    __slots__ = ('idle', 'read_by', 'write_within')

    def __init__(self, idle: float) -> None:
        self.idle = idle
        self.read_by: float | None = None
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


class RequestStream:
    """A request's bytes, as cheroot reads them: a buffered file with ``readline`` and ``read``."""

    def __init__(self, connection: socket.socket, deadlines: Deadlines) -> None:
        self.deadlines = deadlines
        self.bytes_read = 0
        self.closed = False
        self._socket = connection
        self._buffer = b''
        self._position = 0

    def readline(self, size: int = -1) -> bytes:
        """Return the bytes up to and with the next line feed, at most *size*; fewer at the end of the stream."""
        while True:
            end = self._buffer.find(b'\n', self._position) + 1
            available = len(self._buffer) - self._position
            if 0 <= size <= (end - self._position if end else available):
                return self._take(size)
            if end:
                return self._take(end - self._position)
            if not self._receive():
                return self._take(available)

    def read(self, size: int) -> bytes:
        """Return *size* bytes; fewer at the end of the stream."""
        parts = [self._take(size)]
        missing = size - len(parts[0])
        while missing > 0 and self._receive():
            parts.append(self._take(missing))
            missing -= len(parts[-1])
        return parts[0] if len(parts) == 1 else b''.join(parts)

    def has_data(self) -> bool:
        """Return whether the next request has begun to arrive."""
        return self._position < len(self._buffer)

    def close(self) -> None:
        """Take no more; the connection closes the socket."""
        self.closed = True

    def _take(self, size: int) -> bytes:
        taken = self._buffer[self._position:self._position + size]
        self._position += len(taken)
        self.bytes_read += len(taken)
        return taken

    def _receive(self) -> bool:
        """Get more bytes into the buffer, ``False`` at the end of the stream."""
        self._socket.settimeout(self.deadlines.wait(self.deadlines.read_by))
        piece = self._socket.recv(_PIECE)
        self._buffer = self._buffer[self._position:] + piece
        self._position = 0
        return bool(piece)


class ResponseStream:
    """A response's bytes, as cheroot writes them.

    While ``holding`` is set, what is written (the headers) is kept, to go out with what follows in one piece.
    """

    def __init__(self, connection: socket.socket, deadlines: Deadlines) -> None:
        self.bytes_written = 0
        self.holding = False
        self._socket = connection
        self._deadlines = deadlines
        self._held = b''
        self._until: float | None = None

    def begin(self) -> None:
        """Begin another response."""
        self._held = b''
        within = self._deadlines.write_within
        self._until = None if within is None else time.monotonic() + within

    def flush(self) -> None:
        """Send what is held."""
        if self._held:
            self.write(b'')

    def write(self, data: bytes) -> int:
        """Send *data*; returns when all of it is with the operating system.

        :raises TimeoutError: if the client doesn't take it in time.
        """
        if self.holding:
            self._held += data
            return len(data)
        if self._held:
            data, self._held = self._held + data, b''
        view = memoryview(data)
        while view:
            self._socket.settimeout(self._deadlines.wait(self._until))
            sent = self._socket.send(view)
            self.bytes_written += sent
            view = view[sent:]
        return len(data)
