"""Small filesystems, and filling them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_filesystem(place: Path, size: str = '2m') -> Iterator[Path]:
    """Yield *place* as a filesystem of that *size*; skip the test, saying so, where none can be mounted."""
    place.mkdir()
    mounted = subprocess.run(
        ['mount', '-t', 'tmpfs', '-o', f'size={size}', 'tmpfs', place], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f'no tmpfs can be mounted here: {mounted.stderr.decode().strip()}')
    try:
        yield place
    finally:
        subprocess.run(['umount', '--lazy', place], check=True)


def fill(place: Path) -> Path:
    """Leave no room in *place*; return the file that takes it."""
    path = place / 'filling'
    file = os.open(path, os.O_CREAT | os.O_WRONLY)
    try:
        while True:
            os.write(file, bytes(4096))
    except OSError:
        return path
    finally:
        os.close(file)
