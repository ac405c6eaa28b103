"""One transaction for all that wants to write at this moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import peewee
import pytest

from pacifica.dispatcher._queue.availability import KnownFaultError
from pacifica.dispatcher._queue.connections import Connections
from pacifica.dispatcher._queue.writer import Writer
from pacifica.dispatcher.exceptions import DatabaseUnavailableError
from support.events import wait_until
from support.threads import together


class Insert:
    """Inserts a number; counts the transactions it took part in."""

    batches: list[int] = []
    gate = threading.Event()

    def __init__(self, number: int) -> None:
        self.number = number

    @staticmethod
    def run(session: Any, operations: Sequence[Any]) -> list[int]:
        """Insert all; wait for the gate first, so that a test can let others queue up behind."""
        Insert.gate.wait(10)
        Insert.batches.append(len(operations))
        for operation in operations:
            session.execute('INSERT INTO numbers VALUES (?)', (operation.number,))
        return [operation.number * 2 for operation in operations]


@pytest.fixture
def connections(tmp_path: Path) -> Iterator[Connections]:
    """Connections to a database with a table of unique numbers."""
    Insert.batches = []
    Insert.gate.set()
    connections = Connections(
        peewee.SqliteDatabase(str(tmp_path / 'numbers.db')),
        lambda session: str(session.execute('CREATE TABLE IF NOT EXISTS numbers (number INTEGER PRIMARY KEY)')),
    )
    yield connections
    connections.close()


def numbers(connections: Connections) -> list[int]:
    with connections.reading() as session:
        return [number for number, in session.execute('SELECT number FROM numbers ORDER BY number').fetchall()]


def test_a_caller_alone_has_a_transaction_of_its_own(connections: Connections) -> None:
    assert Writer(connections).run(Insert(1), Insert(2)) == [2, 4]
    assert Insert.batches == [2]
    assert numbers(connections) == [1, 2]


def test_callers_that_come_during_a_transaction_share_the_next(connections: Connections) -> None:
    writer = Writer(connections)
    Insert.gate.clear()

    starter = threading.Thread(target=lambda: (wait_until(lambda: len(writer._waiting) == 4), Insert.gate.set()))
    starter.start()
    results = together(*[partial(writer.run, Insert(number)) for number in range(5)])
    starter.join()

    assert Insert.batches == [1, 4]
    assert results == [[number * 2] for number in range(5)]


def test_one_callers_fault_is_its_own(connections: Connections) -> None:
    writer = Writer(connections)
    writer.run(Insert(0))
    Insert.gate.clear()
    faults: dict[int, Exception] = {}

    def run(number: int) -> None:
        try:
            writer.run(Insert(number), Insert(number * 10))  # 0 is there, and 0 twice
        except peewee.IntegrityError as exc:
            faults[number] = exc

    starter = threading.Thread(target=lambda: (wait_until(lambda: len(writer._waiting) == 2), Insert.gate.set()))
    starter.start()
    together(*[partial(run, number) for number in range(3)])
    starter.join()

    assert list(faults) == [0]
    assert numbers(connections) == [0, 1, 2, 10, 20]


def test_a_database_that_stays_locked_is_reported_and_nothing_is_written(
    connections: Connections, tmp_path: Path,
) -> None:
    writer = Writer(connections, patience=0.2)
    connections.prepare()
    blocker = peewee.SqliteDatabase(str(tmp_path / 'numbers.db'))
    blocker.execute_sql('BEGIN EXCLUSIVE')

    with pytest.raises(DatabaseUnavailableError, match='locked'):
        writer.run(Insert(1))
    blocker.execute_sql('ROLLBACK')
    blocker.close()

    assert numbers(connections) == []
    assert writer.run(Insert(1)) == [2]


def test_a_writer_has_its_turn_as_soon_as_another_process_has_ended_its_own(
    connections: Connections, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    writer = Writer(connections)
    writer.run(Insert(0))
    other = peewee.SqliteDatabase(str(tmp_path / 'numbers.db'))
    other.execute_sql('BEGIN IMMEDIATE')
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 5:
            other.execute_sql('COMMIT')

    monkeypatch.setattr('pacifica.dispatcher._queue.session.time.sleep', pause)
    assert writer.run(Insert(1)) == [2]
    other.close()

    assert len(pauses) == 5 and max(pauses) <= 0.01


def test_a_leader_that_is_interrupted_leaves_nobody_waiting(connections: Connections) -> None:
    writer = Writer(connections)
    writer.run(Insert(0))

    class Interrupt:
        @staticmethod
        def run(session: Any, operations: Sequence[Any]) -> list[int]:
            follower.start()
            wait_until(lambda: len(writer._waiting) == 1)
            raise KeyboardInterrupt

    follower = threading.Thread(target=lambda: writer.run(Insert(1)))
    with pytest.raises(KeyboardInterrupt):
        writer.run(Interrupt())
    follower.join(10)

    assert not follower.is_alive()
    assert numbers(connections) == [0, 1]


def test_who_comes_after_a_transaction_that_waited_in_vain_does_not_wait(
    connections: Connections, tmp_path: Path,
) -> None:
    writer = Writer(connections, patience=2.0)
    writer.run(Insert(0))
    connections.close()
    place, gone = tmp_path / 'numbers.db', tmp_path / 'gone'
    place.rename(gone)
    place.mkdir()  # which SQLite can't open

    began = time.monotonic()
    with pytest.raises(DatabaseUnavailableError):
        writer.run(Insert(1))
    assert time.monotonic() - began >= 1.0  # the last pause, which would end too late, is not taken
    calls = []
    for number in range(20):
        began = time.monotonic()
        with pytest.raises(KnownFaultError):
            writer.run(Insert(number))
        calls.append(time.monotonic() - began)
    with pytest.raises(KnownFaultError):
        connections.read(lambda session: session.execute('SELECT 1'))
    place.rmdir()
    gone.rename(place)
    waited = Writer(connections, patience=100).run(Insert(2), waits=True)

    assert min(calls) < 0.1
    assert waited == [4]
    assert numbers(connections) == [0, 2]
