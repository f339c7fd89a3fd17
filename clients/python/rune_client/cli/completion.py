"""`rune completion`: what a shell sources."""

from __future__ import annotations

from typing import Annotated

import typer
from typer.completion import get_completion_script  # type: ignore[attr-defined]  # Typer's own documents name it

from rune_client.cli.app import COMPLETE_VARIABLE
from rune_client.cli.exits import ExitCode

app = typer.Typer(rich_markup_mode=None)

SHELLS = ("bash", "zsh", "fish")


@app.command("completion")
def completion(shell: Annotated[str, typer.Argument(help="bash, zsh or fish.")]) -> int:
    """Print the completion of a shell: `source <(rune completion bash)`."""
    if shell not in SHELLS:
        raise typer.BadParameter(f"'{shell}' is none of {', '.join(SHELLS)}.", param_hint="SHELL")
    typer.echo(get_completion_script(prog_name="rune", complete_var=COMPLETE_VARIABLE, shell=shell))
    return int(ExitCode.SUCCEEDED)
