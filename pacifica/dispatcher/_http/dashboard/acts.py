"""The buttons: run an event again, have it not run, run all failed ones of a filter again.

Called by the resources once the right and the token are checked.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple
from uuid import UUID

from pacifica.dispatcher._http.answers import Refusal
from pacifica.dispatcher._http.dashboard.query import Query
from pacifica.dispatcher._http.ports import Operator, Search
from pacifica.dispatcher._queue.status import Status

__all__ = ['AGAIN', 'COUNTED', 'Retried', 'act', 'retry_all']

#: What "retry all" can be pressed for; the first is meant where the filter names no status.
AGAIN = (Status.FAILED, Status.UNPROCESSABLE)

_BATCH = 200
_MOST = 1000
#: How many further events are counted, and how many windows of the table are looked through for them.
COUNTED = 2000
_MOST_PAGES = 10


class Retried(NamedTuple):
    """How "retry all" went.

    :param retried: how many events run again.
    :param left: how many there still are, or the most that are counted.
    :param more: where these begin; ``None`` if there are none.
    """

    retried: int
    left: int
    more: str | None


def act(operator: Operator, action: str, task_id: UUID, by: str | None) -> None:
    """Do *action* with one event.

    :raises Refusal: 422 for an unknown action; 409 if the event is in no state for it.
    """
    if action == 'retry':
        done, reason = operator.retry([task_id], by=by), 'it has not ended: it waits or runs already'
    elif action == 'cancel':
        done, reason = operator.cancel([task_id], by=by), 'only an event that waits can be cancelled'
    else:
        raise Refusal(422, 'the action must be retry or cancel', [('action', 'must be retry or cancel')])
    if not all(done):
        raise Refusal(409, f'nothing was changed: {reason}')


def retry_all(search: Search, operator: Operator, query: Query, by: str | None) -> Retried:
    """Run at most a thousand of the failed events that *query* describes again, the newest first.

    It begins at the query's ``before``, so that those which fail again at once aren't taken again and again.

    :raises Refusal: 422 if the query is for events in another status.
    """
    status = query.wanted.status or AGAIN[0]
    if status not in AGAIN:
        raise Refusal(422, f'only events in {" or ".join(AGAIN)} are retried all at once')
    wanted = replace(query.wanted, status=status)
    retried, before = 0, query.before
    while retried < _MOST:
        page = search.page(wanted, limit=_BATCH, before=before)
        if page.rows:
            retried += sum(operator.retry([UUID(row['taskID']) for row in page.rows], by=by))
        before = page.older
        if before is None:
            return Retried(retried, 0, None)
    left, more = 0, before
    for _ in range(_MOST_PAGES):
        page = search.page(wanted, limit=_BATCH, before=before)
        left, before = left + len(page.rows), page.older
        if before is None or left >= COUNTED:
            break
    return Retried(retried, left if before is None else max(left, COUNTED), more if left or before else None)
