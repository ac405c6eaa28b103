"""Every statement that writes a row of the queue: the one place where a status changes.

Each function, and each operation that runs as a batch (:class:`Accept`, :class:`Claim`), runs inside the writer's
transaction. Each change is an ``UPDATE`` guarded by the status it moves from and, once a worker has claimed the event,
by the token of its claim; its row count says whether it happened. The states are drawn in :mod:`..status`.
"""

from __future__ import annotations

from pacifica.dispatcher._queue.transitions.accept import Accept
from pacifica.dispatcher._queue.transitions.claim import (
    Claim, announce, cancelled, claim_task, count_due, finish, move, release, renew, save_result,
)
from pacifica.dispatcher._queue.transitions.janitor import Rescued, count_prunable, prune, rescue
from pacifica.dispatcher._queue.transitions.line import astray, straighten
from pacifica.dispatcher._queue.transitions.operate import cancel, retry
from pacifica.dispatcher._queue.transitions.outages import (
    begin_outage, end_outage, outages, probe_outages, take_probe, wait,
)
from pacifica.dispatcher._queue.transitions.output import keep_output
from pacifica.dispatcher._queue.transitions.previews import keep_preview, trim_previews
from pacifica.dispatcher._queue.transitions.services import (
    Heartbeat, Process, Reconciliation, beat, claim_reconciliation, deregister, finish_reconciliation, note_death,
    renew_reconciliation, workers_on,
)

__all__ = [
    'Accept', 'Claim', 'Heartbeat', 'Process', 'Reconciliation', 'Rescued', 'announce', 'astray', 'beat',
    'begin_outage', 'cancel', 'cancelled', 'claim_reconciliation', 'claim_task', 'count_due', 'count_prunable',
    'deregister', 'end_outage', 'finish', 'finish_reconciliation', 'keep_output', 'keep_preview', 'move', 'note_death',
    'outages', 'probe_outages', 'prune', 'release', 'renew', 'renew_reconciliation', 'rescue', 'retry', 'save_result',
    'straighten', 'take_probe', 'trim_previews', 'wait', 'workers_on',
]
