"""Where the front door hands validated events in, whatever engine runs them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from pacifica.dispatcher._events import ReceivedEvent

__all__ = ['Acceptor']


class Acceptor(ABC):
    """Stores validated events durably and sees to it that they are run."""

    @abstractmethod
    def accept(self, events: Sequence[ReceivedEvent]) -> list[str]:
        """Store validated *events*, all or none; return their task ids in order once they are committed.

        :raises QueueFullError: if too many events are waiting; nothing was stored.
        :raises DatabaseUnavailableError: if the database did not take them.
        """
