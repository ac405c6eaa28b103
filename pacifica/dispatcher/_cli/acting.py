"""``retry`` and ``cancel``, and what they have in common with ``replay``: they choose events, ask, act, and report."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from pacifica.dispatcher._cli.composing import combined
from pacifica.dispatcher._cli.options import (
    as_task_id, by_option, database_option, filter_options, json_option, set_option,
)
from pacifica.dispatcher._cli.output import EXIT_FAILED, UsageFault, notice, print_json
from pacifica.dispatcher._cli.table import Table, existing_table
from pacifica.dispatcher._operate.actions import BATCH, CANCEL, RETRY, Action, TaskIDs, events, is_empty
from pacifica.dispatcher._operate.words import printable
from pacifica.dispatcher._queue.status import Status

if TYPE_CHECKING:
    from pacifica.dispatcher._queue.filters import Filter


@dataclass(frozen=True)
class How:
    """How a command acts: only in words, without asking, for whom, and whether it reports in JSON."""

    dry_run: bool
    yes: bool
    by: str
    as_json: bool


#: The command gets these options as one argument ``how``.
act_options = combined(
    'how', How,
    click.option('--dry-run', is_flag=True, help='Only say what would be done.'),
    click.option('-y', '--yes', is_flag=True, help='Don\'t ask before more than one event is changed.'),
    by_option('for the timelines of the events'),
    json_option,
)


@click.command('retry', short_help='Run events again that have ended.')
@click.argument('task_ids', metavar='[ID]...', nargs=-1, type=as_task_id)
@database_option
@click.option('--failed', is_flag=True, help='All that failed, as --status failed.')
@filter_options()
@set_option
@act_options
def retry_command(
    database: Any, task_ids: tuple[UUID, ...], failed: bool, wanted: Filter, parameters: Mapping[str, Any], how: How,
) -> None:
    """Run events again that have ended: those with the task IDs given, or all that fit every option given.

    With options, events in "500 Internal Server Error" are meant unless --status says otherwise. They are due at once,
    with all their attempts. What was uploaded is not uploaded again; "replay" does that too.

    With --set they run with other parameters, and do so when they are retried again; then all is done again, uploads
    included.

    For each event a line says what was done. Before more than one is changed it asks. The exit status is 0 if every
    event is run again, 1 if some are not, since they have not ended yet, or if nothing matches.
    """
    by_filter = failed or not is_empty(wanted)
    if by_filter == bool(task_ids):
        raise click.UsageError('say which events: either by their task ids, or --failed, or by the options of "list"')
    if failed and wanted.status not in (None, Status.FAILED):
        raise click.UsageError('--failed and --status contradict each other')
    wanted = replace(wanted, status=wanted.status or Status.FAILED)
    with existing_table(database) as table:
        sys.exit(_act(table, RETRY, _chosen(table, task_ids, wanted), how, parameters))


@click.command('cancel', short_help='Have events not run that wait, and end those that run.')
@click.argument('task_ids', metavar='[ID]...', nargs=-1, type=as_task_id)
@database_option
@filter_options(status=False)
@act_options
def cancel_command(database: Any, task_ids: tuple[UUID, ...], wanted: Filter, how: How) -> None:
    """Have events end that wait or run: those with the task IDs given, or all that wait and fit every option given.

    They end in "500 Internal Server Error" with CancelledError; "retry" runs them after all. The handler of an event
    that runs is told so: its processes get SIGTERM, and SIGKILL five seconds later. One in a thread ends at its next
    stage, or when it calls check_cancelled().

    For each event a line says what was done. Before more than one is changed it asks. The exit status is 0 if every
    event is cancelled, 1 if some are not, since they have ended, or if nothing matches.
    """
    if bool(task_ids) != is_empty(wanted):
        raise click.UsageError('say which events: either by their task ids, or by the options of "list"')
    wanted = replace(wanted, status=Status.ACCEPTED)
    with existing_table(database) as table:
        sys.exit(_act(table, CANCEL, _chosen(table, task_ids, wanted), how))


def _chosen(table: Table, named: Sequence[UUID], wanted: Filter) -> TaskIDs:
    """Return the events that were named, in their order, or else those that *wanted* describes, oldest first."""
    if named:
        return TaskIDs(dict.fromkeys(named))
    return TaskIDs(UUID(row['taskID']) for row in events(table.search, wanted)).reversed()


def _act(
    table: Table, action: Action, chosen: TaskIDs, how: How, parameters: Mapping[str, Any] | None = None,
) -> int:
    """Do *action* to each event, print what was done, and return the exit status: 0 if it was done to all."""
    count = len(chosen)
    if not count:
        return no_events()
    if not how.dry_run and not agree(f'{count:,} events would be {action.done}', count, how.yes):
        return EXIT_FAILED
    done = 0
    for begin in range(0, count, BATCH):
        batch = chosen.part(begin, BATCH)
        if how.dry_run:
            results = [table.records.status(task_id) in action.possible for task_id in batch]
        else:
            results = action.run(table.operator, batch, how.by, parameters)
        done += sum(results)
        report(table, action, batch, results, how)
    if count > 1:
        notice(f'{done:,} of {count:,} events {"would be" if how.dry_run else "were"} {action.done}')
    return 0 if done == count else EXIT_FAILED


def agree(announcement: str, count: int, yes: bool) -> bool:
    """Return whether *count* events may be changed: one always, more if somebody says so."""
    if count <= 1 or yes:
        return True
    if not sys.stdin.isatty():
        raise UsageFault(f'{announcement}: say --yes, since nobody can be asked without a terminal')
    if click.confirm(f'{announcement}. Go on?', err=True):
        return True
    notice('nothing was changed')
    return False


def no_events() -> int:
    """Say that nothing matches, and return the exit status for that."""
    notice('no event matches')
    return EXIT_FAILED


def report(table: Table, action: Action, batch: Sequence[UUID], results: Sequence[bool], how: How) -> None:
    for task_id, done in zip(batch, results):
        told = action is CANCEL and done and not how.dry_run
        status = table.records.status(task_id) if how.as_json or told or not done else None
        if how.as_json:
            print_json({'taskID': str(task_id), 'action': action.name, 'done': done and not how.dry_run,
                        'possible': done, 'taskStatus': status})
        elif told and status == Status.PROCESSING:
            click.echo(f'{task_id}\tits handler is told to end')
        elif done:
            click.echo(f'{task_id}\t{"would be " if how.dry_run else ""}{action.done}')
        else:
            click.echo(f'{task_id}\tnot {action.done}: {printable(action.why_not(status))}')
