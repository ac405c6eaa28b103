"""Settings beside the command line: environment variables, and the table ``[service]`` of a TOML file.

click looks for the value of an option on the command line, in the environment, in ``Context.default_map`` and at its
default, in this order; ``--config`` fills that map.
"""

from __future__ import annotations

import os
import sys
from difflib import get_close_matches
from typing import Any

import click
from click.core import ParameterSource

from pacifica.dispatcher._cli.output import UsageFault

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: ``context_settings`` of a command all of whose options are settings: each has a variable and a key.
SERVICE = {'auto_envvar_prefix': 'PACIFICA_DISPATCHER'}

_KINDS = {'boolean': ((bool,), 'true or false'), 'integer range': ((int,), 'an integer')}  # all others are texts


def variable(option: click.Parameter) -> str:
    """Return the environment variable of a setting."""
    return f'{SERVICE["auto_envvar_prefix"]}_{option.name}'.upper()


def _settings() -> dict[str, click.Option]:
    """Return the options of ``serve`` and ``work``, by the keys that a file may have."""
    from pacifica.dispatcher._cli.serve import serve_command, work_command

    found = [option for command in (serve_command, work_command) for option in command.params]
    return {str(option.name): option for option in found if isinstance(option, click.Option) and option.expose_value}


def _table(path: str) -> dict[str, Any]:
    """Return the table ``[service]`` of a file, whose other tables are left alone."""
    try:
        with open(path, 'rb') as file:
            table = tomllib.load(file).get('service', {})
    except OSError as exc:
        raise UsageFault(f'{path} can\'t be read: {exc.strerror}') from exc
    except (ValueError, RecursionError) as exc:  # it is no UTF-8, or no TOML
        raise UsageFault(f'{path} is no TOML: {exc}') from exc
    if not isinstance(table, dict):
        raise UsageFault(f'{path}: service must be a table, [service]')
    return table


def _typed(path: str, key: str, value: object, option: click.Option) -> object:
    """Return *value* as click takes it; times and sizes may be numbers. What it is isn't shown: it may be secret."""
    fits, kind = _KINDS.get(option.type.name, ((str, int, float), 'a string or a number'))
    if not isinstance(value, fits) or isinstance(value, bool) != option.is_flag:
        raise UsageFault(f'{path}: {key} in [service] must be {kind}, not of type {type(value).__name__}')
    return value if option.type.name in _KINDS else str(value)


def _read(ctx: click.Context, _param: click.Parameter, path: str | None) -> None:
    """Make the settings of a file the defaults of those options of the command that have their variables."""
    if path is None:
        return
    settings, found = _settings(), {}
    for key, value in _table(path).items():
        if key not in settings:
            [nearest] = get_close_matches(key, settings, n=1, cutoff=0)
            raise UsageFault(f'{path}: [service] has no key {key!r}; the nearest one is {nearest!r}')
        found[key] = _typed(path, key, value, settings[key])
    for option in ctx.command.params:
        if not ctx.auto_envvar_prefix and variable(option) not in (option.envvar or ''):
            found.pop(str(option.name), None)  # of another meaning here, such as "--since" of "list"
    ctx.default_map, ctx.meta[__name__] = found, path


config_option = click.option(
    '--config', type=click.Path(), callback=_read, is_eager=True, expose_value=False, metavar='FILE',
    envvar='PACIFICA_DISPATCHER_CONFIG', show_envvar=True,
    help='A TOML file with settings of the service in its table [service]: options of "serve" and "work", with '
         'underscores. What the command line or the environment says goes before it.')


def tell_source(exc: click.ClickException) -> None:
    """Have the error in a value say where it comes from, if that isn't the command line."""
    if not isinstance(exc, click.BadParameter) or exc.ctx is None or exc.param is None:
        return
    source = exc.ctx.get_parameter_source(str(exc.param.name))
    if source is ParameterSource.DEFAULT_MAP:
        exc.param_hint = f'{exc.param.name!r} in [service] of {exc.ctx.meta[__name__]}'
    elif source is ParameterSource.ENVIRONMENT:
        given = [exc.param.envvar] if isinstance(exc.param.envvar, str) else exc.param.envvar or [variable(exc.param)]
        exc.param_hint = f'{exc.param.opts[0]!r} (env var: {next(filter(os.environ.get, given), given[0])!r})'
