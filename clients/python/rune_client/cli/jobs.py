"""`rune jobs`: list, show, follow and cancel."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from rune_client.cli import options
from rune_client.cli.amounts import age, dollars, duration
from rune_client.cli.exits import ExitCode
from rune_client.cli.invocation import command, of
from rune_client.cli.outcomes import code_of_job
from rune_client.cli.output import Columns
from rune_client.cli.reports import ended, job_table
from rune_client.cli.submitting import follow_to_end

app = typer.Typer(rich_markup_mode=None)

Job = Annotated[str, typer.Argument(metavar="JOB", help="Id of a job.")]


@app.command("list")
@command
def list_jobs(
    ctx: typer.Context,
    status: Annotated[
        str | None, typer.Option(help="queued, running, succeeded, failed or cancelled.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="benchmark, agentic-agent or llm-instance.")] = None,
    name: Annotated[str | None, typer.Option(help="Your name for them.")] = None,
    metadata: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Your own texts; may be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
) -> ExitCode:
    """List your jobs, newest first."""
    rune = of(ctx)
    found = list(
        islice(
            rune.connection.client.jobs(
                status=status, kind=kind, name=name, metadata=options.pairs(metadata, "--metadata")
            ),
            limit,
        )
    )
    table = Columns("job", "status", "kind", "cost", "age", "model", "took", "error", "name")
    for job in found:
        took = job.get("duration_ms")
        table.add(
            job["job_id"],
            job["status"],
            job["kind"],
            dollars(job["cost_usd"]) if job.get("cost_usd") is not None else "",
            age(job.get("created_at")),
            job.get("model"),
            duration(took / 1000) if took is not None else "",
            job.get("error_code"),
            job.get("name"),
        )
    return rune.answer({"jobs": found}, table.table(rune.output.answers.width))


@app.command("show")
@command
def show(
    ctx: typer.Context,
    job: Job,
    exit_status: Annotated[
        bool, typer.Option("--exit-status", help="Exit as the job ended; 8 where it has not.")
    ] = False,
) -> ExitCode:
    """Show where a job stands."""
    rune = of(ctx)
    found = rune.connection.client.job(job)
    code = code_of_job(found) if exit_status else ExitCode.SUCCEEDED
    rune.output.show(job_table(found), *(ended(found) if found["status"] == "succeeded" else ()))
    rune.output.result(code, found)
    return code


@app.command("follow")
@command
def follow(ctx: typer.Context, job: Job, wait: options.Wait = None) -> ExitCode:
    """Follow a job to its end, and exit as it ended."""
    rune = of(ctx)
    return follow_to_end(rune.connection.client, rune.output, job, wait_seconds=wait)


@app.command("cancel")
@command
def cancel(
    ctx: typer.Context,
    job: Job,
    follow: Annotated[
        bool, typer.Option("--follow", help="Wait until what it rented is given back.")
    ] = False,
) -> ExitCode:
    """Cancel a job. What it rented is given back before it is over."""
    rune = of(ctx)
    found = rune.connection.client.cancel(job)
    if follow:
        code = follow_to_end(rune.connection.client, rune.output, job, wait_seconds=None)
        return ExitCode.SUCCEEDED if code is ExitCode.CANCELLED else code
    return rune.answer(found, f"job {job}: {found['status']}. {found.get('message') or ''}".rstrip())


@app.command("receipt")
@command
def receipt(ctx: typer.Context, job: Job) -> ExitCode:
    """Show what a job that has ended has cost, line by line."""
    rune = of(ctx)
    if rune.output.is_json:
        return rune.answer(rune.connection.client.receipt(job))
    rune.output.raw(rune.connection.client.receipt_page(job))
    return ExitCode.SUCCEEDED
