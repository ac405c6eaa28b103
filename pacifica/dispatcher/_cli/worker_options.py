"""The options of the commands that run events: the settings of a worker and of its queue."""

from __future__ import annotations

from typing import Any

import click

from pacifica.dispatcher._cli.composing import combined, converting, options
from pacifica.dispatcher._cli.options import router_options, seconds
from pacifica.dispatcher._cli.output import UsageFault
from pacifica.dispatcher._units import bytes_of


def period(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Return :func:`seconds` of *value*, of which there must be some."""
    found = seconds(ctx, param, value)
    if found == 0:
        raise click.BadParameter('it must be longer than 0 seconds')
    return found


def _bytes(value: str) -> int:
    """Return the bytes of a size such as ``512M``, ``2GiB`` or ``3GB``, or a number of them."""
    found = bytes_of(value)
    if found is None:
        raise click.BadParameter(f'{value!r} is no size: write for example 512M, 2GiB, 3GB or a number of bytes')
    return found


def _given(**values: Any) -> dict[str, Any]:
    """Return the arguments that aren't ``None``, which is the default of all that may be."""
    return {name: value for name, value in values.items() if value is not None}


def _worker(**values: Any) -> dict[str, Any]:
    """Return the arguments of ``create_worker``."""
    for name in ('handler-timeout', 'memory-limit'):
        if values['isolation'] == 'thread' and values[name.replace('-', '_')] is not None:
            raise UsageFault(f'--{name} needs --isolation process: a handler in a thread can\'t be stopped or bounded')
    return _given(**values)


#: Which events, and how they are run: arguments of ``create_queue`` and ``create_worker``, which the command gets as
#: ``queue_settings`` and ``worker_settings``.
queue_options = options(
    router_options,
    combined(
        'worker_settings', _worker,
        click.option('--concurrency', type=click.IntRange(min=1), default=4, show_default=True, metavar='N',
                     help='How many events are handled at once.'),
        click.option('--isolation', type=click.Choice(('process', 'thread')), default='process', show_default=True,
                     help='Whether handlers run in processes, which may crash and can be killed, or in threads.'),
        click.option('--handler-timeout', callback=period, metavar='TIME',
                     help='How long a handler in a process may run until it is killed; by default for ever.'),
        click.option('--memory-limit', callback=converting(_bytes), metavar='SIZE',
                     help='Address space of a handler in a process, and of each of its children, e.g. 512M or 2G.'),
        click.option('--lease', callback=period, default='15s', show_default=True, metavar='TIME',
                     help='How long after its worker\'s death an event runs elsewhere.'),
        click.option('--grace', callback=seconds, default='25s', show_default=True, metavar='TIME',
                     help='How long running handlers may go on at a stop.'),
        click.option('--retention', callback=period, metavar='TIME',
                     help='How long events are kept that have ended, e.g. 90d; by default for ever.'),
        click.option('--keep-unrouted', callback=period, default='1d', show_default=True, metavar='TIME',
                     help='How long events are kept that no route matched, e.g. 12h or 5000w.'),
    ),
    combined(
        'queue_settings', _given,
        click.option('--max-attempts', type=click.IntRange(min=1), default=3, show_default=True, metavar='N',
                     help='How often an event is run at most.'),
        click.option('--max-backlog', type=click.IntRange(min=1), metavar='N',
                     help='How many events may wait before a receiver answers 429; by default any number.'),
        click.option('--keep-previews', callback=converting(lambda value: 0 if value == '0' else _bytes(value)),
                     default='1GB', show_default=True, metavar='SIZE',
                     help='How much of the images that handlers make to be looked at is kept, the latest; 0 for none.'),
    ),
)
