"""The one class users subclass, on its own so that staging and routing can both build on it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any


class EventHandler(ABC):
    """Handles the events of a route.

    One instance serves every event of its route, from several threads at once: keep per-event state in local
    variables.
    """

    # Any, so that an override may name what it gets: a cloudevents.model.Event, or the StagedEvent that it is.
    @abstractmethod
    def handle(self, event: Any) -> None:
        """Process *event*; returning means it is done.

        :param event: a ``cloudevents.model.Event``; inside of a ``StagedEventHandler`` a ``StagedEvent``, which is one.

        Whatever is raised ends the event in ``500 Internal Server Error`` with the exception's class, text and
        traceback on its record, unless the class is one the queue retries.
        """
