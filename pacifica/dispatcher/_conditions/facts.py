"""What conditions ask of an event."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from pacifica.dispatcher._paths import safe_path
from pacifica.dispatcher.exceptions import UnsafePathError


def by_table(rows: Iterable[Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the objects among *rows* by the table that each is meant for."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if isinstance(row, dict) and isinstance(table := row.get('destinationTable'), str):
            found.setdefault(table, []).append(row)
    return found


class Facts:
    """What conditions ask of an event; its data, which may list many files, are gone through once for all of them."""

    def __init__(self, event: Any) -> None:
        self.event = event
        self.members: dict[Any, Any] = event if isinstance(event, dict) else {}

    @cached_property
    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """The objects among the data, by the table that each is meant for."""
        data = self.members.get('data')
        return by_table(data if isinstance(data, list) else data.values() if isinstance(data, dict) else ())

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
