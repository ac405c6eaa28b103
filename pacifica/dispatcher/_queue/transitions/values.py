"""What the transitions are about: whose events, and which of them a worker holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

__all__ = ['HELD', 'OF_QUEUE', 'Held', 'QueueName', 'placeholders']

OF_QUEUE = 'task_status = ? AND task_application_name = ? AND task_name = ?'
"""The rows of a queue in one status."""

HELD = 'uuid = ? AND task_status = ? AND claim_token = ?'
"""The row that a worker holds, as long as it does."""


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


def placeholders(count: int) -> str:
    """Return the placeholders of *count* parameters."""
    return ', '.join('?' * count)
