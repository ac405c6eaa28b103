"""JSON texts → Python, strictly; stored JSON → Python; Python → JSON.

Knows JSON (RFC 8259) and nothing of CloudEvents. What comes from the network is parsed by the standard library, which
shows each pair of an object to a hook, keeps the lone surrogates that RFC 8259 section 8.2 allows, and says where a
fault is. msgspec, which is faster and keeps the last of two equal keys, reads what was accepted before.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from itertools import accumulate
from typing import Any, NamedTuple

import msgspec

from pacifica.dispatcher.exceptions import InvalidEventError

__all__ = ['MAX_DEPTH', 'Document', 'dumps', 'loads', 'parse', 'raw_members', 'raw_members_of_list']

#: The deepest nesting of arrays and objects that is accepted.
MAX_DEPTH = 200

_NOT_STRUCTURE = bytes(set(range(256)) - set(b'[]{}"'))
_STEPS = bytes.maketrans(b'[{]}', b'\x01\x01\xff\xff')
_ESCAPE = re.compile(rb'\\.', re.DOTALL)
_STRING = re.compile(rb'"[^"]*"')


class Document(NamedTuple):
    """A JSON text that was found good, and its value."""

    text: str
    value: Any


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
    _check_depth(body)
    try:
        return Document(text, _DECODER.decode(text))
    except InvalidEventError:
        raise
    except json.JSONDecodeError as exc:
        where = f'line {exc.lineno} column {exc.colno}'
        raise InvalidEventError(f'the body is not JSON: {exc.msg} at {where}') from exc
    except (ValueError, RecursionError) as exc:
        raise InvalidEventError('the JSON holds a number or a nesting that is too large to be kept exactly') from exc


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
    try:
        return {name: str(raw, 'utf-8') for name, raw in _MEMBERS.decode(document.text).items()}
    except msgspec.DecodeError:  # it holds a lone surrogate
        return {name: dumps(value) for name, value in document.value.items()}


def raw_members_of_list(document: Document) -> list[Document]:
    """Return each member of the array *document* as a document of its own."""
    try:
        texts = [str(raw, 'utf-8') for raw in _ITEMS.decode(document.text)]
    except msgspec.DecodeError:  # it holds a lone surrogate
        texts = [dumps(value) for value in document.value]
    return [Document(*pair) for pair in zip(texts, document.value, strict=True)]


def _check_depth(body: bytes) -> None:
    """Refuse *body* if it is nested too deeply, by the brackets outside of its strings."""
    if body.count(b'[') + body.count(b'{') <= MAX_DEPTH:
        return
    if b'\\' in body:
        body = _ESCAPE.sub(b'', body)
    structure = _STRING.sub(b'', body.translate(None, _NOT_STRUCTURE).replace(b'""', b''))
    steps = memoryview(structure.translate(_STEPS)).cast('b')
    if steps and max(accumulate(steps)) > MAX_DEPTH:
        raise InvalidEventError(f'the JSON is nested more than {MAX_DEPTH} deep')


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


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
