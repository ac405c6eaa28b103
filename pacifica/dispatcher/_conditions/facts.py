"""What conditions ask of an event, and how they tell people what they found."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cached_property
from typing import Any

from pacifica.dispatcher._paths import safe_path
from pacifica.dispatcher.exceptions import UnsafePathError

_SHOWN = 3  # values of each kind in an explanation
_LENGTH = 60  # characters of each


class Facts:
    """What conditions ask of an event; its data, which may list many files, are gone through once for all of them."""

    def __init__(self, event: Any) -> None:
        self.event = event
        self.members: dict[Any, Any] = event if isinstance(event, dict) else {}

    @cached_property
    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """The objects among the data, by the table that each is meant for."""
        found: dict[str, list[dict[str, Any]]] = {}
        data = self.members.get('data')
        rows = data if isinstance(data, list) else data.values() if isinstance(data, dict) else ()
        for row in rows:
            if isinstance(row, dict) and isinstance(table := row.get('destinationTable'), str):
                found.setdefault(table, []).append(row)
        return found

    def values(self, table: str, key: str | None = None) -> list[Any]:
        """Return the values in a table, of rows with *key* if one is given."""
        return [row['value'] for row in self.rows.get(table, ())
                if 'value' in row and (key is None or row.get('key') == key)]

    @cached_property
    def paths(self) -> list[str]:
        """The paths of the event's files; a file that can be in no directory has none."""
        return [path for row in self.rows.get('Files', ()) if (path := _path(row)) is not None]


def _path(row: dict[str, Any]) -> str | None:
    try:
        return safe_path(row.get('name'), row.get('subdir'))
    except UnsafePathError:
        return None


def comparable(value: object) -> bool:
    return isinstance(value, (str, int, float)) and not isinstance(value, bool)


def as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def arguments(values: Iterable[Any]) -> str:
    return ', '.join(map(repr, values))


def listed(values: Iterable[Any], word: str) -> str:
    """Return different ones of *values*, some of them if there are many, in JSON."""
    texts = list(dict.fromkeys(cut(as_json(value)) for value in values))
    more = [] if len(texts) <= _SHOWN else [f'{len(texts) - _SHOWN} others']
    return word.join([*texts[:_SHOWN], *more])


def first(values: list[Any], few: str, many: str) -> str:
    """Go on a sentence with the first of *values*, if there are any."""
    if not values:
        return ''
    return f'; {few if len(values) <= _SHOWN else many} {", ".join(cut(str(each)) for each in values[:_SHOWN])}'


def cut(text: str) -> str:
    return text if len(text) <= _LENGTH else f'{text[:_LENGTH]}…'
