"""Who is told of events that have ended: the options of ``serve`` and ``work``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pacifica.dispatcher._cli.errors import UsageFault

if TYPE_CHECKING:
    from pacifica.dispatcher.hooks import Notify

__all__ = ['notify_options', 'receiver_of']

_F = TypeVar('_F', bound=Callable[..., Any])


def notify_options(command: _F) -> _F:
    """Add ``--notify`` and ``--notify-token-env``."""
    decorators = [
        click.option('--notify', metavar='URL', default=None,
                     help='Where a CloudEvent is posted to when an event has ended, for example another dispatcher\'s '
                          '/receive; the same for every worker.'),
        click.option('--notify-token-env', metavar='NAME', default=None,
                     help='The environment variable with the bearer token for that.'),
    ]
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


def receiver_of(url: str | None, token_variable: str | None) -> Notify | None:
    """Return the receiver that the options describe, ``None`` without one.

    :raises UsageFault: if they describe none.
    """
    from pacifica.dispatcher.authentication import Secret
    from pacifica.dispatcher.exceptions import ConfigurationError
    from pacifica.dispatcher.hooks import Notify

    if url is None:
        if token_variable is not None:
            raise UsageFault('--notify-token-env is the token for --notify: give that too')
        return None
    try:
        return Notify(url, token=None if token_variable is None else Secret.from_environment(token_variable))
    except ConfigurationError as exc:
        raise UsageFault(f'--notify can\'t work: {exc}') from exc
