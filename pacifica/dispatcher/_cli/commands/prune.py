"""``prune``: delete events that ended long ago."""

from __future__ import annotations

from typing import Any

import click

from pacifica.dispatcher._cli.output import json_option
from pacifica.dispatcher._cli.parameters import database_option
from pacifica.dispatcher._cli.times import duration

__all__ = ['command']

_BATCH = 1000


@click.command('prune', short_help='Delete events that ended long ago.')
@database_option
@click.option('--older-than', callback=duration, required=True, metavar='TIME',
              help='How long ago they must have ended, for example 30d; units are s, m, h, d and w.')
@click.option('--name', metavar='NAME', default=None,
              help='Only events of this application, as of "serve".  [default: of all]')
@click.option('--task-name', metavar='NAME', default=None, help='Only events of this task.  [default: NAME.receive]')
@click.option('--dry-run', is_flag=True, help='Only say how many there are.')
@json_option
def command(
    database: Any, older_than: float, name: str | None, task_name: str | None, dry_run: bool, as_json: bool,
) -> None:
    """Delete events that ended long ago, and say how many.

    Events that wait or are being processed are never deleted. Each thousand is a transaction of its own, so that
    workers go on meanwhile, and what was deleted before an interruption stays deleted. An event that was deleted is
    forgotten: it is a new one if it comes again. Does not ask, since it is meant for cron.
    """
    from pacifica.dispatcher._cli.existing import existing_table
    from pacifica.dispatcher._cli.output import print_json, progress
    from pacifica.dispatcher._queue.transitions import QueueName

    if task_name is not None and name is None:
        raise click.UsageError('--task-name needs --name, the application whose task it is')
    queue = None if name is None else QueueName(name, task_name or f'{name}.receive')
    with existing_table(database) as table:
        found = table.operator.count_prunable(older_than, queue)
        deleted = 0
        if not dry_run:
            with progress('deleting', found) as advance:
                while batch := table.operator.prune(older_than, queue, limit=_BATCH):
                    deleted += batch
                    advance(batch)
    if as_json:
        print_json({'found': found, 'deleted': deleted})
    else:
        click.echo(f'{found:,} events would be deleted' if dry_run else f'{deleted:,} events were deleted')
