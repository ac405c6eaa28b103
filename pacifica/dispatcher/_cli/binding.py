"""An event of a file → the request that carries it: CloudEvents over HTTP, as a sender writes them.

The receiver's side is :mod:`pacifica.dispatcher._events`. Nothing is checked or filled in here: what the receiver says
to the event as it stands is what the user of ``send`` wants to know.

Format: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md, section 3
"""

from __future__ import annotations

import base64
import json
from typing import Any, Literal

from cloudevents.core.bindings.http import HTTPMessage, to_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from pacifica.dispatcher._cli.errors import UsageFault
from pacifica.dispatcher._cli.event_files import FileEvent
from pacifica.dispatcher._events.media_types import MediaType
from pacifica.dispatcher._events.strict_json import parse, raw_members

__all__ = ['Mode', 'request_for']

Mode = Literal['structured', 'binary']

_JSON = 'application/json'
_DATA = ('data', 'data_base64')


class _AsItStands(CloudEvent):
    """The SDK's event without its checks, and without the id and the time that it makes up if they are missing."""

    def __init__(self, attributes: dict[str, Any], data: bytes) -> None:
        self._written, self._body = attributes, data

    def get_attributes(self) -> dict[str, Any]:
        """Return the attributes, as strings."""
        return self._written

    def get_data(self) -> bytes:
        """Return the body."""
        return self._body


def request_for(event: FileEvent, mode: Mode) -> HTTPMessage:
    """Return headers and body of the request that sends *event*.

    :raises UsageFault: if it can't be sent in this mode.
    """
    if 'specversion' not in event.value:
        if mode == 'binary' and 'cloudEventsVersion' in event.value:
            raise UsageFault(f'{event.name} is a CloudEvent 0.1, which has no binary mode here: send it structured')
        if mode == 'structured':  # also what is no event at all: the receiver says so
            return HTTPMessage({'content-type': _JSON}, event.text.encode())
    if mode == 'structured':
        return HTTPMessage({'content-type': JSONFormat.CONTENT_TYPE}, event.text.encode())
    attributes = {
        name: _text(value) for name, value in event.value.items() if value is not None and name not in _DATA
    }
    body = _body(event)
    if body:
        attributes.setdefault('datacontenttype', _JSON)  # what a JSON event without it means, section 3.1
    try:
        message = to_binary(_AsItStands(attributes, body), JSONFormat())
        for name, value in message.headers.items():
            (name + value).encode('ascii')
    except UnicodeEncodeError as exc:
        raise UsageFault(f'{event.name} has an attribute that no header can hold: send it structured') from exc
    return message


def _text(value: Any) -> str:
    """Return an attribute's value as a string (CloudEvents 1.0, section 3.1, "Type System")."""
    return value if isinstance(value, str) else json.dumps(value)


def _body(event: FileEvent) -> bytes:
    """Return the data as bytes."""
    encoded, data = event.value.get('data_base64'), event.value.get('data')
    if isinstance(encoded, str):
        try:
            return base64.b64decode(encoded, validate=True)
        except ValueError as exc:
            raise UsageFault(f'{event.name}: data_base64 is no base64: there are no bytes to send') from exc
    if 'data' not in event.value:
        return b''
    media_type = MediaType(_text(event.value.get('datacontenttype') or _JSON))
    if isinstance(data, str) and (not media_type.is_json or event.value.get('datacontentencoding') == 'base64'):
        try:
            return data.encode(media_type.charset)
        except (LookupError, UnicodeError) as exc:
            raise UsageFault(f'{event.name}: its data can\'t be written in {media_type.charset!r}') from exc
    return raw_members(parse(event.text.encode()))['data'].encode()
