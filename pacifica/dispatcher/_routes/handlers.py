"""What a route runs: a program, or a handler of the user's, imported by name."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from pacifica.dispatcher._modules import import_named
from pacifica.dispatcher._routes.values import RouteTable
from pacifica.dispatcher.event_handlers import EventHandler
from pacifica.dispatcher.exceptions import ConfigurationError

_OURS = ('download', 'output', 'event.json')  # what lies in the directory that a program runs in


def import_handler(reference: str, options: dict[str, Any] | None, directory: Path) -> EventHandler:
    """Return the handler ``MODULE:NAME``, whose class or function is called with *options*.

    :raises ConfigurationError: if there is none, or it can't be made.
    """
    named: Any = import_named(
        str(directory), reference, 'MODULE:NAME: a module as "import" names it, not its file, a colon, and the name of '
        'the class in it, for example my_handlers:Uppercase', _handlers_in)
    if isinstance(named, EventHandler):
        if options:
            raise ConfigurationError(f'{reference} is a handler already, which takes no options: name its class')
        return named
    try:
        made = named(**(options or {}))
    except Exception as exc:  # the user's class may raise anything
        raise ConfigurationError(f'{reference} can\'t be made: {type(exc).__name__}: {exc}') from exc
    if not isinstance(made, EventHandler):
        raise ConfigurationError(
            f'{reference} makes a {type(made).__name__}, which is no pacifica.dispatcher.event_handlers.EventHandler')
    return made


def _handlers_in(module: ModuleType) -> str:
    names = [name for name, item in vars(module).items()
             if isinstance(item, type) and issubclass(item, EventHandler) and item.__module__ == module.__name__]
    return f'handlers in it: {", ".join(names) or "none"}'


def missing_program(route: RouteTable, directory: Path) -> str | None:
    """Return why the program of *route* can't be run, if that can be known before there is an event."""
    if route.shell or not isinstance(route.command, list) or not route.command:
        return None
    program = route.command[0].replace('{directory}', str(directory))
    if '{' in program or not program:
        return None  # an event says which; CommandEventHandler refuses none at all
    if '/' not in program:
        if shutil.which(program, path=(route.environment or {}).get('PATH')):
            return None
        beside = directory / program
        cure = f'write ./{program} for the one beside this file' if beside.exists() else 'give its path, or install it'
        return f'there is no program {program!r} on the PATH: {cure}'
    path = directory / program
    if not path.is_file():
        return f'there is no program {program!r}: {path} is {"no file" if path.exists() else "not there"}'
    if not os.access(path, os.X_OK):
        return f'{program!r} may not be executed: chmod +x {path}'
    return None


def misplaced_arguments(route: RouteTable, directory: Path) -> Iterator[tuple[int, str]]:
    """Yield the arguments that name a file beside the routes file, but would be looked for beside the event's."""
    for number, argument in enumerate(route.command if isinstance(route.command, list) else ()):
        if number and '{' not in argument and not argument.startswith(('/', '-')) \
                and argument.split('/')[0] not in (*_OURS, '', '.', '..') and _exists(directory / argument):
            yield number, (f'the argument {argument!r} lies beside this file, but is looked for in the directory of '
                           f'each event: write "{{directory}}/{argument}"')


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # of an argument that is no path
        return False
