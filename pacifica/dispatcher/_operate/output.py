"""What a run has printed, line by line, read again and again while it runs."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import NamedTuple

from pacifica.dispatcher._queue.output import Chunk, KeptOutput

GAP = 'left out'
"""Stands for the stream in a line that says how much is not kept."""


class Line(NamedTuple):
    """A line of a stream, without its end, or any other part; and when it was printed, in seconds since 1970."""

    time: float
    stream: str
    text: str


def parts(run: KeptOutput) -> list[Line]:
    """Return all that is kept of a run, in parts as it was printed, and how much is not."""
    gap = [_gap(run.tail[0].time if run.tail else run.updated, run.omitted, '\n')] if run.omitted else []
    return [*(Line(*chunk[:3]) for chunk in run.head), *gap, *(Line(*chunk[:3]) for chunk in run.tail)]


class Reader:
    """Reads the output of one run; knows what it has read, which may no longer be kept when it reads again."""

    def __init__(self) -> None:
        self._place = -1  # of the chunk that was read last
        self._characters = 0  # of it that have been read: more may have come
        self._end = 0
        self._begun: dict[str, Line] = {}

    def news(self, run: KeptOutput) -> Iterator[Line]:
        """Yield the lines that have become whole since it was called before."""
        for chunk in (*run.head, *run.tail):
            if chunk.offset >= self._place:
                text = chunk.text[self._characters:] if chunk.offset == self._place else chunk.text
                if run.omitted and chunk is run.tail[0] and chunk.offset != self._place:
                    text = yield from self._across_gap(run, chunk)
                self._place, self._characters = chunk.offset, len(chunk.text)
                self._end = chunk.offset + len(chunk.text.encode())
                yield from self._lines(chunk, text)
        if run.omitted and not run.tail and self._place < run.omitted:  # the database would not take more
            self._place = run.omitted
            yield _gap(run.updated, run.omitted)

    def _across_gap(self, run: KeptOutput, chunk: Chunk) -> Generator[Line, None, str]:
        """Say what is left out before *chunk*, the first behind the gap; return what of it has not been read."""
        if chunk.offset < self._end:
            return chunk.text.encode()[self._end - chunk.offset:].decode(errors='ignore')
        if chunk.offset > self._end:
            yield from self.rest()
            first = bool(run.head) and run.head[-1].offset == self._place
            yield _gap(chunk.time, run.omitted if first else chunk.offset - self._end)
        return chunk.text

    def _lines(self, chunk: Chunk, text: str) -> Iterator[Line]:
        time, begun = chunk.time, self._begun.pop(chunk.stream, None)
        if begun is not None:
            time, text = begun.time, begun.text + text
        *whole, rest = text.split('\n')
        for line in whole:
            yield Line(time, chunk.stream, line.removesuffix('\r'))
            time = chunk.time
        if rest:
            self._begun[chunk.stream] = Line(time, chunk.stream, rest)

    def rest(self) -> list[Line]:
        """Return the lines that were begun, and have no end yet."""
        left = list(self._begun.values())
        self._begun.clear()
        return left


def _gap(time: float, size: int, around: str = '') -> Line:
    return Line(time, GAP, f'{around}… {size:,} bytes are not kept …{around}')


def progress_text(fraction: float | None, text: str) -> str:
    """Return how far a run is in words; empty if it has not said so."""
    return ', '.join(filter(None, ['' if fraction is None else f'{fraction:.0%}', text]))
