"""Where a SQLite database lies: in a file of its owner's, or in memory that only one thread sees."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import peewee


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
