"""An event that has ended → the outgoing events about it, which are stored in the transaction that ends it."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

from pacifica.dispatcher import _events
from pacifica.dispatcher._engine.extensions import Extension
from pacifica.dispatcher._lineage import transaction_id
from pacifica.dispatcher._queue.values import Outgoing
from pacifica.dispatcher.exceptions import InvalidEventError
from pacifica.dispatcher.hooks import FAILED, FINISHED, FinishedTask, Notify

__all__ = ['FinishedEvents']

_TRACE_PARENT = re.compile(r'[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}[!-~]*', re.ASCII)
_TRACE_STATE = re.compile(r'[ -~]{1,512}', re.ASCII)
#: So that an outgoing event, however large the one it is about, stays far below what any database or receiver takes.
_CHARACTERS, _RESULT_CHARACTERS = 2_000, 64_000


class FinishedEvents(Extension):
    """Makes the outgoing events about an end: one for each receiver that wants it, with the same id.

    :param application: the application's name, which is their source.
    :param receivers: who gets them.
    """

    def __init__(self, application: str, receivers: Sequence[Notify]) -> None:
        self._source = quote(application, safe='/') or '/'
        self._receivers = receivers

    def outgoing(self, task: FinishedTask) -> Sequence[Outgoing]:
        """Return the events about *task*."""
        about = _events.identify(task.event_json)
        destinations = [each.name for each in self._receivers if each.wants(about.event_type or '', task.failed)]
        if not destinations:
            return ()
        try:
            event = self._event(task, about, _small(task.result))
        except InvalidEventError:  # nested deeper than a receiver takes
            event = self._event(task, about, None)
        return [Outgoing(event, destination) for destination in destinations]

    def _event(
        self, task: FinishedTask, about: _events.Identity, result: Mapping[str, Any] | None,
    ) -> _events.ReceivedEvent:
        data = {
            'taskID': str(task.task_id),
            'status': task.status,
            'eventType': _cut(about.event_type or ''),
            'eventID': _cut(about.event_id or ''),
            'source': _cut(about.source or ''),
            'transactionID': transaction_id(task.event_json),
            'route': _cut(task.route),
            'attempts': task.attempts,
            'exceptionType': _cut(task.exc_type),
            'exceptionValue': _cut(task.exc_value),
            'result': result,
        }
        return _events.from_dict({
            'specversion': '1.0',
            'type': FAILED if task.failed else FINISHED,
            'source': self._source,
            # One that is retried by hand ends again: that is another event.
            'id': f'{task.task_id}.{secrets.token_hex(6)}',
            'subject': str(task.task_id),
            'time': datetime.now(timezone.utc).isoformat().replace('+00:00', 'Z'),
            'datacontenttype': 'application/json',
            **_trace(about.traceparent, about.tracestate),
            'data': data,
        })


def _trace(parent: str | None, state: str | None) -> dict[str, str]:
    """Return the extensions by which a trace goes on (CloudEvents, extension "Distributed Tracing")."""
    if parent is None or not _TRACE_PARENT.fullmatch(parent[:500]):
        return {}
    if state is None or not _TRACE_STATE.fullmatch(state):
        return {'traceparent': parent}
    return {'traceparent': parent, 'tracestate': state}


def _small(result: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return *result* unless it is too large to be sent around."""
    try:
        return result if len(_events.dumps(result)) <= _RESULT_CHARACTERS else None
    except (ValueError, RecursionError):
        return None


def _cut(text: str | None) -> str | None:
    return text if text is None or len(text) <= _CHARACTERS else f'{text[:_CHARACTERS - 1]}…'
