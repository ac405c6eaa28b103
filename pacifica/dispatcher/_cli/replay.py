"""``replay``: run stored events again from the beginning, no faster than workers take them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from pacifica.dispatcher._cli.acting import How, act_options, agree, no_events, report
from pacifica.dispatcher._cli.composing import converting
from pacifica.dispatcher._cli.events import print_events
from pacifica.dispatcher._cli.options import database_option, filter_options, route_of, set_option
from pacifica.dispatcher._cli.output import EXIT_FAILED, Column, notice, on_terminal, print_json, print_table, progress
from pacifica.dispatcher._cli.references import ROUTER, RouterReference, router_reference
from pacifica.dispatcher._cli.table import Table, existing_table
from pacifica.dispatcher._operate.actions import REPLAY, Pace, TaskIDs, batches, ended, event_of, is_empty

if TYPE_CHECKING:
    from pacifica.dispatcher._queue.filters import Filter
    from pacifica.dispatcher.router import Route, Router

_NO_ROUTE = '(no route: would end in 422)'


@click.command('replay', short_help='Run stored events again from the beginning.')
@database_option
@filter_options()
@click.option('--jsonpath', metavar='EXPR', callback=converting(route_of), default=None,
              help='Only events that this JSONPath matches, as a route\'s would.')
@click.option('--all', 'everything', is_flag=True, help='Every event that has ended.')
@click.option('--rate', type=click.FloatRange(min=0), default=0, show_default=True, metavar='N',
              help='How many events a second at most; 0 for any number.')
@click.option('--max-waiting', type=click.IntRange(min=0), default=100, show_default=True, metavar='N',
              help='Go on only while fewer events than that are due, so that new ones are not kept waiting; 0 for any '
                   'number.')
@click.option('--route', 'reference', metavar=ROUTER, callback=router_reference, default=None,
              help='With --dry-run: show which route of this router would take each event, and how many each.')
@set_option
@act_options
def replay_command(
    database: Any, wanted: Filter, jsonpath: Route | None, everything: bool, rate: float, max_waiting: int,
    reference: RouterReference | None, parameters: Mapping[str, Any], how: How,
) -> None:
    """Run stored events again as if they were new: all that have ended and fit every option given, in any status.

    Unlike "retry" it forgets what their handlers have saved, so that what was uploaded is uploaded once more, and runs
    "200 OK" too. The oldest come first. A replayed event is due behind all that waits, and before what comes later:
    --max-waiting keeps few of them waiting at a time, as fast as the workers take them, however many they are.

    They run with the parameters of their routes, whatever was set before, and those of --set in their place.

    Before more than one is run it asks. The exit status is 0 if every event is run again, 1 if some are not, since
    somebody else has run them meanwhile, or if nothing matches. Events that have not ended are left out.
    """
    if everything != (jsonpath is None and is_empty(wanted)):
        raise click.UsageError('say which events: by the options of "list", by --jsonpath, or --all')
    if reference is not None and not how.dry_run:
        raise click.UsageError('--route shows what would be done: say --dry-run too')
    with existing_table(database) as table:
        rows = ended(table.search, table.records, wanted, jsonpath, notice)
        if how.dry_run:
            sys.exit(_preview(table, rows, reference.router if reference else None, how.as_json))
        sys.exit(_replay(table, rows, Pace(rate, max_waiting), parameters, how))


def _replay(
    table: Table, rows: Iterator[Mapping[str, Any]], pace: Pace, parameters: Mapping[str, Any], how: How,
) -> int:
    """Run the events again, oldest first, and return the exit status."""
    from pacifica.dispatcher._queue.values import QueueName

    queues: set[QueueName] = set()
    task_ids = TaskIDs()
    with progress('choosing', None) as advance:
        for row in rows:
            queues.add(QueueName(row['taskApplicationName'], row['taskName']))
            task_ids.append(UUID(row['taskID']))
            advance(1)
    task_ids = task_ids.reversed()
    if not task_ids:
        return no_events()
    count = len(task_ids)
    if not agree(f'{count:,} events would be replayed, uploads included', count, how.yes):
        return EXIT_FAILED
    tried = done = 0
    with progress('replaying', count) as advance:
        while tried < count:
            batch = task_ids.part(tried, pace.next(table.operator, queues, tried, notice))
            results = REPLAY.run(table.operator, batch, how.by, parameters)
            tried, done = tried + len(batch), done + sum(results)
            advance(len(batch))
            if how.as_json or not on_terminal():
                report(table, REPLAY, batch, results, how)
    notice(f'{done:,} of {count:,} events were replayed')
    return 0 if done == count else EXIT_FAILED


def _preview(table: Table, rows: Iterator[Mapping[str, Any]], router: Router | None, as_json: bool) -> int:
    """Print which events would be run, and how many each route of *router* would take; return the exit status."""
    counts: Counter[str] = Counter()
    found = 0
    for page in batches(rows):
        routes = [] if router is None else [_route_of(router, table, row) for row in page]
        found += len(page)
        counts.update(routes)
        if not as_json:
            print_events(page, routes)
        for number, row in enumerate(page if as_json else ()):
            taken = {'wouldRun': None if routes[number] == _NO_ROUTE else routes[number]} if routes else {}
            print_json({**row, **taken})
    if not found:
        return no_events()
    if router is not None and on_terminal() and not as_json:
        print_table([Column('EVENTS', right=True), Column('ROUTE')], [(n, name) for name, n in counts.most_common()])
    elif router is not None:
        for name, number in counts.most_common():
            notice(f'{number:,} by {name}')
    notice(f'{found:,} events would be replayed')
    return 0


def _route_of(router: Router, table: Table, row: Mapping[str, Any]) -> str:
    from pacifica.dispatcher._operate.routes import route_label

    event = event_of(table.records, row)
    for route in router if event is not None else ():
        try:
            if route.match(event):
                return route_label(route)
        except Exception as exc:  # whatever a JSONPath raises would end the event in 500
            return f'{route_label(route)} (fails: {type(exc).__name__}: {exc})'
    return _NO_ROUTE
