"""Which failures of the last day are the same, read from the index of groups: what of the overview is about these.

It steps from group to group through the index and looks at no more than ``COUNT_LIMIT`` entries of each, so that a
thousand equal failures cost little, and a million no more than some thousand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pacifica.dispatcher._queue.record import NEWEST_FIRST, TABLE, as_text, placeholders, timestamp
from pacifica.dispatcher._queue.session import Session

COUNT_LIMIT = 20_000
"""A count that reaches this means: so many or more."""

MOST_GROUPS = 100
"""So many groups are looked at."""

_DAY = 86_400.0
_BEYOND = 'g'  # after every hexadecimal digit


@dataclass(frozen=True)
class FailureGroup:
    """Failures of one route with the same exception class and the same message but for numbers and names.

    :param group: its name, 16 hexadecimal digits: ``group`` of :class:`~pacifica.dispatcher._queue.search.Filter`.
    :param task_id: the newest of its events, which has ``exc_type``, ``exc_value`` and ``route``.
    :param count: how many of its events ended in the last day; at most ``COUNT_LIMIT``.
    :param since: when the first of them ended that is still in the table.
    :param last: when the last of them ended.
    """

    group: str
    task_id: str
    route: str | None
    exc_type: str
    exc_value: str | None
    count: int
    since: str
    last: str


def failing(session: Session) -> list[FailureGroup]:
    """Return the groups in which something failed within a day, that of the most failures first."""
    newest = _newest(session)
    ends = _ends(session, list(newest))
    rows = _errors(session, [newest[group] for group in ends])
    found = [
        FailureGroup(group, *rows[str(newest[group])], *ends[group]) for group in ends if str(newest[group]) in rows]
    return sorted(found, key=lambda each: (-each.count, each.last, each.group))


def _newest(session: Session) -> dict[str, Any]:
    """Return the newest event of each group, found with one look into the index."""
    found: dict[str, Any] = {}
    after = _BEYOND
    while len(found) < MOST_GROUPS:
        row = session.execute(
            f'SELECT failure_group, task_id FROM {TABLE} WHERE failure_group IS NOT NULL AND failure_group < ?'
            ' ORDER BY failure_group DESC, created DESC, task_id DESC LIMIT 1', (after,)).fetchone()
        if row is None:
            break
        after, found[row[0]] = row
    return found


def _ends(session: Session, groups: Sequence[str]) -> dict[str, tuple[int, str, str]]:
    """Return of those that failed within a day how often, since when, and when last."""
    if not groups:
        return {}
    yesterday = timestamp(session.now() - _DAY)
    parts = ' UNION ALL '.join(
        f'SELECT {position} AS position, SUM(CASE WHEN finalized >= ? THEN 1 ELSE 0 END) AS number,'
        f' MIN(finalized) AS first, MAX(finalized) AS last FROM (SELECT finalized FROM {TABLE}'
        f' WHERE failure_group = ? {NEWEST_FIRST} LIMIT {COUNT_LIMIT}) AS s{position}'
        for position in range(len(groups)))
    parameters = [value for group in groups for value in (yesterday, group)]
    return {
        groups[position]: (int(number), as_text(first), as_text(last))
        for position, number, first, last in session.execute(parts, parameters).fetchall() if number
    }


def _errors(session: Session, task_ids: Sequence[Any]) -> dict[str, tuple[str, str | None, str, str | None]]:
    if not task_ids:
        return {}
    rows = session.execute(
        f'SELECT task_id, route, exc_type, exc_value FROM {TABLE} WHERE task_id IN ({placeholders(len(task_ids))})',
        task_ids).fetchall()
    return {str(row[0]): (str(UUID(str(row[0]))), *row[1:]) for row in rows}
