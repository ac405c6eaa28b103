"""Which events a command is about: the options that all commands share which list events or change several."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import click

from pacifica.dispatcher._cli.output import STATUS_NAMES
from pacifica.dispatcher._cli.times import moment

if TYPE_CHECKING:
    from pacifica.dispatcher._queue.search import Filter

__all__ = ['filter_options', 'is_empty', 'task_id', 'task_ids']

_F = TypeVar('_F', bound=Callable[..., Any])


def _status(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """Return the status string of a name, of a number, or of itself.

    :raises click.BadParameter: if it is none of these.
    """
    if value is None:
        return None
    for name, status in STATUS_NAMES.items():
        if value.lower() in (name, status.lower(), status.partition(' ')[0]):
            return status
    raise click.BadParameter(f'{value!r} is no status: write {", ".join(STATUS_NAMES)}, or the status string')


def task_id(_ctx: click.Context, _param: click.Parameter, value: str | None) -> UUID | None:
    """Return a task id: a UUID, which ``POST /receive`` has answered.

    :raises click.BadParameter: if it is none.
    """
    try:
        return None if value is None else UUID(value)
    except ValueError as exc:
        raise click.BadParameter(
            f'{value!r} is no task id, which is a UUID as "pacifica-dispatcher list" shows it') from exc


def task_ids(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[UUID | None, ...]:
    """Return :func:`task_id` of each."""
    return tuple(task_id(ctx, param, value) for value in values)


def filter_options(*, status: bool = True) -> Callable[[_F], _F]:
    """Add the options that say which events are wanted; the command gets them as one ``wanted``, a ``Filter``.

    :param status: whether ``--status`` is among them.
    """
    def decorate(command: _F) -> _F:
        @functools.wraps(command)
        def with_filter(*args: Any, **given: Any) -> Any:
            return command(*args, wanted=_filter(given), **given)

        decorated: Any = with_filter
        for option in reversed(_OPTIONS if status else _OPTIONS[1:]):
            decorated = option(decorated)
        result: _F = decorated
        return result
    return decorate


_OPTIONS = (
    click.option('--status', callback=_status, metavar='STATUS', default=None,
                 help='In this status: waiting, processing, ok, failed or unrouted, or the status string.'),
    click.option('--type', 'event_type', metavar='TYPE', default=None, help='Of this type, as the event names it.'),
    click.option('--source', metavar='SOURCE', default=None, help='From this source, as the event names it.'),
    click.option('--transaction', metavar='ID', default=None, help='About this transaction of the archive.'),
    click.option('--parent', metavar='ID', default=None, help='About transactions made from this one.'),
    click.option('--since', callback=moment, metavar='TIME', default=None,
                 help='Accepted then or later: ISO 8601, UTC if it names no zone, or how long ago, such as 2h or 3d.'),
    click.option('--until', callback=moment, metavar='TIME', default=None, help='Accepted before that, likewise.'),
    click.option('--text', metavar='TEXT', default=None,
                 help='With this whole task id, event id or transaction; else with this in the event\'s id, source, '
                      'type or route, or in its error, in upper or lower case.'),
)


def _filter(given: dict[str, Any]) -> Filter:
    from pacifica.dispatcher._queue.search import Filter
    from pacifica.dispatcher._queue.status import Status

    status = given.pop('status', None)
    return Filter(
        status=None if status is None else Status(status), event_type=given.pop('event_type'),
        source=given.pop('source'), transaction_id=given.pop('transaction'),
        parent_transaction=given.pop('parent'), since=given.pop('since'), until=given.pop('until'),
        text=given.pop('text'),
    )


def is_empty(wanted: Filter) -> bool:
    """Return whether *wanted* leaves nothing out."""
    return not any(vars(wanted).values())
