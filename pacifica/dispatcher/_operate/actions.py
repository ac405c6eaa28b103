"""What people do to events: find them page by page, choose thousands or millions, retry, replay and cancel them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from pacifica.dispatcher._queue.status import FINAL, Status

if TYPE_CHECKING:
    from pacifica.dispatcher._queue.filters import Filter
    from pacifica.dispatcher._queue.operator import Operator
    from pacifica.dispatcher._queue.records import Records
    from pacifica.dispatcher._queue.search import Page, Search
    from pacifica.dispatcher._queue.values import QueueName
    from pacifica.dispatcher.router import Route

BATCH = 200  # events are changed in one transaction
RETRIABLE = (Status.FAILED, Status.UNPROCESSABLE)  # all of which may be retried at once; the first unless one is named
MOST_COUNTED = 2000  # events are counted before and after such an act
_MOST_AT_ONCE = 1000  # events are acted on when a button is pressed
_MOST_PAGES = 10  # windows of the table that are looked through for further events
_POLL_SECONDS = 0.5
_PAGE = 500  # events are in memory at the same time
_BYTES = 16


def _pages(search: Search, wanted: Filter, *, limit: int = _PAGE, before: str | None = None) -> Iterator[Page]:
    """Yield what *wanted* describes, newest first, reading a page, which may be empty, when that before is used up."""
    while True:
        page = search.page(wanted, limit=limit, before=before)
        yield page
        if page.older is None:
            return
        before = page.older


def events(search: Search, wanted: Filter, *, before: str | None = None) -> Iterator[Mapping[str, Any]]:
    return (row for page in _pages(search, wanted, before=before) for row in page.rows)


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


class Action(NamedTuple):
    """Something that is done to events, as their timelines call it, and in which statuses it can be done."""

    name: str
    done: str
    possible: frozenset[Status]

    def run(
        self, operator: Operator, task_ids: Sequence[UUID], by: str | None,
        parameters: Mapping[str, Any] | None = None,
    ) -> list[bool]:
        """Do it to each event, for *by*, with *parameters* if it is to run again, and return to which it was done."""
        if self.name == 'cancel':
            return operator.cancel(task_ids, by=by)
        return operator.retry(task_ids, by=by, afresh=self.name == 'replay', parameters=parameters)

    def why_not(self, status: str | None) -> str:
        """Return why it was not done to an event in *status*; ``None`` is that of an unknown event."""
        if status is None:
            return 'there is no such event'
        if status in self.possible:
            return 'somebody else was changing it at this moment; try again'
        return f'it is in {status}'


RETRY = Action('retry', 'retried', FINAL)
REPLAY = Action('replay', 'replayed', FINAL)
CANCEL = Action('cancel', 'cancelled', frozenset({Status.ACCEPTED, Status.PROCESSING}))


BY_NAME = {action.name: action for action in (RETRY, REPLAY, CANCEL)}
_STATUS_OF_ALL = {RETRY.name: RETRIABLE[0], CANCEL.name: Status.ACCEPTED}


def status_of_all(action: Action, status: Status | None) -> Status | None:
    """Return in which status all events are to which *action* is done; ``None`` for any in which it can be done.

    :param status: the one that people ask for.
    :raises ValueError: if it is not done to all events in that status.
    """
    possible = RETRIABLE if action is RETRY else action.possible
    if status is not None and status not in possible:
        raise ValueError(f'only events in {" or ".join(sorted(possible))} are {action.done} all at once')
    return status or _STATUS_OF_ALL.get(action.name)


@dataclass(frozen=True)
class ActedOnAll:
    """How acting on all went: to how many events it was done, and which are left."""

    done: int
    left: int = 0  # MOST_COUNTED stands for that many or more
    more: str | None = None  # where these begin


def act_on_all(
    action: Action, search: Search, operator: Operator, wanted: Filter, before: str | None, by: str | None,
) -> ActedOnAll:
    """Do *action* to at most a thousand of the events that *wanted* describes, the newest first.

    :param before: where to begin, so that those which fail again immediately aren't taken again and again.
    """
    done, more = 0, before
    for page in _pages(search, wanted, limit=BATCH, before=before):
        task_ids = [UUID(row['taskID']) for row in page.rows if row['taskStatus'] in action.possible]
        if task_ids:
            done += sum(action.run(operator, task_ids, by))
        more = page.older
        if more is None:
            return ActedOnAll(done)
        if done >= _MOST_AT_ONCE:
            break
    left = count_all(action, search, wanted, more)
    return ActedOnAll(done, left, more if left else None)


def count_all(action: Action, search: Search, wanted: Filter, before: str | None) -> int:
    """Return to how many events *action* would be done; ``MOST_COUNTED`` for that many or more, or if nobody knows."""
    found, older = 0, before
    for page in islice(_pages(search, wanted, limit=BATCH, before=before), _MOST_PAGES):
        found, older = found + sum(row['taskStatus'] in action.possible for row in page.rows), page.older
        if found >= MOST_COUNTED:
            break
    return found if older is None else max(found, MOST_COUNTED)


class Pace:
    """How many events may be run again now: *rate* a second, only while fewer than *max_waiting* are due; 0: any."""

    def __init__(self, rate: float, max_waiting: int) -> None:
        self._rate = rate
        self._max_waiting = max_waiting
        self._began = time.monotonic()
        self._said = False

    def next(self, operator: Operator, queues: Iterable[QueueName], done: int, on_wait: Callable[[str], None]) -> int:
        """Return how many may follow the *done* ones, at least one; say once if that means to wait for workers."""
        if self._rate:
            time.sleep(max(0.0, self._began + done / self._rate - time.monotonic()))
        allowed = BATCH if not self._rate else max(1, min(BATCH, int(self._rate)))
        while self._max_waiting:
            room = self._max_waiting - operator.count_due(sorted(queues), self._max_waiting)
            if room > 0:
                return min(allowed, room)
            if not self._said:
                on_wait(f'{self._max_waiting} events are due: waiting until workers take some')
            self._said = True
            time.sleep(_POLL_SECONDS)
        return allowed
