"""``cancel``: have events not run that wait."""

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


@click.command('cancel', short_help='Have events not run that wait.')
@click.argument('task_ids', metavar='[ID]...', nargs=-1, callback=checked_ids)
@database_option
@filter_options(status=False)
@act_options
def command(database: Any, task_ids: tuple[UUID, ...], wanted: Filter, how: How) -> None:
    """Have events not run that wait: those with the task IDs given, or all that wait and fit every option given.

    They end in "500 Internal Server Error" with CancelledError; "retry" runs them after all. An event that a worker
    runs already can't be cancelled.

    For each event a line says what was done. Before more than one is changed it asks. The exit status is 0 if every
    event is cancelled, 1 if some are not, since they don't wait, or if nothing matches.
    """
    from dataclasses import replace

    from pacifica.dispatcher._cli.acting import Act, act, chosen
    from pacifica.dispatcher._cli.existing import existing_table
    from pacifica.dispatcher._queue.status import Status

    by_filter = not is_empty(wanted)
    if by_filter == bool(task_ids):
        raise click.UsageError('say which events: either by their task ids, or by the options of "list"')
    wanted = replace(wanted, status=Status.ACCEPTED)
    with existing_table(database) as table:
        what = Act('cancel', 'cancelled', frozenset({Status.ACCEPTED}),
                   lambda ids: table.operator.cancel(ids, by=how.by))
        sys.exit(act(table, what, chosen(table, task_ids, wanted if by_filter else None), how))
