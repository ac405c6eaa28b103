"""Files with events, and the requests that carry them: CloudEvents over HTTP, as a sender writes them.

Nothing is checked or filled in: what the receiver says to the event as it stands is what ``send`` is to show.
Format: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md, section 3
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cloudevents.core.bindings.http import HTTPMessage, to_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from pacifica.dispatcher._clients import ClientError
from pacifica.dispatcher._events.media_types import MediaType
from pacifica.dispatcher._events.strict_json import Document, parse, raw_members, raw_members_of_list
from pacifica.dispatcher.exceptions import InvalidEventError

Mode = Literal['structured', 'binary']

_STDIN = '-'
_JSON = 'application/json'
_DATA = ('data', 'data_base64')


@dataclass(frozen=True)
class FileEvent:
    """An event in a file, not yet validated: any JSON object."""

    name: str  # events.json, events.json[0] of an array, events.jsonl:1 of JSON lines
    text: str  # as it stands in the file
    value: dict[str, Any]

    @property
    def event_id(self) -> str:
        return str(self.value.get('id') or self.value.get('eventID') or '')


def read_events(files: Iterable[str]) -> list[FileEvent]:
    """Return the events of all *files*, in order; ``-`` is stdin, and a file without events is an error."""
    return [event for file in files for event in _events_in(file)]


def _events_in(file: str) -> Iterator[FileEvent]:
    name = 'stdin' if file == _STDIN else file
    body = _read(file)
    if not body.strip():
        raise ClientError(f'{name} is empty: it should hold an event, an array of events, or an event a line')
    documents = list(_documents(name, body))
    if not documents:
        raise ClientError(f'{name} has no events: its array is empty')
    for shown, document in documents:
        if not isinstance(document.value, dict):
            raise ClientError(f'{shown} is no event: an event is a JSON object')
        yield FileEvent(shown, document.text, document.value)


def _read(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == _STDIN else Path(file).read_bytes()
    except OSError as exc:
        raise ClientError(f'{file} can\'t be read: {exc.strerror}') from exc


def _documents(name: str, body: bytes) -> Iterator[tuple[str, Document]]:
    try:
        whole = _parse(name, body.removeprefix(b'\xef\xbb\xbf'))
    except ClientError:
        lines = [(f'{name}:{number}', line) for number, line in enumerate(body.splitlines(), 1) if line.strip()]
        if len(lines) < 2 or not _is_json(lines[0][1]):
            raise
        yield from ((shown, _parse(shown, line)) for shown, line in lines)
        return
    if isinstance(whole.value, list):
        yield from ((f'{name}[{number}]', each) for number, each in enumerate(raw_members_of_list(whole)))
    else:
        yield name, whole


def _parse(name: str, text: bytes) -> Document:
    """Say of a file what is said of the body of a request, with the key that is meant."""
    try:
        return parse(text)
    except InvalidEventError as exc:
        said = str(exc).replace('the body is', 'it is', 1)
        raise ClientError('; '.join([f'{name}: {said}', *(f'{key!r} {what}' for key, what in exc.faults)])) from exc


def _is_json(line: bytes) -> bool:
    try:
        parse(line)
    except InvalidEventError:
        return False
    return True


class _AsItStands(CloudEvent):
    """The SDK's event without its checks, and without the id and the time that it makes up if they are missing."""

    def __init__(self, attributes: dict[str, Any], data: bytes) -> None:
        self._written, self._body = attributes, data

    def get_attributes(self) -> dict[str, Any]:
        return self._written

    def get_data(self) -> bytes:
        return self._body


def request_for(event: FileEvent, mode: Mode) -> HTTPMessage:
    """Return headers and body of the request that sends *event*, if it can be sent in this mode."""
    if mode == 'structured':  # also what is no event at all: the receiver says so
        content_type = JSONFormat.CONTENT_TYPE if 'specversion' in event.value else _JSON
        return HTTPMessage({'content-type': content_type}, event.text.encode())
    if 'specversion' not in event.value and 'cloudEventsVersion' in event.value:
        raise ClientError(f'{event.name} is a CloudEvent 0.1, which has no binary mode here: send it structured')
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
        raise ClientError(f'{event.name} has an attribute that no header can hold: send it structured') from exc
    return message


def _text(value: Any) -> str:
    """Return an attribute's value as a string (CloudEvents 1.0, section 3.1, "Type System")."""
    return value if isinstance(value, str) else json.dumps(value)


def _body(event: FileEvent) -> bytes:
    encoded, data = event.value.get('data_base64'), event.value.get('data')
    if isinstance(encoded, str):
        try:
            return base64.b64decode(encoded, validate=True)
        except ValueError as exc:
            raise ClientError(f'{event.name}: data_base64 is no base64: there are no bytes to send') from exc
    if 'data' not in event.value:
        return b''
    media_type = MediaType(_text(event.value.get('datacontenttype') or _JSON))
    if isinstance(data, str) and (not media_type.is_json or event.value.get('datacontentencoding') == 'base64'):
        try:
            return data.encode(media_type.charset)
        except (LookupError, UnicodeError) as exc:
            raise ClientError(f'{event.name}: its data can\'t be written in {media_type.charset!r}') from exc
    return raw_members(parse(event.text.encode()))['data'].encode()
