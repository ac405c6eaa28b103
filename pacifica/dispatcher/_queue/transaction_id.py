"""Which transaction of the archive an event is about: what people search by.

Used when an event is stored, and by the upgrade of a 0.2 table for those stored before.
"""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ['MAX_CHARACTERS', 'transaction_id']

MAX_CHARACTERS = 64

_TABLE = 'Transactions._id'
_MARK = f'"{_TABLE}"'


def transaction_id(data_json: str) -> str | None:
    """Return the id of the transaction in *data_json*, the data of an event as Pacifica Metadata publishes them.

    That is the value of the object whose ``destinationTable`` is ``Transactions._id`` (see :mod:`..models`), as text.
    Only that object is parsed: the data may list tens of thousands of files. ``None`` if there is none, or it is no
    whole number and no short text.
    """
    position = data_json.find(_MARK)
    while position >= 0:
        value = _value(data_json, position)
        if value is not None:
            return value
        position = data_json.find(_MARK, position + 1)
    return None


def _value(data_json: str, position: int) -> str | None:
    """Return the value of the innermost object around *position*."""
    begin, end = data_json.rfind('{', 0, position), data_json.find('}', position)
    if begin < 0 or end < 0:
        return None
    try:
        item: Any = msgspec.json.decode(data_json[begin:end + 1])
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None  # braces inside its strings: an event that Pacifica does not send
    if not isinstance(item, dict) or item.get('destinationTable') != _TABLE:
        return None
    value = item.get('value')
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return None
    return str(value) if 0 < len(str(value)) <= MAX_CHARACTERS else None
