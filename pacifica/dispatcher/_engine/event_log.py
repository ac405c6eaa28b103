"""One line of the log for each attempt that has ended: an observer of every queue."""

from __future__ import annotations

import logging
from typing import Any

from pacifica.dispatcher import _events
from pacifica.dispatcher._engine.observers import Observer
from pacifica.dispatcher._queue.outcome import Outcome
from pacifica.dispatcher._queue.transitions import Held

__all__ = ['EventLog']

_LOG = logging.getLogger('pacifica.dispatcher.events')
_ERROR_CHARACTERS = 200


class EventLog(Observer):
    """Writes ``event.finished``, at the level INFO; costs next to nothing where that isn't kept."""

    def finished(self, held: Held, outcome: Outcome) -> None:
        """Log how an attempt ended: its status is ``202`` if the event will run again."""
        if not _LOG.isEnabledFor(logging.INFO):
            return
        extra: dict[str, Any] = {
            'task_id': str(held.task_id), 'event_id': _events.identify(held.event_data).event_id,
            'route': outcome.route, 'attempt': held.attempt, 'status': str(outcome.status),
        }
        if outcome.skipped:
            extra['skipped'] = True
        if outcome.seconds is not None:
            extra['seconds'] = round(outcome.seconds, 6)
        if outcome.exc_type is not None:
            extra['error'] = f'{outcome.exc_type}: {(outcome.exc_value or "")[:_ERROR_CHARACTERS]}'
        if outcome.delay is not None:
            extra['retry_in'] = round(outcome.delay, 3)
        _LOG.info('event.finished', extra=extra)
