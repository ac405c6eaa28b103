"""``status``: the state of the whole table at a glance."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from pacifica.dispatcher._cli.options import database_option, json_option, seconds
from pacifica.dispatcher._cli.output import (
    EXIT_FAILED, Column, console, notice, on_terminal, print_json, print_table, rich_table, status_text, styled,
)
from pacifica.dispatcher._cli.table import existing_table
from pacifica.dispatcher._operate.report import (
    MOST_GROUPS, MOST_LANES, MOST_ROUTES, EndedEvents, RouteHealth, StatusReport, counted, outage_text,
)
from pacifica.dispatcher._operate.words import duration, error_text, moment, one_line, printable
from pacifica.dispatcher._queue.status import Status

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from pacifica.dispatcher._queue.failing import FailureGroup
    from pacifica.dispatcher._queue.overview import LaneState, Overview, WorkerState

_PERCENTILES = (('p50', 0.5, 'half took at most'), ('p95', 0.95, '95 % took at most'))


@click.command('status', short_help='Show what waits, who works and how fast.')
@database_option
@json_option
@click.option('--watch', type=click.FloatRange(min=0.1), is_flag=False, flag_value='2', default=None,
              metavar='[SECONDS]', help='Show it anew every so many seconds (2) until Ctrl-C; on a terminal only.')
@click.option('--fail-if-older', callback=seconds, default=None, metavar='SECONDS',
              help='Exit with 1 if an event has been due for longer than that; also 15m, 2h and so on.')
def status_command(database: Any, as_json: bool, watch: float | None, fail_if_older: float | None) -> None:
    """Show how many events are in each status, what waits for how long, which workers there are, and how fast they are.

    The times of the events that ended lately are from acceptance to the end: half of the events took at most p50
    seconds, 95 of 100 at most p95; both are of a sample if there are many. Failures of the last day are in one group if
    they are of one route, with the same exception and the same message but for numbers and names; list and retry take
    the group's name as --group. A worker that has not told for as long as its claims hold is lost: it was killed, or
    can't reach the database. Counts end at 20,000; the types of events that no route matched are those of the latest
    200. What is free is of this machine's disks: where a SQLite file lies, and where files are staged unless a handler
    says otherwise.

    In a pipe it prints lines of values parted by tabs, each beginning with count, unrouted, group, route, queue, limit,
    outage, worker, free or ended. --json prints an object: counts (status to number); skipped; unrouted (event type to
    number); failing (group, count, since, last, route, exceptionType, exceptionValue, taskID of the newest); routes
    (route, running and waiting if it has a limit, hour and day: counts, p50, p95); queues (taskApplicationName,
    taskName, oldestAge in seconds); limits (taskApplicationName, taskName, route, key, running, waiting); outages
    (service, fault, since, waiting); workers (owner, taskApplicationName, taskName, engine, concurrency, lease,
    started, age, lost); free (database, staging: bytes); ended (hour and day: counts, p50, p95).
    """
    if watch is not None and (as_json or fail_if_older is not None or not on_terminal()):
        raise click.UsageError('--watch is for a terminal, without --json and --fail-if-older')
    with existing_table(database) as table:
        if watch is not None:
            _watch(table.overview, watch)
            return
        report = StatusReport(table.overview)
    if as_json:
        print_json(_as_json(report))
    elif on_terminal():
        console().print(_tables(report))
    else:
        print_table((), _lines(report))
    queue = report.longest_waiting()
    if fail_if_older is not None and queue is not None and queue.oldest_age > fail_if_older:
        notice(f'an event of {queue.application}, task {queue.task}, has been due for {duration(queue.oldest_age)}')
        sys.exit(EXIT_FAILED)


def _watch(overview: Overview, pause: float) -> None:
    from rich.console import Group
    from rich.live import Live

    with suppress(KeyboardInterrupt), Live(console=console(), auto_refresh=False) as live:
        while True:
            now = time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime())
            live.update(Group(styled((now, 'dim')), _tables(StatusReport(overview))), refresh=True)
            time.sleep(pause)


def _as_json(report: StatusReport) -> dict[str, Any]:
    """Return a JSON object, whose keys are those of a record where they mean the same."""
    return {
        'counts': report.counts,
        'skipped': report.skipped,
        'unrouted': report.unrouted,
        'failing': [_group(each) for each in report.failing],
        'routes': [_route(each) for each in report.routes],
        'queues': [{'taskApplicationName': queue.application, 'taskName': queue.task,
                    'oldestAge': queue.oldest_age} for queue in report.queues],
        'limits': [_as_record(lane) for lane in report.lanes],
        'outages': [asdict(outage) for outage in report.outages],
        'workers': [{**_as_record(worker), 'lost': worker.lost} for worker in report.workers],
        'free': report.free,
        'ended': {span: _ended(ended) for span, ended in report.ended.items()},
    }


def _as_record(state: WorkerState | LaneState) -> dict[str, Any]:
    values = asdict(state)
    return {'taskApplicationName': values.pop('application'), 'taskName': values.pop('task'), **values}


def _ended(ended: EndedEvents) -> dict[str, Any]:
    return {'counts': ended.counts, **_percentiles(ended)}


def _percentiles(ended: EndedEvents) -> dict[str, float | None]:
    return {name: ended.percentile(part) for name, part, _ in _PERCENTILES}


def _route(route: RouteHealth) -> dict[str, Any]:
    limit = {'running': route.running, 'waiting': route.waiting} if route.limited else {}
    return {'route': route.name, **limit, **{span: _ended(ended) for span, ended in route.ended.items()}}


def _group(group: FailureGroup) -> dict[str, Any]:
    values = asdict(group)
    return {
        'exceptionType': values.pop('exc_type'), 'exceptionValue': values.pop('exc_value'),
        'taskID': values.pop('task_id'), **values,
    }


def _lines(report: StatusReport) -> list[Sequence[object]]:
    found: list[Sequence[object]] = [('count', status, count) for status, count in report.counts.items()]
    found.append(('count', 'skipped', report.skipped))
    found += [('unrouted', event_type, count) for event_type, count in report.unrouted.items()]
    found += [('group', each.group, each.count, each.since, each.last, each.route, each.exc_type, each.exc_value)
              for each in report.failing]
    found += [
        ('route', each.name, span, ended.counts[Status.OK], ended.counts[Status.FAILED],
         *('' if took is None else f'{took:.3f}' for took in _percentiles(ended).values()))
        for each in report.routes for span, ended in each.ended.items()
    ]
    found += [('queue', queue.application, queue.task, f'{queue.oldest_age:.3f}') for queue in report.queues]
    found += [('limit', each.application, each.task, each.route, each.key, each.running, each.waiting)
              for each in report.lanes]
    found += [('outage', each.service, f'{each.since:.3f}', each.fault, each.waiting) for each in report.outages]
    found += [
        ('worker', worker.owner, worker.application, worker.task, worker.engine, worker.concurrency,
         f'{worker.age:.3f}', 'lost' if worker.lost else 'alive') for worker in report.workers
    ]
    found += [('free', what, size) for what, size in report.free.items()]
    for span, ended in report.ended.items():
        found += [('ended', span, status, count) for status, count in ended.counts.items()]
        took = _percentiles(ended)
        found += [('ended', span, name, f'{value:.3f}') for name, value in took.items() if value is not None]
    return found


def _tables(report: StatusReport) -> RenderableType:
    from rich.console import Group

    parts: list[RenderableType] = [_statuses(report)]
    if report.unrouted:
        parts.append(rich_table(
            [Column('LATEST WITHOUT A ROUTE'), Column('EVENTS', right=True)],
            [(event_type, f'{count:,}') for event_type, count in report.unrouted.items()]))
    if report.failing:
        parts.append(rich_table(
            [Column('FAILED IN A DAY', right=True), Column('GROUP', whole=True), Column('SINCE (UTC)', whole=True),
             Column('LAST (UTC)', whole=True), Column('ROUTE'), Column('LAST ERROR')],
            [(counted(each.count), each.group, moment(each.since), moment(each.last), each.route,
              one_line(error_text(each.exc_type, each.exc_value))) for each in report.failing[:MOST_GROUPS]]))
    if report.routes:
        parts.append(_routes(report.routes))
    parts.append('no event is due' if not report.queues else rich_table(
        [Column('APPLICATION'), Column('TASK'), Column('OLDEST DUE FOR', whole=True)],
        [(queue.application, queue.task, duration(queue.oldest_age)) for queue in report.queues]))
    if report.lanes:
        parts.append(rich_table(
            [Column('LIMITED ROUTE'), Column('FOR'), Column('RUNNING', right=True), Column('WAITING', right=True)],
            [(each.route, each.key, f'{each.running:,}', f'{each.waiting:,}') for each in report.lanes[:MOST_LANES]]))
    parts += [styled((printable(outage_text(each)), 'bold red')) for each in report.outages]
    parts.append(styled(('no workers', 'yellow')) if not report.workers else rich_table(
        [Column('WORKER'), Column('APPLICATION'), Column('TASK'), Column('ENGINE', whole=True),
         Column('CONCURRENCY', right=True), Column('LAST SEEN', whole=True)],
        [(worker.owner, worker.application, worker.task, worker.engine, worker.concurrency, _seen(worker))
         for worker in report.workers]))
    if report.free:
        parts.append(rich_table(
            [Column('DISK OF'), Column('FREE', right=True)],
            [(what, f'{size / (1 << 30):,.1f} GiB') for what, size in report.free.items()]))
    return Group(*(line for part in parts for line in (part, styled())))


def _routes(routes: Sequence[RouteHealth]) -> RenderableType:
    columns = [Column('ROUTE')]
    for span in ('HOUR', 'DAY'):
        columns += [Column(f'HANDLED, LAST {span}', right=True), Column('FAILED', right=True),
                    *(Column(name.upper(), right=True) for name, _, _ in _PERCENTILES)]
    return rich_table(columns, [
        [each.name, *(value for ended in each.ended.values() for value in (
            f'{ended.counts[Status.OK]:,}', f'{ended.counts[Status.FAILED]:,}',
            *map(duration, _percentiles(ended).values())))]
        for each in routes[:MOST_ROUTES]
    ])


def _statuses(report: StatusReport) -> RenderableType:
    spans = report.ended.values()
    columns = [Column('STATUS', whole=True), Column('EVENTS', right=True)]
    columns += [Column(f'IN THE LAST {span.upper()}', right=True) for span in report.ended]
    rows: list[list[object]] = [
        [status_text(status), counted(count),
         *(f'{ended.counts[status]:,}' if status in ended.counts else None for ended in spans)]
        for status, count in report.counts.items()
    ]
    if report.skipped:
        rows.append([styled(('of 200 OK, skipped', 'dim')), counted(report.skipped), *[None] * len(spans)])
    for _, part, name in _PERCENTILES:
        rows.append([styled((name, 'dim')), None, *(duration(ended.percentile(part)) for ended in spans)])
    return rich_table(columns, rows)


def _seen(worker: WorkerState) -> Text:
    ago = f'{duration(worker.age)} ago'
    return styled((f'{ago}: lost', 'bold red')) if worker.lost else styled(ago)
