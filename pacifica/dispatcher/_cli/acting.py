"""What ``retry``, ``cancel`` and ``replay`` have in common: they choose events, ask, change them, and tell."""

from __future__ import annotations

import functools
import getpass
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import click

from pacifica.dispatcher._cli.errors import EXIT_FAILED, UsageFault
from pacifica.dispatcher._cli.output import json_option, notice, print_json

if TYPE_CHECKING:
    from pacifica.dispatcher._cli.existing import Table
    from pacifica.dispatcher._cli.selection import TaskIDs
    from pacifica.dispatcher._queue.search import Filter

__all__ = ['Act', 'How', 'act', 'act_options', 'chosen', 'is_agreed', 'no_events', 'report']

_F = TypeVar('_F', bound=Callable[..., Any])
_BATCH = 200


@dataclass(frozen=True)
class Act:
    """What is done to events.

    :param name: as the event's timeline calls it.
    :param done: what was done with an event then: ``retried``.
    :param possible: the statuses in which it can be done.
    :param run: does it; returns for which events it did.
    """

    name: str
    done: str
    possible: frozenset[str]
    run: Callable[[Sequence[UUID]], list[bool]]


@dataclass(frozen=True)
class How:
    """How it is done: only said, without asking, for whom, and how that is told."""

    dry_run: bool
    yes: bool
    by: str
    as_json: bool


def act_options(command: _F) -> _F:
    """Add the options of a command that changes events; it gets them as one ``how``."""
    @functools.wraps(command)
    def with_how(*args: Any, dry_run: bool, yes: bool, by: str | None, as_json: bool, **given: Any) -> Any:
        return command(*args, how=How(dry_run, yes, by or _login_name(), as_json), **given)

    decorated: Any = with_how
    for option in reversed((
        click.option('--dry-run', is_flag=True, help='Only say what would be done.'),
        click.option('-y', '--yes', is_flag=True, help='Don\'t ask before more than one event is changed.'),
        click.option('--by', metavar='NAME', default=None,
                     help='Who does this, for the timelines of the events.  [default: the login name]'),
        json_option,
    )):
        decorated = option(decorated)
    result: _F = decorated
    return result


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # as it is in a container whose user has no name; which, says the Python
        return f'user {os.getuid()}' if hasattr(os, 'getuid') else 'somebody'


def chosen(table: Table, task_ids: Sequence[UUID], wanted: Filter | None) -> TaskIDs:
    """Return the events that were named, in their order, or else those that *wanted* describes, oldest first."""
    from pacifica.dispatcher._cli.selection import TaskIDs, events

    if wanted is None:
        return TaskIDs(dict.fromkeys(task_ids))
    return TaskIDs(UUID(row['taskID']) for row in events(table.search, wanted)).reversed()


def is_agreed(announcement: str, count: int, yes: bool) -> bool:
    """Return whether *count* events may be changed: one always, more if somebody says so.

    :raises UsageFault: if there is nobody to ask.
    """
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


def act(table: Table, what: Act, task_ids: TaskIDs, how: How) -> int:
    """Do *what* to each event, print what was done, and return the exit status: 0 if it was done to all."""
    count = len(task_ids)
    if not count:
        return no_events()
    if not how.dry_run and not is_agreed(f'{count:,} events would be {what.done}', count, how.yes):
        return EXIT_FAILED
    done = 0
    for begin in range(0, count, _BATCH):
        batch = task_ids.part(begin, _BATCH)
        results = _possible(table, what, batch) if how.dry_run else what.run(batch)
        done += sum(results)
        report(table, what, batch, results, how)
    if count > 1:
        notice(f'{done:,} of {count:,} events {"would be" if how.dry_run else "were"} {what.done}')
    return 0 if done == count else EXIT_FAILED


def report(table: Table, what: Act, task_ids: Sequence[UUID], results: Sequence[bool], how: How) -> None:
    """Print for each event whether it was done, and if not, why."""
    lines = []
    for task_id, was_done in zip(task_ids, results):
        status = table.records.status(task_id) if how.as_json or not was_done else None
        if how.as_json:
            print_json({'taskID': str(task_id), 'action': what.name, 'done': was_done and not how.dry_run,
                        'possible': was_done, 'taskStatus': status})
        elif was_done:
            lines.append((task_id, f'would be {what.done}' if how.dry_run else what.done))
        else:
            lines.append((task_id, f'not {what.done}: {_reason(what, status)}'))
    for task_id, said in lines:
        click.echo(f'{task_id}\t{said}')


def _possible(table: Table, what: Act, task_ids: Sequence[UUID]) -> list[bool]:
    return [table.records.status(task_id) in what.possible for task_id in task_ids]


def _reason(what: Act, status: str | None) -> str:
    if status is None:
        return 'there is no such event'
    if status in what.possible:
        return 'somebody else was changing it at this moment; try again'
    return f'it is in {status}'
