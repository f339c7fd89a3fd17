"""`rune estimate`: what a run would cost."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from rune_client.cli import options
from rune_client.cli.amounts import dollars, duration
from rune_client.cli.exits import ExitCode
from rune_client.cli.invocation import command, of
from rune_client.cli.output import Columns, facts
from rune_client.cli.plans import cost_of, machine_of

app = typer.Typer(rich_markup_mode=None)


@app.command("estimate")
@command
def estimate(
    ctx: typer.Context,
    model: options.Model = None,
    on: Annotated[str, typer.Option(help="vastai, aws, gcp, azure or local.")] = "vastai",
    seconds: Annotated[int | None, typer.Option(min=1, help="How long the machine is used.")] = None,
    max_dph: options.MaxDph = None,
    min_dph: options.MinDph = None,
    reliability: options.Reliability = None,
    min_vram_mb: options.MinVram = None,
    max_cost: options.MaxCost = None,
    local_tdp_watts: Annotated[float | None, typer.Option(help="With --on local.")] = None,
    local_energy_rate_kwh: Annotated[
        float | None, typer.Option(help="USD for a kWh, with --on local.")
    ] = None,
    local_hardware_purchase_price: Annotated[float | None, typer.Option(help="USD, with --on local.")] = None,
    local_hardware_lifespan_years: Annotated[float | None, typer.Option(help="With --on local.")] = None,
) -> ExitCode:
    """Say what a run would cost: low, likely, high. Nothing is searched, spent or stored."""
    body = options.changed(
        {"local_hardware" if on == "local" else on: True},
        model=model,
        estimated_duration_seconds=seconds,
        max_dph=max_dph,
        min_dph=min_dph,
        reliability=reliability,
        min_vram_mb=min_vram_mb,
        max_cost_usd=max_cost,
        local_tdp_watts=local_tdp_watts,
        local_energy_rate_kwh=local_energy_rate_kwh,
        local_hardware_purchase_price=local_hardware_purchase_price,
        local_hardware_lifespan_years=local_hardware_lifespan_years,
    )
    if on not in {"vastai", "aws", "gcp", "azure", "local"}:
        raise typer.BadParameter(f"'{on}' is none of vastai, aws, gcp, azure, local.", param_hint="--on")
    rune = of(ctx)
    found: dict[str, Any] = dict(rune.connection.client.estimate(body))
    price = found.get("list_price") or {}
    table = facts(
        [
            ("machine", machine_of(found) if on == "vastai" else price.get("instance")),
            (
                "cost",
                cost_of(found) if found.get("high_usd") is not None else dollars(found["projected_cost_usd"]),
            ),
            ("confidence", f"{found['confidence_score']:.3f}"),
            ("basis", found.get("basis")),
            ("past jobs", found.get("sample_count") or None),
            ("seen", found.get("as_of") or price.get("as_of")),
            ("note", found.get("warning")),
        ],
        title=f"{found['cost_driver']}: {dollars(found['projected_cost_usd'])}",
    )
    phases = Columns("phase", "seconds", "cost")
    for phase in found.get("phases") or ():
        phases.add(phase["phase"], duration(phase["seconds"]["likely"]), dollars(phase["usd"]["likely"]))
    shown = [table, *([phases.table(rune.output.answers.width)] if found.get("phases") else [])]
    return rune.answer(found, *shown)
