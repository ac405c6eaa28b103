"""Which paths may be used inside a directory, and putting files there without leaving it.

Paths come from strangers: events, archives, handlers. They are relative, with ``/`` between their parts, and stay where
they are put: ``..\\x`` and ``C:x`` are names of files on POSIX, but ways out on Windows, where they are refused.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from pacifica.dispatcher.exceptions import UnsafePathError

_OUT = {  # by os.name: what leads out of a directory, or is in no path
    'posix': re.compile(r'\0|(?:^|/)\.\.(?:/|$)'),
    'nt': re.compile(r'[\0\\]|(?:^|/)(?:[A-Za-z]:|\.\.(?:/|$))'),
}
_FORBIDDEN = _OUT[os.name]


def safe_path(name: object, subdir: object = None) -> str:
    """Return *subdir* and *name* joined with ``/``: the path of a file inside some directory.

    Empty and ``.`` parts of *subdir* are left out; those of *name* are refused, because they name no file.

    :raises UnsafePathError: if this can be no file inside a directory.
    """
    subdir = '' if subdir is None else subdir
    if not isinstance(name, str) or not isinstance(subdir, str):
        raise UnsafePathError(f'a path is text, but here it is {_shown(name)} in {_shown(subdir)}')
    parts = name.split('/')
    if '' in parts or '.' in parts or subdir.startswith('/'):
        raise UnsafePathError(f'{_shown(name)} in {_shown(subdir)} is no file inside a directory: {_WANTED}')
    if subdir:
        parts[:0] = [part for part in subdir.split('/') if part not in ('', '.')]
    path = '/'.join(parts)
    if _FORBIDDEN.search(path):
        raise UnsafePathError(f'{_shown(path)} may lead out of its directory: {_WANTED}')
    try:
        path.encode('utf-8', 'surrogateescape')
    except UnicodeEncodeError as exc:
        raise UnsafePathError(f'{_shown(path)} has characters that no file name can have: {_WANTED}') from exc
    return path


_WANTED = 'give a relative path with "/" between its parts, without "..", NUL, and on Windows backslash or drive letter'


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 200 else f'{text[:200]}...'


def conflicts(paths: Iterable[str]) -> list[str]:
    """Return what can't lie in one directory: each path that comes twice, and each that is also a directory."""
    seen: set[str] = set()
    twice: dict[str, str] = {}
    for path in paths:
        if path in seen:
            twice[path] = f'{_shown(path)} (more than once, and not the same)'
        seen.add(path)
    for path in seen:
        parent = path.rpartition('/')[0]
        while parent:
            if parent in seen:
                twice[parent] = f'{_shown(parent)} (a file and also a directory)'
            parent = parent.rpartition('/')[0]
    return [twice[path] for path in sorted(twice)]


def make_parents(root: Path, path: str, made: set[str] | None = None) -> None:
    """Make the directories between *root* and the safe *path* in it.

    :param made: parents already known to be good; extended.
    :raises UnsafePathError: if something that is not a directory, or is a link to one, lies in the way.
    """
    parent = path.rpartition('/')[0]
    if not parent or (made is not None and parent in made):
        return
    directory = root
    for part in parent.split('/'):
        directory = directory / part
        try:
            directory.mkdir()
        except FileExistsError as exc:
            if directory.is_symlink() or not directory.is_dir():
                raise UnsafePathError(f'{_shown(path)}: {_shown(part)} is a link or no directory: remove it') from exc
    if made is not None:
        made.add(parent)


def claim_path(root: Path, path: str, made: set[str] | None = None) -> Path:
    """Return where in *root* the safe *path* goes, with its directories made and nothing but a file or link there.

    :raises UnsafePathError: as :func:`make_parents`, and if a directory or a device lies there.
    """
    make_parents(root, path, made)
    target = root / path
    if os.path.lexists(target) and not (target.is_symlink() or target.is_file()):
        raise UnsafePathError(f'{_shown(path)}: something that is no file lies there: remove it')
    return target
