"""Which event it is, read out of its stored JSON without the rest of it: for logs and traces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from pacifica.dispatcher._events.strict_json import loads

__all__ = ['Identity', 'identify']


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
