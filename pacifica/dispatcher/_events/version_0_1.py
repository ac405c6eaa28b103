"""CloudEvents 0.1 in JSON: what Pacifica Notifications sends.

Format: CloudEvents 0.1 and its JSON event format,
https://github.com/cloudevents/spec/blob/v0.1/spec.md and https://github.com/cloudevents/spec/blob/v0.1/json-format.md
"""

from __future__ import annotations

from typing import Any

from pacifica.dispatcher._events.received import ReceivedEvent
from pacifica.dispatcher._events.strict_json import Document, raw_members

Fault = tuple[str, str]

NOT_EMPTY = 'must be a non-empty string'
OPTIONAL_NOT_EMPTY = 'must be a non-empty string or absent'

REQUIRED = ('cloudEventsVersion', 'eventType', 'source', 'eventID')
OPTIONAL = ('eventTypeVersion', 'eventTime', 'schemaURL', 'contentType')


def read(document: Document) -> tuple[ReceivedEvent | None, list[Fault]]:
    """Return the event in *document*, or every fault that keeps it from being one.

    ``null`` stands for an absent attribute. ``extensions`` must be an object (section "extensions" of the
    specification); its members and the data are free. Times and URLs are kept as they are: the senders that are out
    there (Pacifica's metadata service) leave the time zone out.
    """
    event: dict[str, Any] = document.value
    faults = [(name, NOT_EMPTY) for name in REQUIRED if not isinstance(event.get(name), str) or not event[name]]
    for name in OPTIONAL:
        value = event.get(name)
        if value is not None and (not isinstance(value, str) or not value):
            faults.append((name, OPTIONAL_NOT_EMPTY))
    if not isinstance(event.get('extensions'), (dict, type(None))):
        faults.append(('extensions', 'must be an object or absent'))
    if faults:
        return None, faults
    return ReceivedEvent(
        event_type=event['eventType'],
        cloud_events_version=event['cloudEventsVersion'],
        source=event['source'],
        event_id=event['eventID'],
        event_json=document.text,
        data_json=raw_members(document).get('data', 'null'),
        event_type_version=event.get('eventTypeVersion'),
        event_time=event.get('eventTime'),
        schema_url=event.get('schemaURL'),
        content_type=event.get('contentType'),
    ), []
