"""What the handlers of a queue know of the services that they need: kept in the queue's database, for all its workers.

A service that can't be reached is asked by one event at a time, with growing pauses; the others wait without a slot.
"""

from __future__ import annotations

import logging

from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher.exceptions import DatabaseUnavailableError
from pacifica.dispatcher.task_context import Services

_LOG = logging.getLogger(__name__)
_BLIP = 2.0  # seconds: a service that is away for less is asked again in place


class SharedServices(Services):
    """Which services are away, shared by all that run events of a table.

    A database that is away itself is no reason to fail a transfer: then nothing is known.

    :param store: the queue's.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._away: set[str] = set()

    def fault(self, service: str) -> str | None:
        """Return why the service isn't to be asked now; ``None`` if it is well, or it is this event's turn to ask."""
        try:
            outage = next((each for each in self._store.outages() if each.service == service), None)
            if outage is None:
                self._away.discard(service)
                return None
            self._away.add(service)
            return None if self._store.take_probe(service) else outage.fault
        except DatabaseUnavailableError:
            return None

    def patience(self, service: str) -> float:
        """Return the seconds for which a fault is tried again in place."""
        return 0.0 if service in self._away else _BLIP

    def away(self, service: str, fault: str) -> None:
        """Note that the service is away."""
        self._away.add(service)
        try:
            if self._store.begin_outage(service, fault):
                _LOG.warning('service.away', extra={'service': service, 'error': fault})
        except DatabaseUnavailableError:
            pass  # the next event that needs it finds out for itself

    def answered(self, service: str) -> None:
        """Note that the service is there, and let what waits for it go on."""
        if service not in self._away:
            return
        try:
            ended = self._store.end_outage(service)
        except DatabaseUnavailableError:
            return  # the next answer says so again
        self._away.discard(service)
        if ended is not None:
            outage, released = ended
            _LOG.warning('service.back', extra={'service': service, 'since': outage.since, 'events': released})
