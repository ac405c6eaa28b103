"""Where an event stands in line: its priority, and its lane, of which only so many may run at once.

Used by claims and accepts alone. A lane is what a limit counts, such as the events of one route and one project. Of
each lane a few events stand in line; the others are parked, which is a ``due`` below 0 that keeps the time from which
they wait. So the line is short however many events wait for a limit, and who comes last waits behind a few of each
lane, not behind all. A claim that leaves few of its lane in line lets the next in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pacifica.dispatcher._queue.record import PROCESSING, RECONCILIATIONS, TABLE, WAITING, event_key, placeholders
from pacifica.dispatcher._queue.session import Session
from pacifica.dispatcher._queue.status import Status
from pacifica.dispatcher._queue.values import Places, QueueName

IN_LINE = 8
"""So many events of a lane stand in line; as many as threads commonly claim at once, and few to wait behind."""

_OF_LANE = (
    f'(SELECT COUNT(*) FROM {TABLE} AS other WHERE other.lane = {TABLE}.lane'
    f' AND other.task_application_name = {TABLE}.task_application_name AND other.task_name = {TABLE}.task_name'
    " AND other.task_status = '{}'{})")
STANDING = _OF_LANE.format(Status.ACCEPTED, ' AND other.due > 0 AND other.due <= ?')
"""SQL of how many events stand in line in the lane of a row, itself included; its parameter is now."""

RUNNING = _OF_LANE.format(Status.PROCESSING, '')
"""SQL of how many events of the lane of a row are claimed; see :func:`running`."""

_MANY = 1000
_TOGETHER = 30  # lanes that one statement looks at: with _MANY of each still fewer rows than SQLite takes parameters
_DUE = f'{WAITING} AND due > 0 AND due <= ?'


def priorities(session: Session, queue: QueueName) -> Iterator[int]:
    """Yield the priorities of what waits, the highest first: each is found with one look into the index."""
    highest = session.execute(f'SELECT MAX(priority) FROM {TABLE} WHERE {WAITING}', tuple(queue)).fetchone()[0]
    while highest is not None:
        yield highest
        highest = session.execute(
            f'SELECT MAX(priority) FROM {TABLE} WHERE {WAITING} AND priority < ?', (*queue, highest)).fetchone()[0]


def lock(session: Session, queue: QueueName) -> None:
    """Let no other transaction claim what is limited until this one is committed."""
    if not session.dialect.lock_row:
        return
    key = event_key(queue.application, queue.task)[:32] + '.limits'
    if session.dialect.lock_name:
        session.execute(session.dialect.lock_name, (key,))
        return
    select = f'SELECT id FROM {RECONCILIATIONS} WHERE id = ? {session.dialect.lock_row}'
    while session.execute(select, (key,)).fetchone() is None:
        session.execute(
            f'INSERT INTO {RECONCILIATIONS} (id, due) VALUES (?, 0) {session.dialect.on_duplicate.format(key="id")}',
            (key,))


def running(session: Session, queue: QueueName) -> dict[str, int]:
    """Return how many events of each lane are claimed; those of dead workers count until somebody takes them."""
    return dict(session.execute(
        f'SELECT lane, COUNT(*) FROM {TABLE} WHERE {PROCESSING} AND lane IS NOT NULL GROUP BY lane', tuple(queue),
    ).fetchall())


def in_line(session: Session, queue: QueueName, lanes: Sequence[str], now: float) -> dict[str, int]:
    """Return how many events of the lanes stand in line."""
    if not lanes:
        return {}
    return dict(session.execute(
        f'SELECT lane, COUNT(*) FROM {TABLE} WHERE {_DUE} AND lane IN ({placeholders(len(lanes))}) GROUP BY lane',
        (*queue, now, *lanes)).fetchall())


def let_in(session: Session, queue: QueueName, wanted: Mapping[str, int], now: float) -> int:
    """Let parked events into the line, of each lane at most as many as are *wanted*, who have waited longest.

    Return how many that are.
    """
    lanes, count = list(wanted), 0
    for begin in range(0, len(lanes), _TOGETHER):
        some = lanes[begin:begin + _TOGETHER]
        select = ' UNION ALL '.join(
            f'SELECT uuid FROM (SELECT uuid FROM {TABLE} WHERE {WAITING} AND lane = ? AND due < 0 AND due >= ?'
            f' ORDER BY due DESC LIMIT {wanted[lane]:d} {session.dialect.skip_locked}) AS lane_{number}'
            for number, lane in enumerate(some))
        rows = session.execute(select, [each for lane in some for each in (*queue, lane, -now)]).fetchall()
        if rows:
            session.execute(
                f'UPDATE {TABLE} SET due = ?, lease_expires = NULL WHERE uuid IN ({placeholders(len(rows))})',
                (now, *(uuid for uuid, in rows)))
        count += len(rows)
    return count


def astray(session: Session, queue: QueueName, places: Places | None) -> tuple[list[int], list[str]]:
    """Return the priorities and lanes of events that no claim would find; changes nothing.

    Where routes have no limits or priorities any more, no claim lets events into the line, or looks for other
    priorities than 0. Else it is lanes that have none in line, because those have been cancelled, say.
    """
    lost = [] if places is not None and places.prioritized else [each for each in priorities(session, queue) if each]
    lanes = [row[0] for row in session.execute(
        f'SELECT lane FROM {TABLE} WHERE {WAITING} AND lane IS NOT NULL AND due < 0 GROUP BY lane', tuple(queue),
    ).fetchall()]
    there = in_line(session, queue, lanes, session.now()) if places is not None else {}
    return lost, [lane for lane in lanes if lane not in there]


def straighten(session: Session, queue: QueueName, places: Places | None) -> int:
    """Put what is :func:`astray` into the line; return how many parked events that lets in."""
    lost, lanes = astray(session, queue, places)
    for priority in lost:
        session.execute(f'UPDATE {TABLE} SET priority = 0 WHERE {WAITING} AND priority = ?', (*queue, priority))
    count = _MANY if places is None else IN_LINE
    return let_in(session, queue, dict.fromkeys(lanes, count), session.now())


def places_left(counts: Mapping[str, int], lane: str | None) -> bool:
    """Return whether another event of *lane* may stand in line, of which *counts* do."""
    return lane is None or counts.get(lane, 0) < IN_LINE
