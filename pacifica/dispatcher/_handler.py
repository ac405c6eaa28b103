"""The one class users subclass, on its own so that staging and routing can both build on it."""

from __future__ import annotations

from abc import ABC, abstractmethod

from cloudevents.model import Event


class EventHandler(ABC):
    """Handles the events of a route.

    One instance serves every event of its route, from several threads at once: keep per-event state in local
    variables.
    """

    @abstractmethod
    def handle(self, event: Event) -> None:
        """Process *event*; returning means it is done.

        Whatever is raised ends the event in ``500 Internal Server Error`` with the exception's class, text and
        traceback on its record, unless the class is one the queue retries.
        """
