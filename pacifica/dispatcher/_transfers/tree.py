"""The files under a directory: listing and reading them for a bundle, and removing all of them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pacifica.dispatcher.exceptions import StagingError


@dataclass(frozen=True, slots=True)
class BundledFile:
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
    stack = [(root, _listing(root, ''))]
    while stack:
        item = next(stack[-1][1], None)
        if item is None:
            stack.pop()
            continue
        path, entry = item
        real = entry.path
        if entry.is_symlink():
            real = _follow(real, path, root)
            if any(real == above for above, _ in stack):
                raise StagingError(f'{path!a} is a link to a directory above it: remove it, or copy what it leads to')
        found = os.stat(real)
        if stat.S_ISDIR(found.st_mode):
            stack.append((real, _listing(real, path + '/')))
        elif not stat.S_ISREG(found.st_mode):
            raise StagingError(f'{path!a} is no file (but a FIFO, socket or device) and can\'t be sent: remove it')
        elif not os.access(real, os.R_OK):
            raise StagingError(f'{path!a} can\'t be read: change its permissions or remove it')
        else:
            yield BundledFile(path, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_dev, found.st_ino)


def _listing(directory: str, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(directory) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    return iter([(prefix + entry.name, entry) for entry in ordered])


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


def read_file(root: str, entry: BundledFile, chunk: int) -> Iterator[bytes]:
    """Yield the bytes of *entry*, exactly as many as were listed, *chunk* at a time; any change of it is an error."""
    try:
        # Non-blocking: should a FIFO have taken the file's place, opening it must not wait for a writer.
        descriptor = os.open(
            f'{root}/{entry.path}', os.O_RDONLY | getattr(os, 'O_NONBLOCK', 0) | getattr(os, 'O_BINARY', 0))
        try:
            _same(entry, descriptor, 'before')
            left = entry.size
            while left:
                data = os.read(descriptor, min(chunk, left))
                if not data:
                    raise StagingError(f'{entry.path!a} shrank while it was sent: {_ADVICE}')
                left -= len(data)
                yield data
            if os.read(descriptor, 1):
                raise StagingError(f'{entry.path!a} grew while it was sent: {_ADVICE}')
            _same(entry, descriptor, 'while')
        finally:
            os.close(descriptor)
    except OSError as exc:
        raise StagingError(f'{entry.path!a} can\'t be read while it is sent ({exc.strerror}): {_ADVICE}') from exc


_ADVICE = 'write every file to its end before the upload, and leave it alone until then'


def _same(entry: BundledFile, descriptor: int, when: str) -> None:
    found = os.fstat(descriptor)
    known = (found.st_size, found.st_mtime_ns, found.st_dev, found.st_ino)
    if not stat.S_ISREG(found.st_mode) or known != (entry.size, entry.mtime_ns, entry.device, entry.inode):
        raise StagingError(f'{entry.path!a} changed {when} it was sent: {_ADVICE}')
