"""Stored JSON → the ``cloudevents.model.Event`` that handlers get, for every version; and which event it is, for logs.

Called by the engine and the router, for events that were accepted before: it must not fail for any of them.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
from cloudevents.model import Event

from pacifica.dispatcher._events.media_types import MediaType
from pacifica.dispatcher._events.strict_json import loads

#: The attributes of 0.1, under their own names; anything else in a 0.1 event is not part of an ``Event``.
_ATTRIBUTES_0_1 = (
    'eventType', 'eventTypeVersion', 'cloudEventsVersion', 'source', 'eventID', 'eventTime', 'schemaURL',
    'contentType', 'extensions', 'data',
)
#: The attributes of 1.0 and 0.3 that have a name in 0.1, besides that of the schema.
_RENAMED = {
    'type': 'eventType', 'specversion': 'cloudEventsVersion', 'source': 'source', 'id': 'eventID', 'time': 'eventTime',
    'datacontenttype': 'contentType', 'data': 'data',
}


def to_event(event_data: Mapping[str, Any]) -> Event:
    """Return the ``cloudevents.model.Event`` that handlers get, of the event's JSON object.

    Of CloudEvents 1.0 and 0.3: ``type``, ``id``, ``specversion``, ``time``, ``dataschema`` (``schemaurl``) and
    ``datacontenttype`` under the names of ``Event``; ``subject`` and all extension attributes in ``extensions``; data
    that was base64 as ``bytes``. Of 0.1: data that is a string, with a content type of JSON, parsed if it is JSON
    (JSON event format 0.1, section 3.1), and else left as it is.
    """
    if 'specversion' in event_data:
        attributes = _of_1_0(event_data)
    else:
        attributes = {name: event_data[name] for name in _ATTRIBUTES_0_1 if name in event_data}
        data = attributes.get('data')
        if isinstance(data, str) and MediaType(str(attributes.get('contentType') or '')).is_json:
            with suppress(ValueError, RecursionError):
                attributes['data'] = loads(data)
    # Event's own check and its parsing of data fail for legal events (a string without a content type, for one), and
    # what comes here has been validated: so neither is called.
    event = Event.__new__(Event)
    event.d = attributes
    return event


def _of_1_0(event_data: Mapping[str, Any]) -> dict[str, Any]:
    old = event_data['specversion'] == '0.3'
    renamed = {**_RENAMED, 'schemaurl' if old else 'dataschema': 'schemaURL'}
    extensions = {name: value for name, value in event_data.items() if name not in renamed and value is not None}
    attributes = {new: event_data[name] for name, new in renamed.items() if event_data.get(name) is not None}
    encoded = extensions.pop('data_base64', None)
    if old and extensions.pop('datacontentencoding', None) == 'base64':
        encoded = attributes.get('data')
    if isinstance(encoded, str):
        attributes['data'] = base64.b64decode(encoded)
    if extensions:
        attributes['extensions'] = extensions
    return attributes


@dataclass(frozen=True, slots=True)
class Identity:
    """The attributes that tell an event from others, and those of the extension for distributed tracing."""

    event_id: str | None
    event_type: str | None
    source: str | None
    spec_version: str | None
    subject: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None


class _Read(msgspec.Struct):
    """What is read; all else is skipped. 1.0 has extensions among the attributes, 0.1 in an object of their own."""

    id: Any = None
    eventID: Any = None
    type: Any = None
    eventType: Any = None
    source: Any = None
    specversion: Any = None
    cloudEventsVersion: Any = None
    subject: Any = None
    traceparent: Any = None
    tracestate: Any = None
    extensions: Any = None


def identify(event_json: str) -> Identity:
    """Return which event *event_json*, an accepted one, is."""
    try:
        read = msgspec.json.decode(event_json, type=_Read)
    except msgspec.MsgspecError:  # a lone surrogate, a huge integer: legal JSON all the same
        event = loads(event_json)
        read = _Read(**{name: event.get(name) for name in _Read.__struct_fields__})
    if read.specversion is not None:
        values = (read.id, read.type, read.source, read.specversion, read.subject, read.traceparent, read.tracestate)
    else:
        extensions = read.extensions if isinstance(read.extensions, dict) else {}
        values = (read.eventID, read.eventType, read.source, read.cloudEventsVersion,
                  extensions.get('subject'), extensions.get('traceparent'), extensions.get('tracestate'))
    return Identity(*(value if isinstance(value, str) else None for value in values))
