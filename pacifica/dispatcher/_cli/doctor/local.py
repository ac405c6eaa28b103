"""Checks of this machine: the router, the SQLite file and what it lies on, room for files that are staged."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

import click
import peewee

from pacifica.dispatcher._cli.doctor.databases import NotConnectedError, connected, sqlite_path
from pacifica.dispatcher._cli.doctor.finding import Finding, failed, ok, skipped, warning
from pacifica.dispatcher._cli.doctor.settings import Settings
from pacifica.dispatcher._cli.parameters import find_router

__all__ = ['check_filesystem', 'check_router', 'check_sqlite_file', 'check_temporary_directory']

_MOUNTS = Path('/proc/self/mounts')
_NETWORK = frozenset({
    '9p', 'afs', 'beegfs', 'ceph', 'cifs', 'fuse.ceph', 'fuse.glusterfs', 'fuse.s3fs', 'fuse.sshfs', 'gfs2',
    'glusterfs', 'gpfs', 'lustre', 'ncpfs', 'nfs', 'nfs4', 'ocfs2', 'orangefs', 'pvfs2', 'smb3', 'smbfs',
})
_LEAST_FREE = 1 << 30  # bytes


def check_router(settings: Settings) -> Finding:
    """Import the router and count its routes."""
    if settings.router is None:
        return skipped('no MODULE:ROUTER was given')
    try:
        with redirect_stdout(sys.stderr):  # what the module prints is no part of our answer
            found = find_router(settings.router)
    except click.BadParameter as exc:
        return failed(exc.message, 'correct MODULE:ROUTER, or the module')
    routes = len(list(found.router))
    if not routes:
        return warning(f'{found} has no routes: every event will end in 422', 'add routes with add_route()')
    return ok(f'{found}, {routes} {"route" if routes == 1 else "routes"}')


def check_sqlite_file(settings: Settings) -> Finding:
    """Look whether a SQLite file, and the files that SQLite makes beside it, can be written."""
    path = sqlite_path(settings.database)
    if path is None:
        return skipped('the events are in no SQLite file')
    beside = [path, Path(f'{path}-wal'), Path(f'{path}-shm')]
    closed = [each for each in beside if each.exists() and not os.access(each, os.W_OK)]
    if not os.access(path.parent, os.W_OK | os.X_OK):
        closed.append(path.parent)
    if closed:
        return failed(
            f'this user may not write {", ".join(map(str, closed))}',
            'let the dispatcher\'s user write the file and its directory: SQLite makes files beside it (-wal, -shm)')
    return _begin(settings, path) if path.exists() else ok(f'can be made in {path.parent}')


def _begin(settings: Settings, path: Path) -> Finding:
    """Begin to write, and write nothing."""
    try:
        with connected(settings) as session:
            mode = session.execute('PRAGMA journal_mode').fetchone()[0]
            session.execute('BEGIN IMMEDIATE')
            session.execute('ROLLBACK')
    except NotConnectedError as exc:
        if isinstance(exc.__cause__, peewee.OperationalError) and 'locked' in str(exc.__cause__):
            return warning(f'another process has been writing {path} for {settings.timeout:g} s', 'see which it is')
        return skipped('see "database"') if 'readonly' not in str(exc.__cause__) else exc.finding
    return ok('can be written' if mode == 'wal' else f'can be written; turned from {mode} to WAL at the next start')


def check_filesystem(settings: Settings) -> Finding:
    """Look whether a SQLite file lies on a network filesystem."""
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
    """Return the kind of the filesystem on which *path* lies.

    :param mounts: the system's table of them; of those mounted at one place, the last counts.
    """
    best, kind = -1, ''
    for line in mounts.splitlines():
        _, place, found, *_ = line.split(' ')
        place = place.replace('\\040', ' ')
        if path.is_relative_to(place) and len(place) >= best:
            best, kind = len(place), found
    return kind


def check_temporary_directory(_settings: Settings) -> Finding:
    """Look whether files can be staged: a temporary file can be made, and there is room."""
    advice = 'make room there, or name another by TMPDIR or by StagedEventHandler(directory=)'
    try:
        directory = tempfile.gettempdir()
        with tempfile.TemporaryFile() as file:
            file.write(b'x')
    except OSError as exc:
        return failed(f'no temporary file can be made: {exc}', advice)
    free = shutil.disk_usage(directory).free
    found = f'{directory} has {free / (1 << 30):.1f} GiB free'
    return warning(found, advice) if free < _LEAST_FREE else ok(found)
