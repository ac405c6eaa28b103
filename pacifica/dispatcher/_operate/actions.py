"""What people do to events: retry, replay and cancel them, one or many."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from pacifica.dispatcher._operate.selection import pages
from pacifica.dispatcher._queue.status import FINAL, Status

if TYPE_CHECKING:
    from pacifica.dispatcher._queue.operator import Operator
    from pacifica.dispatcher._queue.search import Filter, Search
    from pacifica.dispatcher._queue.values import QueueName

__all__ = [
    'BATCH', 'CANCEL', 'MOST_COUNTED', 'REPLAY', 'RETRIABLE', 'RETRY', 'Action', 'Pace', 'RetriedAll', 'retry_all',
]

BATCH = 200  # events are changed in one transaction
RETRIABLE = (Status.FAILED, Status.UNPROCESSABLE)  # what "retry all" is for; the first where no status is named
MOST_COUNTED = 2000  # further events are counted by "retry all"
_MOST_RETRIED = 1000
_MOST_PAGES = 10  # windows of the table that are looked through for further events
_POLL_SECONDS = 0.5


class Action(NamedTuple):
    """Something that is done to events, as their timelines call it, and in which statuses it can be done."""

    name: str
    done: str
    possible: frozenset[Status]

    def run(self, operator: Operator, task_ids: Sequence[UUID], by: str | None) -> list[bool]:
        """Do it to each event, for *by*, and return to which it was done."""
        if self.name == 'cancel':
            return operator.cancel(task_ids, by=by)
        return operator.retry(task_ids, by=by, afresh=self.name == 'replay')

    def why_not(self, status: str | None) -> str:
        """Return why it was not done to an event in *status*; ``None`` is that of an unknown event."""
        if status is None:
            return 'there is no such event'
        if status in self.possible:
            return 'somebody else was changing it at this moment; try again'
        return f'it is in {status}'


RETRY = Action('retry', 'retried', FINAL)
REPLAY = Action('replay', 'replayed', FINAL)
CANCEL = Action('cancel', 'cancelled', frozenset({Status.ACCEPTED}))


@dataclass(frozen=True)
class RetriedAll:
    """How "retry all" went: how many events run again, and which are left."""

    retried: int
    left: int = 0  # MOST_COUNTED stands for that many or more
    more: str | None = None  # where these begin


def retry_all(search: Search, operator: Operator, wanted: Filter, before: str | None, by: str | None) -> RetriedAll:
    """Run at most a thousand of the failed events that *wanted* describes again, the newest first.

    :param wanted: with a status of ``RETRIABLE``, or none, which means the first of these.
    :param before: where to begin, so that those which fail again immediately aren't taken again and again.
    :raises ValueError: if *before* is no place in a list.
    """
    wanted = replace(wanted, status=wanted.status or RETRIABLE[0])
    retried, more = 0, before
    for page in pages(search, wanted, limit=BATCH, before=before):
        if page.rows:
            retried += sum(RETRY.run(operator, [UUID(row['taskID']) for row in page.rows], by))
        more = page.older
        if more is None:
            return RetriedAll(retried)
        if retried >= _MOST_RETRIED:
            break
    left, older = 0, more
    for page in islice(pages(search, wanted, limit=BATCH, before=more), _MOST_PAGES):
        left, older = left + len(page.rows), page.older
        if left >= MOST_COUNTED:
            break
    return RetriedAll(retried, left if older is None else max(left, MOST_COUNTED), more if left or older else None)


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
