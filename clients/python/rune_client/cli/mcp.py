"""`rune mcp`: RUNE for other people's agents."""

from __future__ import annotations

from typing import Annotated

import typer

from rune_client.cli.exits import ExitCode
from rune_client.cli.invocation import command, of
from rune_client.mcp import serve

app = typer.Typer(rich_markup_mode=None)


@app.command("mcp")
@command
def mcp(
    ctx: typer.Context,
    limit_usd: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="USD", help="What all jobs made here may cost together; each has its cap too."
        ),
    ] = None,
) -> ExitCode:
    """Serve the Model Context Protocol on stdin and stdout. It spends only with a cap and a confirmed plan."""
    serve(of(ctx).connection.async_client(), limit_usd=limit_usd)
    return ExitCode.SUCCEEDED
