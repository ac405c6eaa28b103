"""A virtual environment for each contender, made when it is first asked for.

They are kept in the directory that ``PACIFICA_BENCH_CACHE`` names, else in one that goes with the measurements.
This project is the one that is installed for the Python that measures.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import shutil
import sys
from pathlib import Path

from support.environments import Environment

_SERVER = ('cherrypy', 'cheroot')

# What 0.2.5 forgets to require ("packaging") or leaves to the user; everything else is what pip finds today.
REQUIREMENTS = {
    'dispatcher 0.2.5': ('pacifica-dispatcher==0.2.5', 'packaging', 'redis', 'psycopg[binary]'),
    'huey': ('huey>=3.5,<4', 'peewee'),
    'procrastinate': ('procrastinate>=3.10,<4', 'psycopg[binary]'),
}


def requirements(name: str) -> tuple[str, ...]:
    """Return what the contender's environment holds; the bare CherryPy is of the versions that this project runs on."""
    if name == 'echo':
        return tuple(f'{package}=={importlib.metadata.version(package)}' for package in _SERVER)
    return REQUIREMENTS[name]


def python_of(name: str, temporary: Path) -> Path:
    """Return the Python of the contender's environment; it is made if it isn't there.

    :param temporary: where it is made if no cache is named.
    """
    if name == 'dispatcher':
        return Path(sys.executable)
    wanted = requirements(name)
    key = hashlib.sha256(repr((wanted, platform.python_version())).encode()).hexdigest()[:12]
    folder = Path(os.environ.get('PACIFICA_BENCH_CACHE') or temporary) / f'{name.replace(" ", "-")}-{key}'
    complete = folder / 'complete'
    if not complete.exists():
        shutil.rmtree(folder, ignore_errors=True)
        Environment(folder, wanted)
        complete.touch()
    return folder / 'bin' / 'python'
