"""Waiting for events: whom a wake-up wakes, and what is said of an ear that hears nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pacifica.dispatcher._engine import wakeup as module
from pacifica.dispatcher._engine.wakeup import Listener, Wakeup
from pacifica.dispatcher._queue import wakeups
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


@pytest.mark.parametrize(('due', 'pauses'), [
    (False, {0.0: 0.02, 4.0: 0.02, 20.0: 0.04, 1000.0: 1.0}),
    (True, {0.0: 0.02, 1.0: 0.1, 4.0: 0.4, 100.0: 1.0}),  # as in a lane that is full
])
def test_a_database_is_asked_less_often_the_longer_its_answer_stays_the_same(
    due: bool, pauses: dict[float, float], monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, asked = [0.0], {}

    def wait(timeout: float) -> bool:
        asked[now[0]] = timeout
        now[0] += timeout
        return now[0] > 1200

    class Asking(wakeups.Wakeups):
        def _is_due(self, session: Any) -> bool:
            return due

    monkeypatch.setattr(wakeups, 'time', SimpleNamespace(monotonic=lambda: now[0]))
    list(Asking(cast(Any, None))._due(cast(Any, None), cast(Any, SimpleNamespace(select=wait)), lambda: True))

    found = {since: next(pause for then, pause in asked.items() if then >= since) for since in pauses}
    assert found == pytest.approx(pauses, rel=0.15)
