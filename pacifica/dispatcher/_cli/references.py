"""Names of things in the user's modules, ``MODULE:NAME``, and the things themselves; and files of routes."""

from __future__ import annotations

import os
from operator import attrgetter
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import click

from pacifica.dispatcher._modules import REFERENCE, import_from
from pacifica.dispatcher._operate.words import printable
from pacifica.dispatcher.authentication import Authenticate
from pacifica.dispatcher.exceptions import ConfigurationError

if TYPE_CHECKING:
    from pacifica.dispatcher.router import Router

#: What commands call a router in their usage.
ROUTER = 'MODULE:ROUTER'


class RouterReference(NamedTuple):
    """What the user calls the router, what its application is called unless told otherwise, and the router."""

    text: str
    application: str
    router: Router

    def __str__(self) -> str:
        return self.text

    @property
    def import_name(self) -> str | None:
        """Where other processes import the router from; ``None`` if it is of a file, which they read themselves."""
        return self.text if self.router.file is None else None

    def described(self) -> str:
        from pacifica.dispatcher._operate.routes import route_label

        labels = [route_label(route) if self.router.file is None else f'{route.name}: {route_label(route)}'
                  for route in self.router]
        routes = [f'  {number}. {printable(label)}' for number, label in enumerate(labels, 1)]
        return '\n'.join([f'{self}, routes:', *(routes or ['  none: every event will end in 422'])])


def router_reference(ctx: click.Context, _param: click.Parameter, value: str | None) -> RouterReference | None:
    """Return :func:`find_router` of *value*, as the callback of an option."""
    _refuse_while_completing(ctx)
    return None if value is None else find_router(value)


def is_routes_file(value: str) -> bool:
    """Return whether *value*, which says where routes are, is a file of them."""
    return value.endswith('.toml') or (
        not REFERENCE.fullmatch(value) and not value.endswith('.py') and os.path.isfile(value))


def find_router(value: str) -> RouterReference:
    """Return the router of a routes file, or of ``MODULE:ROUTER``, imported with the current directory on the path."""
    from pacifica.dispatcher.router import Router

    if is_routes_file(value):
        try:
            return RouterReference(value, os.path.splitext(os.path.basename(value))[0], Router.from_file(value))
        except ConfigurationError as exc:
            raise click.BadParameter(str(exc)) from exc
    reference = REFERENCE.fullmatch(value)
    if not reference:
        raise click.BadParameter(
            f'{value!r} is not MODULE:ROUTER: a module as "import" names it, not its file, a colon, and the name of '
            'the router in it, for example my_package.routes:router; nor is it a routes file, FILE.toml',
        )
    module_name, attribute = reference.groups()
    module = _import(module_name)
    try:
        found: object = attrgetter(attribute)(module)
    except AttributeError as exc:
        routers = [f'{module_name}:{name}' for name, item in vars(module).items() if isinstance(item, Router)]
        raise click.BadParameter(
            f'module {module_name!r} has no {attribute!r}; routers in it: {", ".join(routers) or "none"}') from exc
    if not isinstance(found, Router):
        raise click.BadParameter(f'{value} is of type {type(found).__name__}, not a pacifica.dispatcher.router.Router')
    return RouterReference(value, module_name, found)


def authentication(ctx: click.Context, _param: click.Parameter, value: str | None) -> Authenticate | None:
    """Import the module of ``MODULE:NAME`` and return what has that name in it, as the callback of an option."""
    from pacifica.dispatcher._http.tools import schemes_of

    if value is None:
        return None
    _refuse_while_completing(ctx)
    reference = REFERENCE.fullmatch(value)
    if not reference:
        raise click.BadParameter(f'{value!r} is not MODULE:NAME, for example my_package.access:schemes')
    module_name, name = reference.groups()
    try:
        schemes: Authenticate = attrgetter(name)(_import(module_name))
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
    """Import a module of the user's, with the current directory on the path."""
    try:
        return import_from(os.getcwd(), name)
    except ConfigurationError as exc:
        raise click.BadParameter(str(exc)) from exc
