"""`rune stop-all`: the tenant's own emergency stop."""

from __future__ import annotations

from typing import Annotated

import typer

from rune_client.cli import options
from rune_client.cli.amounts import dollars
from rune_client.cli.exits import ExitCode
from rune_client.cli.invocation import command, of
from rune_client.cli.outcomes import DeclinedError, UsageRefusedError
from rune_client.cli.output import facts

app = typer.Typer(rich_markup_mode=None)


@app.command("stop-all")
@command
def stop_all(
    ctx: typer.Context,
    yes: options.Yes = False,
    status: Annotated[
        bool, typer.Option("--status", help="Only say what is left. Exit 8 until nothing is.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Accept jobs again.")] = False,
) -> ExitCode:
    """Accept no more jobs, cancel all of your tenant's, and give all machines back, kept ones too."""
    rune = of(ctx)
    client = rune.connection.client
    if resume:
        found = client.resume_all()
        return rune.answer(
            found, "jobs are accepted again" if not found["stopped_by"] else "the operator's stop holds"
        )
    if not status:
        if not yes:
            if not rune.output.can_ask:
                raise UsageRefusedError(
                    "This cancels every job of your tenant, and there is nobody to ask: give --yes."
                )
            if rune.output.ask("Cancel every job of your tenant and destroy every machine? [y/N]") not in {
                "y",
                "yes",
            }:
                raise DeclinedError("Declined: nothing was stopped.")
        client.stop_all()
    found = client.stop_state()
    is_left = bool(found["running_job_count"] or found["waiting_job_count"] or found["machines"])
    # Without a stop nothing is ever done: then only what is at work counts.
    done = None if found["stopped_by"] is None else "not yet: `rune stop-all --status` says when"
    rows: list[tuple[str, object]] = [
        ("stopped by", found["stopped_by"] or "nobody"),
        ("running jobs", found["running_job_count"]),
        ("waiting jobs", found["waiting_job_count"]),
        ("machines", len(found["machines"])),
        ("costing", f"{dollars(found['usd_per_hour'])} an hour" if found["machines"] else None),
        ("done", "yes" if found["done"] else done),
    ]
    code = ExitCode.NOT_FINISHED if status and is_left else ExitCode.SUCCEEDED
    rune.output.show(facts(rows))
    rune.output.result(code, found)
    return code
