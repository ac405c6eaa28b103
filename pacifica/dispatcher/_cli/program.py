"""``pacifica-dispatcher`` itself: finds the commands, and turns errors into one line and an exit status."""

from __future__ import annotations

import io
import pkgutil
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

import click

from pacifica.dispatcher._cli import commands
from pacifica.dispatcher._cli.errors import EXIT_INTERRUPTED, EXIT_STATUSES, EXIT_USAGE, one_line
from pacifica.dispatcher.exceptions import ConfigurationError, DatabaseUnavailableError

__all__ = ['main', 'program']

NAME = 'pacifica-dispatcher'
EPILOG = '\n'.join(['Exit status:', '', '\b', *(f'{status:<5}{what}' for status, what in EXIT_STATUSES.items())])


class _Commands(click.Group):
    """A group whose commands are the modules of :mod:`~pacifica.dispatcher._cli.commands`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, in the order of the alphabet."""
        return sorted(module.name for module in pkgutil.iter_modules(commands.__path__))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command called *cmd_name*, importing its module; ``None`` if there is none."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command = import_module(f'{commands.__name__}.{cmd_name}').command
        assert isinstance(command, click.Command)
        return command


@click.group(
    cls=_Commands, invoke_without_command=True, epilog=EPILOG, context_settings={'help_option_names': ['-h', '--help']},
)
@click.version_option(package_name=NAME, prog_name=NAME)
@click.pass_context
def program(ctx: click.Context) -> None:
    """Receive Pacifica notifications (CloudEvents) and run your code on the data they announce.

    New here? "pacifica-dispatcher demo" shows one notification on its whole way, without any other service.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit.

    :param arguments: what follows the program's name; the process's own arguments by default.

    The exit status is one of :data:`~pacifica.dispatcher._cli.errors.EXIT_STATUSES`.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # records may hold what an old terminal can't show
            stream.reconfigure(errors='backslashreplace')
    try:
        status = program.main(arguments, prog_name=NAME, standalone_mode=False)
    except click.ClickException as exc:
        _complain(exc.format_message() + _hint(exc))
        status = exc.exit_code
    except (ConfigurationError, DatabaseUnavailableError) as exc:
        _complain(exc)
        status = EXIT_USAGE
    except (click.Abort, KeyboardInterrupt):
        status = EXIT_INTERRUPTED
    sys.exit(status if isinstance(status, int) else 0)


def _complain(message: object) -> None:
    click.echo(f'{NAME}: {one_line(message)}', err=True)


def _hint(exc: click.ClickException) -> str:
    """Say where help is, for an error in how the command was written rather than in a value."""
    in_a_value = isinstance(exc, click.BadParameter) and not isinstance(exc, click.MissingParameter)
    if isinstance(exc, click.UsageError) and exc.ctx is not None and not in_a_value:
        return f' See "{exc.ctx.command_path} --help".'
    return ''
