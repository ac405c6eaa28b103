"""Arguments and options that several commands share, and how their values are checked.

A value that can't work is refused here, before anything is started, in words that say what to write instead.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pacifica.dispatcher._cli.times import duration

if TYPE_CHECKING:
    import peewee

    from pacifica.dispatcher.router import Router

__all__ = [
    'RouterReference', 'database', 'database_option', 'find_router', 'import_named', 'is_reference',
    'queue_options', 'refuse_while_completing', 'router_options', 'router_reference', 'tracing_option',
    'without_password',
]

DEFAULT_DATABASE = 'sqlite:///pacifica-dispatcher.db'

_F = TypeVar('_F', bound=Callable[..., Any])
_DOTTED = re.compile(r'[^\W\d]\w*(\.[^\W\d]\w*)*')


class RouterReference:
    """A router and where it was found.

    :param module: the module's dotted name.
    :param attribute: the router's name in it.
    """

    def __init__(self, module: str, attribute: str, router: Router) -> None:
        self.module = module
        self.attribute = attribute
        self.router = router

    def __str__(self) -> str:
        return f'{self.module}:{self.attribute}'


def router_reference(ctx: click.Context, _param: click.Parameter, value: str) -> RouterReference:
    """Return :func:`find_router` of an argument, as its callback."""
    refuse_while_completing(ctx)
    return find_router(value)


def find_router(value: str) -> RouterReference:
    """Import the module of ``MODULE:ROUTER``, with the current directory on the path, and return its router.

    :raises click.BadParameter: if there is no such module or router in it.
    """
    from pacifica.dispatcher.router import Router

    module_name, _, attribute = value.partition(':')
    if not is_reference(value):
        raise click.BadParameter(
            f'{value!r} is not MODULE:ROUTER: a module as "import" names it, not its file, a colon, and the name of '
            'the router in it, for example my_package.routes:router',
        )
    module = import_named(module_name)
    found: object = module
    for part in attribute.split('.'):
        if not hasattr(found, part):
            routers = [f'{module_name}:{name}' for name, item in vars(module).items() if isinstance(item, Router)]
            raise click.BadParameter(
                f'module {module_name!r} has no {attribute!r}; routers in it: {", ".join(routers) or "none"}',
            )
        found = getattr(found, part)
    if not isinstance(found, Router):
        raise click.BadParameter(f'{value} is of type {type(found).__name__}, not a pacifica.dispatcher.router.Router')
    return RouterReference(module_name, attribute, found)


def refuse_while_completing(ctx: click.Context) -> None:
    """Leave a callback that would run the user's code, if the shell only wants to know what may follow.

    :raises click.BadParameter: which click ignores then.
    """
    if ctx.resilient_parsing:
        raise click.BadParameter('no module is imported to complete a command')


def is_reference(value: str) -> bool:
    """Return whether *value* names something in a module: dotted names on both sides of a colon, no file."""
    module, _, attribute = value.partition(':')
    return bool(_DOTTED.fullmatch(module) and _DOTTED.fullmatch(attribute)) and not module.endswith('.py')


def import_named(name: str) -> ModuleType:
    """Import a module of the user's, with the current directory on the path.

    :raises click.BadParameter: if there is none, or importing it fails, saying where.
    """
    here = os.getcwd()
    if here not in sys.path and '' not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as exc:  # the user's module may raise anything; all of it is told in one line
        if isinstance(exc, ModuleNotFoundError) and exc.name and f'{name}.'.startswith(f'{exc.name}.'):
            message = f'there is no module {exc.name!r}, neither in {here} nor installed'
        else:
            frame = _blamed(name, traceback.extract_tb(exc.__traceback__))
            where = '' if isinstance(exc, SyntaxError) else f' ({frame.filename}, line {frame.lineno})'
            message = f'importing {name!r} failed: {type(exc).__name__}: {exc}{where}'
        raise click.BadParameter(message) from exc


def _blamed(name: str, frames: Sequence[traceback.FrameSummary]) -> traceback.FrameSummary:
    """Return the last of *frames* that is in the module *name*, else the last of all.

    A mistake in a module, for example in a JSONPath, is often found in a library that it calls.
    """
    end = os.path.join(*name.split('.'))
    ends = (end, os.path.join(end, "__init__"))
    inside = [each for each in frames if os.path.splitext(each.filename)[0].endswith(ends)]
    return inside[-1] if inside else frames[-1]


def database(_ctx: click.Context, _param: click.Parameter, value: str) -> peewee.Database:
    """Return the database object for a URL as :func:`playhouse.db_url.connect` takes it; nothing is connected yet.

    :raises click.BadParameter: if it is no such URL.
    """
    from playhouse import db_url

    shown = without_password(value)
    scheme = value.partition(':')[0]
    if scheme not in db_url.schemes:
        raise click.BadParameter(
            f'{shown!r} is not the URL of a database: write sqlite:///FILE, postgresql://USER@HOST/NAME or '
            'mysql://USER@HOST/NAME',
        )
    try:
        made: peewee.Database = db_url.connect(value, unquote_user=True, unquote_password=True)
    except (ValueError, TypeError, RuntimeError) as exc:  # their text may quote a password, so it is not shown
        raise click.BadParameter(
            f'{shown!r} names no database, or no valid port: write what has a meaning in a URL (/ : @ ? #) as %XX',
        ) from exc
    return made


def without_password(url: str) -> str:
    """Return *url* without the password it may contain."""
    return re.sub(r'(?<=[?&])(passw[^=&]*)=[^&]*', r'\1=***', re.sub(r'(?<=//)([^:@/]*):.*@', r'\1:***@', url))


def database_option(command: _F) -> _F:
    """Add the option ``--database``."""
    return click.option(
        '--database', callback=database, envvar='DATABASE_URL', default=DEFAULT_DATABASE, show_default=True,
        show_envvar=True, metavar='URL',
        help='Where events are kept: sqlite:///FILE, postgresql://USER@HOST/NAME, mysql://USER@HOST/NAME.',
    )(command)


def tracing_option(command: _F) -> _F:
    """Add the option ``--tracing``."""
    return click.option(
        '--tracing', is_flag=True,
        help='Make each attempt a span of OpenTelemetry\'s; needs the extra otel, and an SDK that is set up, for '
             'example by starting this with opentelemetry-instrument.',
    )(command)


def router_options(command: _F) -> _F:
    """Add the argument ``MODULE:ROUTER`` and the options that say where its events are, and whose."""
    decorators = [
        click.argument('reference', metavar='MODULE:ROUTER', callback=router_reference),
        database_option,
        click.option('--name', metavar='NAME', default=None,
                     help='The application whose events these are; must be the same for every process that '
                          'receives or works on them.  [default: MODULE]'),
        click.option('--task-name', metavar='NAME', default=None,
                     help='The task whose events these are, likewise.  [default: NAME.receive]'),
    ]
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


def queue_options(command: _F) -> _F:
    """Add those, and the options of a command that runs the events."""
    decorators = [
        router_options,
        click.option('--concurrency', type=click.IntRange(min=1), default=4, show_default=True, metavar='N',
                     help='How many events are handled at once.'),
        click.option('--keep-unrouted', callback=duration, default='1d', show_default=True, metavar='TIME',
                     help='How long events are kept that no route matched, e.g. 12h or 5000w.'),
    ]
    for decorator in reversed(decorators):
        command = decorator(command)
    return command
