"""What runs print and log: written while their claims hold and with their ends, deleted with their events.

``id`` names the run by its claim: the token, which events that were claimed together share, and the event's ``uuid``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from pacifica.dispatcher._queue.record import CLAIMED, OUTPUTS, TABLE, placeholders
from pacifica.dispatcher._queue.session import Session
from pacifica.dispatcher._queue.values import ClaimedEvent, RunOutput

MOST_RUNS = 10
"""Of one event, whose output is kept: the latest."""

_NOTHING = '[]'
_STATEMENT_REST = 10_000  # bytes for all but the documents


def keep_output(session: Session, claimed: ClaimedEvent, output: RunOutput) -> bool:
    """Write what a run has printed so far: stays ``102``. Return whether the claim still held."""
    row = session.execute(
        f'SELECT uuid FROM {TABLE} WHERE {CLAIMED} {session.dialect.skip_locked}', (claimed.uuid, claimed.token),
    ).fetchone()
    if row is not None:
        write_output(session, claimed, output)
    return row is not None


def write_output(session: Session, claimed: ClaimedEvent, output: RunOutput) -> None:
    """Write what a run has printed, in a transaction that has seen that its claim holds."""
    output = _fitting(session, output)
    key, now = UUID(str(claimed.uuid)).hex + claimed.token, session.now()
    head: tuple[str, ...] = () if output.head is None else (output.head,)
    values = (output.tail, output.omitted, output.progress, output.progress_text)
    if session.execute(
        f'UPDATE {OUTPUTS} SET {"head = ?, " if head else ""}tail = ?, omitted = ?, progress = ?, progress_text = ?,'
        ' updated = ? WHERE id = ?', (*head, *values, now, key),
    ).rowcount:
        return
    session.execute(
        f'INSERT INTO {OUTPUTS} (id, uuid, attempt, began, updated, head, tail, omitted, progress, progress_text)'
        f' VALUES ({placeholders(10)})',
        (key, claimed.uuid, claimed.attempt, claimed.claimed_at, now, output.head or _NOTHING, *values))
    if claimed.history is not None:  # it has run before
        _forget_old_runs(session, claimed.uuid)


def _fitting(session: Session, output: RunOutput) -> RunOutput:
    """Return *output* as the database takes it: none of the texts, if they are larger than its statements may be."""
    size = sum(2 * len(text.encode()) for text in (output.head or '', output.tail))  # each byte may be escaped
    if session.statement_limit is None or size + _STATEMENT_REST < session.statement_limit:
        return output
    return output._replace(head=_NOTHING, tail=_NOTHING, omitted=output.omitted + size // 2)


def _forget_old_runs(session: Session, uuid: Any) -> None:
    rows = session.execute(f'SELECT id FROM {OUTPUTS} WHERE uuid = ? ORDER BY began DESC', (uuid,)).fetchall()
    if old := [row[0] for row in rows[MOST_RUNS:]]:
        session.execute(f'DELETE FROM {OUTPUTS} WHERE id IN ({placeholders(len(old))})', old)


def delete_outputs(session: Session, uuids: Sequence[Any]) -> None:
    """Delete what the runs of events have printed that are deleted too."""
    session.execute(f'DELETE FROM {OUTPUTS} WHERE uuid IN ({placeholders(len(uuids))})', uuids)
