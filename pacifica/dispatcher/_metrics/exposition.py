"""Shows the metrics, to the front door's ``/metrics`` or on a port of their own, and reads those of the database."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter as Counts
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, Counter, start_http_server
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from pacifica.dispatcher._metrics import definitions
from pacifica.dispatcher._metrics.definitions import DATABASE, DISK, PREFIX
from pacifica.dispatcher._metrics.observer import code
from pacifica.dispatcher._operate.disks import free_bytes
from pacifica.dispatcher._queue.overview import Overview
from pacifica.dispatcher.exceptions import ConfigurationError, DatabaseUnavailableError

_LOG = logging.getLogger(__name__)
_DIRECTORY = 'PROMETHEUS_MULTIPROC_DIR'
_SHARE = 0.01
_MOST_LIFETIME = 60.0
_MOST_SERVICES = 50  # so that labels stay few, whatever events name
_SCRAPE_SECONDS = 0.05  # that a scrape waits for the database, if there is something to show without it
_FIRST_SECONDS = 2.0
_SILENT_SECONDS = 5.0


class Exposition:
    """What the front door serves under ``/metrics``, and its own part of it: what it received."""

    def __init__(self, overview: Overview) -> None:
        for limit in ('total', 'address'):
            definitions.CONNECTIONS_REFUSED.labels(limit)  # so that it is there, at 0
        for status in definitions.CODES:
            _requests(status)
        self._registry = _processes()
        self._registry.register(DatabaseCollector(overview))
        self._registry.register(DiskCollector(overview))

    def expose(self, accept: str) -> tuple[str, bytes]:
        """Return the content type and the text, in the format that the header *accept* asks for."""
        encode, content_type = choose_encoder(accept)
        return content_type, encode(self._registry)

    def received(self, status: int, events: int) -> None:
        """Count a POST to ``/receive`` by its HTTP status, and the events in it that were accepted."""
        _requests(status).inc()
        if events:
            definitions.EVENTS_ACCEPTED.inc(events)

    def refused(self, limit: str) -> None:
        """Count a connection that was refused because of *limit*, ``total`` or ``address``."""
        definitions.CONNECTIONS_REFUSED.labels(limit).inc()


@lru_cache(maxsize=64)
def _requests(status: int) -> Counter:
    return definitions.RECEIVE_REQUESTS.labels(str(status))


@contextmanager
def serve_process(port: int, host: str) -> Iterator[None]:
    """Serve what this process counts (with a shared directory: all of them) on a port, inside the ``with`` block."""
    try:
        server, thread = start_http_server(port, host, _processes())
    except (OSError, OverflowError) as exc:
        raise ConfigurationError(f'can\'t serve metrics on port {port} of {host}: {exc}; choose another') from exc
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _processes() -> CollectorRegistry:
    """Return a registry of what processes count: this one, or all that share the directory."""
    directory = os.environ.get(_DIRECTORY)
    if directory is not None and not os.path.isdir(directory):
        raise ConfigurationError(f'{_DIRECTORY} names no directory: make it, empty, before the first process starts')
    registry = CollectorRegistry()
    registry.register(REGISTRY if directory is None else _SharedDirectory(Path(directory)))
    return registry


class _SharedDirectory(Collector):
    """What all processes that share a directory count, together.

    Instead of collecting by :class:`MultiProcessCollector`, which fails at a file that a process has just made, or died
    while making: it is empty.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def collect(self) -> Iterable[Metric]:
        files = [str(path) for path in self._directory.glob('*.db') if not _is_empty(path)]
        merged: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]  # typed in part
        return merged


def _is_empty(path: Path) -> bool:
    try:
        return path.stat().st_size == 0
    except FileNotFoundError:
        return False  # removed meanwhile: which files may be, merge() knows


class DiskCollector:
    """A collector of prometheus_client's, for the disks of this machine."""

    def __init__(self, overview: Overview) -> None:
        self._overview = overview

    def collect(self) -> Iterator[Metric]:
        free = free_bytes(self._overview.sqlite_file)
        yield _family('disk_free_bytes', {(what,): float(size) for what, size in free.items()})

    def describe(self) -> Iterator[Metric]:
        """Name the gauges, so that registering the collector asks for no database."""
        return (_family(name, {}) for name in DISK)


