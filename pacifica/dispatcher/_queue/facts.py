"""What a list says of an event, read once out of its data when it is accepted, so that nobody reads these again.

The data are a list of objects as Pacifica Metadata publishes them (see :mod:`..models`). Of data of any other shape
nothing is known, which is never an error.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import msgspec

from pacifica.dispatcher._lineage import SOURCE_KEY
from pacifica.dispatcher._queue.record import storable

_CHARACTERS = 64  # of an id as text
_MOST_BYTES = (1 << 63) - 1  # that a column holds


class _Row(msgspec.Struct, gc=False):
    """The members that are read of each object; the others are passed over, which makes it quick."""

    destinationTable: Any = None
    key: Any = None
    value: Any = None
    name: Any = None
    subdir: Any = None
    size: Any = None

    def has(self, key_value: str) -> bool:
        return self.destinationTable == _KEY_VALUE and f'{self.key}={self.value}' == key_value

    def is_file(self, pattern: str) -> bool:
        if self.destinationTable != 'Files' or type(self.name) is not str:
            return False
        return fnmatchcase(self.name, pattern) or fnmatchcase(f'{self.subdir or ""}/{self.name}'.strip('/'), pattern)


_decode = msgspec.json.Decoder(list[_Row]).decode


class Facts(NamedTuple):
    """What is known of an event: the columns of these names."""

    transaction_id: str | None = None
    parent_transaction: str | None = None
    project: str | None = None
    instrument: str | None = None
    submitter: str | None = None
    file_count: int | None = None
    file_bytes: int | None = None

    @classmethod
    def of(cls, data_json: str) -> Facts:
        """Return what *data_json*, the data of an event, say; of what they say twice, the first."""
        rows = _rows(data_json)
        if not rows:
            return _NOTHING
        texts: dict[str, str] = {}
        count = size = 0
        for row in rows:
            table = row.destinationTable
            if table == 'Files':
                count += 1
                size += row.size if type(row.size) is int and row.size > 0 else 0
            elif type(table) is not str:
                continue
            elif table in _FIELDS or (table == _KEY_VALUE and row.key == SOURCE_KEY):
                text = _text(row.value)
                if text is not None:
                    texts.setdefault(_FIELDS.get(table, 'parent_transaction'), text)
        return cls(**texts, file_count=count or None, file_bytes=min(size, _MOST_BYTES) if count else None)


_NOTHING = Facts()
_KEY_VALUE = 'TransactionKeyValue'
_FIELDS = {
    'Transactions._id': 'transaction_id', 'Transactions.project': 'project', 'Transactions.instrument': 'instrument',
    'Transactions.submitter': 'submitter',
}


def matcher(key_value: str | None, file: str | None) -> Callable[[str], bool]:
    """Return what says whether the data of an event have a key-value, ``KEY=VALUE``, and a file.

    :param file: a name or a path, in which ``*``, ``?`` and ``[…]`` stand for others as in :mod:`fnmatch`.
    """
    def matches(data_json: str) -> bool:
        rows = _rows(data_json)
        return (key_value is None or any(row.has(key_value) for row in rows)) and (
            file is None or any(row.is_file(file) for row in rows))

    return matches


def _rows(data_json: str) -> Sequence[_Row]:
    if not data_json[:80].lstrip().startswith('['):
        return ()
    try:
        return _decode(data_json)
    except (msgspec.DecodeError, UnicodeEncodeError):
        pass
    except RecursionError:
        return ()
    try:  # what is no object among them is left out, and what no UTF-8 has is read nevertheless
        return [msgspec.convert(each, _Row) for each in json.loads(data_json) if isinstance(each, dict)]
    except (ValueError, RecursionError):
        return ()


def _text(value: Any) -> str | None:
    """Return a number or a text as a column keeps it; ``None`` if it is neither, empty or too long."""
    if type(value) is int and value.bit_length() <= 64:
        return str(value)
    text = storable(value) if type(value) is str else None
    return text if text and len(text) <= _CHARACTERS else None
