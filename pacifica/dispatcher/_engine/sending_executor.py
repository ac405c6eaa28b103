"""Parts outgoing events from those that came in: the former are sent here, the latter are the business of an executor.

Used by every engine around its executor, in the process that holds the events. So what a sender knows, credentials
among it, goes to no other process, and a user's router never sees what is only to be sent.
"""

from __future__ import annotations

from typing import Protocol

from pacifica.dispatcher._engine.retry import RetryPolicy
from pacifica.dispatcher._engine.sender import Sender
from pacifica.dispatcher._queue.outcome import Outcome
from pacifica.dispatcher._queue.transitions import Held

__all__ = ['Executes', 'SendingExecutor']


class Executes(Protocol):
    """What runs events, in whatever way."""

    @property
    def engine(self) -> str:
        """Return what people are told of how handlers run."""

    @property
    def policy(self) -> RetryPolicy:
        """Return which failures are retried."""

    def start(self) -> None:
        """Be ready."""

    def stop(self) -> None:
        """End what still runs, if that can be done."""

    def execute(self, held: Held) -> Outcome | None:
        """Return how the event ended, ``None`` if it was stopped on the way."""


class SendingExecutor:
    """Sends outgoing events, and has all others executed.

    :param executor: what runs the others.
    :param sender: what sends.
    """

    def __init__(self, executor: Executes, sender: Sender) -> None:
        self._executor = executor
        self._sender = sender
        self.engine = executor.engine
        self.policy = executor.policy
        self.start = executor.start
        self.stop = executor.stop

    def execute(self, held: Held) -> Outcome | None:
        """Return how the event ended, ``None`` if it was stopped on the way."""
        if held.destination is not None:
            return self._sender.send(held, held.destination)
        return self._executor.execute(held)
