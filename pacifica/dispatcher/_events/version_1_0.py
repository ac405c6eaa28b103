"""CloudEvents 1.0 and 0.3: in the JSON event format, and in HTTP binary mode.

The event classes of the CNCF SDK (distribution ``cloudevents``) validate the attributes. Where they fall short of the
specification for a receiver, the gap is closed here, before or after:

- they make up a missing ``id``, ``time`` and ``specversion``, which suits a sender: found missing here first
  (the same was reported of an older SDK as https://github.com/cloudevents/sdk-python/issues/33);
- they want a ``datetime`` for ``time``, and validate neither the type of extension attributes nor ``data_base64``, nor
  that only one of ``data`` and ``data_base64`` is there: checked here.

In binary mode the attributes are in ``ce-`` headers, and the data is the body. The event is stored in the JSON event
format; its data becomes a JSON value if its content type says JSON, a string if it says text, and else a base64 string,
from which handlers get the bytes back. The SDK's binding is not used: it doesn't unescape quoted strings, replaces
invalid UTF-8 instead of refusing it (HTTP binding, section 3.1.3.2; the state of the SDKs is collected in
https://github.com/cloudevents/spec/issues/1397), and makes a string of any data that happens to be UTF-8.

Formats: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md, its JSON event format
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md and its HTTP binding
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md; version 0.3 of these.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import unquote_to_bytes

from cloudevents.core.bindings.common import get_event_factory_for_version
from cloudevents.core.exceptions import CloudEventValidationError, CustomExtensionAttributeError

from pacifica.dispatcher._events.media_types import MediaType
from pacifica.dispatcher._events.received import NOT_EMPTY, OPTIONAL_NOT_EMPTY, Fault, ReceivedEvent, Validated
from pacifica.dispatcher._events.strict_json import Document, dumps, parse, raw_members
from pacifica.dispatcher.exceptions import InvalidEventError

__all__ = ['REQUIRED', 'validate', 'validate_binary']

REQUIRED = ('specversion', 'id', 'source', 'type')
_VERSIONS = ('1.0', '0.3')
_OPTIONAL = ('datacontenttype', 'dataschema', 'schemaurl', 'subject', 'datacontentencoding')
_KNOWN = frozenset((*REQUIRED, *_OPTIONAL, 'time', 'data', 'data_base64'))
_RFC3339 = re.compile(r'\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)', re.ASCII)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_PRINTABLE = re.compile(r'[\x20-\x7e\t]*')


def validate(document: Document) -> Validated:
    """Return the event in *document*, or its faults.

    ``null`` stands for an absent attribute (JSON event format 1.0, section 2.2).
    """
    event: dict[str, Any] = document.value
    attributes = {
        name: value for name, value in event.items() if value is not None and name not in ('data', 'data_base64')
    }
    faults = _attribute_faults(attributes) + _data_faults(event)
    if faults:
        return faults
    members = raw_members(document)
    return _received(event, document.text, members.get('data_base64') or members.get('data', 'null'))


def validate_binary(headers: Mapping[str, str], body: bytes) -> Validated:
    """Return the event in a request in binary mode, or its faults.

    :param headers: names in lower case.
    :raises InvalidEventError: if the data is not the JSON that its content type says.
    """
    faults: list[Fault] = []
    attributes: dict[str, Any] = {}
    for name, value in headers.items():
        if name.startswith('ce-'):
            try:
                attributes[name[3:]] = _decoded(value)
            except ValueError as exc:
                faults.append((name[3:], f'{exc} (header {name})'))
                attributes[name[3:]] = 'unreadable'
    if 'datacontenttype' in attributes:
        faults.append(('datacontenttype', 'is the Content-Type header in binary mode'))
        del attributes['datacontenttype']
    unreadable = {name for name, _ in faults}
    faults += [fault for fault in _attribute_faults(attributes) if fault[0] not in unreadable]
    if faults:
        return faults
    content_type = headers.get('content-type', '')
    if content_type:
        attributes['datacontenttype'] = content_type
    member, data_json = _binary_data(attributes, content_type, body)
    head = dumps(attributes)
    return _received(attributes, f'{head[:-1]},"{member}":{data_json}}}' if member else head, data_json)


def _received(event: dict[str, Any], event_json: str, data_json: str) -> ReceivedEvent:
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


def _attribute_faults(event: Mapping[str, Any]) -> list[Fault]:
    """Return the faults of the attributes: those that the SDK would miss, then those that it finds.

    What is found wrong first is replaced by something harmless, so that the SDK finds the rest.
    """
    faults = []
    attributes = dict(event)
    for name in REQUIRED:
        if name not in attributes:
            faults.append((name, NOT_EMPTY))
            attributes[name] = 'absent'
    if attributes['specversion'] not in _VERSIONS:
        if 'specversion' in event:
            faults.append(('specversion', f'must be one of {", ".join(_VERSIONS)}'))
        attributes['specversion'] = _VERSIONS[0]
    if 'time' in attributes and not _is_timestamp(attributes.pop('time')):
        faults.append(('time', 'must be a timestamp by RFC 3339, for example 2026-11-24T08:54:35Z'))
    for name, value in attributes.items():
        if name not in _KNOWN and not isinstance(value, str) and not _is_integer(value):
            faults.append((name, 'must be a string, a boolean or an integer of 32 bits'))
    return faults + _sdk_faults(attributes)


def _sdk_faults(attributes: dict[str, Any]) -> list[Fault]:
    """Return what the SDK finds wrong, in our words: one fault for each attribute."""
    faults = []
    try:
        get_event_factory_for_version(attributes['specversion'])(attributes, None)
    except CloudEventValidationError as exc:
        for name, errors in exc.errors.items():
            if any(isinstance(each, CustomExtensionAttributeError) for each in errors):
                faults.append((name, 'is no name of an attribute: those have only a to z and 0 to 9'))
            else:
                faults.append((name, NOT_EMPTY if name in REQUIRED else OPTIONAL_NOT_EMPTY))
    return faults


def _data_faults(event: Mapping[str, Any]) -> list[Fault]:
    """Return the faults of ``data`` and ``data_base64`` (JSON event format, section 3.1, in both versions)."""
    faults = []
    if event.get('specversion') == '0.3':
        if 'data_base64' in event:
            faults.append(('data_base64', 'is not known to CloudEvents 0.3: use datacontentencoding'))
        if event.get('datacontentencoding') == 'base64' and not _is_base64(event.get('data', '')):
            faults.append(('data', 'must be a base64 string, as datacontentencoding says'))
    elif 'data_base64' in event:
        if 'data' in event:
            faults.append(('data_base64', 'must not stand beside data'))
        if not _is_base64(event['data_base64']):
            faults.append(('data_base64', 'must be a base64 string'))
    return faults


def _is_timestamp(value: Any) -> bool:
    """Return whether *value* is a timestamp by RFC 3339, section 5.6."""
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        return False
    seconds = '59' if value[17:19] == '60' else value[17:19]  # a leap second, which datetime doesn't know
    try:
        datetime.fromisoformat(value[:17].upper() + seconds)
    except ValueError:
        return False
    return True


def _is_integer(value: Any) -> bool:
    """Return whether *value* is a whole number of 32 bits, however it is written, or a boolean."""
    return isinstance(value, (int, float)) and -2**31 <= value < 2**31 and value == int(value)


def _is_base64(value: Any) -> bool:
    """Return whether *value* is a string in base64 (RFC 4648, section 4)."""
    try:
        base64.b64decode(value, validate=True)
    except (TypeError, ValueError):  # of which binascii.Error is one
        return False
    return isinstance(value, str)


def _decoded(value: str) -> str:
    """Return the value in a header: a quoted string unescaped, then one round of percent-decoding."""
    quoted = _QUOTED.fullmatch(value)
    if quoted:
        value = re.sub(r'\\(.)', r'\1', quoted[1])
    if not _PRINTABLE.fullmatch(value):
        raise ValueError('must be percent-encoded UTF-8 in printable ASCII')
    try:
        return str(unquote_to_bytes(value), 'utf-8')
    except UnicodeDecodeError as exc:
        raise ValueError('is percent-encoded, but not as valid UTF-8') from exc


def _binary_data(attributes: dict[str, Any], content_type: str, body: bytes) -> tuple[str, str]:
    """Return the name of the member that holds the data, ``''`` for no data, and its JSON text."""
    if not body:
        return '', 'null'
    old = attributes['specversion'] == '0.3'
    if old and attributes.get('datacontentencoding') == 'base64':
        text = str(body, 'ascii', 'replace')
        if not _is_base64(text):
            raise InvalidEventError('the data is not base64', [('data', 'must be base64, as datacontentencoding says')])
        return 'data', dumps(text)
    as_json = _as_json(content_type, body)
    if as_json is not None:
        return 'data', as_json
    if old:
        attributes['datacontentencoding'] = 'base64'
    return 'data' if old else 'data_base64', dumps(base64.b64encode(body).decode('ascii'))


def _as_json(content_type: str, body: bytes) -> str | None:
    """Return data that is JSON or text as JSON; ``None`` if it is neither, to be kept as bytes."""
    media_type = MediaType(content_type or 'application/json')
    if media_type.is_json:
        try:
            return parse(body).text
        except InvalidEventError as exc:
            if content_type:
                raise InvalidEventError(f'data: {exc}', [('data', str(exc))]) from exc
    elif media_type.is_text:
        try:
            return dumps(str(body, media_type.charset))
        except (LookupError, ValueError):
            return None  # the charset is not known, or not the text's: nothing is lost this way
    return None
