"""Where a SQLite database lies, a file of its owner's or memory that one thread sees; and when it is written to."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import peewee

_IN_MODIFY = 2  # inotify(7)


def is_sqlite(database: Any) -> bool:
    """Return whether it is a SQLite database."""
    return isinstance(database, peewee.SqliteDatabase)


def is_in_memory(database: peewee.Database) -> bool:
    """Return whether it is a SQLite database in memory, of which each connection has one of its own."""
    name = str(database.database)
    return is_sqlite(database) and (
        name == ':memory:' or 'mode=memory' in name or name.startswith('file::memory:')
    )


def sqlite_path(database: Any) -> Path | None:
    """Return the file of a SQLite database, ``None`` if it has none."""
    name = str(database.database)
    if not is_sqlite(database) or name == ':memory:' or name.startswith('file:'):
        return None
    return Path(name).absolute()


def make_private(file: Path | None) -> None:
    """Make the file of a SQLite database, if it isn't there, its owner's alone; SQLite makes those beside it alike."""
    if file is not None:
        with suppress(OSError):  # it is there, or can't be made, which SQLite will say
            os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


class Writes:
    """What is written to a SQLite database, of which Linux tells a little before the commit (inotify(7)).

    A selector finds it readable then. Nobody is ``told`` on other systems, nor if there are too many watches.
    """

    told = False

    def __init__(self, file: Path | None) -> None:
        self._descriptor = -1
        if file is not None and sys.platform == 'linux':
            self._log = os.fsencode(f'{os.path.realpath(file)}-wal')  # SQLite follows links too
            self._libc = ctypes.CDLL(None)
            self._descriptor = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self.watch()

    def watch(self) -> None:
        """Watch the file that is there now: SQLite makes another after all have closed their connections."""
        if self._descriptor >= 0:
            self.told = self._libc.inotify_add_watch(self._descriptor, self._log, _IN_MODIFY) >= 0

    def fileno(self) -> int:
        """Return what to select; below 0 if there is nothing."""
        return self._descriptor

    def forget(self) -> None:
        """Be readable at the next write."""
        os.read(self._descriptor, 64 * 1024)

    def close(self) -> None:
        """Watch no more."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
