"""The value that the front door makes of a request and the store keeps: one validated event."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """A validated event, ready to be stored: the attributes that have a column, and the JSON of all of it.

    The attributes are named as in CloudEvents 0.1, whichever version the event has, and hold the strings as decoded:
    a lone surrogate or a NUL is legal in a JSON string, so they can hold one.

    :param event_type: ``eventType`` (0.1) or ``type``.
    :param cloud_events_version: ``cloudEventsVersion`` (0.1) or ``specversion``.
    :param source: ``source``.
    :param event_id: ``eventID`` (0.1) or ``id``; with ``source`` it tells one event from another.
    :param event_json: the JSON text of the event, exactly as it came if it came as JSON.
    :param data_json: the JSON text of the data alone, ``null`` without data; binary data as a base64 string.
    :param event_type_version: ``eventTypeVersion``, 0.1 only.
    :param event_time: ``eventTime`` (0.1) or ``time``, as it came.
    :param schema_url: ``schemaURL`` (0.1), ``schemaurl`` (0.3) or ``dataschema`` (1.0).
    :param content_type: ``contentType`` (0.1) or ``datacontenttype``.
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
