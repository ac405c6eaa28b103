"""Where a request ends: headers that leave no doubt about it, and bodies in chunks, read to the letter."""

from __future__ import annotations

from pacifica.dispatcher._http.arrival import CHUNK_SIZE, MAX_LINE
from pacifica.dispatcher._http.streams import RequestStream

_ONCE = frozenset((
    b'Authorization', b'Content-Encoding', b'Content-Length', b'Content-Type', b'Host', b'Transfer-Encoding',
))
_ONCE_PREFIXES = (b'Ce-', b'Webhook-')


class Headers(dict[bytes, bytes]):
    """A request's headers, as cheroot's reader fills them in; it answers 400 with the message of a ``ValueError``.

    Those that decide where a request ends, or who sends it, may stand in it once (cheroot takes the last of them), and
    a length must be digits (RFC 9110, section 8.6; RFC 9112, section 6.3).
    """

    #: Whether the client has been told to continue.
    continued = False

    def __setitem__(self, name: bytes, value: bytes) -> None:
        if name == b'Expect' and self.continued:
            return
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


class Chunks:
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
            part = self.rfile.read1(min(self._left, size if size > 0 else MAX_LINE))  # which waits for one byte at most
            if not part:
                raise ValueError('the chunks end early')
            parts.append(part)
            self._left -= len(part)
            size -= len(part) if size > 0 else 0
            if not self._left and self.rfile.readline(2) != b'\r\n':
                raise ValueError('a chunk is longer than it says')
        return b''.join(parts)

    def _next_chunk(self) -> bool:
        size = CHUNK_SIZE.fullmatch(self.rfile.readline(MAX_LINE))
        if not size:
            raise ValueError('a chunk has no size')
        self._left = int(size[1], 16)
        self._limit -= self._left
        if self._limit < 0:
            raise ValueError('the chunks are too large')
        if not self._left:
            self.remaining = 0
        return bool(self._left)
