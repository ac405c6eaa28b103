"""Files with events, and the requests that carry them: CloudEvents over HTTP, as a sender writes them.

A file holds one event, a JSON array of events, or an event a line. The receiver's side is
:mod:`pacifica.dispatcher._events`. Nothing is checked or filled in here: what the receiver says to the event as it
stands is what the user of ``send`` wants to know.

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

__all__ = ['FileEvent', 'Mode', 'read_events', 'request_for']

Mode = Literal['structured', 'binary']

_STDIN = '-'
_JSON = 'application/json'
_DATA = ('data', 'data_base64')


@dataclass(frozen=True)
class FileEvent:
    """An event in a file, not yet validated: any JSON object.

    :param name: the file, and which of its events: ``events.json``, ``events.json[0]`` of an array, ``events.jsonl:1``
        (the line) of JSON lines.
    :param text: its JSON text, as it stands in the file.
    :param value: its JSON object.
    """

    name: str
    text: str
    value: dict[str, Any]

    @property
    def event_id(self) -> str:
        """Its id, for people; empty if it has none."""
        return str(self.value.get('id') or self.value.get('eventID') or '')


def read_events(files: Iterable[str]) -> list[FileEvent]:
    """Return the events of all *files*, in order.

    :param files: paths; ``-`` is stdin.
    :raises ClientError: if one can't be read, is no JSON, or has no events.
    """
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
        whole = parse(body.removeprefix(b'\xef\xbb\xbf'))
    except InvalidEventError as exc:
        lines = [(number, line) for number, line in enumerate(body.splitlines(), 1) if line.strip()]
        if len(lines) < 2 or not _is_json(lines[0][1]):
            raise ClientError(f'{name}: {_of_file(exc)}') from exc
        yield from _lines(name, lines)
        return
    if isinstance(whole.value, list):
        yield from ((f'{name}[{number}]', each) for number, each in enumerate(raw_members_of_list(whole)))
    else:
        yield name, whole


def _lines(name: str, lines: Iterable[tuple[int, bytes]]) -> Iterator[tuple[str, Document]]:
    for number, line in lines:
        try:
            yield f'{name}:{number}', parse(line)
        except InvalidEventError as exc:
            raise ClientError(f'{name}:{number}: {_of_file(exc)}') from exc


def _is_json(line: bytes) -> bool:
    try:
        parse(line)
    except InvalidEventError:
        return False
    return True


def _of_file(error: InvalidEventError) -> str:
    """Say of a file what is said of the body of a request, with the key that is meant."""
    text = str(error).replace('the body is', 'it is', 1)
    return '; '.join([text, *(f'{key!r} {what}' for key, what in error.faults)])


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

    :raises ClientError: if it can't be sent in this mode.
    """
    if 'specversion' not in event.value:
        if mode == 'binary' and 'cloudEventsVersion' in event.value:
            raise ClientError(f'{event.name} is a CloudEvent 0.1, which has no binary mode here: send it structured')
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
        raise ClientError(f'{event.name} has an attribute that no header can hold: send it structured') from exc
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
