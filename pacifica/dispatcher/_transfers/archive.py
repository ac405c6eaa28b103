"""Taking the wanted files out of a cart's archive, and nothing else out of anywhere.

Called by the carts. Knows tar and the files wanted; knows nothing of HTTP: the archive is something to read from.

Source of the format: Pacifica Cartd (https://pacifica-cartd.readthedocs.io/): a POSIX tar made while it is sent; all
members under one top folder, whose name the client chooses; folders, then the files in them, at the paths asked for.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pacifica.dispatcher._paths import claim_path, make_parents, safe_path
from pacifica.dispatcher._transfers.files import CHUNK, check, hasher
from pacifica.dispatcher._transfers.progress import Meter
from pacifica.dispatcher._transfers.tar import FILE, FOLDER, TarReader
from pacifica.dispatcher.exceptions import DownloadError, UnsafePathError
from pacifica.dispatcher.models import File

__all__ = ['Order', 'move', 'unpack']

#: Stands for the directory when the data filter judges a path: there is nothing to look up, so it costs little.
_ANYWHERE = f'{os.sep}pacifica-dispatcher-unpacks-here'


@dataclass(frozen=True)
class Order:
    """What is wanted: by its name in the archive, each file and where it goes; and who hears of the progress."""

    files: Mapping[str, tuple[str, File]]
    meter: Meter


def unpack(stream: IO[bytes], order: Order, root: Path) -> dict[str, str]:
    """Write the wanted files of the archive *stream* into the empty directory *root*.

    :returns: what is wrong, by path: each file that is missing, or has not the size or hash that the event says.
    :raises DownloadError: ``transient`` if the archive is cut short; not so if it holds what would lie, or lead,
        outside of *root*, or can be no file: nothing of that is written.
    """
    faults: dict[str, str] = {}
    made: set[str] = set()
    parents: set[str] = set()
    judged: set[str] = set()
    try:
        reader = TarReader(stream)
        for kind, name, size in reader:
            if kind == FOLDER:
                continue
            wanted = order.files.get(_safe_name(kind, name, judged))
            if wanted is None:
                continue
            path, file = wanted
            if path in made:
                raise DownloadError(f'the archive has {path!a} more than once')
            made.add(path)
            make_parents(root, path, parents)
            if fault := _write(reader, size, f'{root}/{path}', file, order.meter):
                faults[path] = fault
            else:
                order.meter.add_file()
    except (tarfile.TarError, EOFError) as exc:
        raise DownloadError(f'the archive is cut short or damaged: {exc}', transient=True) from exc
    except UnsafePathError as exc:
        raise DownloadError(f'the archive would leave its directory: {exc}') from exc
    except (ValueError, ArithmeticError) as exc:
        raise DownloadError(f'the archive is damaged: {exc}', transient=True) from exc
    faults.update((path, f'{path!a} is missing') for path, _ in order.files.values() if path not in made)
    return faults


def _safe_name(kind: bytes, name: str, judged: set[str]) -> str:
    """Return the name of a member under the top folder; *judged* are the folders found safe.

    :raises DownloadError: if it is neither file nor folder, or not safe.
    """
    if kind != FILE:
        raise DownloadError(f'the archive holds {name!a}, which is a link, device or other special file')
    path = safe_path(name)
    folder = path.rpartition('/')[0]
    if folder not in judged:
        _judge(folder)
        judged.add(folder)
    return path.partition('/')[2]


def _judge(folder: str) -> None:
    """Ask Python's own filter for data about a folder; once for each, because that takes as long as writing a file.

    Pythons before 3.10.12 and 3.11.4 have no filters; what is checked here otherwise is the stricter.
    """
    data_filter = getattr(tarfile, 'data_filter', None)
    if data_filter is None:
        return
    member = tarfile.TarInfo(folder)
    member.type = tarfile.DIRTYPE
    try:
        data_filter(member, _ANYWHERE)
    except tarfile.TarError as exc:
        raise DownloadError(f'the archive holds {folder!a}, which is not safe: {exc}') from exc


def _write(reader: TarReader, size: int, target: str, file: File, meter: Meter) -> str | None:
    """Write one file, hashing on the way; return what is wrong with it."""
    if file.size is not None and str(file.size) != str(size):
        return check(file, size, None)
    digest = hasher(file)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, 'O_BINARY', 0), 0o666)
    try:
        while reader.left:
            chunk = reader.take(CHUNK)
            _write_all(descriptor, chunk)
            if digest is not None:
                digest.update(chunk)
            meter.add_bytes(len(chunk))
    finally:
        os.close(descriptor)
    return check(file, size, digest)


def _write_all(descriptor: int, chunk: bytes) -> None:
    written = os.write(descriptor, chunk)
    while written < len(chunk):
        written += os.write(descriptor, chunk[written:])


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
