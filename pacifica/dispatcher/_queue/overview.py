"""The state of the whole table at a glance: what the dashboard, ``status`` and the metrics show.

Each number is read from an index, and none costs more than ``COUNT_LIMIT`` of its entries: beyond that it is "more than
…". Spans of the past are remembered for some minutes: only pruning and operators change them. Times are seconds since
1970 by the database's clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from pacifica.dispatcher._queue.connections import Connections
from pacifica.dispatcher._queue.ended import Bucket, Ended, route_names
from pacifica.dispatcher._queue.failing import COUNT_LIMIT, FailureGroup, failing
from pacifica.dispatcher._queue.record import NEWEST_FIRST, TABLE, WORKERS
from pacifica.dispatcher._queue.session import Session
from pacifica.dispatcher._queue.status import Status
from pacifica.dispatcher._queue.transitions import line, outages
from pacifica.dispatcher._queue.values import QueueName

_KNOWN = 60.0  # seconds for which a count that has reached its limit isn't asked for again
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


class Overview:
    """Reads the state of every queue in the table.

    Each method raises ``DatabaseUnavailableError`` if the database does not answer.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._many: dict[Status, float] = {}  # when it was seen that the limit is reached
        self._names: dict[int, str] = {}
        self._ended = Ended()

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
        """Return how many events are in each of the *statuses*, each at most ``COUNT_LIMIT``."""
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
        """Return how many of those that ended in ``200 OK`` no handler ran for; at most ``COUNT_LIMIT``."""
        return self._connections.read(lambda session: _count(session, 'skipped = 1'))

    def unrouted(self) -> dict[str, int]:
        """Count the latest 200 events that no route matched by their type; return the five that are the most."""
        return self._connections.read(_unrouted)

    def queues(self) -> list[QueueState]:
        """Return each queue in which something waits."""
        return self._connections.read(_queues)

    def failing(self) -> list[FailureGroup]:
        """Return the groups of equal failures of the last day, that of the most first."""
        return self._connections.read(failing)

    def lanes(self) -> list[LaneState]:
        """Return what limits count, that of which most waits first."""
        return self._connections.read(_lanes)

    def longest_attempts(self) -> dict[tuple[str, ...], float]:
        """Return by application and task for how many seconds the longest of the running attempts has been running."""
        return self._connections.read(_longest_attempts)

    def workers(self) -> list[WorkerState]:
        """Return the workers with a heartbeat within a day, the latest first."""
        return self._connections.read(_workers)

    def outages(self) -> list[OutageState]:
        """Return the services that are known to be away, the longest first."""
        return self._connections.read(_outages)

    def ended(self, width: float, number: int) -> list[Bucket]:
        """Return the last *number* spans of *width* seconds, the oldest first; the last one is not over yet."""
        return self._connections.read(lambda session: self._ended.latest(session, width, number))

    def route_names(self, keys: Iterable[int], since: float) -> dict[int, str]:
        """Return the names of routes by their keys, as events that ended since then have them."""
        unknown = [key for key in keys if key not in self._names]
        if unknown:
            self._names.update(self._connections.read(lambda session: route_names(session, unknown, since)))
        return self._names


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
        f' {NEWEST_FIRST} LIMIT {_UNROUTED}').fetchall()
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
        of_queue = f'{waiting} AND task_application_name = ? AND task_name = ?'
        oldest = [
            session.execute(
                f'SELECT MIN(due) FROM {TABLE} WHERE {of_queue} AND priority = ? AND due > 0', (*after, each),
            ).fetchone()[0] for each in line.priorities(session, QueueName(*after))
        ]
        count = _count(session, of_queue, *after)
        if count:  # all may have been taken since
            due = min((each for each in oldest if each is not None), default=now)
            found.append(QueueState(*after, max(0.0, now - due), count))


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
