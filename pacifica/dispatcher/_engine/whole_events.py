"""Events that come whole in a message, as receivers of the 0.2 series send them.

Used by the engine that gets such messages. The receiver has answered the event's sender with 200 and an id, so nothing
is refused here: an event that can't be handled ends in an error that ``/get`` shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from pacifica.dispatcher import _events
from pacifica.dispatcher._queue.identifiers import new_task_id
from pacifica.dispatcher.exceptions import InvalidEventError

__all__ = ['received', 'task_id_of']


def received(event: Mapping[str, Any]) -> _events.ReceivedEvent:
    """Return *event* as it is stored, valid or not.

    :raises InvalidEventError: if it can't even be written as JSON.
    """
    try:
        return _events.from_dict(event)
    except InvalidEventError:
        return _unchecked(event)


def _unchecked(event: Mapping[str, Any]) -> _events.ReceivedEvent:
    def text(name: str) -> str:
        value = event.get(name)
        return value if isinstance(value, str) else ''

    try:
        return _events.ReceivedEvent(
            event_type=text('eventType'), cloud_events_version=text('cloudEventsVersion'), source=text('source'),
            event_id=text('eventID'), event_json=_events.dumps(dict(event)), data_json=_events.dumps(event.get('data')),
        )
    except (TypeError, ValueError, RecursionError) as exc:
        raise InvalidEventError(f'the event can\'t be written as JSON: {exc}') from exc


def task_id_of(message_id: object) -> UUID:
    """Return the task id for a message's id: the same, if it is a UUID, and the same for the same id in any case."""
    if message_id is None:  # called, not sent
        return new_task_id()
    try:
        return UUID(str(message_id))
    except ValueError:
        return uuid5(NAMESPACE_OID, str(message_id))
