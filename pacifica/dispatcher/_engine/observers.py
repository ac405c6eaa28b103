"""Who wants to know what the engines do: metrics, callbacks, traces.

Told by workers, keepers and task runners after the change is committed, in the thread that made it. An observer that
fails is logged and costs nobody anything else.
"""

from __future__ import annotations

import logging
from typing import Any

from pacifica.dispatcher._queue.ending import ended
from pacifica.dispatcher._queue.outcome import Outcome
from pacifica.dispatcher._queue.transitions import Held
from pacifica.dispatcher.hooks import FinishedTask

__all__ = ['Observer', 'Observers']

_LOG = logging.getLogger(__name__)


class Observer:
    """Override what you want to know of."""

    def finished(self, held: Held, outcome: Outcome) -> None:
        """An attempt has ended; it is final unless the outcome's status is ``202``."""

    def task_ended(self, task: FinishedTask) -> None:
        """An event has ended: in an attempt, or as the last of its workers died. Not told of outgoing events."""

    def lease_lost(self, held: Held) -> None:
        """An attempt ended after its lease had: what it came to was not written."""

    def rescued(self, again: int, ended: int) -> None:
        """Events of workers that are gone were taken over: some run again, some have ended."""


class Observers(Observer):
    """Tells several; does nothing, fast, while there are none."""

    def __init__(self) -> None:
        self._observers: list[Observer] = []
        self._of_ends = False  # whether any wants to know of events, not of attempts alone

    def add(self, observer: Observer) -> None:
        """Tell *observer* too from now on."""
        self._observers.append(observer)
        self._of_ends = self._of_ends or type(observer).task_ended is not Observer.task_ended

    def finished(self, held: Held, outcome: Outcome) -> None:
        """Tell of an attempt that has ended, and of its event if that has too."""
        self._tell('finished', held, outcome)
        task = ended(held, outcome) if self._of_ends else None
        if task is not None:
            self._tell('task_ended', task)

    def task_ended(self, task: FinishedTask) -> None:
        """Tell of an event that has ended otherwise."""
        self._tell('task_ended', task)

    def lease_lost(self, held: Held) -> None:
        """Tell, and log, that an attempt's result was not written."""
        _LOG.warning('worker.lease_lost', extra={'task_id': str(held.task_id), 'attempt': held.attempt})
        self._tell('lease_lost', held)

    def rescued(self, again: int, ended: int) -> None:
        """Tell, and log, that events of dead workers were taken over."""
        _LOG.warning('janitor.rescued', extra={'run_again': again, 'ended': ended})
        self._tell('rescued', again, ended)

    def _tell(self, what: str, *arguments: Any) -> None:
        for observer in self._observers:
            try:
                getattr(observer, what)(*arguments)
            except Exception:  # an observer may be a user's callback: it may raise anything, and the event has ended
                _LOG.exception('observer.failed', extra={'observer': type(observer).__name__, 'about': what})
