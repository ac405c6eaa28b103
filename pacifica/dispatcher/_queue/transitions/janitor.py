"""The janitor: rescues the events of dead workers, and prunes events that ended long ago."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from pacifica.dispatcher._queue import history
from pacifica.dispatcher._queue.failures import failure_group
from pacifica.dispatcher._queue.record import CLAIMED, PROCESSING, TABLE, placeholders, timestamp
from pacifica.dispatcher._queue.session import Session
from pacifica.dispatcher._queue.status import Status
from pacifica.dispatcher._queue.transitions.accept import Accept
from pacifica.dispatcher._queue.transitions.output import delete_outputs
from pacifica.dispatcher._queue.transitions.previews import delete_previews
from pacifica.dispatcher._queue.values import OUTGOING_ATTEMPTS, QueueName
from pacifica.dispatcher.hooks import FinishedTask

_RESCUED_ROWS = 100


class Rescued(NamedTuple):
    """How many events run again, how many have ended, and those that have ended without outgoing ones."""

    again: int
    ended: int
    tasks: list[FinishedTask]


def rescue(
    session: Session, queue: QueueName, max_attempts: int, asked: float,
    outgoing: Callable[[FinishedTask], Iterable[Accept]], worker_id: str | None = None,
) -> Rescued:
    """Take events from dead workers: ``102`` with its lease over → ``202``, or ``500`` after the last attempt.

    A lease counts as over if it was when this was asked, at *asked* by the monotonic clock: while the database
    answered nobody since, nobody could renew one. *outgoing* makes the events that are stored with the end of one.

    :param worker_id: take the events of this worker alone, which is known to be dead, whatever their leases.
    """
    now = session.now()
    over, parameter = (
        ('lease_expires < ?', now - (time.monotonic() - asked)) if worker_id is None else
        ('claim_token LIKE ?', f'{worker_id}%'))
    rows = session.execute(
        f'SELECT uuid, claim_token, attempts, postponed, claim_owner, claimed, history, destination, route FROM {TABLE}'
        f' WHERE {PROCESSING} AND {over}'
        f' ORDER BY lease_expires LIMIT {_RESCUED_ROWS} {session.dialect.skip_locked}',
        (*queue, parameter),
    ).fetchall()
    again, ended = 0, []
    for uuid, token, attempts, postponed, owner, claimed_at, so_far, destination, route in rows:
        most = postponed + (max_attempts if destination is None else OUTGOING_ATTEMPTS)
        last = attempts >= most
        status = (Status.FAILED if last else Status.ACCEPTED).value
        message = f'worker {owner} died or hung in attempt {attempts} of {most}'
        entry = history.attempt(
            attempts, owner, claimed_at, now, status, exc_type='WorkerLostError', exc_value=message)
        # Later attempts wait a random time, so that what died together is not run together again.
        delay = random.uniform(0.0, 10.0) if attempts > 1 else 0.0
        changed = session.execute(
            f'UPDATE {TABLE} SET task_status = ?, exc_type = ?, exc_value = ?, exc_traceback = ?, due = ?,'
            ' failure_group = ?, finalized = ?, updated = ?, history = ?, claim_token = NULL, claim_owner = NULL,'
            f' lease_expires = NULL WHERE {CLAIMED}',
            (status, 'WorkerLostError', message, '', now + delay,
             failure_group(route, 'WorkerLostError', message) if last else None,
             timestamp(now) if last else None, timestamp(now), history.extend(so_far, entry), uuid, token),
        ).rowcount
        if changed and last:
            ended.append(uuid)
        again += changed and not last
    tasks = _ended(session, ended, now)
    if accepts := [accept for task in tasks for accept in outgoing(task)]:
        Accept.run(session, accepts)
    return Rescued(again, len(ended), tasks)


def _ended(session: Session, uuids: Sequence[Any], now: float) -> list[FinishedTask]:
    """Return the events that were just ended, without outgoing ones."""
    if not uuids:
        return []
    rows = session.execute(
        f'SELECT task_id, task_status, event_data, attempts, route, exc_type, exc_value, result, claimed FROM {TABLE}'
        f' WHERE uuid IN ({placeholders(len(uuids))}) AND destination IS NULL', uuids,
    ).fetchall()
    return [
        FinishedTask(UUID(str(task_id)), status, event_data, attempts, route, exc_type, exc_value,
                     None if result is None else json.loads(result), 0.0 if claimed_at is None else now - claimed_at)
        for task_id, status, event_data, attempts, route, exc_type, exc_value, result, claimed_at in rows
    ]


def prune(
    session: Session, queue: QueueName | None, older_than: float, limit: int, unrouted: bool = False,
) -> int:
    """Delete at most *limit* events that ended more than *older_than* seconds ago, the oldest first: final → gone.

    :param queue: ``None`` for those of every queue in the table.
    :param unrouted: those alone that no route matched, and not those of the 0.2 series, which nobody claimed.
    :return: how many were deleted.
    """
    condition, parameters = _prunable(session, queue, older_than)
    order = 'finalized'
    if unrouted:
        # By the index of these events, in the order in which they came: others may be many, and kept for ever.
        condition += f" AND task_status = '{Status.UNPROCESSABLE}' AND claimed IS NOT NULL AND created < ?"
        parameters, order = [*parameters, parameters[0]], 'created'
    rows = session.execute(
        f'SELECT uuid FROM {TABLE} WHERE {condition} ORDER BY {order} LIMIT {limit:d} {session.dialect.skip_locked}',
        parameters,
    ).fetchall()
    if not rows:
        return 0
    uuids = [row[0] for row in rows]
    delete_outputs(session, uuids)
    delete_previews(session, uuids)
    return int(session.execute(
        f'DELETE FROM {TABLE} WHERE uuid IN ({placeholders(len(uuids))})', uuids).rowcount)


def count_prunable(session: Session, queue: QueueName | None, older_than: float) -> int:
    """Return how many events :func:`prune` would delete without a limit, changing nothing."""
    condition, parameters = _prunable(session, queue, older_than)
    return int(session.execute(f'SELECT COUNT(*) FROM {TABLE} WHERE {condition}', parameters).fetchone()[0])


def _prunable(session: Session, queue: QueueName | None, older_than: float) -> tuple[str, list[str]]:
    condition, parameters = 'finalized < ?', [timestamp(session.now() - older_than)]
    if queue is None:
        return condition, parameters
    return f'{condition} AND task_application_name = ? AND task_name = ?', [*parameters, *queue]
