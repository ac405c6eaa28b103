"""``show``: all that is known of one event."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import click

from pacifica.dispatcher._cli.filters import task_id as task_id_callback
from pacifica.dispatcher._cli.output import json_option
from pacifica.dispatcher._cli.parameters import database_option

__all__ = ['command']


@click.command('show', short_help='Show all that is known of one event.')
@click.argument('task_id', metavar='ID', callback=task_id_callback)
@database_option
@json_option
@click.option('--traceback', is_flag=True, help='Show the whole traceback of its error.')
@click.option('--lines', type=click.IntRange(min=0), default=20, show_default=True, metavar='N',
              help='How many lines of the event are shown.')
@click.option('--full', is_flag=True, help='Show the whole event.')
def command(database: Any, task_id: UUID, as_json: bool, traceback: bool, lines: int, full: bool) -> None:
    """Show one event by its task ID: its attributes, its timeline, its error, its uploads, and the event itself.

    --json prints the object that GET /get/ID answers. Times are UTC. The exit status is 1 if there is no such event.
    """
    from pacifica.dispatcher._cli.existing import existing_table
    from pacifica.dispatcher._cli.output import print_json
    from pacifica.dispatcher._cli.single import show

    with existing_table(database) as table:
        record = table.records.get(task_id)
    if record is None:
        raise click.ClickException(f'there is no event {task_id}')
    if as_json:
        print_json(record)
    else:
        show(record, traceback=traceback, lines=None if full else lines)
