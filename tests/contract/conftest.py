"""The contract suite runs on every database."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.databases import KINDS, model_in, temporary_database


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a new database of each kind in turn; for who asks for *model*, our tables may be there already."""
    with temporary_database(request.param, tmp_path, tables='model' in request.fixturenames) as url:
        yield url


@pytest.fixture(scope='session')
def python_with_0_2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with the 0.2.5 distribution from PyPI."""
    environment = tmp_path_factory.mktemp('0.2.5')
    subprocess.run([sys.executable, '-m', 'venv', environment], check=True)
    python = environment / 'bin' / 'python'
    subprocess.run(
        [python, '-m', 'pip', 'install', '--quiet', 'pacifica-dispatcher==0.2.5', 'setuptools<81', 'packaging',
         'psycopg[binary]', 'pymysql', 'redis'], check=True,
    )
    return python


@pytest.fixture
def model(database_url: str) -> Iterator[Any]:
    """The model class of a new table."""
    with model_in(database_url) as model:
        yield model


@pytest.fixture
def started() -> Iterator[Any]:
    """Start a worker; it is stopped when the test ends."""
    workers: list[Any] = []

    def start(worker: Any) -> Any:
        workers.append(worker)
        worker.start()
        return worker

    yield start
    for worker in workers:
        worker.stop(5)
