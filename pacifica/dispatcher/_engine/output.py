"""What a run prints and logs, and how far it is: collected while it runs, written by who keeps its lease.

Of all that it prints, the first and the last 256 KiB are kept, so that a program that prints without end costs no more.
"""

from __future__ import annotations

import codecs
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Optional

import msgspec

from pacifica.dispatcher._queue.record import storable
from pacifica.dispatcher._queue.values import RunOutput
from pacifica.dispatcher.task_context import log_extras

HALF = 256 * 1024
"""How many bytes are kept of the beginning, and of the end."""

_MOST_CHUNKS = 8192  # in either half: each costs more than its bytes
_JOINED_BYTES, _JOINED_SECONDS = 4096, 0.1  # what is printed bit by bit makes one chunk
_CONTINUATION = bytes(range(0x80, 0xC0))  # what no character of UTF-8 begins with
_decoder = codecs.getincrementaldecoder('utf-8')

Progress = tuple[Optional[float], str]
Look = Callable[[], tuple[Optional[Progress], str]]
Entry = tuple[float, str, str, int]


class _Chunk(NamedTuple):
    time: float
    stream: str
    data: bytearray
    offset: int  # in all that the run has printed

    def join(self, stream: str, data: bytes, now: float) -> bool:
        """Take *data* in, if it came right after, and is little; return whether it did."""
        near = stream == self.stream and now - self.time < _JOINED_SECONDS and (
            len(self.data) + len(data) <= _JOINED_BYTES)
        if near:
            self.data.extend(data)
        return near


class Output:
    """The output of one run, from any thread: its first and its last bytes, and its progress."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._head: list[_Chunk] = []
        self._head_room = HALF
        self._tail: deque[_Chunk] = deque()
        self._tail_size = 0
        self._size = 0
        self._progress: Progress = (None, '')
        self._stages: dict[int, str] = {}
        self._look: Look | None = None
        self._version = 0
        self._taken: tuple[int, Progress] = (0, self._progress)
        self._written: tuple[int, Progress] = self._taken
        self._cut_taken = self._cut_written = False

    def add(self, stream: str, data: bytes) -> None:
        """Keep what was written to a stream: ``'stdout'``, ``'stderr'`` or ``'log'``."""
        now = time.time()
        with self._lock:
            self._version += 1
            if self._head_room:
                first, data = data[:self._head_room], data[self._head_room:]
                self._append(self._head, stream, first, now)
                self._head_room = 0 if len(self._head) == _MOST_CHUNKS else self._head_room - len(first)
            if data:
                self._size += len(data) - len(data[-HALF:])
                self._tail_size += len(data[-HALF:])
                self._append(self._tail, stream, data[-HALF:], now)
                while self._tail_size - len(self._tail[0].data) >= HALF or len(self._tail) > _MOST_CHUNKS:
                    self._tail_size -= len(self._tail.popleft().data)

    def _append(self, chunks: list[_Chunk] | deque[_Chunk], stream: str, data: bytes, now: float) -> None:
        if not chunks or not chunks[-1].join(stream, data, now):
            chunks.append(_Chunk(now, stream, bytearray(data), self._size))
        self._size += len(data)

    def log(self, record: logging.LogRecord) -> None:
        """Keep a log record as a line, and its traceback."""
        self.add('log', (_LINE.format(record) + '\n').encode('utf-8', 'backslashreplace'))

    def report(self, fraction: float | None, text: str) -> None:
        """Keep how far the run is."""
        with self._lock:
            self._progress = fraction, text

    def tell(self, what: str, value: Any) -> None:
        """Keep which stage runs: each is told of when it begins and when it ends."""
        if what == 'stage':
            with self._lock:
                if self._stages.pop(id(value), None) is None:
                    self._stages[id(value)] = value.name

    def follow(self, look: Look | None) -> None:
        """Ask *look* how far the run is, and which stage runs, when that is wanted; with ``None`` nobody any more."""
        with self._lock:
            self._look = look

    def take(self, *, ended: bool = False) -> RunOutput | None:
        """Return what is to be written, ``None`` if that is what was written last.

        :param ended: whether nothing more comes: a character that is not complete never will be, and no stage runs.
        """
        with self._lock:
            fraction, text = self._look_at_progress()
            if not (text or ended):
                text = next(reversed(self._stages.values()), '')
            if (self._version, (fraction, text)) == self._written:
                return None
            self._taken = self._version, (fraction, text)
            cut = max(0, self._tail_size - HALF)
            head = [chunk._replace(data=chunk.data[:]) for chunk in self._head]
            tail = [chunk._replace(data=chunk.data[:]) for chunk in self._tail]
            if cut:
                tail[0] = tail[0]._replace(data=tail[0].data[cut:], offset=tail[0].offset + cut)
            omitted = tail[0].offset - sum(len(chunk.data) for chunk in head) if tail else 0
            self._cut_taken, head_kept = omitted > 0, self._cut_written
        if omitted:
            first = None if head_kept else _entries(head)
            last = _entries(tail, begun=True, ended=ended)
        else:
            both = _entries([*head, *tail], ended=ended)
            first, last = both[:len(head)], both[len(head):]
        return RunOutput(
            None if first is None else _document(first), _document(last), omitted, fraction, storable(text) or '')

    def _look_at_progress(self) -> Progress:
        if self._look is not None:
            progress, stage = self._look()
            self._progress = progress or self._progress
            self._stages = {0: stage} if stage else {}
        return self._progress

    def written(self) -> None:
        """Note that what was taken last is in the database."""
        with self._lock:
            self._written, self._cut_written = self._taken, self._cut_taken


def _entries(chunks: Iterable[_Chunk], *, begun: bool = False, ended: bool = False) -> list[Entry]:
    """Return the texts of *chunks*; a character may be parted among several.

    :param begun: whether a chunk may begin within a character whose first bytes are left out.
    :param ended: whether nothing follows the last ones.
    """
    chunks = list(chunks)
    decoders: dict[str, codecs.IncrementalDecoder] = {}
    last = {chunk.stream: number for number, chunk in enumerate(chunks)}
    entries = []
    for number, chunk in enumerate(chunks):
        data, decoder = bytes(chunk.data), decoders.get(chunk.stream)
        if decoder is None:
            decoder = decoders[chunk.stream] = _decoder('replace')
            if begun:
                data = data[:3].lstrip(_CONTINUATION) + data[3:]
        text = decoder.decode(data, ended and last[chunk.stream] == number)
        offset = chunk.offset + len(chunk.data) - len(data)
        entries.append((round(chunk.time, 3), chunk.stream, text, offset))
    return entries


def _document(entries: Iterable[Entry]) -> str:
    return msgspec.json.encode([entry for entry in entries if entry[2]]).decode()


_OF_TASK = frozenset({'task_id', 'event_id', 'route', 'handler', 'attempt'})  # of TaskLogFilter: its page says so


class _LineFormatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__('%(levelname)s %(name)s: %(message)s')

    def formatMessage(self, record: logging.LogRecord) -> str:
        carried = (f'{name}={value}' for name, value in log_extras(record) if name not in _OF_TASK)
        return ' '.join([super().formatMessage(record), *carried])


_LINE = _LineFormatter()
