"""What a person does with an event: run it again, or have it not run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from pacifica.dispatcher._queue import history
from pacifica.dispatcher._queue.record import TABLE, placeholders, storable, timestamp
from pacifica.dispatcher._queue.session import Session
from pacifica.dispatcher._queue.status import FINAL, Status

_FINAL = tuple(sorted(status.value for status in FINAL))
_ENDED = f'task_status IN ({placeholders(len(_FINAL))})'
_NAME_CHARACTERS = 255
_RESULT = 'CASE WHEN skipped IS NULL THEN result END'  # what no handler has saved is none's to find


def retry(
    session: Session, task_id: UUID, by: str | None, afresh: bool, parameters: Mapping[str, Any] | None = None,
) -> bool:
    """Run an event again that has ended: final → ``202``, due now, its attempts counted anew.

    What its handler has saved (see ``save_result``) is kept, so that an upload that is done is not done twice, unless
    it is to start *afresh*, without parameters of its own too, or other *parameters* are set: they have other results.
    Return whether it had ended.
    """
    now = session.now()
    row = _lock(session, task_id, _ENDED, _FINAL)
    if row is None:
        return False
    own = {**json.loads('{}' if afresh else row[2] or '{}'), **(parameters or {})}
    entry = history.act('replay' if afresh else 'retry', now, by, parameters)
    return bool(session.execute(
        f'UPDATE {TABLE} SET task_status = ?, attempts = 0, postponed = 0, due = ?, finalized = NULL, updated = ?,'
        ' history = ?, lease_expires = NULL, cancelled_by = NULL, failure_group = NULL,'
        ' parameters = ?,'
        f' result = {"NULL" if afresh or parameters else _RESULT}, skipped = NULL WHERE uuid = ? AND {_ENDED}',
        (Status.ACCEPTED.value, now, timestamp(now), history.extend(row[1], entry), json.dumps(own) if own else None,
         row[0], *_FINAL),
    ).rowcount)


def cancel(session: Session, task_id: UUID, by: str | None) -> bool:
    """Have an event not run that waits: ``202`` → ``500``; ask the worker of one that runs to end it: stays ``102``.

    Return whether it was waiting or running.
    """
    now = session.now()
    row = _lock(session, task_id, 'task_status = ?', (Status.ACCEPTED.value,))
    if row is None:
        return bool(session.execute(
            f'UPDATE {TABLE} SET cancelled_by = ?, updated = ? WHERE task_id = ? AND task_status = ?'
            ' AND destination IS NULL',
            (storable(by, _NAME_CHARACTERS) or '', timestamp(now), session.dialect.uuid(task_id),
             Status.PROCESSING.value)).rowcount)
    message = f'cancelled{f" by {by}" if by else ""} while it waited'
    return bool(session.execute(
        f'UPDATE {TABLE} SET task_status = ?, exc_type = ?, exc_value = ?, exc_traceback = ?, finalized = ?,'
        ' updated = ?, history = ?, lease_expires = NULL, awaits = NULL WHERE uuid = ? AND task_status = ?',
        (Status.FAILED.value, 'CancelledError', storable(message), '', timestamp(now), timestamp(now),
         history.extend(row[1], history.act('cancel', now, by)), row[0], Status.ACCEPTED.value),
    ).rowcount)


def _lock(session: Session, task_id: UUID, condition: str, parameters: Sequence[Any]) -> Any:
    """Return ``(uuid, history, parameters)`` of the event, its row locked for this transaction; ``None`` if not so."""
    return session.execute(
        f'SELECT uuid, history, parameters FROM {TABLE}'
        f' WHERE task_id = ? AND {condition} {session.dialect.skip_locked}',
        (session.dialect.uuid(task_id), *parameters),
    ).fetchone()
