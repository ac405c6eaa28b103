"""The state of the whole table at a glance: what the dashboard, ``status`` and the metrics show.

Each number is read from an index, and none costs more than ``COUNT_LIMIT`` of its entries: beyond that it is "more than
…". Spans of the past are remembered for some minutes: only pruning and operators change them. Times are seconds since
1970 by the database's clock.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from pacifica.dispatcher._queue.connections import Connections
from pacifica.dispatcher._queue.failing import COUNT_LIMIT, FailureGroup, failing
from pacifica.dispatcher._queue.record import TABLE, WORKERS, seconds, timestamp
from pacifica.dispatcher._queue.session import Session
from pacifica.dispatcher._queue.status import FINAL, Status
from pacifica.dispatcher._queue.transitions import line, outages
from pacifica.dispatcher._queue.values import QueueName

_SAMPLE = 50
_KNOWN = 60.0  # seconds for which what hardly changes isn't asked for again: only pruning and retries change the past
_SETTLED = 10.0  # seconds after which what ended in a span is committed
_MOST_WORKERS = 500
_UNROUTED = 200  # of how many events that no route matched the types are counted
_MOST_TYPES = 5


@dataclass(frozen=True)
class QueueState:
    """What waits for the workers of one application's task.

    :param oldest_age: age of the oldest due event, in seconds since it was due; 0 if none is due yet.
    :param waiting: how many events wait, those for their next attempt included; at most ``COUNT_LIMIT``.
    """

    application: str
    task: str
    oldest_age: float
    waiting: int


@dataclass(frozen=True)
class WorkerState:
    """A worker, by its heartbeats.

    :param owner: where it runs, ``host:process``.
    :param engine: ``'threads'``, ``'processes'`` or ``'celery'``.
    :param concurrency: how many events it handles at the same time.
    :param lease: seconds for which its claims hold unless renewed.
    :param started: when it started.
    :param age: seconds since its last heartbeat; if more than its lease, the worker is busy or dead.
    """

    owner: str
    application: str
    task: str
    engine: str
    concurrency: int
    lease: float
    started: float
    age: float

    @property
    def lost(self) -> bool:
        """Whether it has been silent for longer than its claims hold."""
        return self.age > self.lease


@dataclass(frozen=True)
class OutageState:
    """A service that is known to be away.

    :param service: what it is and where, for example ``Cartd at http://archive:8081``.
    :param fault: why it can't be used, as the last event that asked it was told.
    :param since: when that was first seen.
    :param waiting: how many events wait for it; at most ``COUNT_LIMIT``.
    """

    service: str
    fault: str
    since: float
    waiting: int


@dataclass(frozen=True)
class LaneState:
    """What a limit counts, in which something runs or waits.

    :param route: the name of the route that has the limit.
    :param key: whose limit it is, such as a project; empty if all events of the route share it.
    :param running: how many of its events run.
    :param waiting: how many wait.
    """

    application: str
    task: str
    route: str
    key: str
    running: int
    waiting: int


@dataclass(frozen=True)
class Bucket:
    """The events that ended within a span of time.

    :param begin: its beginning.
    :param counts: how many ended in each final status.
    :param seconds: from acceptance to the end, of some of them, in ascending order.
    :param routes: the same of each route, by :func:`~pacifica.dispatcher._queue.record.route_key`.
    """

    begin: float
    counts: dict[Status, int]
    seconds: list[float]
    routes: dict[int, Bucket] = field(default_factory=dict)


class Overview:
    """Reads the state of every queue in the table."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._many: dict[Status, float] = {}  # when it was seen that the limit is reached
        self._names: dict[int, str] = {}
        self._over: dict[tuple[float, float], tuple[float, Bucket]] = {}  # width and beginning → until when it is good

    @property
    def shared(self) -> bool:
        """Whether more than one thread can see the database."""
        return self._connections.shared

    @property
    def sqlite_file(self) -> Path | None:
        """Where the database is, if it is SQLite's and in a file."""
        return self._connections.sqlite_file

    @property
    def away(self) -> bool:
        """Whether the database is known to answer nothing."""
        return self._connections.availability.away

    def counts(self, statuses: Iterable[Status] = Status) -> dict[Status, int]:
        """Return how many events are in each of the *statuses*, each at most ``COUNT_LIMIT``.

        :raises DatabaseUnavailableError: if the database does not answer.
        """
        return self._connections.read(lambda session: self._counts(session, statuses))

    def _counts(self, session: Session, statuses: Iterable[Status]) -> dict[Status, int]:
        now = session.now()
        found = {}
        for status in statuses:
            if now - self._many.get(status, -_KNOWN) < _KNOWN:
                found[status] = COUNT_LIMIT
                continue
            # The finals that are many have no index of their own; "finalized" has them all.
            ended = ' AND finalized IS NOT NULL' if status is Status.OK else ''
            found[status] = _count(session, f"task_status = '{status}'{ended}")
            if found[status] == COUNT_LIMIT:
                self._many[status] = now
        return found

    def skipped(self) -> int:
        """Return how many of those that ended in ``200 OK`` no handler ran for; at most ``COUNT_LIMIT``.

        :raises DatabaseUnavailableError: if the database does not answer.
        """
        return self._connections.read(lambda session: _count(session, 'skipped = 1'))

    def unrouted(self) -> dict[str, int]:
        """Count the latest 200 events that no route matched by their type; return the five that are the most.

        :raises DatabaseUnavailableError: if the database does not answer.
        """
        return self._connections.read(_unrouted)

    def queues(self) -> list[QueueState]:
        """Return each queue in which something waits.

        :raises DatabaseUnavailableError: if the database does not answer.
        """
        return self._connections.read(_queues)

    def failing(self) -> list[FailureGroup]:
        """Return the groups of equal failures of the last day, that of the most first.

        :raises DatabaseUnavailableError: if the database does not answer.
        """
        return self._connections.read(failing)

    def lanes(self) -> list[LaneState]:
        """Return what limits count, that of which most waits first."""
        return self._connections.read(_lanes)

    def longest_attempts(self) -> dict[tuple[str, ...], float]:
        """Return by application and task for how many seconds the longest of the running attempts has been running.

        :raises DatabaseUnavailableError: if the database does not answer.
        """
        return self._connections.read(_longest_attempts)

    def workers(self) -> list[WorkerState]:
        """Return the workers with a heartbeat within a day, the latest first.

        :raises DatabaseUnavailableError: if the database does not answer.
        """
        return self._connections.read(_workers)

    def outages(self) -> list[OutageState]:
        """Return the services that are known to be away, the longest first.

        :raises DatabaseUnavailableError: if the database does not answer.
        """
        return self._connections.read(_outages)

    def ended(self, width: float, number: int) -> list[Bucket]:
        """Return the last *number* spans of *width* seconds, the oldest first; the last one is not over yet.

        :raises DatabaseUnavailableError: if the database does not answer.
        """
        return self._connections.read(lambda session: self._ended(session, width, number))

    def route_names(self, keys: Iterable[int], since: float) -> dict[int, str]:
        """Return the names of routes by their keys, as events that ended since then have them.

        :raises DatabaseUnavailableError: if the database does not answer.
        """
        unknown = [key for key in keys if key not in self._names]
        if unknown:
            self._names.update(self._connections.read(lambda session: _route_names(session, unknown, since)))
        return self._names

    def _ended(self, session: Session, width: float, number: int) -> list[Bucket]:
        now = session.now()
        current = now // width
        begins = [(current - back) * width for back in range(number - 1, -1, -1)]
        known = {
            begin: bucket for begin in begins
            for until, bucket in [self._over.get((width, begin), (0.0, None))] if bucket is not None and now < until
        }
        fresh = _buckets(session, [begin for begin in begins if begin not in known], width)
        for position, bucket in enumerate(fresh):
            if bucket.begin + width + _SETTLED < now:
                # Not all together: then one page in a while would be as slow as the first.
                self._over[width, bucket.begin] = now + _KNOWN * (1 + position / len(fresh) * 4), bucket
        for key in [key for key in list(self._over) if key[0] == width and key[1] < begins[0]]:
            self._over.pop(key, None)
        known.update((bucket.begin, bucket) for bucket in fresh)
        return [known[begin] for begin in begins]


