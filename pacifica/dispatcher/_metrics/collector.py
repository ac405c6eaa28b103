"""Reads what the database knows when Prometheus scrapes."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from pacifica.dispatcher._metrics.definitions import DATABASE, PREFIX
from pacifica.dispatcher._metrics.observer import code
from pacifica.dispatcher._queue.overview import Overview
from pacifica.dispatcher._queue.status import Status
from pacifica.dispatcher.exceptions import DatabaseUnavailableError

__all__ = ['DatabaseCollector']

_SHARE = 0.01
_MOST_LIFETIME = 60.0

_Samples = Mapping[tuple[str, ...], float]


class DatabaseCollector:
    """A collector of prometheus_client's, for a table.

    :param overview: the table at a glance.
    :param lifetime: seconds for which what was read is good enough, so that several who scrape cost one query; longer
        if reading takes long, so that the database spends a hundredth of its time on this at most.
    :param clock: seconds of a monotonic clock.
    """

    def __init__(
        self, overview: Overview, lifetime: float = 2.0, clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._overview = overview
        self._lifetime = lifetime
        self._lock = threading.Lock()
        self._clock = clock
        self._good_until = float('-inf')
        self._families: Sequence[Metric] = ()

    def collect(self) -> Iterator[Metric]:
        """Return the gauges; of a database that is away only that it is."""
        with self._lock:
            began = self._clock()
            if began > self._good_until:
                self._families = self._read()
                ended = self._clock()
                self._good_until = ended + min(max(self._lifetime, (ended - began) / _SHARE), _MOST_LIFETIME)
            yield from self._families

    def describe(self) -> Iterator[Metric]:
        """Name the gauges, so that registering the collector asks no database."""
        return (_family(name, {}) for name in DATABASE)

    def _read(self) -> list[Metric]:
        try:
            counts, queues, workers = self._overview.counts(), self._overview.queues(), self._overview.workers()
        except DatabaseUnavailableError:
            return [_family('database_up', {(): 0.0})]
        # A queue in which nothing waits is at 0, not absent, as long as it has workers.
        waiting: dict[tuple[str, ...], float] = {(worker.application, worker.task): 0.0 for worker in workers}
        oldest = dict(waiting)
        for queue in queues:
            waiting[queue.application, queue.task] = float(queue.waiting)
            oldest[queue.application, queue.task] = queue.oldest_age
        states, slots = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
        for worker in workers:
            kind = (worker.application, worker.task, worker.engine)
            states[kind + ('lost' if worker.lost else 'present',)] += 1
            slots[kind] += 0 if worker.lost else worker.concurrency
        return [
            _family('database_up', {(): 1.0}),
            _family('events', _by_code(counts)),
            _family('queue_waiting_events', waiting),
            _family('queue_oldest_age_seconds', oldest),
            _family('workers', states),
            _family('worker_slots', slots),
        ]


def _by_code(counts: Mapping[Status, int]) -> _Samples:
    return {(code(status),): count for status, count in counts.items()}


def _family(name: str, samples: _Samples) -> Metric:
    text, labels = DATABASE[name]
    family = GaugeMetricFamily(PREFIX + name, text, labels=labels)
    for values, value in samples.items():
        family.add_metric(values, value)
    return family
