"""The options of ``subscribe``, and how their values are checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from pacifica.dispatcher._cli.errors import UsageFault

__all__ = ['INGESTS', 'jsonpath', 'receiver_auth', 'receiver_auth_options']

_F = TypeVar('_F', bound=Callable[..., Any])
INGESTS = '$[?(@["eventType"] = "org.pacifica.metadata.ingest")]'
"""The JSONPath of the events that announce an ingest."""

_FILE = click.Path(dir_okay=False)


def jsonpath(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    """Check a JSONPath, as a callback of an option.

    :raises click.BadParameter: if it is none: Notifications would answer as if they were broken.
    """
    from pacifica.dispatcher._cli.subscription.expression import fault

    if reason := fault(value):
        raise click.BadParameter(
            f'{value!r} is no JSONPath ({reason}); for each ingest, write \'{INGESTS}\'',
        )
    return value


def receiver_auth_options(command: _F) -> _F:
    """Add the options for the credentials that Notifications send to the receiver."""
    decorators = [
        click.option('--receiver-token-env', metavar='NAME',
                     help='The environment variable that holds the bearer token that Notifications send.'),
        click.option('--receiver-token-file', type=_FILE, metavar='FILE', help='The file that holds it.'),
        click.option('--receiver-user', metavar='NAME',
                     help='The user as whom Notifications send (Basic), with one of these:'),
        click.option('--receiver-password-env', metavar='NAME',
                     help='The environment variable that holds the password.'),
        click.option('--receiver-password-file', type=_FILE, metavar='FILE', help='The file that holds the password.'),
    ]
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


def receiver_auth(
    *, receiver_token_env: str | None, receiver_token_file: str | None, receiver_user: str | None,
    receiver_password_env: str | None, receiver_password_file: str | None,
) -> dict[str, Any] | None:
    """Return the credentials of the options as Notifications store them; ``None`` without any.

    :raises UsageFault: if the options contradict each other.
    :raises ConfigurationError: if a file or a variable holds no secret.
    """
    from pacifica.dispatcher.authentication import Secret

    tokens, passwords = (receiver_token_env, receiver_token_file), (receiver_password_env, receiver_password_file)
    given = [each for each in tokens + passwords if each is not None]
    if len(given) > 1:
        raise UsageFault('give one of --receiver-token-env, --receiver-token-file, --receiver-password-env and '
                         '--receiver-password-file, not several')
    if (receiver_user is None) != (passwords == (None, None)):
        raise UsageFault('--receiver-user needs --receiver-password-env or --receiver-password-file, and those need it')
    if not given:
        return None
    variable, file = receiver_token_env or receiver_password_env, receiver_token_file or receiver_password_file
    secret = (Secret.from_environment(variable) if variable is not None else Secret.from_file(file or '')).reveal()
    if receiver_user is None:
        return {'type': 'header', 'header': {'type': 'Bearer', 'credentials': secret}}
    return {'type': 'basic', 'basic': {'username': receiver_user, 'password': secret}}
