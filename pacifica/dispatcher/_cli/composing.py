"""How options are put together, and their values converted."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import click

from pacifica.dispatcher.exceptions import ConfigurationError

_F = TypeVar('_F', bound=Callable[..., Any])
_T = TypeVar('_T')


def options(*decorators: Callable[[Any], Any]) -> Callable[[_F], _F]:
    """Return what adds several options to a command, in this order."""
    def decorate(command: _F) -> _F:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command
    return decorate


def combined(argument: str, make: Callable[..., Any], *decorators: Callable[[Any], Any]) -> Callable[[_F], _F]:
    """Return what adds several options to a command, which gets as *argument* what *make* returns for their values."""
    names = [each.name for each in options(*decorators)(click.Command(None)).params]

    def decorate(command: _F) -> _F:
        @functools.wraps(command)
        def with_argument(**given: Any) -> Any:
            values = {name: given.pop(name) for name in names}
            return command(**{argument: make(**values)}, **given)
        return options(*decorators)(cast(_F, with_argument))
    return decorate


def converting(convert: Callable[[Any], _T]) -> Callable[[click.Context, click.Parameter, Any], _T | None]:
    """Make the callback of an option of *convert*, which isn't called if the option isn't given.

    A value that *convert* raises a ``ConfigurationError`` for is refused with what that says.
    """
    @functools.wraps(convert)
    def callback(_ctx: click.Context, _param: click.Parameter, value: Any) -> _T | None:
        try:
            return None if value is None else convert(value)
        except ConfigurationError as exc:
            raise click.BadParameter(str(exc)) from exc
    return callback