def _count(session: Session, condition: str, *parameters: str) -> int:
    return int(session.execute(
        f'SELECT COUNT(*) FROM (SELECT 1 AS one FROM {TABLE} WHERE {condition} LIMIT {COUNT_LIMIT}) AS counted',
        parameters).fetchone()[0])


def _outages(session: Session) -> list[OutageState]:
    return [
        OutageState(*outage, _count(session, f"task_status = '{Status.ACCEPTED}' AND awaits = ?", outage.service))
        for outage in outages(session)
    ]


def _lanes(session: Session) -> list[LaneState]:
    """Read the index of what waits behind limits, and what is claimed."""
    counts: dict[tuple[str, ...], dict[str, int]] = {}
    for status in (Status.PROCESSING, Status.ACCEPTED):
        rows = session.execute(
            f"SELECT task_application_name, task_name, lane, COUNT(*) FROM {TABLE} WHERE task_status = '{status}'"
            ' AND lane IS NOT NULL GROUP BY task_application_name, task_name, lane').fetchall()
        for *names, count in rows:
            counts.setdefault(tuple(names), {})[status] = int(count)
    found = []
    for (application, task, lane), count in counts.items():
        route, key = map(unquote, lane.split('/', 1))
        found.append(LaneState(
            application, task, route, key, count.get(Status.PROCESSING, 0), count.get(Status.ACCEPTED, 0)))
    return sorted(found, key=lambda each: (-each.waiting, -each.running, each.route, each.key))


