"""Settings beside the command line: environment variables, and the table ``[service]`` of a TOML file.

click looks for the value of an option on the command line, in the environment, in ``Context.default_map`` and at its
default, in this order; ``--config`` fills that map.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click
from click.core import ParameterSource

from pacifica.dispatcher._cli.output import UsageFault
from pacifica.dispatcher._cli.references import ROUTER, is_routes_file
from pacifica.dispatcher._routes.lines import Where, lines_of, parse
from pacifica.dispatcher._routes.settings import nearest

#: ``context_settings`` of a command all of whose options are settings: each has a variable and a key.
SERVICE = {'auto_envvar_prefix': 'PACIFICA_DISPATCHER'}

_ROUTES = f'{__name__}.routes'  # in Context.meta: the routes files that a command was given
_KINDS = {'boolean': ((bool,), 'true or false'), 'integer range': ((int,), 'an integer')}  # all others are texts


def variable(option: click.Parameter) -> str:
    """Return the environment variable of a setting."""
    return f'{SERVICE["auto_envvar_prefix"]}_{option.name}'.upper()


def _settings() -> dict[str, click.Option]:
    """Return the options of ``serve`` and ``work``, by the keys that a file may have."""
    from pacifica.dispatcher._cli.serve import serve_command, work_command

    found = [option for command in (serve_command, work_command) for option in command.params]
    return {str(option.name): option for option in found if isinstance(option, click.Option) and option.expose_value}


class _File(NamedTuple):
    """A file of settings: what they are, and in which lines the keys of the file stand."""

    path: str
    table: dict[str, Any]
    lines: Mapping[Where, int]

    @classmethod
    def read(cls, path: str) -> _File:
        """Read the table ``[service]`` of a file; its other tables are left alone."""
        try:
            text = Path(path).read_text(encoding='utf-8-sig')
            document = parse(text)
        except OSError as exc:
            raise UsageFault(f'{path} can\'t be read: {exc.strerror}') from exc
        except ValueError as exc:  # it is no UTF-8, or no TOML
            raise UsageFault(f'{path} is no TOML: {exc}') from exc
        table = document.get('service', {})
        if not isinstance(table, dict):
            raise UsageFault(f'{path}: service must be a table, [service]')
        if 'route' in document:
            _place_database(table, path)
        return cls(path, table, lines_of(text))

    def fault(self, key: str, text: str) -> UsageFault:
        return UsageFault(f'{self.path}: {text} (line {self.lines.get(("service", key), 1)})')

    def values(self) -> dict[str, object]:
        """Return the settings as click takes them.

        :raises UsageFault: for one that there isn't, or whose type is wrong.
        """
        settings, found = _settings(), {}
        for key, value in self.table.items():
            if key not in settings:
                raise self.fault(key, f'[service] has no key {key!r}; {nearest(key, settings)}')
            found[key] = self._typed(key, value, settings[key])
        return found

    def _typed(self, key: str, value: object, option: click.Option) -> object:
        """Return *value* as click takes it; times and sizes may be numbers. It isn't shown: it may be secret."""
        fits, kind = _KINDS.get(option.type.name, ((str, int, float), 'a string or a number'))
        if not isinstance(value, fits) or isinstance(value, bool) != option.is_flag:
            raise self.fault(key, f'{key} in [service] must be {kind}, not of type {type(value).__name__}')
        if option.multiple:
            return str(value).split()  # as click takes a variable apart
        return value if option.type.name in _KINDS else str(value)


def _place_database(table: dict[str, Any], path: str) -> None:
    """Have the relative path of an SQLite file in a routes file start there, as all paths in it do."""
    scheme, separator, name = str(table.get('database')).partition(':///')
    if scheme == 'sqlite' and separator and name and not name.startswith(('/', ':memory:')):
        table['database'] = f'sqlite:///{os.path.join(os.path.dirname(os.path.abspath(path)), name)}'


class _ConfigOption(click.Option):
    """``--config``, which is handled before other options, when only the parser knows which routes file was given."""

    def handle_parse_result(
        self, ctx: click.Context, opts: Mapping[str, Any], args: list[str],
    ) -> tuple[Any, list[str]]:
        given = [opts.get(str(each.name)) for each in ctx.command.params if ROUTER in str(each.metavar)]
        ctx.meta[_ROUTES] = [each for each in given if isinstance(each, str) and is_routes_file(each)]
        return super().handle_parse_result(ctx, opts, args)


def _read(ctx: click.Context, _param: click.Parameter, path: str | None) -> None:
    """Make the settings of the routes file, and before those the ones of *path*, the defaults of the command's options.

    Those are left alone that don't have the variables of settings.
    """
    ctx.default_map, ctx.meta[__name__] = {}, {}
    for file in [*filter(os.path.isfile, ctx.meta[_ROUTES]), *([] if path is None else [path])]:
        found = _File.read(file).values()
        for option in ctx.command.params:
            if not ctx.auto_envvar_prefix and variable(option) not in (option.envvar or ''):
                found.pop(str(option.name), None)  # of another meaning here, such as "--since" of "list"
        ctx.default_map.update(found)
        ctx.meta[__name__].update(dict.fromkeys(found, file))


config_option = click.option(
    '--config', cls=_ConfigOption, type=click.Path(), callback=_read, is_eager=True, expose_value=False, metavar='FILE',
    envvar='PACIFICA_DISPATCHER_CONFIG', show_envvar=True,
    help='A TOML file with settings of the service in its table [service]: options of "serve" and "work", with '
         'underscores. What the command line or the environment says goes before it.')


def tell_source(exc: click.ClickException) -> None:
    """Have the error in a value say where it comes from, if that isn't the command line."""
    if not isinstance(exc, click.BadParameter) or exc.ctx is None or exc.param is None:
        return
    source = exc.ctx.get_parameter_source(str(exc.param.name))
    if source is ParameterSource.DEFAULT_MAP:
        exc.param_hint = f'{exc.param.name!r} in [service] of {exc.ctx.meta[__name__][exc.param.name]}'
    elif source is ParameterSource.ENVIRONMENT:
        given = [exc.param.envvar] if isinstance(exc.param.envvar, str) else exc.param.envvar or [variable(exc.param)]
        exc.param_hint = f'{exc.param.opts[0]!r} (env var: {next(filter(os.environ.get, given), given[0])!r})'
