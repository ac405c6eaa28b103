"""How much room there is where events and their files are kept, as far as this machine's disks are concerned."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path


def free_bytes(sqlite_file: Path | None) -> dict[str, int]:
    """Return the bytes that are free for ``'database'``, if that is a SQLite file, and for ``'staging'``.

    Staging is where temporary files are made, unless a handler's ``directory`` says otherwise. What can't be told,
    because the directory is gone, is left out.
    """
    found = {}
    with suppress(OSError):
        if sqlite_file is not None:
            found['database'] = shutil.disk_usage(sqlite_file.parent).free
    with suppress(OSError):  # also if nowhere a temporary file can be made
        found['staging'] = shutil.disk_usage(tempfile.gettempdir()).free
    return found
