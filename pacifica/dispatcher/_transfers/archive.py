"""Taking the wanted files out of a cart's archive, and nothing else out of anywhere.

Called by the carts. Knows tar and the files wanted; knows nothing of HTTP: the archive is something to read from.

Source of the format: Pacifica Cartd (https://pacifica-cartd.readthedocs.io/): a POSIX tar made while it is sent; all
members under one top folder, whose name the client chooses; folders, then the files in them, at the paths asked for.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pacifica.dispatcher._paths import claim_path, make_parents, safe_path
from pacifica.dispatcher._transfers.files import CHUNK, check, hasher
from pacifica.dispatcher._transfers.progress import Meter
from pacifica.dispatcher.exceptions import DownloadError, UnsafePathError
from pacifica.dispatcher.models import File

__all__ = ['Order', 'move', 'unpack']

#: Bytes of a member's extended header: names and times; more than this is an attack on our memory.
_MOST_HEADER = 1 << 20
#: Bytes read from the network at once; tarfile copies what is left of it for each header, so not many.
_BUFFER = 1 << 15


@dataclass(frozen=True)
class Order:
    """What is wanted: files by their names in the archive, and who is told how far it has come."""

    files: Mapping[str, File]
    meter: Meter


class _Member(tarfile.TarInfo):
    """A member whose extended header is not read if it is too large."""

    def _proc_member(self, archive: tarfile.TarFile) -> Any:
        if self.type not in tarfile.SUPPORTED_TYPES or self.type in (
            tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME,
            tarfile.GNUTYPE_LONGLINK,
        ):
            if self.size > _MOST_HEADER:
                raise DownloadError(f'the archive has a header of {self.size} bytes: it is damaged, or an attack')
        return super()._proc_member(archive)  # type: ignore[misc] # tarfile documents it for subclasses, typeshed not


def unpack(stream: IO[bytes], order: Order, root: Path) -> dict[str, str]:
    """Write the wanted files of the archive *stream* into the empty directory *root*.

    :returns: what is wrong, by path: each file that is missing, or has not the size or hash that the event says.
    :raises DownloadError: ``transient`` if the archive is cut short; not so if it holds what would lie, or lead,
        outside of *root*, or can be no file: nothing of that is written.
    """
    faults = {file.path: f'{file.path!a} is missing' for file in order.files.values()}
    made: set[str] = set()
    parents: set[str] = set()
    try:
        for member, name, archive in _members(stream, root):
            if (file := order.files.get(name)) is None:
                continue
            path = file.path
            if path in made:
                raise DownloadError(f'the archive has {path!a} more than once')
            made.add(path)
            make_parents(root, path, parents)
            if fault := _write(archive, member, root, path, file, order.meter):
                faults[path] = fault
            else:
                del faults[path]
                order.meter.add_file()
    except (tarfile.TarError, EOFError) as exc:
        raise DownloadError(f'the archive is cut short or damaged: {exc}', transient=True) from exc
    except UnsafePathError as exc:
        raise DownloadError(f'the archive would leave its directory: {exc}') from exc
    except (ValueError, ArithmeticError) as exc:
        raise DownloadError(f'the archive is damaged: {exc}', transient=True) from exc
    return faults


def _members(stream: IO[bytes], root: Path) -> Iterator[tuple[tarfile.TarInfo, str, tarfile.TarFile]]:
    """Yield each file of the archive with its name under the top folder; refuse what is neither file nor folder."""
    with tarfile.open(mode='r|', fileobj=stream, bufsize=_BUFFER, tarinfo=_Member, encoding='utf-8') as archive:
        for member in archive:
            archive.members.clear()  # type: ignore[attr-defined] # else it remembers each member: memory would grow
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                raise DownloadError(f'the archive holds {member.name!a}, which is a link, device or other special file')
            yield member, _path(member, root), archive


def _path(member: tarfile.TarInfo, root: Path) -> str:
    path = safe_path(member.name)
    try:
        tarfile.data_filter(member, str(root))
    except AttributeError:
        pass  # Pythons before 3.10.12 and 3.11.4 have no filters; the checks here are the stricter ones
    except tarfile.FilterError as exc:
        raise DownloadError(f'the archive holds {member.name!a}, which is not safe: {exc}') from exc
    return path.partition('/')[2]


def _write(
    archive: tarfile.TarFile, member: tarfile.TarInfo, root: Path, path: str, file: File, meter: Meter,
) -> str | None:
    """Write one file, hashing on the way; return what is wrong with it."""
    if file.size is not None and str(file.size) != str(member.size):
        return check(file, member.size, None)
    digest, left = hasher(file), member.size
    with open(f'{root}/{path}', 'xb', buffering=0) as target:
        while left:
            # The archive is a stream, and stands at the member's bytes.
            chunk = archive.fileobj.read(min(left, CHUNK))
            if not chunk:
                raise tarfile.ReadError(f'{path!a} ends {left} bytes too early')
            left -= len(chunk)
            target.write(chunk)
            if digest is not None:
                digest.update(chunk)
            meter.add_bytes(len(chunk))
    return check(file, member.size, digest)


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
