"""Every statement that writes a row of the queue: the one place where a status changes.

Each class is an :class:`~pacifica.dispatcher._queue.writer.Operation`: a value that says what is wanted, and a ``run``
that does it for all of its kind at once inside the writer's transaction. Each change is an ``UPDATE`` guarded by the
status it moves from and, once a worker holds the event, by the token of its claim; its row count says whether it
happened. The states are drawn in :mod:`pacifica.dispatcher._queue.status`.
"""

from __future__ import annotations

from pacifica.dispatcher._queue.transitions.accept import Accept
from pacifica.dispatcher._queue.transitions.claim import Announce, Claim, ClaimTask, CountDue
from pacifica.dispatcher._queue.transitions.hold import Finish, Release, Renew, SaveResult
from pacifica.dispatcher._queue.transitions.janitor import Prune, Rescue, Rescued
from pacifica.dispatcher._queue.transitions.operate import Cancel, Retry
from pacifica.dispatcher._queue.transitions.presence import Farewell, Heartbeat
from pacifica.dispatcher._queue.transitions.reconciliation import (
    ClaimReconciliation, Reconciliation, RenewReconciliation,
)
from pacifica.dispatcher._queue.transitions.values import OUTGOING_ATTEMPTS, Held, Outgoing, QueueName

__all__ = [
    'OUTGOING_ATTEMPTS', 'Accept', 'Announce', 'Cancel', 'Claim', 'ClaimReconciliation', 'ClaimTask', 'CountDue',
    'Farewell', 'Finish', 'Heartbeat', 'Held', 'Outgoing', 'Prune', 'QueueName', 'Reconciliation', 'Release', 'Renew',
    'RenewReconciliation', 'Rescue', 'Rescued', 'Retry', 'SaveResult',
]
