"""``pacifica-dispatcher`` itself: finds the commands, and turns errors into one line and an exit status."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

import click

from pacifica.dispatcher._cli.configuration import tell_source
from pacifica.dispatcher._cli.output import EXIT_INTERRUPTED, EXIT_STATUSES, EXIT_USAGE, notice
from pacifica.dispatcher._clients import ClientError
from pacifica.dispatcher._operate.words import one_line
from pacifica.dispatcher.exceptions import ConfigurationError, DatabaseUnavailableError

NAME = 'pacifica-dispatcher'
EPILOG = '\n'.join(['Exit status:', '', '\b', *(f'{status:<5}{what}' for status, what in EXIT_STATUSES.items())])

#: The module of each command, which has it as ``NAME_command``. Its imports at the top are those that ``--help`` needs.
_MODULES = {
    'cancel': 'acting', 'check': 'check', 'completion': 'program', 'demo': 'program', 'doctor': 'doctor',
    'list': 'events', 'migrate': 'table', 'prune': 'table', 'reconcile': 'reconcile', 'replay': 'replay',
    'retry': 'acting', 'run': 'run', 'send': 'send', 'serve': 'serve', 'show': 'show', 'status': 'status',
    'subscribe': 'subscribe', 'work': 'serve',
}


class _Commands(click.Group):
    """A group that imports the module of a command when the command is asked for, be it by the manual."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _MODULES:
            return None
        module = import_module(f'pacifica.dispatcher._cli.{_MODULES[cmd_name]}')
        command: click.Command = getattr(module, f'{cmd_name}_command')
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


@click.command('completion', short_help='Print a shell\'s completion script.')
@click.argument('shell', type=click.Choice(['bash', 'zsh', 'fish']))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> None:
    """Print the script with which SHELL completes commands, options, their choices, and files.

    Redirect it into a file where the shell looks for such scripts, then start a new shell:

    \b
    bash  ~/.local/share/bash-completion/completions/pacifica-dispatcher
    zsh   a file _pacifica-dispatcher in a directory of $fpath
    fish  ~/.config/fish/completions/pacifica-dispatcher.fish

    In bash this takes the package bash-completion. Without it, put this into ~/.bashrc:

    \b
    eval "$(pacifica-dispatcher completion bash)"
    """
    from click.shell_completion import get_completion_class

    root = ctx.find_root()
    name = str(root.info_name)
    completes = get_completion_class(shell)
    assert completes is not None
    variable = f'_{name}_COMPLETE'.replace('-', '_').upper()  # the name that click looks for
    click.echo(completes(root.command, {}, name, variable).source(), nl=False)


@click.command('demo')
@click.option('--keep', is_flag=True, help='Leave the receiver up afterwards, for events of your own.')
def demo_command(keep: bool) -> int:
    """Show a notification on its whole way: received, stored, routed, its files fetched, processed, bundled.

    Needs no network, no other service and no configuration; everything lies in one temporary directory. The exit
    status is 0 if the event ended in "200 OK" and the bundle is what its metadata say, else 1.
    """
    from pacifica.dispatcher._cli.demo import run

    return run(keep)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line, with the process's own arguments by default, and exit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # records may hold what an old terminal can't show
            stream.reconfigure(errors='backslashreplace')
    try:
        status = program.main(arguments, prog_name=NAME, standalone_mode=False)
    except click.ClickException as exc:
        tell_source(exc)
        _complain(exc.format_message() + _hint(exc))
        status = exc.exit_code
    except (ClientError, ConfigurationError, DatabaseUnavailableError) as exc:
        _complain(exc)
        status = EXIT_USAGE
    except (click.Abort, KeyboardInterrupt):
        status = EXIT_INTERRUPTED
    sys.exit(status if isinstance(status, int) else 0)


def _complain(message: object) -> None:
    notice(f'{NAME}: {one_line(message)}')


def _hint(exc: click.ClickException) -> str:
    """Say where help is, for an error in how the command was written rather than in a value."""
    in_a_value = isinstance(exc, click.BadParameter) and not isinstance(exc, click.MissingParameter)
    if isinstance(exc, click.UsageError) and exc.ctx is not None and not in_a_value:
        return f' See "{exc.ctx.command_path} --help".'
    return ''
