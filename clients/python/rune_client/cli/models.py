"""`rune models` and `rune catalog`: what a server offers, and what fits on rented machines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from rune_client.cli import options
from rune_client.cli.amounts import dollars, number
from rune_client.cli.exits import ExitCode
from rune_client.cli.invocation import Invocation, command, of
from rune_client.cli.output import Columns

app = typer.Typer(rich_markup_mode=None)


@app.command("models")
@command
def models(
    ctx: typer.Context,
    backend_url: options.BackendUrl = None,
    backend_type: options.BackendType = None,
    backend_credential: options.BackendCredential = None,
) -> ExitCode:
    """List the models of a server; those in memory are marked."""
    rune = of(ctx)
    return show_models(rune, backend_url, backend_type, backend_credential)


def show_models(
    rune: Invocation, backend_url: str | None, backend_type: str | None, backend_credential: str | None = None
) -> ExitCode:
    """Show the models of a server."""
    found = rune.connection.client.models(backend_url, backend_type, backend_credential=backend_credential)
    table = Columns("model", "in memory")
    for name in found["models"]:
        table.add(name, "yes" if name in found["running_models"] else "")
    return rune.answer(found, table.table(rune.output.answers.width))


@app.command("catalog")
@command
def catalog(
    ctx: typer.Context, name: Annotated[str, typer.Argument(help="Which catalog.")] = "vastai-models"
) -> ExitCode:
    """List the models whose needs RUNE knows, with the cheapest offer seen lately."""
    return show_catalog(of(ctx), name)


def show_catalog(rune: Invocation, name: str = "vastai-models") -> ExitCode:
    """Show a catalog."""
    found = rune.connection.client.catalog(name)
    table = Columns("model", "GPU memory", "seen an hour", "disk", "on", "quantisation", "context", "licence")
    for each in found["models"]:
        seen: Mapping[str, Any] = each.get("last_seen") or {}
        table.add(
            each["name"],
            number(each["vram_mb"] / 1024, "GiB"),
            dollars(seen["usd_per_hour"]) if seen else "",
            f"{each['required_disk_gb']} GB",
            f"{seen['gpu_count']} x {seen['gpu']}" if seen else "",
            each.get("quantisation"),
            each.get("context_tokens"),
            each.get("licence"),
        )
    return rune.answer(found, table.table(rune.output.answers.width))
