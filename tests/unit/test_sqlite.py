"""A SQLite file tells who waits for it that something is written there."""

from __future__ import annotations

import selectors
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pacifica.dispatcher._queue.sqlite import Writes

linux = pytest.mark.skipif(sys.platform != 'linux', reason='there is no inotify')


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / 'events.db'


@pytest.fixture
def connection(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(connected(file)) as connection:
        connection.execute('CREATE TABLE numbers (number)')
        yield connection


def connected(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute('PRAGMA journal_mode = WAL')
    return connection


def are_told(writes: Writes, seconds: float) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(writes, selectors.EVENT_READ)
        return bool(selector.select(seconds))


@linux
def test_a_write_is_told_once(file: Path, connection: sqlite3.Connection) -> None:
    with closing(Writes(file)) as writes:
        assert not are_told(writes, 0)

        connection.execute('INSERT INTO numbers VALUES (1)')

        assert are_told(writes, 10)
        writes.forget()
        assert not are_told(writes, 0)


@linux
def test_so_is_one_by_way_of_a_link(file: Path, connection: sqlite3.Connection) -> None:
    link = file.with_name('link.db')
    link.symlink_to(file)
    with closing(Writes(link)) as writes:
        connection.execute('INSERT INTO numbers VALUES (1)')

        assert writes.told and are_told(writes, 10)


@linux
def test_so_is_one_to_the_file_that_sqlite_makes_after_the_last_connection_was_closed(
    file: Path, connection: sqlite3.Connection,
) -> None:
    with closing(Writes(file)) as writes:
        connection.close()
        with closing(connected(file)) as another:
            another.execute('SELECT * FROM numbers')
            writes.watch()
            if are_told(writes, 0):
                writes.forget()

            another.execute('INSERT INTO numbers VALUES (1)')

            assert are_told(writes, 10)


def test_a_file_that_can_not_be_watched_is_not_said_to_be(file: Path) -> None:
    with closing(Writes(file)) as writes:  # which has no log yet, as if there were too many watches
        assert not writes.told


def test_elsewhere_nobody_is_told(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setattr(sys, 'platform', 'another')

    with closing(Writes(file)) as writes:
        writes.watch()

        assert not writes.told
