"""JSON bodies → Python, strictly and fast: the first wall between the network and everything else.

Called by the other modules here. Knows JSON (RFC 8259) and nothing of CloudEvents.

msgspec decodes; it has no opinion about duplicate keys or nesting, and refuses lone surrogates. So:

- *depth* follows from the types for data like Pacifica's, and else from counting brackets outside of strings;
- *duplicate keys* are excluded by writing the decoded value again and comparing the number of colons: a dropped pair
  takes at least one colon with it, and nothing else changes their number (an escaped colon would, so it goes the
  slow way);
- *whatever msgspec refuses* gets a second opinion from the standard library, which says what is wrong with it, or
  keeps the lone surrogates that RFC 8259 section 8.2 allows.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from itertools import accumulate
from typing import Any, NamedTuple, Union

import msgspec

from pacifica.dispatcher.exceptions import InvalidEventError

#: The deepest nesting of arrays and objects that is accepted.
MAX_DEPTH = 200

_Scalar = Union[str, int, float, bool, None]
_SHALLOW = msgspec.json.Decoder(
    dict[str, Union[_Scalar, list[Union[_Scalar, dict[str, _Scalar]]], dict[str, _Scalar]]]
)
_ANY = msgspec.json.Decoder()
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
_ENCODER = msgspec.json.Encoder()

#: The keys that the items of Pacifica's events have. Items with other keys are as good, and take twice as long.
_COMMON_KEYS = (
    '_id', 'destinationTable', 'name', 'subdir', 'size', 'hashtype', 'hashsum', 'mimetype', 'ctime', 'mtime',
    'encoding', 'key', 'value',
)
_COMMON = msgspec.json.Decoder(list[msgspec.defstruct(  # type: ignore[misc]  # a type that is made here
    'Item', [(key, Union[_Scalar, msgspec.UnsetType], msgspec.UNSET) for key in _COMMON_KEYS],
    forbid_unknown_fields=True, gc=False,
)])
#: From this size on it is worth while to look for such items.
_LARGE = 20_000

_NOT_STRUCTURE = bytes(set(range(256)) - set(b'[]{}"'))
_STEPS = bytes.maketrans(b'[{]}', b'\x01\x01\xff\xff')
_ESCAPE = re.compile(rb'\\.', re.DOTALL)
_STRING = re.compile(rb'"[^"]*"')
_ESCAPED_COLON = re.compile(rb'\\u003a', re.IGNORECASE)


class Document(NamedTuple):
    """A JSON text that was found good, and its value.

    ``members`` is the text of each member if the value is an object and they were told apart anyway; ``exact`` whether
    msgspec can parse the text again.
    """

    body: bytes
    text: str
    value: Any
    exact: bool
    members: dict[str, str] | None = None


def parse_event(body: bytes) -> Document:
    """Return *body* as :func:`parse` does, but faster for large events.

    Of those, the value of a member ``data`` may be given as an empty list: only that it is a list is known then.

    :raises InvalidEventError: as :func:`parse`.
    """
    return (_common_event(body) if len(body) >= _LARGE else None) or parse(body)


def parse(body: bytes) -> Document:
    """Return *body* as text and value.

    Refused: what is not JSON by RFC 8259 in UTF-8 (NaN and Infinity included), a key twice in one object, nesting
    deeper than :data:`MAX_DEPTH`, and numbers beyond what Python can hold exactly (integers) or at all (floats).

    :raises InvalidEventError: saying which of these it is, and where.
    """
    try:
        text = str(body, 'utf-8')
    except UnicodeDecodeError as exc:
        raise InvalidEventError(f'the body is not valid UTF-8 (byte {exc.start})') from exc
    try:
        value = _SHALLOW.decode(body)
    except msgspec.DecodeError:
        _check_depth(body)
        try:
            value = _ANY.decode(body)
        except msgspec.DecodeError:
            return Document(body, text, _slowly(text), False)
    if _lost_a_key(body, value):
        return Document(body, text, _slowly(text), True)
    return Document(body, text, value, True)


def loads(text: str) -> Any:
    """Parse stored JSON, keeping integers exact and lone surrogates, which RFC 8259 allows in strings."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        return json.loads(text)


