"""Options of credentials for services."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pacifica.dispatcher._cli.composing import combined
from pacifica.dispatcher._cli.output import UsageFault
from pacifica.dispatcher.authentication import Secret

if TYPE_CHECKING:
    from requests import PreparedRequest

    from pacifica.dispatcher._clients.http import Auth

_F = TypeVar('_F', bound=Callable[..., Any])
_FILE = click.Path(dir_okay=False)


def credentials(
    argument: str, make: Callable[[str, str | None], Any], token_env: str, token_file: str, user: str, prefix: str = '',
) -> Callable[[_F], _F]:
    """Return what adds the options of credentials, of which the first three have these helps.

    The command gets as *argument* what *make* returns for the secret, a token or the password of a user, and the user.
    Secrets come from files or the environment, never from the command line, which every user of the machine can read.
    """
    def made(**given: str | None) -> Any:
        values = {name.removeprefix(prefix.replace('-', '_')): value for name, value in given.items()}
        secret = _secret(prefix, **values)
        return None if secret is None else make(secret, values['user'])

    return combined(
        argument, made,
        click.option(f'--{prefix}token-env', metavar='NAME', help=token_env),
        click.option(f'--{prefix}token-file', type=_FILE, metavar='FILE', help=token_file),
        click.option(f'--{prefix}user', metavar='NAME', help=user),
        click.option(f'--{prefix}password-env', metavar='NAME',
                     help='The environment variable that holds the password.'),
        click.option(f'--{prefix}password-file', type=_FILE, metavar='FILE', help='The file that holds the password.'))


def _secret(
    prefix: str, user: str | None, token_env: str | None, token_file: str | None, password_env: str | None,
    password_file: str | None,
) -> str | None:
    given = [each for each in (token_env, token_file, password_env, password_file) if each is not None]
    if len(given) > 1:
        raise UsageFault(f'give one of --{prefix}token-env, --{prefix}token-file, --{prefix}password-env and '
                         f'--{prefix}password-file, not several')
    if (user is None) != (password_env is None and password_file is None):
        raise UsageFault(f'--{prefix}user needs --{prefix}password-env or --{prefix}password-file, and those need '
                         f'--{prefix}user')
    if not given:
        return None
    variable, file = token_env or password_env, token_file or password_file
    return (Secret.from_environment(variable) if variable is not None else Secret.from_file(file or '')).reveal()


def _auth(secret: str, user: str | None) -> Auth:
    """Return what puts the credentials into a request: Basic as *user*, or a bearer token (RFC 7617, RFC 6750)."""
    if user is not None:
        from requests.auth import HTTPBasicAuth

        return HTTPBasicAuth(user.encode(), secret.encode())
    if not secret.isascii() or not secret.isprintable() or ' ' in secret:
        raise UsageFault('the bearer token has characters that no token may have: spaces, line breaks or non-ASCII')

    def bearer(request: PreparedRequest) -> PreparedRequest:
        request.headers['Authorization'] = f'Bearer {secret}'
        return request

    return bearer


#: The command gets the credentials as one argument ``auth``, for ``auth=`` of a request; ``None`` without any.
credentials_options = credentials(
    'auth', _auth, 'The environment variable that holds a bearer token.', 'The file that holds a bearer token.',
    'The user to authenticate as (Basic), with one of these:')
