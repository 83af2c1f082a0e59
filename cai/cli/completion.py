"""`cai completion`: the script that makes a shell complete commands and options."""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL.

    \b
    Example:
      cai completion bash > ~/.local/share/bash-completion/completions/cai
    """
    from click.shell_completion import get_completion_class

    from cai.cli import main

    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(main, {}, "cai", "_CAI_COMPLETE").source())
