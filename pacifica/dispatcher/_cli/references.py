"""Names of things in the user's modules, ``MODULE:NAME``, and the things themselves."""

from __future__ import annotations

import importlib
import os
import re
import sys
import traceback
from collections.abc import Sequence
from functools import reduce
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import click

from pacifica.dispatcher._operate.words import route_label
from pacifica.dispatcher.authentication import Authenticate
from pacifica.dispatcher.exceptions import ConfigurationError

if TYPE_CHECKING:
    from pacifica.dispatcher.router import Router

_DOTTED = r'([^\W\d]\w*(?:\.[^\W\d]\w*)*)'
_REFERENCE = re.compile(rf'{_DOTTED}(?<!\.py):{_DOTTED}')  # of a module, not of its file


class RouterReference(NamedTuple):
    module: str
    attribute: str
    router: Router

    def __str__(self) -> str:
        return f'{self.module}:{self.attribute}'

    def described(self) -> str:
        routes = [f'  {number}. {route_label(route)}' for number, route in enumerate(self.router, 1)]
        return '\n'.join([f'{self}, routes:', *(routes or ['  none: every event will end in 422'])])


def router_reference(ctx: click.Context, _param: click.Parameter, value: str | None) -> RouterReference | None:
    """Return :func:`find_router` of *value*, as the callback of an option."""
    _refuse_while_completing(ctx)
    return None if value is None else find_router(value)


def find_router(value: str) -> RouterReference:
    """Import the module of ``MODULE:ROUTER``, with the current directory on the path, and return its router."""
    from pacifica.dispatcher.router import Router

    reference = _REFERENCE.fullmatch(value)
    if not reference:
        raise click.BadParameter(
            f'{value!r} is not MODULE:ROUTER: a module as "import" names it, not its file, a colon, and the name of '
            'the router in it, for example my_package.routes:router',
        )
    module_name, attribute = reference.groups()
    module = _import(module_name)
    try:
        found: object = reduce(getattr, attribute.split('.'), module)
    except AttributeError as exc:
        routers = [f'{module_name}:{name}' for name, item in vars(module).items() if isinstance(item, Router)]
        raise click.BadParameter(
            f'module {module_name!r} has no {attribute!r}; routers in it: {", ".join(routers) or "none"}') from exc
    if not isinstance(found, Router):
        raise click.BadParameter(f'{value} is of type {type(found).__name__}, not a pacifica.dispatcher.router.Router')
    return RouterReference(module_name, attribute, found)


def authentication(ctx: click.Context, _param: click.Parameter, value: str | None) -> Authenticate | None:
    """Import the module of ``MODULE:NAME`` and return what has that name in it, as the callback of an option."""
    from pacifica.dispatcher._http.tools import schemes_of

    if value is None:
        return None
    _refuse_while_completing(ctx)
    reference = _REFERENCE.fullmatch(value)
    if not reference:
        raise click.BadParameter(f'{value!r} is not MODULE:NAME, for example my_package.access:schemes')
    module_name, name = reference.groups()
    try:
        schemes: Authenticate = reduce(getattr, name.split('.'), _import(module_name))
        schemes_of(schemes)
    except AttributeError as exc:
        raise click.BadParameter(f'module {module_name!r} has no {name!r}') from exc
    except ConfigurationError as exc:
        raise click.BadParameter(f'{value} is no scheme of authentication, and no list of them') from exc
    return schemes


def _refuse_while_completing(ctx: click.Context) -> None:
    """Leave a callback that would run the user's code, if the shell only wants to know what may follow."""
    if ctx.resilient_parsing:  # in which click ignores the error
        raise click.BadParameter('no module is imported to complete a command')


def _import(name: str) -> ModuleType:
    """Import a module of the user's, with the current directory on the path; say where that fails."""
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
    """Return the last of *frames* in the module *name*, whose mistake is often found in a library, else the last."""
    end = os.path.join(*name.split('.'))
    ends = (end, os.path.join(end, "__init__"))
    inside = [each for each in frames if os.path.splitext(each.filename)[0].endswith(ends)]
    return inside[-1] if inside else frames[-1]
