"""What the transitions are about: whose events, and which of them a worker holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from pacifica.dispatcher._queue.status import Status

__all__ = ['HELD', 'PROCESSED', 'WAITING', 'Held', 'QueueName', 'placeholders']

# The status is written out: a planner that sees a parameter can't know that a partial index holds all such rows.
_OF_QUEUE = 'task_application_name = ? AND task_name = ?'

WAITING = f"task_status = '{Status.ACCEPTED}' AND {_OF_QUEUE}"
"""The rows of a queue that wait."""

PROCESSED = f"task_status = '{Status.PROCESSING}' AND {_OF_QUEUE}"
"""The rows of a queue that some worker holds."""

HELD = f"uuid = ? AND task_status = '{Status.PROCESSING}' AND claim_token = ?"
"""The row that a certain worker holds, as long as it does."""


class QueueName(NamedTuple):
    """Whose events these are: several applications may keep theirs in one table."""

    application: str
    task: str


@dataclass(frozen=True, slots=True)
class Held:
    """An event that a worker has claimed, and the token that proves it."""

    uuid: Any  # as the driver reads the column
    task_id: UUID
    token: str
    attempt: int
    event_data: str
    result: str | None
    history: str | None
    owner: str
    claimed: float


def placeholders(count: int) -> str:
    """Return the placeholders of *count* parameters."""
    return ', '.join('?' * count)
