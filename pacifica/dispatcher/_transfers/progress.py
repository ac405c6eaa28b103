"""The progress of a transfer: for a callback, and for the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

_LOG = logging.getLogger(__name__)
#: Seconds between two lines in the log about one transfer, and between two calls of its callback.
LOG_EVERY, CALL_EVERY = 10.0, 0.1


class IdleTimeout(float):
    """Seconds that a transfer may go on *without progress*, where a plain number limits all of it.

    Progress is a byte or a file more than ever before in this transfer, or a change in the state of Ingest's job.
    """


#: The limit of downloads and uploads unless the caller gives one.
DEFAULT_TIMEOUT = IdleTimeout(180)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one transfer has come.

    :param direction: ``'download'`` or ``'upload'``.
    :param files_done: files gone through so far.
    :param files_total: how many there will be.
    :param bytes_done: bytes of files gone through so far.
    :param bytes_total: how many there will be; ``None`` if the event doesn't say.
    """

    direction: str
    files_done: int
    files_total: int
    bytes_done: int
    bytes_total: int | None

    @property
    def finished(self) -> bool:
        """Whether every file went through; always the last call for a transfer that succeeds."""
        return self.files_done == self.files_total


ProgressCallback = Callable[[Progress], None]


class Meter:
    """Counts bytes and files of one transfer, and calls the callback and writes to the log now and then.

    :param callback: called in the thread that transfers, at most ten times a second and once at the end; what it
        raises stops the transfer.
    """

    def __init__(
        self, direction: str, files_total: int, bytes_total: int | None, callback: ProgressCallback | None = None,
    ) -> None:
        self._direction, self._files_total, self._bytes_total = direction, files_total, bytes_total
        self._callback = callback
        #: Called when more bytes or files went through than ever before in this transfer.
        self.advanced: Callable[[], None] = lambda: None
        self._most_files = self._most_bytes = 0
        self.restart()

    def restart(self) -> None:
        """Begin again from nothing: what went through has to be sent or fetched once more."""
        self._files = self._bytes = 0
        self._logged = self._called = time.monotonic()

    def add(self, size: int, files: int = 0) -> None:
        """Count bytes, and files that are whole, that went through; less than 0 for what has to go once more."""
        self._bytes += size
        self._files += files
        if self._bytes > self._most_bytes or self._files > self._most_files:
            self._most_bytes, self._most_files = max(self._bytes, self._most_bytes), max(self._files, self._most_files)
            self.advanced()
        now = time.monotonic()
        last = self._files == self._files_total and (files > 0 or not self._files_total)
        if self._callback is not None and (last or now - self._called >= CALL_EVERY):
            self._called = now
            self._callback(self._progress())
        if now - self._logged >= LOG_EVERY:
            self._logged = now
            _LOG.info('transfer.progress', extra=asdict(self._progress()))

    def _progress(self) -> Progress:
        return Progress(self._direction, self._files, self._files_total, self._bytes, self._bytes_total)
