"""Staged input files: their paths, opening one, and checking that it is what the event says."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pacifica.dispatcher._paths import conflicts
from pacifica.dispatcher.exceptions import DownloadError, StagingError, UnsafePathError
from pacifica.dispatcher.models import File

#: Bytes of one read: large enough that the disk limits hashing and copying, small enough to need little memory.
CHUNK = 1 << 20

#: Opens one staged file for reading: text by default, as :func:`open` with its keywords.
Opener = Callable[..., IO[Any]]


def distinct(files: Sequence[File]) -> list[File]:
    """Return *files* without those that repeat another one: the same path, size and hash; without a hash, the same id.

    Those that have no path stay, and so do those that contradict each other: they may never be asked for.
    """
    found: dict[object, File] = {}
    for number, file in enumerate(files):
        try:
            content = str(file.size), str(file.hashtype), str(file.hashsum).lower()
            found.setdefault((file.path, *content, None if file.hashsum else str(file._id)), file)
        except (AttributeError, UnsafePathError):
            found[number] = file
    return list(found.values())


def wanted_paths(files: Sequence[File]) -> list[str]:
    """Return the path of each of *files*, which must be able to lie in one directory all together."""
    if not files:
        raise ValueError('there are no files to download: ask for at least one')
    if clashes := conflicts(file.path for file in distinct(files)):
        raise DownloadError(f'the event\'s files can\'t lie in one directory: {"; ".join(clashes)}')
    return [file.path for file in files]


def make_opener(path: Path, file: File) -> Opener:
    """Return what opens *path*, in the encoding that the event names for *file*, wherever the process is by then."""
    return _FileOpener(Path.cwd() / path, file)


@dataclass(frozen=True)
class _FileOpener:
    """Opens the file that a runner has put at ``absolute``; knows which of the event's files that is."""

    absolute: Path
    file: File

    @property
    def path(self) -> str:
        """The file's path in the event."""
        return self.file.path

    def __call__(self, mode: str = 'r', **kwargs: Any) -> IO[Any]:
        """Open it for reading; as :func:`open`, but exact.

        Text is in the event's encoding, UTF-8 if it names none, whatever the locale; ends of lines stay as they are.
        ``encoding=``, ``errors=`` and ``newline=`` overrule; ``mode='rb'`` gives the bytes.
        """
        if set(mode) - set('rbt'):
            raise ValueError(
                f'{self.path!a} was staged in and is only read, not opened with mode {mode!r}: use create()')
        if 'b' not in mode:
            kwargs.setdefault('newline', '')
            kwargs['encoding'] = kwargs.get('encoding') or self.file.encoding or 'utf-8'
        try:
            return open(self.absolute, mode, **kwargs)
        except LookupError as exc:
            raise StagingError(
                f'{self.path!a} is said to be text in {kwargs["encoding"]!a}, which is no text encoding: '
                'open it with mode "rb" or with encoding='
            ) from exc


def hasher(file: File) -> Any:
    """Return a fresh :mod:`hashlib` hash of the kind that the event gives for *file*; ``None`` if it gives none."""
    if not file.hashsum or not file.hashtype:
        return None
    try:
        return hashlib.new(str(file.hashtype), usedforsecurity=False)
    except ValueError as exc:
        raise DownloadError(f'{file.path!a}: hash type {str(file.hashtype)!a} is not one of hashlib') from exc


def check(file: File, size: int, digest: Any) -> str | None:
    """Return what is wrong with *file*, of which *size* bytes came with this digest; ``None`` if it is right."""
    if file.size is not None and str(file.size) != str(size):
        return f'{file.path!a} has {size} bytes instead of {str(file.size)!s:.40}'
    if digest is None:
        return None
    # The digests of variable length (SHAKE) are as long as the one to compare with.
    wanted = str(file.hashsum).strip().lower()
    found = digest.hexdigest() if digest.digest_size else digest.hexdigest(len(wanted) // 2)
    return None if found == wanted else f'{file.path!a} has {file.hashtype} {found} instead of {wanted:.200}'
