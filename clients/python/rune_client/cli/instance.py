"""`rune instance`: a machine with a model on it."""

from __future__ import annotations

from typing import Annotated

import typer

from rune_client.cli import options
from rune_client.cli.exits import ExitCode
from rune_client.cli.invocation import command, of
from rune_client.cli.submitting import Manner, Submitter

app = typer.Typer(rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """Keep `run` a word of its own."""


@app.command("run")
@command
def run(
    ctx: typer.Context,
    file: options.File = None,
    model: options.Model = None,
    vastai: options.Vastai = False,
    backend_url: options.BackendUrl = None,
    backend_type: options.BackendType = None,
    backend_credential: options.BackendCredential = None,
    max_dph: options.MaxDph = None,
    min_dph: options.MinDph = None,
    reliability: options.Reliability = None,
    min_vram_mb: options.MinVram = None,
    keep_seconds: Annotated[
        int | None,
        typer.Option(
            metavar="SECONDS", help="How long the machine is kept.", rich_help_panel=options.MACHINE
        ),
    ] = None,
    name: options.Name = None,
    metadata: options.Metadata = None,
    max_runtime_seconds: options.MaxRuntime = None,
    queue_timeout_seconds: options.QueueTimeout = None,
    max_cost: options.MaxCost = None,
    yes: options.Yes = False,
    plan: options.Plan = False,
    new: options.New = False,
    idempotency_key: options.IdempotencyKey = None,
    detach: options.Detach = False,
    wait: options.Wait = None,
) -> ExitCode:
    """Rent a machine with a model on it (--vastai), or check a server (--backend-url).

    A rented machine stays for --keep-seconds and costs money for as long. `rune rentals stop` gives it back.
    """
    body = options.changed(
        options.read_file(file),
        model=model,
        vastai=vastai or None,
        backend_url=backend_url,
        backend_type=backend_type,
        backend_credential=backend_credential,
        max_dph=max_dph,
        min_dph=min_dph,
        reliability=reliability,
        min_vram_mb=min_vram_mb,
        keep_seconds=keep_seconds,
        name=name,
        metadata=options.pairs(metadata, "--metadata"),
        max_runtime_seconds=max_runtime_seconds,
        queue_timeout_seconds=queue_timeout_seconds,
        max_cost_usd=max_cost,
    )
    rune = of(ctx)
    manner = Manner(
        is_yes=yes,
        is_plan=plan,
        is_new=new,
        is_detached=detach,
        wait_seconds=wait,
        idempotency_key=idempotency_key,
    )
    return Submitter(rune.connection, rune.output).run("llm-instance", body, manner)
