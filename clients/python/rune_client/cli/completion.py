"""`rune completion`: what a shell sources."""

from __future__ import annotations

from typing import Annotated

import typer

from rune_client.cli.exits import ExitCode
from rune_client.cli.quick import completion_script
from rune_client.cli.words import Shell

app = typer.Typer(rich_markup_mode=None)


@app.command("completion")
def completion(shell: Annotated[Shell, typer.Argument(help="Which one.")]) -> int:
    """Print the completion of a shell: `source <(rune completion bash)`."""
    typer.echo(completion_script(shell))
    return int(ExitCode.SUCCEEDED)
