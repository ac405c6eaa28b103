"""The events that a command has chosen: found page by page, and kept by the thousand or the million."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from pacifica.dispatcher._queue.search import Filter, Search

__all__ = ['PAGE', 'TaskIDs', 'events']

PAGE = 500
"""Events that are held in memory at once."""

_BYTES = 16


def events(search: Search, wanted: Filter, *, before: str | None = None) -> Iterator[Mapping[str, Any]]:
    """Yield the events that *wanted* describes, newest first, reading a page when the one before is used up.

    :param before: a cursor of ``Search``: only events that come after it.
    """
    while True:
        page = search.page(wanted, limit=PAGE, before=before)
        yield from page.rows
        if page.older is None:
            return
        before = page.older


class TaskIDs:
    """Task ids in order, each once, in 16 bytes."""

    def __init__(self, task_ids: Iterable[UUID] = ()) -> None:
        self._bytes = bytearray()
        for task_id in task_ids:
            self.append(task_id)

    def __len__(self) -> int:
        return len(self._bytes) // _BYTES

    def __iter__(self) -> Iterator[UUID]:
        for begin in range(0, len(self._bytes), _BYTES):
            yield UUID(bytes=bytes(self._bytes[begin:begin + _BYTES]))

    def append(self, task_id: UUID) -> None:
        """Add one at the end."""
        self._bytes += task_id.bytes

    def reversed(self) -> TaskIDs:
        """Return them the other way round: what was found newest first, oldest first."""
        turned = TaskIDs()
        for begin in range(len(self._bytes) - _BYTES, -1, -_BYTES):
            turned._bytes += self._bytes[begin:begin + _BYTES]
        return turned

    def part(self, begin: int, count: int) -> list[UUID]:
        """Return *count* of them from number *begin* on, fewer at the end."""
        some = self._bytes[begin * _BYTES:(begin + count) * _BYTES]
        return [UUID(bytes=bytes(some[each:each + _BYTES])) for each in range(0, len(some), _BYTES)]
