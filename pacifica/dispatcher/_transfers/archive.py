"""Takes the wanted files out of a cart's archive, and writes nothing else anywhere.

The archive is a POSIX tar, whose members are all under one top folder: folders, and the files at the paths asked for.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from pacifica.dispatcher._paths import claim_path, make_parents, safe_path
from pacifica.dispatcher._transfers.files import check, hasher
from pacifica.dispatcher._transfers.progress import Meter
from pacifica.dispatcher._transfers.tar import FILE, FOLDER, TarReader
from pacifica.dispatcher.exceptions import DownloadError, UnsafePathError
from pacifica.dispatcher.models import File

#: Bytes after which a file that is written counts as having come further.
_STEP = 1 << 18


def unpack(
    stream: IO[bytes], files: Mapping[str, tuple[str, File]], meter: Meter, root: Path,
    came: Callable[[str], None] = lambda name: None,
) -> dict[str, str]:
    """Write the wanted files of the archive *stream* into the directory *root*, in which none of them is yet.

    Only files that came whole, and are what the event says, stay there, also if the archive is damaged further on.

    :param files: by its name in the archive, where each file goes, and what it is.
    :param came: called with the name of each of them that came.
    :returns: what is wrong, by path: each file that is missing, or has not the size or hash that the event says.
    :raises DownloadError: ``transient`` if the archive is cut short; not so if it holds what would lie, or lead,
        outside of *root*, or can be no file: nothing of that is written.
    """
    faults: dict[str, str] = {}
    made: set[str] = set()
    parents: set[str] = set()
    reader, directory = TarReader(stream), str(root)
    try:
        for kind, name, size in reader:
            if kind == FOLDER:
                continue
            top, _, inner = name.partition('/')
            wanted = files.get(inner)
            if wanted is None or top in ('', '.', '..') or kind != FILE:
                _require_harmless(kind, name)
                continue
            path, file = wanted
            if path in made:
                raise DownloadError(f'the archive has {path!a} more than once')
            made.add(path)
            make_parents(root, path, parents)
            if fault := _write(reader, size, f'{directory}/{path}', file, meter):
                faults[path] = fault
            else:
                came(inner)
    except (tarfile.TarError, EOFError) as exc:
        raise DownloadError(f'the archive is cut short or damaged: {exc}', transient=True) from exc
    except UnsafePathError as exc:
        raise DownloadError(f'the archive would leave its directory: {exc}') from exc
    except (ValueError, ArithmeticError) as exc:
        raise DownloadError(f'the archive is damaged: {exc}', transient=True) from exc
    faults.update((path, f'{path!a} is missing') for path, _ in files.values() if path not in made)
    return faults


def _require_harmless(kind: bytes, name: str) -> None:
    """Raise unless a member that nobody asked for is a regular file in the archive's own directory."""
    if kind != FILE:
        raise DownloadError(f'the archive holds {name!a}, which is a link, device or other special file')
    safe_path(name)


_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, 'O_BINARY', 0)


def _write(reader: TarReader, size: int, target: str, file: File, meter: Meter) -> str | None:
    """Write one file, hashing on the way; return what is wrong with it, and then leave nothing of it."""
    if file.size != size and (fault := check(file, size, None)):
        return fault
    digest, counted = hasher(file), 0
    fault = 'cut short'
    descriptor = os.open(target, _CREATE, 0o666)
    try:
        while reader.left:
            chunk = reader.take(_STEP)
            written = os.write(descriptor, chunk)
            while written < len(chunk):
                written += os.write(descriptor, chunk[written:])
            if digest is not None:
                digest.update(chunk)
            if reader.left:
                meter.add(written)
                counted += written
        fault = check(file, size, digest)
    finally:
        os.close(descriptor)
        if fault:
            os.unlink(target)
            meter.add(-counted)
    if not fault:
        meter.add(size - counted, 1)
    return fault


def move(fresh: Path, target: Path, paths: list[str]) -> None:
    """Move the files *paths* from *fresh* to *target*, replacing files and links there; follow none.

    :raises UnsafePathError: if a link or something that is no file lies in the way.
    """
    if target.is_symlink():
        raise UnsafePathError(f'{target.name!a} is a link: remove it, or download into another directory')
    if not target.exists():
        os.rename(fresh, target)
        return
    made: set[str] = set()
    for path in paths:
        os.replace(fresh / path, claim_path(target, path, made))
