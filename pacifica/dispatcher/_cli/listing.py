"""What ``list`` prints, a page at a time: of any number of events, one page is in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any
from uuid import UUID

from pacifica.dispatcher._cli.errors import UsageFault
from pacifica.dispatcher._cli.filters import is_empty
from pacifica.dispatcher._cli.output import Column, notice, on_terminal, print_json, print_table, status_name
from pacifica.dispatcher._cli.selection import PAGE, events
from pacifica.dispatcher._queue.search import Filter, Search

__all__ = ['pages', 'print_events', 'show']

_SHOWN = (
    Column('ACCEPTED (UTC)', whole=True), Column('STATUS', whole=True), Column('TASK ID', whole=True), Column('TYPE'),
    Column('TRANSACTION'), Column('ERROR'),
)


def show(search: Search, wanted: Filter, limit: int, after: UUID | None, as_json: bool) -> None:
    """Print the events that *wanted* describes.

    :param limit: how many at most; 0 for all.
    :param after: only events that come after this one.
    :raises UsageFault: if there is no such event.
    """
    before = None
    if after is not None:
        before = search.cursor(after)
        if before is None:
            raise UsageFault(f'there is no event {after} to begin after; perhaps it was pruned')
    everything = is_empty(wanted)
    found = events(search, replace(wanted, routed=True) if everything else wanted, before=before)
    last = None
    for row in _printed(islice(found, limit) if limit else found, as_json):
        last = row
    if last is None:
        notice('no event matches')
    if everything and on_terminal():
        notice('events that no route matched are left out: --status unrouted')
    if last is not None and limit and on_terminal() and next(found, None) is not None:
        notice(f'there are more: --after {last["taskID"]}, or --all')


def _printed(rows: Iterable[Mapping[str, Any]], as_json: bool) -> Iterator[Mapping[str, Any]]:
    for page in pages(rows):
        if as_json:
            for row in page:
                print_json(row)
        else:
            print_events(page)
        yield from page


def pages(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """Yield *rows* in lists of a page each."""
    iterator = iter(rows)
    while page := list(islice(iterator, PAGE)):
        yield page


def print_events(rows: Sequence[Mapping[str, Any]], more: Sequence[tuple[Column, Sequence[object]]] = ()) -> None:
    """Print a page of events; *more* are further columns."""
    columns, values = (_SHOWN, _for_terminal) if on_terminal() else ((), _for_pipe)
    print_table(
        [*columns, *(column for column, _ in more)],
        [[*values(row), *(texts[number] for _, texts in more)] for number, row in enumerate(rows)],
    )


def _for_terminal(row: Mapping[str, Any]) -> list[object]:
    return [
        str(row['created'])[:19], 'skipped' if row['skipped'] else status_name(row['taskStatus']), row['taskID'],
        row['eventType'], row['transactionID'], _error(row),
    ]


def _for_pipe(row: Mapping[str, Any]) -> list[object]:
    return [
        row['taskID'], row['taskStatus'], row['created'], row['eventType'], row['transactionID'], row['attempts'],
        row['source'], row['eventID'], _error(row),
    ]


def _error(row: Mapping[str, Any]) -> str | None:
    if row['exceptionType'] is None:
        return None
    return f'{row["exceptionType"]}: {row["exceptionValue"] or ""}'
