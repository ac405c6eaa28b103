"""The files under a directory: listing and reading them for a bundle, and removing all of them."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from pacifica.dispatcher._transfers.files import CHUNK
from pacifica.dispatcher.exceptions import StagingError

_LOG = logging.getLogger(__name__)


class BundledFile(NamedTuple):
    """One file to send: its path in the directory, and what it looked like when it was listed."""

    path: str
    size: int
    mtime_ns: int
    ctime_ns: int
    device: int
    inode: int


def scan(root: Path) -> list[BundledFile]:
    """Return every file under *root*, in an order that is always the same; empty directories leave no trace.

    A link is what it leads to, as long as that lies in *root* too. What can't be sent is an error that names it.
    """
    try:
        return list(_walk(os.path.realpath(root, strict=True)))
    except OSError as exc:
        raise StagingError(f'{exc.filename!a} can\'t be sent: {exc.strerror}') from exc


def _walk(root: str) -> Iterator[BundledFile]:
    # A stack instead of recursion: directories may be nested deeper than Python's calls.
    stack = [(root, '', _listing(root))]
    while stack:
        directory, prefix, entries = stack[-1]
        for name, found in entries:
            path, real, mode = prefix + name, f'{directory}/{name}', found.st_mode
            if stat.S_ISLNK(mode):
                real = _follow(real, path, root)
                if any(real == above for above, _, _ in stack):
                    raise StagingError(
                        f'{path!a} is a link to a directory above it: remove it, or copy what it leads to')
                found = os.stat(real)
                mode = found.st_mode
            if stat.S_ISDIR(mode):
                stack.append((real, path + '/', _listing(real)))
                break
            if not stat.S_ISREG(mode):
                raise StagingError(f'{path!a} is no file (but a FIFO, socket or device) and can\'t be sent: remove it')
            # What anybody may read needs no question.
            if mode & 0o444 != 0o444 and not os.access(real, os.R_OK):
                raise StagingError(f'{path!a} can\'t be read: change its permissions or remove it')
            yield BundledFile(path, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_dev, found.st_ino)
        else:
            stack.pop()


def _listing(directory: str) -> Iterator[tuple[str, os.stat_result]]:
    """Return the names in *directory*, in order, each with what it is itself."""
    if os.name != 'posix':
        return ((name, os.lstat(f'{directory}/{name}')) for name in sorted(os.listdir(directory)))
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        return iter([(name, os.lstat(name, dir_fd=descriptor)) for name in sorted(os.listdir(descriptor))])
    finally:
        os.close(descriptor)


def _follow(link: str, path: str, root: str) -> str:
    try:
        real = os.path.realpath(link, strict=True)
    except OSError as exc:
        raise StagingError(f'{path!a} is a link that leads nowhere: remove it, or copy what it should be') from exc
    if real != root and not real.startswith(root.rstrip(os.sep) + os.sep):
        raise StagingError(f'{path!a} is a link that leads out of the directory: copy what it leads to')
    return real


def measure(root: Path) -> tuple[int, int]:
    """Return how many entries under *root* are no directories, and how many bytes the files among them have."""
    count = size = 0
    stack = [str(root)]
    while stack:
        with os.scandir(stack.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    stack.append(entry.path)
                    continue
                count += 1
                if entry.is_file(follow_symlinks=False):
                    size += entry.stat(follow_symlinks=False).st_size
    return count, size


def remove(root: Path) -> None:
    """Remove *root* and all under it, also what was made unreadable; links are removed, never followed."""
    stack, directories = [str(root)], []
    while stack:
        directories.append(directory := stack.pop())
        os.chmod(directory, 0o700)
        with os.scandir(directory) as entries:
            listed = list(entries)
        for entry in listed:
            if entry.is_dir(follow_symlinks=False):
                stack.append(entry.path)
            else:
                os.unlink(entry.path)
    for directory in reversed(directories):
        os.rmdir(directory)


def remove_left(root: Path) -> None:
    """Remove *root*, which somebody has left there, unless it is gone; log why if it can't be removed."""
    try:
        remove(root)
    except FileNotFoundError:
        pass  # its owner, or another run of its event, has taken it
    except OSError as exc:
        _LOG.error('staging.not_removed', extra={'directory': str(root), 'error': str(exc)})


def read_files(root: str, entries: Iterable[BundledFile]) -> Iterator[bytes]:
    """Yield the bytes of each of *entries*, exactly as many as were listed; any change of one is an error.

    A file of up to :data:`.CHUNK` bytes is one piece, also an empty one; a larger one is several, none of them empty.
    """
    for entry in entries:
        path, size = entry.path, entry.size
        if size > CHUNK:
            yield from _pieces(root, entry)
            continue
        try:
            descriptor = os.open(f'{root}/{path}', _READ)
            try:
                data, found = os.read(descriptor, size), os.fstat(descriptor)
            finally:
                os.close(descriptor)
        except OSError as exc:
            raise _unreadable(entry, exc) from exc
        _require_same(entry, found, len(data) == size)
        yield data


def _pieces(root: str, entry: BundledFile) -> Iterator[bytes]:
    try:
        descriptor = os.open(f'{root}/{entry.path}', _READ)
        try:
            left = entry.size
            while left:
                data = os.read(descriptor, min(CHUNK, left))
                first, left = left == entry.size, left - len(data)
                # Nothing of another file is handed on, and the last of this one if it is still as it was.
                if first or not left or not data:
                    _require_same(entry, os.fstat(descriptor), bool(data))
                yield data
        finally:
            os.close(descriptor)
    except OSError as exc:
        raise _unreadable(entry, exc) from exc


#: Non-blocking: should a FIFO have taken a file's place, opening it must not wait for a writer.
_READ = os.O_RDONLY | getattr(os, 'O_NONBLOCK', 0) | getattr(os, 'O_BINARY', 0)
_ADVICE = 'write every file to its end before the upload, and leave it alone until then'


def _unreadable(entry: BundledFile, exc: OSError) -> StagingError:
    return StagingError(f'{entry.path!a} can\'t be read while it is sent ({exc.strerror}): {_ADVICE}')


def _require_same(entry: BundledFile, found: os.stat_result, whole: bool) -> None:
    _, size, mtime_ns, _, device, inode = entry
    if not (
        whole and found.st_mtime_ns == mtime_ns and found.st_size == size and found.st_ino == inode
        and found.st_dev == device and stat.S_ISREG(found.st_mode)
    ):
        raise StagingError(f'{entry.path!a} changed before it was sent, or while it was: {_ADVICE}')
