"""Which transactions of the archive an event is about: what people search by, and what links results to their origin.

Used when an event is stored, and by the upgrade of a table for those stored before.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pacifica.dispatcher._lineage import SOURCE_KEY

__all__ = ['MAX_CHARACTERS', 'parent_transaction', 'transaction_id']

MAX_CHARACTERS = 64


def transaction_id(data_json: str) -> str | None:
    """Return the id of the transaction in *data_json*, the data of an event as Pacifica Metadata publishes them.

    That is the value of the object whose ``destinationTable`` is ``Transactions._id`` (see :mod:`..models`), as text.
    Only that object is parsed: the data may list tens of thousands of files. ``None`` if there is none, or it is no
    whole number and no short text.
    """
    return _value(data_json, 'destinationTable', 'Transactions._id')


def parent_transaction(data_json: str) -> str | None:
    """Return the id of the transaction from which the event's was made, so far as its key-values say so."""
    return _value(data_json, 'key', SOURCE_KEY)


def _value(data_json: str, member: str, text: str) -> str | None:
    """Return the value of the first object in which *member* is *text*."""
    mark = f'"{text}"'
    position = data_json.find(mark)
    while position >= 0:
        value = _value_around(data_json, position, member, text)
        if value is not None:
            return value
        position = data_json.find(mark, position + 1)
    return None


def _value_around(data_json: str, position: int, member: str, text: str) -> str | None:
    """Return the value of the innermost object around *position*."""
    begin, end = data_json.rfind('{', 0, position), data_json.find('}', position)
    if begin < 0 or end < 0:
        return None
    try:
        item: Any = msgspec.json.decode(data_json[begin:end + 1])
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None  # braces inside its strings: an event that Pacifica does not send
    if not isinstance(item, dict) or item.get(member) != text:
        return None
    value = item.get('value')
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return None
    return str(value) if 0 < len(str(value)) <= MAX_CHARACTERS else None
