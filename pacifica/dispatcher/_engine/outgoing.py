"""An event that has ended → the events that tell of it, ready to be stored.

Called by the store before an end is committed; what it makes is stored in the same transaction. Must not fail for any
event, since the end would not be written.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

from pacifica.dispatcher import _events
from pacifica.dispatcher._queue.transaction_id import transaction_id
from pacifica.dispatcher._queue.transitions import Outgoing
from pacifica.dispatcher.exceptions import InvalidEventError
from pacifica.dispatcher.hooks import FAILED, FINISHED, FinishedTask, Notify

__all__ = ['Notifications']

_TRACE_PARENT = re.compile(r'[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}[!-~]*', re.ASCII)
_TRACE_STATE = re.compile(r'[ -~]{1,512}', re.ASCII)
#: So that what is told of an event, however large that is, stays far below what any database or receiver takes.
_CHARACTERS, _RESULT_CHARACTERS = 2_000, 64_000


class Notifications:
    """Makes the events that tell of an end: one for each receiver that wants it, with the same id.

    :param application: the application's name, which is their source.
    :param receivers: who is told.
    """

    def __init__(self, application: str, receivers: Sequence[Notify]) -> None:
        self._source = quote(application, safe='/') or '/'
        self._receivers = receivers

    def __call__(self, task: FinishedTask) -> Sequence[Outgoing]:
        """Return the events that tell of *task*."""
        event = _events.loads(task.event_json)
        event_type = _text(event, 'type', 'eventType')
        destinations = [each.name for each in self._receivers if each.wants(event_type, task.failed)]
        if not destinations:
            return ()
        try:
            told = self._told(task, event, event_type, _small(task.result))
        except InvalidEventError:  # nested deeper than a receiver takes
            told = self._told(task, event, event_type, None)
        return [Outgoing(told, destination) for destination in destinations]

    def _told(
        self, task: FinishedTask, event: Mapping[str, Any], event_type: str, result: Mapping[str, Any] | None,
    ) -> _events.ReceivedEvent:
        data = {
            'taskID': str(task.task_id),
            'status': task.status,
            'eventType': _cut(event_type),
            'eventID': _cut(_text(event, 'id', 'eventID')),
            'source': _cut(_text(event, 'source', 'source')),
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
            **_trace(event),
            'data': data,
        })


def _text(event: Mapping[str, Any], name: str, name_0_1: str) -> str:
    """Return an attribute of an event of any version; events of the 0.2 series were not validated."""
    value = event.get(name if 'specversion' in event else name_0_1)
    return value if isinstance(value, str) else ''


def _trace(event: Mapping[str, Any]) -> dict[str, str]:
    """Return the extensions by which a trace goes on (CloudEvents, extension "Distributed Tracing")."""
    extensions = event if 'specversion' in event else event.get('extensions')
    if not isinstance(extensions, Mapping):
        return {}
    parent, state = extensions.get('traceparent'), extensions.get('tracestate')
    if not isinstance(parent, str) or not _TRACE_PARENT.fullmatch(parent[:500]):
        return {}
    if not isinstance(state, str) or not _TRACE_STATE.fullmatch(state):
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
