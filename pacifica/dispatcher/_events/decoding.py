"""A request, or a dict, → validated events: which content mode and which version it is, and all its faults at once.

Called by the front door (:func:`decode`) and by ``queue.delay`` (:func:`from_dict`).

Modes: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md, section 3; the
batched one is not in the CNCF SDK (https://github.com/cloudevents/sdk-python/issues/130), so it is here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pacifica.dispatcher._events import binary_mode, version_0_1, version_1_0
from pacifica.dispatcher._events.media_types import MediaType
from pacifica.dispatcher._events.received import ReceivedEvent
from pacifica.dispatcher._events.strict_json import Document, dumps, parse, parse_event, raw_members_of_list
from pacifica.dispatcher._events.version_0_1 import Fault
from pacifica.dispatcher.exceptions import InvalidEventError

#: Events in a batch, all of which go into one transaction.
MAX_BATCH = 10_000

_STRUCTURED = 'application/cloudevents+json'
_BATCHED = 'application/cloudevents-batch+json'


def is_batch(headers: Mapping[str, str]) -> bool:
    """Return whether a request with these *headers* (names in lower case) carries a list of events."""
    return MediaType(headers.get('content-type', '')).name == _BATCHED


def decode(headers: Mapping[str, str], body: bytes) -> list[ReceivedEvent]:
    """Return the events that an HTTP request carries, in order: exactly one unless :func:`is_batch`.

    :param headers: names in lower case, values as they came.
    :raises InvalidEventError: with every fault found, each naming its field; its ``status`` is 415 for a format that
        is not understood, else 400.
    """
    media_type = MediaType(headers.get('content-type', ''))
    if not media_type.name.startswith('application/cloudevents'):
        if any(name.startswith('ce-') for name in headers):
            return [_one(binary_mode.read(headers, body))]
        if media_type.name != 'application/json':
            raise _not_understood(media_type)
    elif media_type.name not in (_STRUCTURED, _BATCHED):
        raise _not_understood(media_type)
    if not media_type.is_utf8:
        raise InvalidEventError(f'JSON is accepted in UTF-8 only, not in {media_type.charset[:40]!r}', status=415)
    if media_type.name == _BATCHED:
        return _batch(parse(body))
    return [_one(_read(parse_event(body), media_type.name == _STRUCTURED))]


def from_dict(event: Mapping[str, Any]) -> ReceivedEvent:
    """Return the event that a program hands over as a dict, as :func:`decode` does for a request.

    :raises InvalidEventError: with every fault found, each naming its field.
    """
    try:
        text = dumps(dict(event))
    except (TypeError, ValueError, RecursionError) as exc:
        raise InvalidEventError(f'the event can\'t be written as JSON: {exc}') from exc
    return _one(_read(parse_event(text.encode('ascii')), False))


def _not_understood(media_type: MediaType) -> InvalidEventError:
    return InvalidEventError(
        f'events of the type {media_type.name[:100]!r} are not understood: send application/json, {_STRUCTURED}, '
        f'{_BATCHED}, or data of any type with its attributes in ce- headers',
        status=415,
    )


def _read(document: Document, structured: bool) -> tuple[ReceivedEvent | None, list[Fault]]:
    event = document.value
    if not isinstance(event, dict):
        raise InvalidEventError('not a CloudEvent: a CloudEvent is a JSON object')
    if 'specversion' in event or (structured and 'cloudEventsVersion' not in event):
        return version_1_0.read(document)
    return version_0_1.read(document)


def _batch(document: Document) -> list[ReceivedEvent]:
    """All or nothing (JSON event format 1.0, section 4): one bad event refuses the batch."""
    if not isinstance(document.value, list):
        raise InvalidEventError('not a batch of CloudEvents: a batch is a JSON array')
    if len(document.value) > MAX_BATCH:
        raise InvalidEventError(f'a batch may hold {MAX_BATCH} events, this holds {len(document.value)}', status=413)
    events: list[ReceivedEvent] = []
    faults: list[Fault] = []
    for position, member in enumerate(raw_members_of_list(document)):
        if not isinstance(member.value, dict):
            faults.append((f'[{position}]', 'must be a JSON object'))
            continue
        event, found = _read(member, True)
        faults += [(f'[{position}].{name}', what) for name, what in found]
        if event:
            events.append(event)
    if faults:
        raise _refused(faults)
    return events


def _one(result: tuple[ReceivedEvent | None, list[Fault]]) -> ReceivedEvent:
    event, faults = result
    if event is None:
        raise _refused(faults)
    return event


def _refused(faults: list[Fault]) -> InvalidEventError:
    """Return the error for *faults*, of which as many are shown as a sender can use."""
    shown = [(name[:200], what) for name, what in faults[:100]]
    more = f'; and {len(faults) - len(shown)} more' if len(faults) > len(shown) else ''
    message = '; '.join(f'{name} {what}' for name, what in shown)
    return InvalidEventError(f'not a CloudEvent: {message}{more}', shown)
