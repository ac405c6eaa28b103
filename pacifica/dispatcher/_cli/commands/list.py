"""``list``: which events there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from pacifica.dispatcher._cli.filters import filter_options, task_id
from pacifica.dispatcher._cli.output import json_option
from pacifica.dispatcher._cli.parameters import database_option

if TYPE_CHECKING:
    from pacifica.dispatcher._queue.search import Filter

__all__ = ['command']


@click.command('list', short_help='List events, newest first.')
@database_option
@filter_options()
@click.option('--limit', type=click.IntRange(min=0), default=50, show_default=True, metavar='N',
              help='How many events at most; 0 for all.')
@click.option('--all', 'everything', is_flag=True, help='All that fit, as --limit 0.')
@click.option('--after', callback=task_id, metavar='ID', default=None,
              help='Only events that come after this one: the last of the page before.')
@json_option
def command(
    database: Any, wanted: Filter, limit: int, everything: bool, after: UUID | None, as_json: bool,
) -> None:
    """List events, newest first: those that fit every option given.

    In a pipe it prints a line for each event, its values parted by tabs: task id, status, time of acceptance (UTC),
    type, transaction, attempts, source, event id, error. --json prints a JSON object in each line, with the keys of
    GET /get/ID. Neither is cut to any width. Characters that can't be printed are written as in JSON (\\u001b).
    """
    from pacifica.dispatcher._cli.existing import existing_table
    from pacifica.dispatcher._cli.listing import show

    with existing_table(database) as table:
        show(table.search, wanted, 0 if everything else limit, after, as_json)
