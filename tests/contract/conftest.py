"""The contract suite runs on every database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playhouse.db_url import connect

from pacifica.dispatcher.receiver import create_peewee_model
from support.databases import KINDS, temporary_database


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a new database of each kind in turn."""
    with temporary_database(request.param, tmp_path) as url:
        yield url


@pytest.fixture
def model(database_url: str) -> Iterator[Any]:
    """The model class of a new table."""
    yield from _model(database_url)


def _model(url: str) -> Iterator[Any]:
    database = connect(url)
    model = create_peewee_model(database)
    yield model
    model.close_connections()
    database.close()
