"""CloudEvents 1.0 and 0.3, through the bindings of the CNCF SDK (distribution ``cloudevents``).

The SDK detects the version, builds the event and validates its attributes. Where that falls short of the specification
for a receiver, the gap is closed here, before or after it:

- it makes up a missing ``id``, ``time`` and ``specversion``, which suits a sender: found missing here first
  (the same was reported of an older SDK as https://github.com/cloudevents/sdk-python/issues/33);
- it takes any ISO 8601 form for ``time``, and fails on others with an error of another kind: checked here;
- it validates neither the type of extension attributes nor ``data_base64``, nor that only one of ``data`` and
  ``data_base64`` is there: checked here.

Formats: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md, its JSON event format
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md, and version 0.3 of both.
"""

from __future__ import annotations

import base64
import re
from datetime import datetime
from typing import Any

from cloudevents.core.base import BaseCloudEvent, EventFactory
from cloudevents.core.bindings.common import get_event_factory_for_version
from cloudevents.core.bindings.http import HTTPMessage, from_structured
from cloudevents.core.exceptions import CloudEventValidationError, CustomExtensionAttributeError
from cloudevents.core.formats.json import JSONFormat

from pacifica.dispatcher._events.received import ReceivedEvent
from pacifica.dispatcher._events.strict_json import Document, dumps, raw_members
from pacifica.dispatcher._events.version_0_1 import NOT_EMPTY, OPTIONAL_NOT_EMPTY, Fault

VERSIONS = ('1.0', '0.3')

REQUIRED = ('specversion', 'id', 'source', 'type')
_OPTIONAL = ('datacontenttype', 'dataschema', 'schemaurl', 'subject', 'datacontentencoding')
_KNOWN = frozenset((*REQUIRED, *_OPTIONAL, 'time', 'data', 'data_base64'))
_RFC3339 = re.compile(r'\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)', re.ASCII)


class _Structured(JSONFormat):
    """The SDK's JSON format for one event whose JSON was read strictly before: only its attributes are of interest."""

    def __init__(self, attributes: dict[str, Any]) -> None:
        self._attributes = attributes

    def read(self, event_factory: EventFactory | None, data: str | bytes) -> BaseCloudEvent:
        """Make the SDK's event of the attributes, which validates them; the data has been validated as JSON."""
        factory = event_factory or get_event_factory_for_version(self._attributes['specversion'])
        return factory(self._attributes, None)


def read(document: Document) -> tuple[ReceivedEvent | None, list[Fault]]:
    """Return the event in *document*, or every fault that keeps it from being one.

    ``null`` stands for an absent attribute (JSON event format 1.0, section 2.2).
    """
    event: dict[str, Any] = document.value
    attributes = {
        name: value for name, value in event.items() if value is not None and name not in ('data', 'data_base64')
    }
    faults = check_attributes(attributes) + _check_data(event, attributes)
    try:
        from_structured(HTTPMessage({}, document.body), _Structured(attributes))
    except CloudEventValidationError as exc:
        faults += sdk_faults(exc)
    if faults:
        return None, faults
    members = raw_members(document)
    return received(event, document.text, members.get('data_base64') or members.get('data', 'null')), []


def _check_data(event: dict[str, Any], attributes: dict[str, Any]) -> list[Fault]:
    """Return the faults of ``data`` and ``data_base64`` (JSON event format, section 3.1, in both versions)."""
    faults = []
    if attributes['specversion'] == '0.3':
        if 'data_base64' in event:
            faults.append(('data_base64', 'is not known to CloudEvents 0.3: use datacontentencoding'))
        if attributes.get('datacontentencoding') == 'base64' and not is_base64(event.get('data', '')):
            faults.append(('data', 'must be a base64 string, as datacontentencoding says'))
    elif 'data_base64' in event:
        if 'data' in event:
            faults.append(('data_base64', 'must not stand beside data'))
        if not is_base64(event['data_base64']):
            faults.append(('data_base64', 'must be a base64 string'))
    return faults


def received(event: dict[str, Any], event_json: str, data_json: str) -> ReceivedEvent:
    """Return the value that is stored, of the attributes of an event found good."""
    return ReceivedEvent(
        event_type=event['type'],
        cloud_events_version=event['specversion'],
        source=event['source'],
        event_id=event['id'],
        event_json=event_json,
        data_json=data_json,
        event_time=event.get('time'),
        schema_url=event.get('schemaurl' if event['specversion'] == '0.3' else 'dataschema'),
        content_type=event.get('datacontenttype'),
    )


def check_attributes(attributes: dict[str, Any]) -> list[Fault]:
    """Return the faults that the SDK would miss, and make *attributes* fit to be given to it.

    What is found wrong here is replaced by something harmless, so that the SDK finds the rest.
    """
    faults = []
    for name in REQUIRED:
        if name not in attributes:
            faults.append((name, NOT_EMPTY))
            attributes[name] = 'absent'
    if attributes['specversion'] not in VERSIONS:
        if ('specversion', NOT_EMPTY) not in faults:
            faults.append(('specversion', f'must be one of {", ".join(VERSIONS)}'))
        attributes['specversion'] = VERSIONS[0]
    if 'time' in attributes:
        time = attributes.pop('time')
        if not is_timestamp(time):
            faults.append(('time', 'must be a timestamp by RFC 3339, for example 2026-11-24T08:54:35Z'))
    for name in [name for name in attributes if name not in _KNOWN]:
        value = attributes[name]
        if not isinstance(value, str) and not _is_integer(value):
            faults.append((name, 'must be a string, a boolean or an integer of 32 bits'))
    return faults


def sdk_faults(error: CloudEventValidationError) -> list[Fault]:
    """Return what the SDK found wrong, in our words: one fault for each attribute."""
    faults = []
    for name, errors in error.errors.items():
        if any(isinstance(each, CustomExtensionAttributeError) for each in errors):
            faults.append((name, 'is no name of an attribute: those have only a to z and 0 to 9'))
        else:
            faults.append((name, NOT_EMPTY if name in REQUIRED else OPTIONAL_NOT_EMPTY))
    return faults


def is_timestamp(value: Any) -> bool:
    """Return whether *value* is a timestamp by RFC 3339, section 5.6."""
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        return False
    seconds = '59' if value[17:19] == '60' else value[17:19]  # a leap second, which datetime doesn't know
    try:
        datetime.fromisoformat(value[:17].upper() + seconds)
    except ValueError:
        return False
    return True


def encode_base64(data: bytes) -> str:
    """Return *data* as the JSON string of its base64 form."""
    return dumps(base64.b64encode(data).decode('ascii'))


def _is_integer(value: Any) -> bool:
    """Return whether *value* is a whole number of 32 bits, however it is written, or a boolean."""
    return isinstance(value, (int, float)) and -2**31 <= value < 2**31 and value == int(value)


def is_base64(value: Any) -> bool:
    """Return whether *value* is a string in base64 (RFC 4648, section 4)."""
    try:
        base64.b64decode(value, validate=True)
    except (TypeError, ValueError):  # of which binascii.Error is one
        return False
    return isinstance(value, str)
