"""Waiting for events: whom a wake-up wakes, and what is said of an ear that hears nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pacifica.dispatcher._engine import wakeup as module
from pacifica.dispatcher._engine.wakeup import Listener, Wakeup
from pacifica.dispatcher._queue.availability import KnownFaultError
from pacifica.dispatcher.exceptions import DatabaseUnavailableError
from support.events import wait_until
from support.threads import together


class Faulty:
    """A store that can't hear anything as often as there are *errors*, then hears, then waits until it is to stop."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)

    def wakeups(self, stopping: Any, idle: Callable[[], bool]) -> Iterator[None]:
        """Raise the next error, or yield once."""
        if self._errors:
            raise self._errors.pop(0)
        yield
        stopping.settimeout(None)
        stopping.recv(1)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Callable[..., list[str]]:
    """What a listener logs that meets these errors before it hears; what lasts any time at all is worth a line."""
    monkeypatch.setattr(module, '_PAUSE', 0.01)
    monkeypatch.setattr(module, '_MENTIONED', 0.0)
    caplog.set_level(logging.INFO)

    def run(*errors: Exception) -> list[str]:
        wakeup = Wakeup(3600)
        assert wakeup.wait()  # the first poll
        store: Any = Faulty(*errors)
        listener = Listener(store, wakeup)
        listener.start()
        assert wakeup.wait()  # it was heard
        listener.stop()
        return [entry.message for entry in caplog.records]

    return run


def test_hearing_nothing_for_long_is_logged_once_and_so_is_the_end_of_it(said: Any) -> None:
    errors = [DatabaseUnavailableError('too many connections') for _ in range(4)]

    assert said(*errors) == ['listener.lost', 'listener.back']


def test_of_a_database_that_is_known_to_be_away_nothing_more_is_logged(said: Any) -> None:
    assert said(*[KnownFaultError('away') for _ in range(4)]) == []


def test_events_are_taken_if_there_are_threads_for_all_of_them() -> None:
    wakeup = Wakeup(3600)
    wakeup.wait()
    nobody_waits = wakeup.notify(1)
    wakeup.wait()

    def notify() -> bool:
        wait_until(wakeup.idle)
        more_than_wait = wakeup.notify(2)
        return more_than_wait

    results = together(wakeup.wait, notify)

    assert not nobody_waits
    assert results == [False, False]


def test_one_waiting_thread_takes_one_event() -> None:
    wakeup = Wakeup(3600)
    wakeup.wait()

    results = together(wakeup.wait, lambda: wait_until(wakeup.idle) and wakeup.notify(1))

    assert results == [False, True]


def test_a_closed_wakeup_takes_no_event() -> None:
    wakeup = Wakeup(3600)
    wakeup.close()

    assert not wakeup.notify(1)
