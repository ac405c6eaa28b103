"""A database that is known to be away costs nobody's time, and its return is found out by one thread."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pacifica.dispatcher._queue.availability import Availability, KnownFaultError
from support.events import wait_until

THREAD = 'pacifica-dispatcher-database'


class Away:
    """Takes no changes until it is told to."""

    def __init__(self) -> None:
        self.back = False

    def __call__(self) -> None:
        if not self.back:
            raise OSError('still away')


@pytest.fixture
def database() -> Away:
    return Away()


@pytest.fixture
def availability(database: Away) -> Iterator[Availability]:
    availability = Availability(database)
    yield availability
    availability.forget()
    wait_until(lambda: not watching())


def watching() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == THREAD]


def test_one_thread_watches_while_there_is_a_fault_and_two_lines_tell_of_it(
    availability: Availability, database: Away, caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    assert not watching()
    for _ in range(20):
        availability.failed(OSError('away\nfar away'), readable=False)
        with pytest.raises(KnownFaultError, match='away far away'):
            availability.require()
    assert len(watching()) == 1

    database.back = True

    wait_until(lambda: not watching())
    availability.require()
    assert [record.getMessage() for record in caplog.records] == ['database.away', 'database.back']
    assert caplog.records[0].error == 'away far away'  # type: ignore[attr-defined]  # made of extra=
    assert caplog.records[1].seconds > 0  # type: ignore[attr-defined]  # made of extra=


def test_who_waits_is_woken_when_it_is_back(availability: Availability, database: Away) -> None:
    availability.failed(OSError('away'), readable=False)
    threading.Timer(0.1, lambda: setattr(database, 'back', True)).start()

    availability.require(100)

    assert availability.fault is None


def test_without_room_reading_goes_on_and_changes_are_tried(availability: Availability) -> None:
    availability.failed(OSError('no room'), readable=True)

    availability.require()

    assert availability.fault is not None and not availability.away


def test_a_change_that_finds_room_soon_after_one_that_did_not_says_little(availability: Availability) -> None:
    availability.failed(OSError('no room'), readable=True)
    availability.wrote()
    assert availability.fault is not None

    def found_room() -> bool:
        availability.wrote()
        return availability.fault is None

    wait_until(found_room)


def test_questions_without_answers_count_once_they_have_failed_for_five_seconds(availability: Availability) -> None:
    now = time.monotonic()
    availability.unanswered(OSError('away'), now)
    assert availability.fault is None
    availability.answered()
    availability.unanswered(OSError('away'), now)
    assert availability.fault is None

    availability.answered()
    availability.unanswered(OSError('silent'), now - 6)

    assert availability.away


def test_a_forked_child_finds_out_for_itself(availability: Availability) -> None:
    availability.failed(OSError('away'), readable=False)
    child = os.fork()
    if child == 0:
        try:
            availability.require()
            availability.failed(OSError('away'), readable=False)
            os._exit(len(watching()))
        except BaseException:  # noqa: B036  # a child that went on would run the test a second time
            os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


def test_an_error_of_a_driver_is_told_from_others() -> None:
    import peewee

    from pacifica.dispatcher._queue.dialect import dialect_of

    class DriversError(Exception):
        sqlstate = '53100'

    def fault(database: Any, *args: Any) -> str:
        return dialect_of(database).fault_of(peewee.OperationalError(*args))

    sqlite, mysql = peewee.SqliteDatabase(None), peewee.MySQLDatabase(None)
    assert fault(sqlite, 'database is locked') == 'busy'
    assert fault(sqlite, 'database or disk is full') == 'full'
    assert fault(sqlite, 'attempt to write a readonly database') == 'read-only'
    assert fault(sqlite, 'unable to open database file') == 'away'
    assert fault(peewee.PostgresqlDatabase(None), DriversError('no space')) == 'full'
    assert fault(mysql, OSError(1114, "The table 'receivetaskmodel' is full"), 1114, 'The table is full') == 'full'
    assert fault(mysql, OSError(1213, 'Deadlock found'), 1213, 'Deadlock found') == 'busy'
    assert fault(mysql, OSError(2003, "Can't connect"), 2003, "Can't connect") == 'away'


def test_who_found_no_room_rests_until_there_is_some(availability: Availability, database: Away) -> None:
    availability.rest(100)  # nothing is wrong
    availability.failed(OSError('no room'), readable=True)
    began = time.monotonic()
    availability.rest(0.2)
    assert time.monotonic() - began >= 0.2

    threading.Timer(0.1, lambda: setattr(database, 'back', True)).start()
    availability.rest(100)

    assert availability.fault is None
