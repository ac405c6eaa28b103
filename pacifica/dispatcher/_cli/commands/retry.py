"""``retry``: run events again that have ended."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from pacifica.dispatcher._cli.acting import How, act_options
from pacifica.dispatcher._cli.filters import filter_options, is_empty
from pacifica.dispatcher._cli.filters import task_ids as checked_ids
from pacifica.dispatcher._cli.parameters import database_option

if TYPE_CHECKING:
    from pacifica.dispatcher._queue.search import Filter

__all__ = ['command']


@click.command('retry', short_help='Run events again that have ended.')
@click.argument('task_ids', metavar='[ID]...', nargs=-1, callback=checked_ids)
@database_option
@click.option('--failed', is_flag=True, help='All that failed, as --status failed.')
@filter_options()
@act_options
def command(database: Any, task_ids: tuple[UUID, ...], failed: bool, wanted: Filter, how: How) -> None:
    """Run events again that have ended: those with the task IDs given, or all that fit every option given.

    With options, events in "500 Internal Server Error" are meant unless --status says otherwise. They are due at once,
    with all their attempts. What was uploaded is not uploaded again; "replay" does that too.

    For each event a line says what was done. Before more than one is changed it asks. The exit status is 0 if every
    event is run again, 1 if some are not, since they have not ended yet, or if nothing matches.
    """
    from dataclasses import replace

    from pacifica.dispatcher._cli.acting import Act, act, chosen
    from pacifica.dispatcher._cli.existing import existing_table
    from pacifica.dispatcher._queue.status import FINAL, Status

    by_filter = failed or not is_empty(wanted)
    if by_filter == bool(task_ids):
        raise click.UsageError('say which events: either by their task ids, or --failed, or by the options of "list"')
    if failed and wanted.status not in (None, Status.FAILED):
        raise click.UsageError('--failed and --status contradict each other')
    wanted = replace(wanted, status=wanted.status or Status.FAILED)
    with existing_table(database) as table:
        what = Act('retry', 'retried', frozenset(FINAL), lambda ids: table.operator.retry(ids, by=how.by))
        sys.exit(act(table, what, chosen(table, task_ids, wanted if by_filter else None), how))
