"""How an event ended, as the value that callbacks get and outgoing events are made of.

Called by the store, before the end is committed, and by the observers, after.
"""

from __future__ import annotations

import json
import time

from pacifica.dispatcher._queue.outcome import Outcome
from pacifica.dispatcher._queue.status import FINAL
from pacifica.dispatcher._queue.transitions import Held
from pacifica.dispatcher.hooks import FinishedTask

__all__ = ['ended']


def ended(held: Held, outcome: Outcome) -> FinishedTask | None:
    """Return what has ended, ``None`` if that is nothing to tell of: it runs again, or only told of another event."""
    if outcome.status not in FINAL or held.destination is not None:
        return None
    result = outcome.result or held.result
    return FinishedTask(
        task_id=held.task_id, status=outcome.status.value, event_json=held.event_data, attempts=held.attempt,
        route=outcome.route, exc_type=outcome.exc_type, exc_value=outcome.exc_value,
        result=None if result is None else json.loads(result), seconds=time.monotonic() - held.began,
    )
