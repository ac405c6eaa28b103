"""``completion``: the script with which a shell completes commands."""

from __future__ import annotations

from typing import Any

import click

__all__ = ['command']


@click.command('completion', short_help='Print a shell\'s completion script.')
@click.argument('shell', type=click.Choice(['bash', 'zsh', 'fish']))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
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
    arguments: dict[str, Any] = {}
    variable = f'_{name}_COMPLETE'.replace('-', '_').upper()  # the name that click looks for
    click.echo(completes(root.command, arguments, name, variable).source(), nl=False)