class DatabaseCollector:
    """A collector of prometheus_client's, for a table.

    :param lifetime: seconds for which what was read is good enough, so that several who scrape cost one query; longer
        if reading takes long, so that the database spends a hundredth of its time on this at most.

    A thread reads, for which a scrape hardly waits: what takes longer is for the next one.
    """

    def __init__(
        self, overview: Overview, lifetime: float = 2.0, clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._overview = overview
        self._lifetime = lifetime
        self._lock = threading.Lock()
        self._clock = clock
        self._good_until = float('-inf')
        self._read_at = float('-inf')
        self._families: Sequence[Metric] = ()
        self._reading: threading.Thread | None = None
        self._began = 0.0

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            if self._clock() > self._good_until and not self._is_reading():
                self._began = self._clock()
                self._reading = threading.Thread(target=self._refresh, name='pacifica-dispatcher-metrics', daemon=True)
                if self._overview.shared:
                    self._reading.start()
                else:
                    self._refresh()  # in-memory SQLite is seen by this thread alone
            reading = self._reading
        if reading is not None and reading.is_alive():
            reading.join(_SCRAPE_SECONDS if self._families else _FIRST_SECONDS)
        now = self._clock()
        silent = self._is_reading() and now > self._began + _SILENT_SECONDS
        if self._overview.away or silent or now > self._read_at + 2 * _MOST_LIFETIME:
            yield _family('database_up', {(): 0.0})
        else:
            yield from self._families

    def _is_reading(self) -> bool:
        return self._reading is not None and self._reading.is_alive()  # a forked child has none of its parent's

    def _refresh(self) -> None:
        try:
            self._families = self._read()
        except Exception as exc:  # whatever it is, a scrape shows the rest
            _LOG.warning('metrics.database_unreadable', extra={'error': str(exc)})
            self._families = [_family('database_up', {(): 0.0})]
        self._read_at = ended = self._clock()
        self._good_until = ended + min(max(self._lifetime, (ended - self._began) / _SHARE), _MOST_LIFETIME)

    def describe(self) -> Iterator[Metric]:
        """Name the gauges, so that registering the collector asks no database."""
        return (_family(name, {}) for name in DATABASE)

    def _read(self) -> list[Metric]:
        try:
            counts, queues, workers = self._overview.counts(), self._overview.queues(), self._overview.workers()
            outages, longest = self._overview.outages()[:_MOST_SERVICES], self._overview.longest_attempts()
            lanes = self._overview.lanes()
        except DatabaseUnavailableError:
            return [_family('database_up', {(): 0.0})]
        # A queue in which nothing waits is at 0, not absent, as long as it has workers.
        waiting: dict[tuple[str, ...], float] = {(worker.application, worker.task): 0.0 for worker in workers}
        oldest, running = dict(waiting), {**waiting, **longest}
        for queue in queues:
            waiting[queue.application, queue.task] = float(queue.waiting)
            oldest[queue.application, queue.task] = queue.oldest_age
        states, slots = Counts[tuple[str, ...]](), Counts[tuple[str, ...]]()
        for worker in workers:
            kind = (worker.application, worker.task, worker.engine)
            states[kind + ('lost' if worker.lost else 'present',)] += 1
            slots[kind] += 0 if worker.lost else worker.concurrency
        limited: dict[str, Counts[tuple[str, ...]]] = {'running': Counts(), 'waiting': Counts()}
        for lane in lanes:
            for state, of_routes in limited.items():
                of_routes[lane.application, lane.task, lane.route] += getattr(lane, state)
        return [
            _family('database_up', {(): 1.0}),
            _family('events', {(code(status),): count for status, count in counts.items()}),
            _family('queue_waiting_events', waiting),
            _family('queue_oldest_age_seconds', oldest),
            _family('queue_longest_attempt_seconds', running),
            *(_family(f'limited_{state}_events', of_routes) for state, of_routes in limited.items()),
            _family('outage_waiting_events', {(each.service,): each.waiting for each in outages}),
            _family('outage_seconds', {(each.service,): max(0.0, time.time() - each.since) for each in outages}),
            _family('workers', states),
            _family('worker_slots', slots),
        ]


def _family(name: str, samples: Mapping[tuple[str, ...], float]) -> Metric:
    text, labels = {**DATABASE, **DISK}[name]
    family = GaugeMetricFamily(PREFIX + name, text, labels=labels)
    for values, value in samples.items():
        family.add_metric(values, value)
    return family
