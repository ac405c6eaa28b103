"""What an event is about, told for people: its transaction, its files, its key-values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from pacifica.dispatcher._conditions.facts import by_table

if TYPE_CHECKING:
    from pacifica.dispatcher._queue.records import Records

MOST_FILES = 200  # are shown, and so many key-values


class ListedFile(NamedTuple):
    """A file of the event; ``size`` is ``None`` if the event does not say so."""

    path: str
    size: int | None
    media: str


@dataclass(frozen=True)
class Contents:
    """What an event is about.

    :param fields: the transaction's project, instrument and submitter, those that it has.
    :param files: those that are shown, of ``found`` that a search finds, of ``count`` in all, which have ``size``
        bytes.
    :param key_values: those that are shown, of ``key_value_count``.
    """

    fields: Mapping[str, object]
    files: Sequence[ListedFile]
    found: int
    count: int
    size: int
    key_values: Sequence[tuple[str, object]]
    key_value_count: int


def contents(event_json: str, search: str | None = None) -> Contents:
    """Return what the event is about.

    :param search: which files are shown: what occurs in their paths, or a pattern with ``*``, ``?`` or ``[``; in upper
        or lower case.
    """
    tables = _tables(event_json)
    fields = {name: tables[f'Transactions.{name}'][0].get('value') for name in ('project', 'instrument', 'submitter')
              if f'Transactions.{name}' in tables}
    files, found, size = [], 0, 0
    for row in tables.get('Files', ()):
        file = _file(row)
        size += file.size or 0
        if search and not _fits(file.path, search):
            continue
        found += 1
        if found <= MOST_FILES:
            files.append(file)
    pairs = tables.get('TransactionKeyValue', [])
    return Contents(
        fields, files, found, len(tables.get('Files', ())), size,
        [(str(row.get('key')), row.get('value')) for row in pairs[:MOST_FILES]], len(pairs))


class Counter:
    """Counts the files and the key-values of events; remembers them, since an event does not change."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._known = lru_cache(maxsize=1024)(self._count)

    def of(self, task_id: str) -> tuple[int, int] | None:
        """Return how many files and key-values an event has, ``None`` if it is gone."""
        return self._known(task_id)

    def _count(self, task_id: str) -> tuple[int, int] | None:
        text = self._records.event_json(UUID(task_id))
        if text is None:
            return None
        tables = _tables(text)
        return len(tables.get('Files', ())), len(tables.get('TransactionKeyValue', ()))


def _tables(event_json: str) -> dict[str, list[dict[str, Any]]]:
    """Return the objects among an event's data by the table that each is meant for; none of what is no ingest."""
    from pacifica.dispatcher._events import loads  # here, since the help of a command needs none

    try:
        event = loads(event_json)
    except (ValueError, RecursionError):
        return {}
    data = event.get('data') if isinstance(event, dict) else None
    return by_table(data if isinstance(data, list) else ())


def _file(row: Mapping[str, Any]) -> ListedFile:
    subdir, name, size = row.get('subdir'), row.get('name'), row.get('size')
    path = '/'.join(str(part) for part in (subdir, name) if part not in (None, ''))
    known = isinstance(size, int) and not isinstance(size, bool) and size >= 0
    return ListedFile(path, size if known else None, str(row.get('mimetype') or ''))


def _fits(path: str, search: str) -> bool:
    path, search = path.lower(), search.lower()
    if any(each in search for each in '*?['):
        return fnmatchcase(path, search) or fnmatchcase(path.rpartition('/')[2], search)
    return search in path
