"""What waits for a service that is away: an event ``102`` → ``202``, its attempt not counted; the outage itself.

While an outage lasts, its events are due when their patience is over. One of them is made due from time to time, to
probe the service; when it is back, all are.
"""

from __future__ import annotations

from pacifica.dispatcher._queue import history
from pacifica.dispatcher._queue.record import CLAIMED, OUTAGES, TABLE, WAITING, event_key, storable, timestamp
from pacifica.dispatcher._queue.session import Session
from pacifica.dispatcher._queue.status import Status
from pacifica.dispatcher._queue.transitions.claim import is_written
from pacifica.dispatcher._queue.transitions.output import write_output
from pacifica.dispatcher._queue.values import ClaimedEvent, Outage, Outcome, QueueName

_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 30.0
_A_SECOND, _SPREAD = 50, 15.0  # more events than a second's go on over so many seconds at most, when it is back
_FAULT_CHARACTERS = 500
_FORGOTTEN = 3600.0  # seconds after the last probe was due: nothing waits for that service any more


def wait(session: Session, claimed: ClaimedEvent, outcome: Outcome) -> bool:
    """Put an event back whose attempt a service prevented: ``102`` → ``202``. Return whether the claim still held.

    Its timeline shows the first such attempt of many. If it waits for the end of an outage, there is one from here on:
    that may have ended meanwhile, or not been noted, because the database was away as well, and nobody would ask.
    """
    if outcome.awaits is not None:  # before the event's row, in the order in which the end of an outage locks them
        begin_outage(session, outcome.awaits, outcome.exc_value or '', newer=False)
    now, first = session.now(), claimed.waiting_since is None
    attempt = history.attempt(
        claimed.attempt, claimed.owner, claimed.claimed_at, now, outcome.status.value, route=outcome.route,
        exc_type=outcome.exc_type, exc_value=outcome.exc_value, stages=outcome.stages, made_by=outcome.made_by)
    written = bool(session.execute(
        f'UPDATE {TABLE} SET task_status = ?, attempts = attempts - 1, exc_type = ?, exc_value = ?, route = ?,'
        ' due = CASE WHEN cancelled_by IS NULL THEN ? ELSE 1 END, updated = ?, history = ?, awaits = ?,'
        ' waiting_since = COALESCE(waiting_since, claimed),'
        f' claim_token = NULL, claim_owner = NULL, lease_expires = NULL WHERE {CLAIMED}',
        (Status.ACCEPTED.value, storable(outcome.exc_type), storable(outcome.exc_value), storable(outcome.route),
         now + (outcome.delay or 0.0), timestamp(now),
         history.extend(claimed.history, attempt) if first else claimed.history, outcome.awaits, claimed.uuid,
         claimed.token),
    ).rowcount)
    if written and outcome.output is not None:
        write_output(session, claimed, outcome.output)
    return written or (first and is_written(session, claimed, attempt))


def begin_outage(session: Session, service: str, fault: str, *, newer: bool = True) -> bool:
    """Note that a service is away; return whether that was not known. It can't end before this is committed.

    :param newer: whether *fault* is better than what is known.
    """
    now, key = session.now(), event_key(service, '')
    text = storable(fault, _FAULT_CHARACTERS)
    begun = bool(session.execute(
        f'INSERT INTO {OUTAGES} (id, service, fault, since, pause, due) VALUES (?, ?, ?, ?, ?, ?)'
        f' {session.dialect.on_duplicate.format(key="id")}',
        (key, service, text, now, _FIRST_PAUSE, now + _FIRST_PAUSE)).rowcount)
    if not begun:
        session.execute(f'UPDATE {OUTAGES} SET fault = COALESCE(?, fault) WHERE id = ?', (text if newer else None, key))
    return begun


def outages(session: Session) -> list[Outage]:
    """Return the services that are known to be away."""
    return [Outage(*row) for row in session.execute(
        f'SELECT service, fault, since FROM {OUTAGES} ORDER BY since').fetchall()]


def take_probe(session: Session, service: str) -> bool:
    """Take the turn to ask a service that is away; ``False`` if it is another's, or not time yet."""
    now, key = session.now(), event_key(service, '')
    row = session.execute(f'SELECT pause, due FROM {OUTAGES} WHERE id = ? AND due <= ?', (key, now)).fetchone()
    if row is None:
        return False
    pause = min(2 * row[0], _LONGEST_PAUSE)
    return bool(session.execute(
        f'UPDATE {OUTAGES} SET pause = ?, due = ? WHERE id = ? AND due = ?', (pause, now + pause, key, row[1]),
    ).rowcount)


def probe_outages(session: Session, queue: QueueName) -> int:
    """Make one event of *queue* due for each service that is to be asked again; return how many.

    The one that was run the longest ago: one that the service can't serve must not keep others from finding out.
    """
    now, made = session.now(), 0
    for service, due in session.execute(f'SELECT service, due FROM {OUTAGES} WHERE due <= ?', (now,)).fetchall():
        row = session.execute(
            f'SELECT uuid FROM {TABLE} WHERE {WAITING} AND awaits = ? ORDER BY claimed LIMIT 1'
            f' {session.dialect.skip_locked}', (*queue, service)).fetchone()
        if row is not None:
            made += session.execute(
                f'UPDATE {TABLE} SET due = ? WHERE uuid = ? AND task_status = ?',
                (now, row[0], Status.ACCEPTED.value)).rowcount
        elif due < now - _FORGOTTEN:
            session.execute(f'DELETE FROM {OUTAGES} WHERE service = ? AND due = ?', (service, due))
    return made


def end_outage(session: Session, service: str) -> tuple[Outage, int] | None:
    """Note that a service is back, and make what waits for it due; return the outage and how many events that are."""
    key = event_key(service, '')
    row = session.execute(f'SELECT service, fault, since FROM {OUTAGES} WHERE id = ?', (key,)).fetchone()
    if row is None or not session.execute(f'DELETE FROM {OUTAGES} WHERE id = ?', (key,)).rowcount:
        return None
    waiting = session.execute(
        f'SELECT COUNT(*) FROM {TABLE} WHERE task_status = ? AND awaits = ?', (Status.ACCEPTED.value, service),
    ).fetchone()[0]
    released = session.execute(
        f'UPDATE {TABLE} SET due = ? + {session.dialect.random} * ?, awaits = NULL'
        ' WHERE task_status = ? AND awaits = ?',
        (session.now(), min(waiting // _A_SECOND, _SPREAD), Status.ACCEPTED.value, service)).rowcount
    return Outage(*row), int(released)
