"""``list``: which events there are, a page at a time, which alone is in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from pacifica.dispatcher._cli.options import as_task_id, database_option, filter_options, json_option
from pacifica.dispatcher._cli.output import (
    Column, UsageFault, notice, on_terminal, print_json, print_table, status_name,
)
from pacifica.dispatcher._cli.table import existing_table
from pacifica.dispatcher._operate.actions import batches, events, is_empty
from pacifica.dispatcher._operate.listing import age, files, took
from pacifica.dispatcher._operate.words import error_text

if TYPE_CHECKING:
    from pacifica.dispatcher._queue.filters import Filter

_SHOWN = (
    Column('AGE', whole=True), Column('STATUS', whole=True), Column('TASK ID', whole=True), Column('TRANSACTION'),
    Column('PROJECT'), Column('INSTRUMENT'), Column('SUBMITTER'), Column('FILES'), Column('ROUTE'), Column('TOOK'),
    Column('ERROR'),
)


@click.command('list', short_help='List events, newest first.')
@database_option
@filter_options()
@click.option('--limit', type=click.IntRange(min=0), default=50, show_default=True, metavar='N',
              help='How many events at most; 0 for all.')
@click.option('--all', 'everything', is_flag=True, help='All that fit, as --limit 0.')
@click.option('--after', type=as_task_id, metavar='ID', default=None,
              help='Only events that come after this one: the last of the page before.')
@json_option
def list_command(
    database: Any, wanted: Filter, limit: int, everything: bool, after: UUID | None, as_json: bool,
) -> None:
    """List events, newest first: those that fit every option given.

    In a pipe it prints a line for each event, its values parted by tabs: task id, status, time of acceptance (UTC),
    type, transaction, attempts, source, event id, error, project, instrument, submitter, files, bytes, route, time of
    the end. --json prints a JSON object in each line, with the keys of GET /get/ID. Neither is cut to any width. On a
    terminal, columns in which no event has anything are left out. Characters that can't be printed are written as in
    JSON (\\u001b).
    """
    with existing_table(database) as table:
        before = None if after is None else table.search.cursor(after)
        if after is not None and before is None:
            raise UsageFault(f'there is no event {after} to begin after; perhaps it was pruned')
        unfiltered, last = is_empty(wanted), None
        found = events(table.search, replace(wanted, routed=True) if unfiltered else wanted, before=before)
        for page in batches(found if everything or not limit else islice(found, limit)):
            for row in page if as_json else ():
                print_json(row)
            if not as_json:
                print_events(page)
            last = page[-1]
        if last is None:
            notice('no event matches')
        if unfiltered and on_terminal():
            notice('events that no route matched are left out: --status unrouted')
        if last is not None and on_terminal() and next(found, None) is not None:
            notice(f'there are more: --after {last["taskID"]}, or --all')


def print_events(rows: Sequence[Mapping[str, Any]], routes: Sequence[str] = ()) -> None:
    """Print a page of events, each with the one of *routes* that it would take, if these are given."""
    values = _for_terminal if on_terminal() else _for_pipe
    columns = [*_SHOWN, Column('WOULD RUN')] if routes else _SHOWN
    lines = [[*values(row), *routes[number:number + 1]] for number, row in enumerate(rows)]
    if on_terminal():
        told = [number for number, column in enumerate(columns) if column.whole or any(line[number] for line in lines)]
        columns, lines = [columns[number] for number in told], [[line[number] for number in told] for line in lines]
    print_table(columns, lines)


def _for_terminal(row: Mapping[str, Any]) -> list[object]:
    return [
        age(row['created']), 'skipped' if row['skipped'] else status_name(row['taskStatus']), row['taskID'],
        row['transactionID'], row['project'], row['instrument'], row['submitter'], files(row), row['route'], took(row),
        _short_error(row),
    ]


def _for_pipe(row: Mapping[str, Any]) -> list[object]:
    return [
        row['taskID'], row['taskStatus'], row['created'], row['eventType'], row['transactionID'], row['attempts'],
        row['source'], row['eventID'], _short_error(row), row['project'], row['instrument'], row['submitter'],
        row['fileCount'], row['fileBytes'], row['route'], row['finalized'],
    ]


def _short_error(row: Mapping[str, Any]) -> str | None:
    return None if row['exceptionType'] is None else error_text(row['exceptionType'], row['exceptionValue'])
