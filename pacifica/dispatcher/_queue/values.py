"""What the queue speaks in: whose events, an event that a worker has claimed, one that is to be sent."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple
from uuid import UUID

from pacifica.dispatcher import _events
from pacifica.dispatcher._queue.status import Status

__all__ = ['CLAIMED', 'OUTGOING_ATTEMPTS', 'PROCESSING', 'WAITING', 'ClaimedEvent', 'Outgoing', 'QueueName',
           'placeholders']

# The status is written out: a planner that sees a parameter can't know that a partial index holds all such rows.
_OF_QUEUE = 'task_application_name = ? AND task_name = ?'

WAITING = f"task_status = '{Status.ACCEPTED}' AND {_OF_QUEUE}"
"""The rows of a queue that wait for a worker."""

PROCESSING = f"task_status = '{Status.PROCESSING}' AND {_OF_QUEUE}"
"""The rows of a queue that workers have claimed."""

CLAIMED = f"uuid = ? AND task_status = '{Status.PROCESSING}' AND claim_token = ?"
"""The row of one claim, as long as the claim holds."""

OUTGOING_ATTEMPTS = 8
"""How often an outgoing event is sent at most, workers that died meanwhile included."""


class QueueName(NamedTuple):
    """Whose events these are: several applications may keep theirs in one table."""

    application: str
    task: str


@dataclass(frozen=True)
class ClaimedEvent:
    """An event that a worker has claimed, and the token that proves it; times by the database's clock.

    ``destination`` says where it is to be sent, if it is an outgoing event; ``began`` is the monotonic time here.
    """

    uuid: Any  # as the driver reads the column
    task_id: UUID
    token: str
    attempt: int
    event_data: str
    result: str | None
    history: str | None
    owner: str
    claimed_at: float
    created: Any  # as the driver reads the column; see record.seconds
    destination: str | None = None
    began: float = field(default_factory=time.monotonic)

    @cached_property
    def identity(self) -> _events.Identity:
        """Which event it is, for logs and traces."""
        return _events.identify(self.event_data)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An event that is to be stored so that it is sent, and the name of its destination."""

    event: _events.ReceivedEvent
    destination: str


def placeholders(count: int) -> str:
    """Return the placeholders of *count* parameters."""
    return ', '.join('?' * count)
