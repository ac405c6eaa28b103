"""What ``replay`` does: chooses events that have ended, and runs them again no faster than workers take them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pacifica.dispatcher._cli.acting import Act, How, is_agreed, no_events, report
from pacifica.dispatcher._cli.errors import EXIT_FAILED
from pacifica.dispatcher._cli.existing import Table
from pacifica.dispatcher._cli.filters import is_empty
from pacifica.dispatcher._cli.listing import pages, print_events
from pacifica.dispatcher._cli.output import Column, notice, on_terminal, print_json, print_table, progress
from pacifica.dispatcher._cli.selection import TaskIDs, events
from pacifica.dispatcher._events import loads
from pacifica.dispatcher._queue.search import Filter
from pacifica.dispatcher._queue.status import FINAL
from pacifica.dispatcher._queue.transitions import QueueName
from pacifica.dispatcher.router import Route, Router

__all__ = ['Pace', 'Selection', 'preview', 'replay']

_BATCH = 200
_POLL_SECONDS = 0.5
_NO_ROUTE = '(no route: would end in 422)'


@dataclass(frozen=True)
class Selection:
    """Which events are replayed: those that have ended, fit *wanted*, and match *route*."""

    wanted: Filter
    route: Route | None

    @property
    def is_restricted(self) -> bool:
        """Whether it leaves any ended event out."""
        return self.route is not None or not is_empty(self.wanted)

    def rows(self, table: Table) -> Iterator[Mapping[str, Any]]:
        """Yield the events, newest first."""
        for row in events(table.search, self.wanted):
            if row['taskStatus'] in FINAL and (self.route is None or _matches(self.route, table, row)):
                yield row


def _matches(route: Route, table: Table, row: Mapping[str, Any]) -> bool:
    event = _event(table, row)
    try:
        return event is not None and route.match(event)
    except Exception as exc:  # a JSONPath may raise anything on a document it was not written for: it doesn't match
        notice(f'{row["taskID"]} is left out, since the JSONPath can\'t be matched: {type(exc).__name__}: {exc}')
        return False


def _event(table: Table, row: Mapping[str, Any]) -> Any:
    """Return the event as routes see it; ``None`` if it was pruned meanwhile."""
    text = table.records.event_json(UUID(row['taskID']))
    return None if text is None else loads(text)


class Pace:
    """How many events may be run again now.

    :param rate: at most so many a second; 0 for any number.
    :param max_waiting: only while fewer than that are due; 0 for any number.
    """

    def __init__(self, rate: float, max_waiting: int) -> None:
        self._rate = rate
        self._max_waiting = max_waiting
        self._began = time.monotonic()
        self._told = False

    def next(self, table: Table, queues: set[QueueName], done: int) -> int:
        """Return how many may follow the *done* ones, waiting until that is at least one."""
        if self._rate:
            time.sleep(max(0.0, self._began + done / self._rate - time.monotonic()))
        allowed = _BATCH if not self._rate else max(1, min(_BATCH, int(self._rate)))
        if not self._max_waiting:
            return allowed
        while True:
            room = self._max_waiting - table.operator.count_due(sorted(queues), self._max_waiting)
            if room > 0:
                return min(allowed, room)
            if not self._told:
                notice(f'{self._max_waiting} events are due: waiting until workers take some')
                self._told = True
            time.sleep(_POLL_SECONDS)


def replay(table: Table, selection: Selection, pace: Pace, how: How) -> int:
    """Run the events again, oldest first, and return the exit status."""
    what = Act('replay', 'replayed', frozenset(FINAL),
               lambda ids: table.operator.retry(ids, by=how.by, afresh=True))
    queues: set[QueueName] = set()
    task_ids = TaskIDs()
    with progress('choosing', None) as advance:
        for row in selection.rows(table):
            queues.add(QueueName(row['taskApplicationName'], row['taskName']))
            task_ids.append(UUID(row['taskID']))
            advance(1)
    task_ids = task_ids.reversed()
    if not task_ids:
        return no_events()
    count = len(task_ids)
    if not is_agreed(f'{count:,} events would be replayed, uploads included', count, how.yes):
        return EXIT_FAILED
    tried = done = 0
    with progress('replaying', count) as advance:
        while tried < count:
            batch = task_ids.part(tried, pace.next(table, queues, tried))
            results = what.run(batch)
            tried, done = tried + len(batch), done + sum(results)
            advance(len(batch))
            if how.as_json or not on_terminal():
                report(table, what, batch, results, how)
    notice(f'{done:,} of {count:,} events were replayed')
    return 0 if done == count else EXIT_FAILED


def preview(table: Table, selection: Selection, router: Router | None, as_json: bool) -> int:
    """Print which events would be run, and how many each route of *router* would take; return the exit status."""
    counts: Counter[str] = Counter()
    found = 0
    for page in pages(selection.rows(table)):
        routes = [] if router is None else [_route_of(router, table, row) for row in page]
        found += len(page)
        counts.update(routes)
        if as_json:
            for number, row in enumerate(page):
                print_json({**row, 'wouldRun': None if routes[number] == _NO_ROUTE else routes[number]}
                           if routes else row)
        else:
            print_events(page, [(Column('WOULD RUN'), routes)] if routes else ())
    if not found:
        return no_events()
    if router is not None and on_terminal() and not as_json:
        print_table([Column('EVENTS', right=True), Column('ROUTE')], [(n, name) for name, n in counts.most_common()])
    elif router is not None:
        for name, number in counts.most_common():
            notice(f'{number:,} by {name}')
    notice(f'{found:,} events would be replayed')
    return 0


def _route_of(router: Router, table: Table, row: Mapping[str, Any]) -> str:
    """Return what the first route that takes the event is called, as its record would show it."""
    event = _event(table, row)
    for route in router if event is not None else ():
        name = f'{route.path} → {type(route.event_handler).__name__}'
        try:
            if route.match(event):
                return name
        except Exception as exc:  # whatever a JSONPath raises would end the event in 500
            return f'{name} (fails: {type(exc).__name__}: {exc})'
    return _NO_ROUTE