def dumps(value: Any) -> str:
    """Return *value* as compact JSON in ASCII, so that NUL and lone surrogates are escaped.

    :raises ValueError: for NaN, Infinity or a value that contains itself.
    :raises TypeError: for what has no JSON form.
    """
    return json.dumps(value, allow_nan=False, separators=(',', ':'))


def raw_members(document: Document) -> dict[str, str]:
    """Return each member of the object *document* as the JSON text that stands in it."""
    if document.members is not None:
        return document.members
    if document.exact:
        return {name: str(raw, 'utf-8') for name, raw in _MEMBERS.decode(document.body).items()}
    return {name: dumps(value) for name, value in document.value.items()}


def raw_members_of_list(document: Document) -> list[Document]:
    """Return each member of the array *document* as a document of its own."""
    if document.exact:
        texts = [str(raw, 'utf-8') for raw in _ITEMS.decode(document.body)]
    else:
        texts = [dumps(value) for value in document.value]
    return [
        Document(text.encode(), text, value, document.exact)
        for text, value in zip(texts, document.value, strict=True)
    ]


def _common_event(body: bytes) -> Document | None:
    """Return an event whose data is a list of items with common keys, ``None`` for any other, good or bad."""
    try:
        text = str(body, 'utf-8')
        members = _MEMBERS.decode(body)
        data = _ENCODER.encode(_COMMON.decode(members['data']))
        value = {name: _ANY.decode(raw) for name, raw in members.items() if name != 'data'}
        rest = _ENCODER.encode(value)
    except (KeyError, ValueError, OverflowError, RecursionError):
        return None
    if (b'\\' in body and _ESCAPED_COLON.search(body)) or rest.count(b'[') + rest.count(b'{') > MAX_DEPTH:
        return None
    if data.count(b':') + rest.count(b':') + 1 != body.count(b':'):
        return None  # a key appears twice: parse() says which
    texts = {name: str(raw, 'utf-8') for name, raw in members.items()}
    return Document(body, text, {**value, 'data': []}, True, texts)


def _lost_a_key(body: bytes, value: Any) -> bool:
    """Return whether a duplicate key is possible; ``False`` is certain."""
    if b'\\' in body and _ESCAPED_COLON.search(body):
        return True
    try:
        return _ENCODER.encode(value).count(b':') != body.count(b':')
    except (ValueError, OverflowError):
        return True


def _check_depth(body: bytes) -> None:
    if body.count(b'[') + body.count(b'{') <= MAX_DEPTH:
        return
    if b'\\' in body:
        body = _ESCAPE.sub(b'', body)
    structure = _STRING.sub(b'', body.translate(None, _NOT_STRUCTURE).replace(b'""', b''))
    steps = memoryview(structure.translate(_STEPS)).cast('b')
    if steps and max(accumulate(steps)) > MAX_DEPTH:
        raise InvalidEventError(f'the JSON is nested more than {MAX_DEPTH} deep')


def _slowly(text: str) -> Any:
    """Parse with the standard library: it says where an error is, accepts lone surrogates and sees each pair."""
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)
    except InvalidEventError:
        raise
    except json.JSONDecodeError as exc:
        where = f'line {exc.lineno} column {exc.colno}'
        raise InvalidEventError(f'the body is not JSON: {exc.msg} at {where}') from exc
    except (ValueError, RecursionError) as exc:
        raise InvalidEventError('the JSON holds a number or a nesting that is too large to be kept exactly') from exc


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        (twice, _), = Counter(name for name, _ in pairs).most_common(1)
        raise InvalidEventError('a key appears twice in one object', [(twice[:200], 'appears twice in one object')])
    return members


def _no_constant(name: str) -> Any:
    raise InvalidEventError(f'the body is not JSON: {name} is not a JSON number')


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise InvalidEventError(f'the number {digits[:40]} is out of range')
    return number
