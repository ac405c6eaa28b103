"""The events that somebody has chosen: found page by page, and kept by the thousand or the million."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pacifica.dispatcher._queue.status import FINAL

if TYPE_CHECKING:
    from pacifica.dispatcher._queue.records import Records
    from pacifica.dispatcher._queue.search import Filter, Page, Search
    from pacifica.dispatcher.router import Route

__all__ = ['TaskIDs', 'batches', 'ended', 'event_of', 'events', 'is_empty', 'pages']

_PAGE = 500  # events are in memory at the same time
_BYTES = 16


def pages(search: Search, wanted: Filter, *, limit: int = _PAGE, before: str | None = None) -> Iterator[Page]:
    """Yield what *wanted* describes, newest first, reading a page, which may be empty, when that before is used up."""
    while True:
        page = search.page(wanted, limit=limit, before=before)
        yield page
        if page.older is None:
            return
        before = page.older


def events(search: Search, wanted: Filter, *, before: str | None = None) -> Iterator[Mapping[str, Any]]:
    return (row for page in pages(search, wanted, before=before) for row in page.rows)


def batches(rows: Iterator[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """Yield *rows* in lists of a page, the last one shorter."""
    while batch := list(islice(rows, _PAGE)):
        yield batch


def is_empty(wanted: Filter) -> bool:
    return not any(vars(wanted).values())


class TaskIDs:
    """Task ids in order, in 16 bytes each."""

    def __init__(self, task_ids: Iterable[UUID] = ()) -> None:
        self._bytes = bytearray().join(task_id.bytes for task_id in task_ids)

    def __len__(self) -> int:
        return len(self._bytes) // _BYTES

    def append(self, task_id: UUID) -> None:
        self._bytes += task_id.bytes

    def reversed(self) -> TaskIDs:
        """Return them the other way round: what was found newest first, oldest first."""
        return TaskIDs(self.part(position, 1)[0] for position in range(len(self) - 1, -1, -1))

    def part(self, begin: int, count: int) -> list[UUID]:
        """Return *count* of them from number *begin* on, fewer at the end."""
        some = self._bytes[begin * _BYTES:(begin + count) * _BYTES]
        return [UUID(bytes=bytes(some[each:each + _BYTES])) for each in range(0, len(some), _BYTES)]


def event_of(records: Records, row: Mapping[str, Any]) -> Any:
    """Return an event as routes see it; ``None`` if it was pruned meanwhile."""
    from pacifica.dispatcher._events import loads

    text = records.event_json(UUID(row['taskID']))
    return None if text is None else loads(text)


def ended(
    search: Search, records: Records, wanted: Filter, route: Route | None, warn: Callable[[str], None],
) -> Iterator[Mapping[str, Any]]:
    """Yield the events that have ended, fit *wanted*, and match *route* if there is one, newest first."""
    for row in events(search, wanted):
        if row['taskStatus'] in FINAL and (route is None or _matches(route, records, row, warn)):
            yield row


def _matches(route: Route, records: Records, row: Mapping[str, Any], warn: Callable[[str], None]) -> bool:
    event = event_of(records, row)
    try:
        return event is not None and route.match(event)
    except Exception as exc:  # a JSONPath may raise anything on a document it was not written for
        warn(f'{row["taskID"]} is left out, since the JSONPath can\'t be matched: {type(exc).__name__}: {exc}')
        return False
