"""How many events ended within spans of time, how, and how fast: what of the overview is about the past."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pacifica.dispatcher._queue.record import TABLE, timestamp
from pacifica.dispatcher._queue.session import Session
from pacifica.dispatcher._queue.status import FINAL, Status

_SAMPLE = 50
_KNOWN = 60.0  # seconds for which a span that is over isn't asked for again: only pruning and retries change the past
_SETTLED = 10.0  # seconds after which what ended in a span is committed


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


class Ended:
    """Reads spans of time, and remembers those that are over for some minutes."""

    def __init__(self) -> None:
        self._over: dict[tuple[float, float], tuple[float, Bucket]] = {}  # width and beginning → until when it is good

    def latest(self, session: Session, width: float, number: int) -> list[Bucket]:
        """Return the last *number* spans of *width* seconds, the oldest first; the last one is not over yet."""
        now = session.now()
        current = now // width
        begins = [(current - back) * width for back in range(number - 1, -1, -1)]
        known = {begin: found[1] for begin in begins
                 if (found := self._over.get((width, begin))) is not None and now < found[0]}
        fresh = _buckets(session, [begin for begin in begins if begin not in known], width)
        for position, bucket in enumerate(fresh):
            if bucket.begin + width + _SETTLED < now:
                # Not all together: then one page in a while would be as slow as the first.
                self._over[width, bucket.begin] = now + _KNOWN * (1 + position / len(fresh) * 4), bucket
        for key in [key for key in list(self._over) if key[0] == width and key[1] < begins[0]]:
            self._over.pop(key, None)
        known.update((bucket.begin, bucket) for bucket in fresh)
        return [known[begin] for begin in begins]


def route_names(session: Session, keys: Iterable[int], since: float) -> dict[int, str]:
    """Return the names of routes by their keys, as events that ended since then have them."""
    names = {}
    for key in keys:
        row = session.execute(
            f'SELECT route FROM {TABLE} WHERE finalized >= ? AND route_key = ? LIMIT 1', (timestamp(since), key),
        ).fetchone()
        if row is not None:
            names[key] = row[0]
    return names


def _buckets(session: Session, begins: Sequence[float], width: float) -> list[Bucket]:
    """Return the span of each beginning; two statements for all of them."""
    spans = [(timestamp(begin), timestamp(begin + width)) for begin in begins]
    found = [_empty(begin) for begin in begins]
    for position, status, key, count in _union(session, spans, (
        f'SELECT {{position}} AS position, task_status, route_key, COUNT(*) AS number FROM {TABLE}'
        ' WHERE finalized >= ? AND finalized < ? GROUP BY task_status, route_key'
    )):
        for bucket in _of(found[int(position)], key):
            bucket.counts[Status(status)] += count
    busy = [(bucket, span) for bucket, span in zip(found, spans) if any(bucket.counts.values())]
    taken = session.dialect.seconds_between.format(earlier='created', later='finalized')
    for position, seconds, key in _union(session, [span for _, span in busy], (
        f'SELECT * FROM (SELECT {{position}} AS position, {taken} AS seconds, route_key FROM {TABLE}'
        f' WHERE finalized >= ? AND finalized < ? ORDER BY finalized DESC LIMIT {_SAMPLE}) AS s{{position}}'
    )):
        for bucket in _of(busy[int(position)][0], key):
            bucket.seconds.append(float(seconds))
    for bucket, _ in busy:
        for each in (bucket, *bucket.routes.values()):
            each.seconds.sort()
    return found


def _empty(begin: float) -> Bucket:
    return Bucket(begin, dict.fromkeys(sorted(FINAL), 0), [])


def _of(bucket: Bucket, key: int | None) -> Sequence[Bucket]:
    """Return the buckets that an event of the route *key* is in."""
    if key is None:
        return [bucket]
    if key not in bucket.routes:
        bucket.routes[key] = _empty(bucket.begin)
    return [bucket, bucket.routes[key]]


def _union(session: Session, spans: Sequence[tuple[str, str]], select: str) -> list[Any]:
    """Return the rows of *select* for every span, each with the span's position: one way to the server and back."""
    if not spans:
        return []
    parts = ' UNION ALL '.join(select.format(position=position) for position in range(len(spans)))
    return list(session.execute(parts, [time for span in spans for time in span]).fetchall())
