"""Files with events, for ``send`` and ``check``: one event, a JSON array of events, or JSON lines."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pacifica.dispatcher._cli.errors import UsageFault
from pacifica.dispatcher._events.strict_json import Document, parse, raw_members_of_list
from pacifica.dispatcher.exceptions import InvalidEventError

__all__ = ['STDIN', 'FileEvent', 'read_events']

STDIN = '-'


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
    :raises UsageFault: if one can't be read, is no JSON, or has no events.
    """
    return [event for file in files for event in _events_in(file)]


def _events_in(file: str) -> Iterator[FileEvent]:
    name = 'stdin' if file == STDIN else file
    body = _read(file)
    if not body.strip():
        raise UsageFault(f'{name} is empty: it should hold an event, an array of events, or an event a line')
    documents = list(_documents(name, body))
    if not documents:
        raise UsageFault(f'{name} has no events: its array is empty')
    for shown, document in documents:
        if not isinstance(document.value, dict):
            raise UsageFault(f'{shown} is no event: an event is a JSON object')
        yield FileEvent(shown, document.text, document.value)


def _read(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == STDIN else Path(file).read_bytes()
    except OSError as exc:
        raise UsageFault(f'{file} can\'t be read: {exc.strerror}') from exc


def _documents(name: str, body: bytes) -> Iterator[tuple[str, Document]]:
    try:
        whole = parse(body.removeprefix(b'\xef\xbb\xbf'))
    except InvalidEventError as exc:
        lines = [(number, line) for number, line in enumerate(body.splitlines(), 1) if line.strip()]
        if len(lines) < 2 or not _is_json(lines[0][1]):
            raise UsageFault(f'{name}: {_of_file(exc)}') from exc
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
            raise UsageFault(f'{name}:{number}: {_of_file(exc)}') from exc


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