def _unrouted(session: Session) -> dict[str, int]:
    rows = session.execute(
        f"SELECT event_type FROM {TABLE} WHERE task_status = '{Status.UNPROCESSABLE}'"
        f' ORDER BY created DESC, task_id DESC LIMIT {_UNROUTED}').fetchall()
    return dict(Counter(event_type or '' for event_type, in rows).most_common(_MOST_TYPES))


def _queues(session: Session) -> list[QueueState]:
    """Step from queue to queue through the index of what waits in line."""
    now, after = session.now(), ('', '')
    found: list[QueueState] = []
    waiting = f"task_status = '{Status.ACCEPTED}' AND due <> 0"  # which is that of rows of the 0.2 series
    while True:
        row = session.execute(
            f'SELECT task_application_name, task_name FROM {TABLE} WHERE {waiting} AND task_application_name >= ?'
            ' AND (task_application_name > ? OR task_name > ?)'
            ' ORDER BY task_application_name, task_name LIMIT 1', (after[0], *after),
        ).fetchone()
        if row is None:
            return found
        after = (row[0], row[1])
        of_queue = f'FROM {TABLE} WHERE {waiting} AND task_application_name = ? AND task_name = ?'
        oldest = [
            session.execute(f'SELECT MIN(due) {of_queue} AND priority = ? AND due > 0', (*after, each)).fetchone()[0]
            for each in line.priorities(session, QueueName(*after))
        ]
        count = session.execute(
            f'SELECT COUNT(*) FROM (SELECT 1 AS one {of_queue} LIMIT {COUNT_LIMIT}) AS counted', after).fetchone()[0]
        if count:  # all may have been taken since
            due = min((each for each in oldest if each is not None), default=now)
            found.append(QueueState(*after, max(0.0, now - due), int(count)))


def _longest_attempts(session: Session) -> dict[tuple[str, ...], float]:
    """Read what is claimed, which is as much as workers have slots."""
    now = session.now()
    return {
        (application, task): max(0.0, now - claimed) for application, task, claimed in session.execute(
            f"SELECT task_application_name, task_name, MIN(claimed) FROM {TABLE}"
            f" WHERE task_status = '{Status.PROCESSING}' AND claimed IS NOT NULL"
            ' GROUP BY task_application_name, task_name').fetchall()
    }


def _workers(session: Session) -> list[WorkerState]:
    now = session.now()
    rows = session.execute(
        f'SELECT owner, task_application_name, task_name, engine, concurrency, lease, started, seen FROM {WORKERS}'
        f' ORDER BY seen DESC LIMIT {_MOST_WORKERS}').fetchall()
    return [
        WorkerState(owner, application, task, engine, concurrency, lease, started, max(0.0, now - seen))
        for owner, application, task, engine, concurrency, lease, started, seen in rows
    ]


def _buckets(session: Session, begins: Sequence[float], width: float) -> list[Bucket]:
    """Return the span of each beginning; two statements for all of them."""
    if not begins:
        return []
    spans = [(timestamp(begin), timestamp(begin + width)) for begin in begins]
    found = [_empty(begin) for begin in begins]
    for position, status, key, count in _union(session, spans, (
        f'SELECT {{position}} AS position, task_status, route_key, COUNT(*) AS number FROM {TABLE}'
        ' WHERE finalized >= ? AND finalized < ? GROUP BY task_status, route_key'
    )):
        for bucket in _of(found[int(position)], key):
            bucket.counts[Status(status)] += count
    busy = [bucket for bucket in found if any(bucket.counts.values())]
    for position, created, finalized, key in _union(session, [
        span for bucket, span in zip(found, spans) if any(bucket.counts.values())
    ], (
        f'SELECT * FROM (SELECT {{position}} AS position, created, finalized, route_key FROM {TABLE}'
        f' WHERE finalized >= ? AND finalized < ? ORDER BY finalized DESC LIMIT {_SAMPLE}) AS s{{position}}'
    )):
        for bucket in _of(busy[int(position)], key):
            insort(bucket.seconds, seconds(finalized) - seconds(created))
    return found


def _empty(begin: float) -> Bucket:
    return Bucket(begin, dict.fromkeys(sorted(FINAL), 0), [])


def _of(bucket: Bucket, key: int | None) -> Sequence[Bucket]:
    """Return the buckets that an event of the route *key* is in."""
    return [bucket] if key is None else [bucket, bucket.routes.setdefault(key, _empty(bucket.begin))]


def _route_names(session: Session, keys: Iterable[int], since: float) -> dict[int, str]:
    names = {}
    for key in keys:
        row = session.execute(
            f'SELECT route FROM {TABLE} WHERE finalized >= ? AND route_key = ? LIMIT 1', (timestamp(since), key),
        ).fetchone()
        if row is not None:
            names[key] = row[0]
    return names


def _union(session: Session, spans: Sequence[tuple[str, str]], select: str) -> list[Any]:
    """Return the rows of *select* for every span, each with the span's position: one way to the server and back."""
    if not spans:
        return []
    parts = ' UNION ALL '.join(select.format(position=position) for position in range(len(spans)))
    return list(session.execute(parts, [time for span in spans for time in span]).fetchall())
