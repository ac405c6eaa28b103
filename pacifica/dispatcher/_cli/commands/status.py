"""``status``: the state of the whole table at a glance."""

from __future__ import annotations

import sys
from typing import Any

import click

from pacifica.dispatcher._cli.output import json_option, on_terminal
from pacifica.dispatcher._cli.parameters import database_option
from pacifica.dispatcher._cli.times import seconds

__all__ = ['command']


@click.command('status', short_help='Show what waits, who works and how fast.')
@database_option
@json_option
@click.option('--watch', type=click.FloatRange(min=0.1), is_flag=False, flag_value='2', default=None,
              metavar='[SECONDS]', help='Show it anew every so many seconds (2) until Ctrl-C; on a terminal only.')
@click.option('--fail-if-older', callback=seconds, default=None, metavar='SECONDS',
              help='Exit with 1 if an event has been due for longer than that; also 15m, 2h and so on.')
def command(database: Any, as_json: bool, watch: float | None, fail_if_older: float | None) -> None:
    """Show how many events are in each status, what waits for how long, which workers there are, and how fast they are.

    The times of the events that ended lately are from acceptance to the end: half of the events took at most p50
    seconds, 95 of 100 at most p95; both are of a sample if there are many. A worker that has not told for as long as
    its claims hold is lost: it was killed, or can't reach the database. Counts end at 20,000; the types of events that
    no route matched are those of the latest 1,000.

    In a pipe it prints lines of values parted by tabs, each beginning with count, unrouted, queue, worker or ended.
    --json prints an object: counts (status to number); skipped; unrouted (event type to number); queues
    (taskApplicationName, taskName, oldestAge in seconds); workers (owner, taskApplicationName, taskName, engine,
    concurrency, lease, started, age, lost); ended (hour and day: counts, p50, p95).
    """
    from pacifica.dispatcher._cli.existing import existing_table
    from pacifica.dispatcher._cli.glance import Glance, older_than, show, watching

    if watch is not None and (as_json or fail_if_older is not None or not on_terminal()):
        raise click.UsageError('--watch is for a terminal, without --json and --fail-if-older')
    with existing_table(database) as table:
        if watch is not None:
            watching(table.overview, watch)
            return
        glance = Glance(table.overview)
    show(glance, as_json)
    if fail_if_older is not None and older_than(glance, fail_if_older):
        sys.exit(1)
