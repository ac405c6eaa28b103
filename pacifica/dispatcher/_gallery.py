"""Images that a handler has made to be looked at: found, told by their content, and given to its task.

Nothing is kept that could do harm, and nothing that is refused fails an event. An SVG is text that browsers may run
scripts of: it is shown as an image alone, in which none runs.
"""

from __future__ import annotations

import logging
import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from pacifica.dispatcher._patterns import Patterns
from pacifica.dispatcher.exceptions import DispatcherError
from pacifica.dispatcher.task_context import current_task

_LOG = logging.getLogger(__name__)
_MOST = 5
_MOST_BYTES = 1_000_000
_MOST_TOLD = 10  # of those that are refused
_MOST_TRIED = 100  # of those that patterns mean
# An SVG may begin with a declaration, comments and the document type; one with entities of its own is no small image.
_SVG = re.compile(
    rb'(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?'
    rb'(?:(?:<!--(?:(?!-->).)*-->|<!DOCTYPE\s+svg[^>\[]*>)\s*)*<svg[\s>]', re.DOTALL)


class _RefusedError(Exception):
    """Why an image is not kept."""


class Gallery:
    """The images of one run.

    :param root: what their names are relative to, as far as they lie in it.
    :param directories: where images may lie.
    """

    def __init__(self, root: Path, directories: Iterable[Path]) -> None:
        self._root = root
        self._directories = tuple(directories)
        self._kept: set[str] = set()
        self._refused = 0

    def keep(self, path: Path) -> bool:
        """Keep the image at *path*; return whether it is kept, and let the log say why if it isn't."""
        name = os.path.relpath(path, self._root) if path.is_relative_to(self._root) else path.name
        try:
            self._keep(path, name)
        except (_RefusedError, DispatcherError, OSError, ValueError) as exc:  # ValueError: a path with NUL
            reason = (exc.strerror or str(exc)) if isinstance(exc, OSError) else str(exc)
            self._refuse(name, reason)
            return False
        self._kept.add(name)
        return True

    def keep_matching(self, patterns: Patterns) -> None:
        """Keep the first images below the root that *patterns* mean, and let the log say how many others there are."""
        left = 0
        for path in _files(self._root):
            if patterns.match(path) and path not in self._kept:
                if len(self._kept) < _MOST and self._refused < _MOST_TRIED:
                    self.keep(self._root / path)
                else:
                    left += 1
        if left:
            _LOG.warning('preview.refused', extra={
                'images': left, 'reason': f'{_MOST} are kept of an event, of the first {_MOST_TRIED} that could be'})

    def _keep(self, path: Path, name: str) -> None:
        if name not in self._kept and len(self._kept) >= _MOST:
            raise _RefusedError(f'{_MOST} are kept of an event')
        content = self._read(path)
        media = media_type(content)
        if media is None:
            raise _RefusedError('it is no PNG, JPEG, WebP or SVG')
        task = current_task()
        if task is not None and (reason := task.keep_preview(name, media, content)) is not None:
            raise _RefusedError(reason)

    def _read(self, path: Path) -> bytes:
        real = os.path.realpath(path, strict=True)
        if not any(Path(real).is_relative_to(os.path.realpath(each)) for each in self._directories):
            raise _RefusedError('it lies outside of the directories of this event, or is a link that leads out')
        # Non-blocking: opening a FIFO would wait for a writer.
        descriptor = os.open(real, os.O_RDONLY | getattr(os, 'O_NONBLOCK', 0) | getattr(os, 'O_BINARY', 0))
        with os.fdopen(descriptor, 'rb') as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise _RefusedError('it is no file')
            content = b'' if found.st_size > _MOST_BYTES else file.read(_MOST_BYTES + 1)
            if max(found.st_size, len(content)) > _MOST_BYTES:
                raise _RefusedError(f'it has {found.st_size:,} bytes, and {_MOST_BYTES:,} are kept: make it smaller')
        return content

    def _refuse(self, name: str, reason: str) -> None:
        """Tell of the first few, and of all in the most detailed log: a handler may try thousands."""
        self._refused += 1
        level = logging.WARNING if self._refused <= _MOST_TOLD else logging.DEBUG
        _LOG.log(level, 'preview.refused', extra={'image': ascii(name)[:500], 'reason': reason})


def media_type(content: bytes) -> str | None:
    """Return the media type of an image, told by how it begins; ``None`` if it is none that is shown."""
    if content.startswith(b'\x89PNG\r\n\x1a\n'):
        return 'image/png'
    if content.startswith(b'\xff\xd8\xff'):
        return 'image/jpeg'
    if content.startswith(b'RIFF') and content[8:12] == b'WEBP':
        return 'image/webp'
    return 'image/svg+xml' if _SVG.match(content[:65_536]) else None


def _files(root: Path) -> Iterator[str]:
    """Yield the paths of what lies below *root*, in their order, without following a link."""
    for directory, below, names in os.walk(root):
        below.sort()
        for name in sorted(names):
            yield os.path.relpath(os.path.join(directory, name), root)
