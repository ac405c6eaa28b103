"""CloudEvents 1.0 and 0.3 in HTTP binary mode: attributes in ``ce-`` headers, the data as the body.

The CNCF SDK's binding doesn't unescape quoted strings, replaces invalid UTF-8 instead of refusing it (section 3.1.3.2),
and makes a string of any data that happens to be UTF-8; so those are done here. Format:
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md, section 3.1
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from cloudevents.core.bindings.http import HTTPMessage, from_binary
from cloudevents.core.exceptions import CloudEventValidationError
from cloudevents.core.formats.json import JSONFormat

from pacifica.dispatcher._events.media_types import MediaType
from pacifica.dispatcher._events.received import ReceivedEvent
from pacifica.dispatcher._events.strict_json import dumps, parse
from pacifica.dispatcher._events.version_0_1 import Fault
from pacifica.dispatcher._events.version_1_0 import check_attributes, encode_base64, is_base64, received, sdk_faults
from pacifica.dispatcher.exceptions import InvalidEventError

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_PRINTABLE = re.compile(r'[\x20-\x7e\t]*')


class _Attributes(JSONFormat):
    """The SDK's JSON format, without the data, whose treatment is the receiver's."""

    def read_data(self, body: bytes, datacontenttype: str | None) -> None:
        """Leave the data out."""


def read(headers: Mapping[str, str], body: bytes) -> tuple[ReceivedEvent | None, list[Fault]]:
    """Return the event in a request (names of *headers* in lower case), or every fault that keeps it from being one.

    It is stored in the JSON event format. Its data becomes a JSON value if its content type says JSON, a string if it
    says text, and else a base64 string, from which handlers get the bytes back.
    """
    faults: list[Fault] = []
    attributes: dict[str, Any] = {}
    for name, value in headers.items():
        if name.startswith('ce-'):
            try:
                attributes[name[3:]] = _decode(value)
            except ValueError as exc:
                faults.append((name[3:], f'{exc} (header {name})'))
                attributes[name[3:]] = 'unreadable'
    if attributes.pop('datacontenttype', None) is not None:
        faults.append(('datacontenttype', 'is the Content-Type header in binary mode'))
    checked = dict(attributes)
    found = check_attributes(checked)
    message = HTTPMessage({'ce-' + name: quote(value, safe='') for name, value in checked.items()}, b'')
    try:
        from_binary(message, _Attributes())
    except CloudEventValidationError as exc:
        found += sdk_faults(exc)
    unreadable = {name for name, _ in faults}
    faults += [fault for fault in found if fault[0] not in unreadable]
    if faults:
        return None, faults
    content_type = headers.get('content-type', '')
    if content_type:
        attributes['datacontenttype'] = content_type
    member, data_json = _data(attributes, content_type, body)
    head = dumps(attributes)
    return received(attributes, f'{head[:-1]},"{member}":{data_json}}}' if member else head, data_json), []


def _decode(value: str) -> str:
    """Return the attribute's value: quoted strings unescaped, then one round of percent-decoding."""
    quoted = _QUOTED.fullmatch(value)
    if quoted:
        value = re.sub(r'\\(.)', r'\1', quoted[1])
    if not _PRINTABLE.fullmatch(value):
        raise ValueError('must be percent-encoded UTF-8 in printable ASCII')
    try:
        return str(unquote_to_bytes(value), 'utf-8')
    except UnicodeDecodeError as exc:
        raise ValueError('is percent-encoded, but not as valid UTF-8') from exc


def _data(attributes: dict[str, Any], content_type: str, body: bytes) -> tuple[str, str]:
    """Return the name of the member that holds the data, ``''`` for no data, and its JSON text."""
    if not body:
        return '', 'null'
    old = attributes['specversion'] == '0.3'
    if old and attributes.get('datacontentencoding') == 'base64':
        text = str(body, 'ascii', 'replace')
        if not is_base64(text):
            raise InvalidEventError('the data is not base64', [('data', 'must be base64, as datacontentencoding says')])
        return 'data', dumps(text)
    as_json = _as_json(content_type, body)
    if as_json is not None:
        return 'data', as_json
    if old:
        attributes['datacontentencoding'] = 'base64'
    return 'data' if old else 'data_base64', encode_base64(body)


def _as_json(content_type: str, body: bytes) -> str | None:
    """Return data that is JSON or text as JSON; ``None`` if it is neither, to be kept as bytes."""
    media_type = MediaType(content_type or 'application/json')
    if media_type.is_json:
        try:
            return parse(body).text
        except InvalidEventError as exc:
            if content_type:
                raise InvalidEventError(f'data: {exc}', [('data', str(exc))]) from exc
    elif media_type.name.startswith('text/'):
        with suppress(LookupError, ValueError):  # the charset is not known, or not the text's: kept as bytes, all of it
            return dumps(str(body, media_type.charset))
    return None
