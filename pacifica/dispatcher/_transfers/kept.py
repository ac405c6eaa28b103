"""What a download has verified, kept beside the staging directories for the next attempt at the same event.

A run takes the directory that an earlier one has left by renaming it: two runs never write into one. Whatever lies
there is compared with the event again before it is used.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from uuid import uuid4

from pacifica.dispatcher._transfers.files import CHUNK, check, hasher
from pacifica.dispatcher._transfers.tree import measure, remove_left
from pacifica.dispatcher.exceptions import RetryLater, TransferError
from pacifica.dispatcher.models import File
from pacifica.dispatcher.task_context import current_task

_PREFIX = '.pacifica-kept-'
#: Seconds after which nobody is expected to ask for it any more.
_LONGEST = 86400
_DIRECTORY: ContextVar[Path | None] = ContextVar('pacifica.dispatcher.kept', default=None)


def kept_directory() -> Path | None:
    """Return where the running download is to keep what it has verified; ``None`` if nowhere."""
    return _DIRECTORY.get()


@contextmanager
def downloading_into(directory: Path | None) -> Iterator[None]:
    """Let the download inside the ``with`` block keep what it has verified in *directory*."""
    token = _DIRECTORY.set(directory)
    try:
        yield
    finally:
        _DIRECTORY.reset(token)


@contextmanager
def keeping(parent: Path, files: list[File], most: int) -> Iterator[Path | None]:
    """Yield a directory in *parent*, for what the running task downloads, that is there until the event has ended.

    An exception that makes the queue run the event again, or stops the worker, leaves it there.

    :param most: bytes that all events together may keep there; one with more, or an unknown size, keeps nothing, and
        gets ``None``.
    """
    directory = _claimed(parent, files, most)
    try:
        yield directory
    except BaseException as exc:
        again = isinstance(exc, RetryLater) or (isinstance(exc, TransferError) and exc.transient)
        if directory is not None and isinstance(exc, Exception) and not again:
            remove_left(directory)
        raise
    if directory is not None:
        remove_left(directory)


def _claimed(parent: Path, files: list[File], most: int) -> Path | None:
    task = current_task()
    if task is None or not files or not most:
        return None
    own, others = f'{_PREFIX}{task.task_id}.', 0
    found: list[Path] = []
    for path in parent.glob(f'{_PREFIX}*'):
        with suppress(OSError):
            there = path.lstat()
            if not stat.S_ISDIR(there.st_mode) or there.st_uid != os.geteuid():
                continue  # somebody else's, in a directory for all
            if time.time() - there.st_mtime > _LONGEST:
                remove_left(path)
            elif path.name.startswith(own):
                found.append(path)
            else:
                others += measure(path)[1]
    sizes = [file.size for file in files]
    if not all(isinstance(size, int) for size in sizes) or others + sum(sizes) > most:
        for path in found:
            remove_left(path)
        return None
    directory = parent / f'{own}{uuid4().hex}'
    for path in found:
        with suppress(OSError):
            os.rename(path, directory)
            os.utime(directory)
            return directory
    directory.mkdir(mode=0o700)
    return directory


def is_right(path: Path, file: File) -> bool:
    """Return whether *path* is what the event says, by size and hash; remove it if it isn't."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, 'O_NOFOLLOW', 0) | getattr(os, 'O_BINARY', 0))
    except FileNotFoundError:
        return False
    digest, size = hasher(file), 0
    with open(descriptor, 'rb') as stream:
        while chunk := stream.read(CHUNK):
            size += len(chunk)
            if digest is not None:
                digest.update(chunk)
    if digest is not None and check(file, size, digest) is None:
        return True
    path.unlink()
    return False


def link(kept: Path, fresh: Path) -> None:
    """Put *kept* at *fresh* too, which takes no space where the file system has links; else instead."""
    try:
        os.link(kept, fresh)
    except OSError:
        os.rename(kept, fresh)
