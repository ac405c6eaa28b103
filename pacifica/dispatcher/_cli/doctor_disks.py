"""What ``doctor`` looks at on disks: the filesystem of a SQLite file, and where files are staged."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from pacifica.dispatcher._cli.doctor_findings import Finding, Settings, failed, ok, skipped, warning
from pacifica.dispatcher._cli.references import find_router
from pacifica.dispatcher._queue.sqlite import sqlite_path
from pacifica.dispatcher.exceptions import ConfigurationError
from pacifica.dispatcher.staging import StagedEventHandler

_MOUNTS = Path('/proc/self/mounts')
_NETWORK = frozenset({
    '9p', 'afs', 'beegfs', 'ceph', 'cifs', 'fuse.ceph', 'fuse.glusterfs', 'fuse.s3fs', 'fuse.sshfs', 'gfs2',
    'glusterfs', 'gpfs', 'lustre', 'ncpfs', 'nfs', 'nfs4', 'ocfs2', 'orangefs', 'pvfs2', 'smb3', 'smbfs',
})
_LEAST_FREE = 1 << 30  # bytes
_FULL = 1 << 20  # bytes with which as good as nothing can be done


def check_filesystem(settings: Settings) -> Finding:
    path = sqlite_path(settings.database)
    if path is None:
        return skipped('the events are in no SQLite file')
    try:
        mounts = _MOUNTS.read_text(errors='surrogateescape')
    except OSError:
        return skipped('this system does not tell')
    kind = filesystem_of(path.parent.resolve(), mounts)
    if kind in _NETWORK:
        return warning(
            f'{path} lies on a network filesystem ({kind})',
            'put it on a local disk: SQLite\'s WAL needs memory shared by all of its processes, and locks that hold; '
            'for several machines use PostgreSQL or MariaDB')
    return ok(f'{kind or "unknown"}, a local one')


def filesystem_of(path: Path, mounts: str) -> str:
    """Return the kind of the filesystem on which *path* lies; of those mounted at one place, the last counts."""
    best, kind = -1, ''
    for line in mounts.splitlines():
        _, place, found, *_ = line.split(' ')
        place = place.replace('\\040', ' ')
        if path.is_relative_to(place) and len(place) >= best:
            best, kind = len(place), found
    return kind


def check_temporary_directory(_settings: Settings) -> Finding:
    advice = 'make room there, or name another by TMPDIR or by StagedEventHandler(directory=)'
    try:
        directory = tempfile.gettempdir()
        with tempfile.TemporaryFile() as file:
            file.write(b'x')
            file.flush()
    except OSError as exc:
        return failed(f'no temporary file can be made: {exc}', advice)
    wanted = os.environ.get('TMPDIR')
    if wanted and Path(wanted).absolute() != Path(directory).absolute():
        return warning(
            f'TMPDIR names {wanted}, where no file can be made{_why_not(wanted)}: Python uses {directory} instead',
            advice)
    return room(Path(directory), f'{directory} can be written', advice)


def check_staging_directories(settings: Settings) -> Finding:
    """Look where routes stage files, if that is elsewhere than in the directory for temporary files."""
    if settings.router is None:
        return skipped('no MODULE:ROUTER was given')
    try:
        router = find_router(settings.router).router
    except ConfigurationError:
        return skipped('see "router"')
    routes = {Path(route.event_handler.directory).absolute(): route for route in reversed(list(router))
              if isinstance(route.event_handler, StagedEventHandler) and route.event_handler.directory is not None}
    if not routes:
        return skipped('no route has one of its own: see "temporary-directory"')
    found = [_staging(directory, route.name) for directory, route in reversed(routes.items())]
    worst = next(status for status in ('failed', 'warning', 'ok') if status in {each.status for each in found})
    told = [each for each in found if each.status == worst]
    return Finding(told[0].status, '; '.join(each.found for each in told), told[0].advice)


def _staging(directory: Path, route: str) -> Finding:
    if not directory.is_dir():
        return failed(f'there is no directory {directory}, where the route {route!r} stages files',
                      'make it, or correct StagedEventHandler(directory=)')
    advice = 'let the dispatcher\'s user write there and make room, or name another by StagedEventHandler(directory=)'
    if reason := _why_not(directory):
        return failed(f'no file can be made in {directory}, where the route {route!r} stages files{reason}', advice)
    return room(directory, f'{directory} can be written', advice)


def _why_not(directory: str | Path) -> str:
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(b'x')
            file.flush()
    except OSError as exc:
        return f' ({exc.strerror})'
    return ''


def room(directory: Path, found: str, advice: str) -> Finding:
    """Return what to say of a directory otherwise as *found*: how much is free on its disk, and if it's little."""
    free = shutil.disk_usage(directory).free
    found = f'{found}; {free / (1 << 30):.1f} GiB free'
    if free < _FULL:
        return failed(found, advice)
    return warning(found, advice) if free < _LEAST_FREE else ok(found)
