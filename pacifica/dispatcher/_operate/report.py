"""The state of the whole table, read at one time: what ``status`` prints and the dashboard's overview shows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pacifica.dispatcher._operate.disks import free_bytes
from pacifica.dispatcher._operate.words import moment
from pacifica.dispatcher._queue.status import Status

if TYPE_CHECKING:
    from pacifica.dispatcher._queue.ended import Bucket
    from pacifica.dispatcher._queue.overview import LaneState, OutageState, Overview, QueueState, WorkerState

# span → width of its buckets in seconds, how many of them: "the last hour" is up to now, as exact as a bucket is wide
_SPANS = {'hour': (120.0, 30), 'day': (3600.0, 24)}

OPEN = (Status.ACCEPTED, Status.PROCESSING)
"""What has not ended."""

_LATE = 60.0  # seconds for which something may be due before somebody should look

MOST_ROUTES = 50
"""So many routes are shown to people, those of which the most events have ended."""

MOST_GROUPS = 20
"""So many groups of failures are shown to people, those of the most failures."""

MOST_LANES = 20
"""So many limits are shown to people, those of which most waits."""


class StatusReport:
    """How many events are in which status, what waits, who works, and how fast; read from *overview* now.

    :param ended: whether to count all that have ended too, not only those of the last hour and day.
    """

    def __init__(self, overview: Overview, *, ended: bool = True) -> None:
        self.counts = overview.counts() if ended else overview.counts(OPEN)
        self.skipped = overview.skipped()
        self.unrouted = overview.unrouted()
        self.failing = overview.failing()
        self.queues = overview.queues()
        self.outages = overview.outages()
        self.lanes = overview.lanes()
        self.workers = overview.workers()
        self.free = free_bytes(overview.sqlite_file)
        self.ended = {span: EndedEvents(overview.ended(*buckets)) for span, buckets in _SPANS.items()}
        self.routes = self._routes(overview)

    @property
    def late(self) -> list[QueueState]:
        """The queues in which an event has been due for so long that somebody should look."""
        return [queue for queue in self.queues if queue.oldest_age > _LATE]

    @property
    def full(self) -> list[LaneState]:
        """The limits that events wait for."""
        return [lane for lane in self.lanes if lane.waiting and lane.running]

    @property
    def lost(self) -> list[WorkerState]:
        """The workers that are silent for longer than their claims hold."""
        return [worker for worker in self.workers if worker.lost]

    @property
    def unattended(self) -> bool:
        """Whether something waits, and no worker is at work."""
        return bool(self.queues) and len(self.lost) == len(self.workers)

    def _routes(self, overview: Overview) -> list[RouteHealth]:
        day = self.ended['day'].buckets
        keys = {key for bucket in day for key in bucket.routes}
        names = overview.route_names(keys, day[0].begin)
        found = []
        for key in keys & set(names):
            lanes = [lane for lane in self.lanes if lane.route == names[key]]
            found.append(RouteHealth(
                names[key], sum(lane.waiting for lane in lanes), sum(lane.running for lane in lanes), bool(lanes),
                {span: ended.of_route(key) for span, ended in self.ended.items()}))
        return sorted(found, key=lambda each: (-sum(each.ended['day'].counts.values()), each.name))

    def longest_waiting(self) -> QueueState | None:
        """Return the queue whose oldest event has been due for the longest time; ``None`` if nothing waits."""
        return max(self.queues, key=lambda queue: queue.oldest_age, default=None)


@dataclass(frozen=True)
class RouteHealth:
    """How a route does of which events have ended in the last day.

    :param waiting: how many of its events wait, if it has a limit: what takes the others isn't known before they run.
    :param running: how many run, if it has a limit.
    :param limited: whether it is known what waits and runs.
    :param ended: what has ended in the last hour and day.
    """

    name: str
    waiting: int
    running: int
    limited: bool
    ended: dict[str, EndedEvents]


class EndedEvents:
    """The events that ended within a span of time, by the parts of that span."""

    def __init__(self, buckets: Sequence[Bucket]) -> None:
        self.buckets = buckets
        self.counts: Counter[Status] = Counter()
        for bucket in buckets:
            self.counts.update(bucket.counts)
        self._seconds = sorted(seconds for bucket in buckets for seconds in bucket.seconds)

    def of_route(self, key: int) -> EndedEvents:
        """Return those of one route, by the parts of the same span."""
        return EndedEvents([bucket.routes.get(key) or type(bucket)(bucket.begin, {}, []) for bucket in self.buckets])

    def percentile(self, part: float) -> float | None:
        """Return within how many seconds of their acceptance *part* of them ended; ``None`` if none did."""
        return percentile(self._seconds, part)


def percentile(ascending: Sequence[float], part: float) -> float | None:
    """Return the smallest value that *part* of the values don't exceed (nearest rank); ``None`` if there are none."""
    return ascending[max(0, math.ceil(part * len(ascending)) - 1)] if ascending else None


def outage_text(outage: OutageState) -> str:
    """Return what waits for which service, since when, and why."""
    events = 'event' if outage.waiting == 1 else 'events'
    return (f'waiting for {outage.service} since {moment(outage.since)}: {outage.fault}, '
            f'{counted(outage.waiting)} {events}')


def counted(count: int) -> str:
    """Return a count of the overview, which ends at a limit."""
    from pacifica.dispatcher._queue.failing import COUNT_LIMIT

    return f'{count:,} or more' if count >= COUNT_LIMIT else f'{count:,}'
