"""What several of these files arrange alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.databases import model_in
from support.disks import small_filesystem
from support.fake_notifications import FakeNotifications, FakeReceiver
from support.stack import Stack, running


@pytest.fixture
def model(tmp_path: Path) -> Iterator[Any]:
    """The model of a new table in SQLite."""
    with model_in(f'sqlite:///{tmp_path}/events.db') as model:
        yield model


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 2 MiB."""
    with small_filesystem(tmp_path / 'small') as place:
        yield place


@pytest.fixture
def notifications() -> Iterator[FakeNotifications]:
    """A Notifications service without subscriptions."""
    with FakeNotifications() as fake:
        yield fake


@pytest.fixture
def receiver() -> Iterator[FakeReceiver]:
    """A receiver that is up."""
    with FakeReceiver() as fake:
        yield fake


@pytest.fixture(scope='session')
def stack() -> Iterator[Stack]:
    """The real services, one request at a time: for tests of the group ``services``, which share one process."""
    with running(racy=False) as services:
        services.allow_uploads(2000)
        yield services
