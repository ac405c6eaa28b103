"""``completion``: the script with which a shell completes commands."""

from __future__ import annotations

from typing import Any

import click

__all__ = ['command']


@click.command('completion')
@click.argument('shell', type=click.Choice(['bash', 'zsh', 'fish']))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script with which SHELL completes commands, options, their choices, and files.

    Put it where the shell looks for such scripts, then start a new shell:

    \b
    pacifica-dispatcher completion bash > \\
        ~/.local/share/bash-completion/completions/pacifica-dispatcher
    pacifica-dispatcher completion zsh > "${fpath[1]}/_pacifica-dispatcher"
    pacifica-dispatcher completion fish > \\
        ~/.config/fish/completions/pacifica-dispatcher.fish

    For bash this needs the package bash-completion; without it, or to try it, run:

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
