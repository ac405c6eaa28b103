"""What has come of a request, kept until all of it has: a large one on disk, in ``TMPDIR``."""

from __future__ import annotations

import io
import re
import tempfile
import threading
import time
from collections.abc import Callable
from typing import IO

CHUNK_SIZE = re.compile(rb'([0-9a-fA-F]{1,15})[ \t]*(;[^\r\n]*)?\r\n')
MAX_LINE = 8 * 1024
#: The most bytes of a request that are kept in memory.
IN_MEMORY = 64 * 1024
_FILES = threading.BoundedSemaphore(64)

# These are broader than what is accepted: what they find decides when a thread looks at a request, not what it says.
_HEAD_END = re.compile(rb'\n\r?\n')
_LENGTH = re.compile(rb'\ncontent[-_]length[ \t]*:\s*(\d{1,19})', re.IGNORECASE)
_CHUNKED = re.compile(rb'\ntransfer[-_]encoding[ \t]*:\s*chunked', re.IGNORECASE)
_CONTINUE = re.compile(rb'\nexpect[ \t]*:\s*100-continue', re.IGNORECASE)

#: Returns for a request's target how many seconds its body may take and how many bytes it may have; ``None`` if the
#: body is read by who handles the request, as it comes.
BodyLimits = Callable[[bytes], 'tuple[float, int] | None']


class Arrival:
    """The bytes of the next request on a connection.

    :param max_head: the most bytes that the request line and the headers may have, 0 for any number.
    :param limits: the limits of bodies.
    :param until: when the head must have come, on the monotonic clock. Set anew for the body once it has.
    """

    def __init__(self, max_head: int, limits: BodyLimits, until: float) -> None:
        self.until = until
        self.stream: IO[bytes] = io.BytesIO()
        self.size = 0
        self.body: _Length | _Chunks | None = None
        #: Whether the client waits for a "100 Continue" before it sends the body.
        self.waits = False
        #: Of the request, once its head has come.
        self.method, self.target = b'', b''
        self._max_head, self._limits = max_head, limits
        self._tail = b''

    def add(self, data: bytes) -> bool:
        """Keep *data*; return whether a thread can answer now, without waiting for more.

        :raises OSError: if it can't be written to disk, or too many requests are already there.
        """
        if self.size <= IN_MEMORY < self.size + len(data):
            self._spill()
        self.stream.write(data)
        self.size += len(data)
        if self.body is not None:
            return self.body.add(data)
        data = self._tail + data
        end = _HEAD_END.search(data)
        if end is None:
            self._tail = data[-2:]
            return 0 < self._max_head < self.size
        self.body = self._expect(self.size - len(data) + end.end())
        return self.body.add(data[end.end():])

    def rewound(self) -> IO[bytes]:
        """Return the bytes, to be read from the first."""
        self.stream.seek(0)
        return self.stream

    def close(self) -> None:
        """Give back what it takes, on disk too."""
        if not self.stream.closed:
            self.stream.close()
            if not isinstance(self.stream, io.BytesIO):
                _FILES.release()

    def _spill(self) -> None:
        if not _FILES.acquire(blocking=False):
            raise OSError('too many large requests at the same time')
        try:
            file = tempfile.TemporaryFile(buffering=0)
        except OSError:
            _FILES.release()
            raise
        file.write(self.stream.getvalue())  # type: ignore[attr-defined]  # it is a BytesIO until now
        self.stream = file

    def _expect(self, size: int) -> _Length | _Chunks:
        """Return what tells the end of the body that follows a head of *size* bytes."""
        self.stream.seek(0)
        head = self.stream.read(size)
        self.stream.seek(0, io.SEEK_END)
        method, _, rest = head.lstrip().partition(b' ')
        self.method, self.target = method, rest.partition(b' ')[0]
        lengths = _LENGTH.findall(head)
        chunked = _CHUNKED.search(head)
        limits = self._limits(self.target) if chunked or lengths else None
        if limits is None:
            return _Length(0)
        seconds, most = limits
        self.until = time.monotonic() + seconds
        self.waits = _CONTINUE.search(head) is not None
        if chunked:
            return _Chunks(most)
        length = max(map(int, lengths))
        return _Length(0 if length > most else length)


class _Length:
    def __init__(self, left: int) -> None:
        self._left = left

    def add(self, data: bytes) -> bool:
        self._left -= len(data)
        return self._left <= 0


class _Chunks:
    def __init__(self, most: int) -> None:
        self._most = most
        self._line = b''
        self._skip = self._total = 0

    def add(self, data: bytes) -> bool:
        data, self._line = self._line + data, b''
        position = 0
        while True:
            step = min(self._skip, len(data) - position)
            position += step
            self._skip -= step
            if self._total - self._skip > self._most:
                return True
            if self._skip:
                return False
            end = data.find(b'\n', position) + 1
            if not end:
                self._line = data[position:]
                return len(self._line) > MAX_LINE
            size = CHUNK_SIZE.fullmatch(data, position, end)
            if not size or not int(size[1], 16):
                return True  # the last chunk, or what is none
            self._skip = int(size[1], 16) + 2
            self._total += int(size[1], 16)
            position = end
