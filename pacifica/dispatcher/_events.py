"""What was received over HTTP → a validated event; and an event ⇄ its stored JSON.

Called by the front door and by ``queue.delay`` (validate and store), and by the engine (restore and hand to a handler).
Knows the CloudEvents specifications and JSON; knows nothing of databases, HTTP frameworks or Pacifica's tables.

Formats: CloudEvents 0.1, JSON event format (what Pacifica Notifications sends)
https://github.com/cloudevents/spec/blob/v0.1/json-format.md
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from cloudevents.model import Event

from pacifica.dispatcher.exceptions import InvalidEventError

__all__ = ['ReceivedEvent', 'decode', 'from_dict', 'loads', 'to_event']

_REQUIRED = ('cloudEventsVersion', 'eventType', 'source', 'eventID')
_OPTIONAL = ('eventTypeVersion', 'eventTime', 'schemaURL', 'contentType')


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """A validated event, ready to be stored: the attributes that have a column, and the JSON of all of it.

    ``event_json`` is the event as it came; ``data_json`` the JSON of its data alone (``null`` without data).
    """

    event_type: str
    cloud_events_version: str
    source: str
    event_id: str
    event_json: str
    data_json: str
    event_type_version: str | None = None
    event_time: str | None = None
    schema_url: str | None = None
    content_type: str | None = None


def decode(headers: Mapping[str, str], body: bytes) -> ReceivedEvent:
    """Return the event that an HTTP request carries.

    :raises InvalidEventError: with every fault found, each naming its field.
    """
    try:
        text = body.decode('utf-8')
        event = loads(text)
    except ValueError as exc:
        raise InvalidEventError('the body is not JSON') from exc
    return _received(event, text)


def from_dict(event: Mapping[str, Any]) -> ReceivedEvent:
    """Return the event that a program hands over as a dict, as :func:`decode` does for a request.

    :raises InvalidEventError: with every fault found, each naming its field.
    """
    try:
        text = json.dumps(event, allow_nan=False, separators=(',', ':'))
    except (TypeError, ValueError, RecursionError) as exc:
        raise InvalidEventError(f'the event can\'t be written as JSON: {exc}') from exc
    return _received(event, text)


def loads(text: str) -> Any:
    """Parse stored JSON, keeping integers exact and lone surrogates, which RFC 8259 allows in strings."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        return json.loads(text)


def _received(event: Any, text: str) -> ReceivedEvent:
    if not isinstance(event, Mapping):
        raise InvalidEventError('a CloudEvent is a JSON object')
    faults = [
        (name, 'must be a non-empty string') for name in _REQUIRED
        if not isinstance(event.get(name), str) or not event[name]
    ] + [
        (name, 'must be a string or absent') for name in _OPTIONAL
        if not isinstance(event.get(name), (str, type(None)))
    ]
    if faults:
        raise InvalidEventError('not a CloudEvent: ' + '; '.join(f'{name} {what}' for name, what in faults), faults)
    return ReceivedEvent(
        event_type=event['eventType'],
        cloud_events_version=event['cloudEventsVersion'],
        source=event['source'],
        event_id=event['eventID'],
        event_json=text,
        data_json=json.dumps(event.get('data')),
        event_type_version=event.get('eventTypeVersion'),
        event_time=event.get('eventTime'),
        schema_url=event.get('schemaURL'),
        content_type=event.get('contentType'),
    )


def to_event(event_data: Mapping[str, Any]) -> Event:
    """Return the ``cloudevents.model.Event`` that handlers get, of the event's JSON object."""
    return Event(dict(event_data))
