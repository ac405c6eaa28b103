"""Where events stand in line, as the routes of a router say: their priorities, and what their limits count."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from pacifica.dispatcher import _events
from pacifica.dispatcher._queue.record import storable
from pacifica.dispatcher._queue.values import Place, Places
from pacifica.dispatcher.router import Route, Router

_HALF = 127  # characters, of the 255 that the column has


def routes_of(router: object) -> Iterable[Route]:
    """Return the routes of a router; none of a stranger's, which is called alone, and may have no list of them."""
    return router if isinstance(router, Router) else ()


class RouterPlaces:
    """The places of a router's routes; call it for those that they have now: routes may come and change."""

    def __init__(self, router: Router) -> None:
        self._router = router

    def __call__(self) -> Places | None:
        """Return them; ``None`` if no route has a limit or a priority, so that nothing need be asked."""
        routes = routes_of(self._router)
        limited = any(each.priority or each.concurrency is not None or each.concurrency_key for each in routes)
        return _Places(self._router, routes) if limited else None


class _Places:
    """What the routes say; see :class:`Places`. Equal to others that say the same, so that claims are made together."""

    def __init__(self, router: Router, routes: Iterable[Route]) -> None:
        self._router = router
        self._concurrency = {_bounded(each.name): each.concurrency for each in routes if each.concurrency is not None}
        self.limited = bool(self._concurrency)
        self.prioritized = any(each.priority for each in routes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Places) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(id(self._router))

    def of(self, event_json: str) -> Place:
        """Return the place of an event; that of no route if none matches."""
        try:
            event_data = _events.loads(event_json)
            route = self._router.match_first_or_raise(event_data)
        except Exception:  # no route, or a stranger's path that raises: running the event says so
            return Place()
        if route.concurrency is None and route.concurrency_key is None:
            return Place(None, route.priority)
        return Place(f'{_bounded(route.name)}/{_bounded(field_of(route.concurrency_key, event_data))}', route.priority)

    def room(self, lane: str, running: int) -> bool:
        """Return whether one more of a lane may run beside so many."""
        most = self._concurrency.get(lane.partition('/')[0])
        return most is None or running < most


def _bounded(name: str) -> str:
    """Return half of the name of a lane, ``ROUTE/KEY``: without a slash, and different for different names."""
    text = (storable(name, None) or '').replace('%', '%25').replace('/', '%2F')
    if len(text) <= _HALF:
        return text
    return f'{text[:_HALF - 33]}~{hashlib.sha256(text.encode()).hexdigest()[:32]}'


def field_of(name: str | None, event_data: Mapping[str, Any]) -> str:
    """Return what an event's limit goes by: the value of a field of its transaction, or of a key-value."""
    if name is None:
        return ''
    wanted = (('TransactionKeyValue', name[3:]) if name.startswith('kv:') else (f'Transactions.{name}', None))
    data = event_data.get('data')
    for row in data if isinstance(data, list) else ():
        if isinstance(row, dict) and (row.get('destinationTable'), row.get('key')) == wanted:
            return str(row.get('value'))
    return ''
