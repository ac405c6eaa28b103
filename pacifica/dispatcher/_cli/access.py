"""Who may come in through ``serve``: schemes out of the user's module, and a refusal to leave the door open unasked."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pacifica.dispatcher._cli.errors import UsageFault
from pacifica.dispatcher._cli.parameters import import_named, is_reference, refuse_while_completing

if TYPE_CHECKING:
    from pacifica.dispatcher.authentication import Authenticate

__all__ = ['access_options', 'refuse_open_door']

_F = TypeVar('_F', bound=Callable[..., Any])


def access_options(command: _F) -> _F:
    """Add ``--authenticate`` and ``--insecure``."""
    decorators = [
        click.option('--authenticate', metavar='MODULE:NAME', callback=_authenticate, default=None,
                     help='Who may send and read: a scheme of pacifica.dispatcher.authentication, or a list of them.'),
        click.option('--insecure', is_flag=True,
                     help='Let everybody in who reaches an address that is not the loopback.'),
    ]
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


def refuse_open_door(host: str, authenticate: Authenticate | None, insecure: bool) -> None:
    """Check that not everybody who reaches *host* gets in, unless that is what was asked for.

    :raises UsageFault: if it is an address that other machines may reach, without authentication.
    """
    from pacifica.dispatcher._http import is_loopback

    if host and authenticate is None and not insecure and not is_loopback(host):
        raise UsageFault(
            f'other machines may reach {host}, and nothing asks who they are: say who may come in with --authenticate, '
            'or let everybody in with --insecure',
        )


def _authenticate(ctx: click.Context, _param: click.Parameter, value: str | None) -> Authenticate | None:
    """Import the module of ``MODULE:NAME`` and return what has that name in it.

    :raises click.BadParameter: if there is no such module or name, or it is no scheme.
    """
    from pacifica.dispatcher._http.tools import schemes_of
    from pacifica.dispatcher.exceptions import ConfigurationError

    if value is None:
        return None
    refuse_while_completing(ctx)
    if not is_reference(value):
        raise click.BadParameter(f'{value!r} is not MODULE:NAME, for example my_package.access:schemes')
    module_name, _, name = value.partition(':')
    try:
        found: Authenticate = reduce(getattr, name.split('.'), import_named(module_name))
        schemes_of(found)
    except AttributeError as exc:
        raise click.BadParameter(f'module {module_name!r} has no {name!r}') from exc
    except ConfigurationError as exc:
        raise click.BadParameter(f'{value} is no scheme of authentication, and no list of them') from exc
    return found
