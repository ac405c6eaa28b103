"""Names of things in the user's modules, ``MODULE:NAME``, and the things themselves; and files of routes."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast

import click

from pacifica.dispatcher._cli.composing import converting
from pacifica.dispatcher._modules import REFERENCE, import_named
from pacifica.dispatcher._operate.words import printable
from pacifica.dispatcher.authentication import Authenticate
from pacifica.dispatcher.exceptions import ConfigurationError

if TYPE_CHECKING:
    from pacifica.dispatcher.router import Router

_T = TypeVar('_T')

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


def _importing(convert: Callable[[str], _T]) -> Callable[[click.Context, click.Parameter, str | None], _T | None]:
    """Make the callback of an option of *convert*, which runs the user's code: not if a shell only completes."""
    callback = converting(convert)

    def unless_completing(ctx: click.Context, param: click.Parameter, value: str | None) -> _T | None:
        if ctx.resilient_parsing:  # in which click ignores the error
            raise click.BadParameter('no module is imported to complete a command')
        return callback(ctx, param, value)
    return unless_completing


def is_routes_file(value: str) -> bool:
    """Return whether *value*, which says where routes are, is a file of them."""
    return value.endswith('.toml') or (
        not REFERENCE.fullmatch(value) and not value.endswith('.py') and os.path.isfile(value))


def find_router(value: str) -> RouterReference:
    """Return the router of a routes file, or of ``MODULE:ROUTER``, imported with the current directory on the path.

    :raises ConfigurationError: if there is none.
    """
    from pacifica.dispatcher.router import Router

    if is_routes_file(value):
        return RouterReference(value, os.path.splitext(os.path.basename(value))[0], Router.from_file(value))
    module_name = value.partition(':')[0]

    def routers(module: ModuleType) -> str:
        names = [f'{module_name}:{name}' for name, item in vars(module).items() if isinstance(item, Router)]
        return f'routers in it: {", ".join(names) or "none"}'

    found = import_named(
        os.getcwd(), value, 'MODULE:ROUTER: a module as "import" names it, not its file, a colon, and the name of the '
        'router in it, for example my_package.routes:router; nor is it a routes file, FILE.toml', routers)
    if not isinstance(found, Router):
        raise ConfigurationError(f'{value} is of type {type(found).__name__}, not a pacifica.dispatcher.router.Router')
    return RouterReference(value, module_name, found)


router_reference = _importing(find_router)


@_importing
def authentication(value: str) -> Authenticate:
    """Return what ``MODULE:NAME`` names, imported likewise: a scheme, or a list of them."""
    from pacifica.dispatcher._http.tools import schemes_of

    schemes = cast(Authenticate, import_named(
        os.getcwd(), value, 'MODULE:NAME, for example my_package.access:schemes'))
    try:
        schemes_of(schemes)
    except ConfigurationError as exc:
        raise ConfigurationError(f'{value} is no scheme of authentication, and no list of them') from exc
    return schemes
