"""`rune schedule`: a job that is posted again and again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rune_client.cli import options
from rune_client.cli.exits import ExitCode
from rune_client.cli.invocation import command, of
from rune_client.cli.output import Columns, facts
from rune_client.cli.plans import ask_to_spend, confirm, plan_table

app = typer.Typer(rich_markup_mode=None)

Schedule = Annotated[str, typer.Argument(metavar="SCHEDULE", help="Id of a schedule.")]
Cron = Annotated[str | None, typer.Option(help="Such as '30 3 * * *'.")]
Rate = Annotated[str | None, typer.Option(help="Such as '6 hours'.")]
Timezone = Annotated[str | None, typer.Option(help="Of the cron expression, such as Europe/Rome.")]


@app.command("list")
@command
def list_schedules(ctx: typer.Context) -> ExitCode:
    """List your tenant's schedules."""
    rune = of(ctx)
    found = rune.connection.client.schedules()
    table = Columns("schedule", "name", "state", "next", "when", "kind")
    for each in found["schedules"]:
        table.add(
            each["schedule_id"],
            each["name"],
            each["state"],
            each.get("next_at"),
            each.get("cron") or each.get("rate"),
            each["kind"],
        )
    return rune.answer(found, table.table(rune.output.answers.width))


@app.command("show")
@command
def show(ctx: typer.Context, schedule: Schedule) -> ExitCode:
    """Show a schedule, its next times, and what became of the last ones."""
    rune = of(ctx)
    found = rune.connection.client.schedule(schedule)
    runs = Columns("due", "status", "job", "reason")
    for each in found.get("runs") or ():
        runs.add(each["due_at"], each["status"], each.get("job_id"), each.get("reason"))
    table = facts(
        [
            ("schedule", found["schedule_id"]),
            ("name", found["name"]),
            ("kind", found["kind"]),
            ("state", found["state"]),
            ("why", found.get("paused_reason")),
            ("when", found.get("cron") or found.get("rate")),
            ("timezone", found.get("timezone")),
            ("next", "\n".join(str(moment) for moment in found.get("next_times") or ())),
        ]
    )
    return rune.answer(found, table, "", runs.table(rune.output.answers.width))


@app.command("create")
@command
def create(
    ctx: typer.Context,
    name: str,
    file: Annotated[Path, typer.Option("--file", "-f", help="The job's body as JSON or YAML, - for stdin.")],
    kind: Annotated[str, typer.Option(help="benchmark, agentic-agent or llm-instance.")] = "benchmark",
    cron: Cron = None,
    rate: Rate = None,
    timezone: Timezone = None,
    ends_at: Annotated[str | None, typer.Option(help="After which no job is posted (RFC 3339).")] = None,
    paused: Annotated[bool, typer.Option("--paused", help="Post nothing until it is resumed.")] = False,
    yes: options.Yes = False,
) -> ExitCode:
    """Post a job again and again. What one of them would cost is shown first, and asked."""
    rune = of(ctx)
    client = rune.connection.client
    request = options.read_file(file)
    plan = client.plan(kind, request)
    rune.output.say(plan_table(plan, title="Plan: each job of the schedule"))
    confirm(rune.output, plan, is_yes=yes)
    body = options.changed(
        {"name": name, "kind": kind, "request": request},
        cron=cron,
        rate=rate,
        timezone=timezone,
        ends_at=ends_at,
        paused=paused or None,
    )
    found = client.create_schedule(body)
    return rune.answer(found, f"schedule {found['schedule_id']}, next at {found.get('next_at')}")


@app.command("update")
@command
def update(
    ctx: typer.Context,
    schedule: Schedule,
    name: Annotated[str | None, typer.Option(help="Another name.")] = None,
    cron: Cron = None,
    rate: Rate = None,
    timezone: Timezone = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Another body of the job.")] = None,
    yes: options.Yes = False,
) -> ExitCode:
    """Change a schedule from its next occurrence on."""
    rune = of(ctx)
    client = rune.connection.client
    if file is not None:
        ask_to_spend(rune.output, "each job of the schedule will be the new one.", is_yes=yes)
    changes = options.changed(
        {},
        name=name,
        cron=cron,
        rate=rate,
        timezone=timezone,
        request=None if file is None else options.read_file(file),
    )
    found = client.update_schedule(schedule, changes)
    return rune.answer(found, f"schedule {schedule}, next at {found.get('next_at')}")


@app.command("pause")
@command
def pause(ctx: typer.Context, schedule: Schedule) -> ExitCode:
    """Post no more jobs until it is resumed."""
    rune = of(ctx)
    found = rune.connection.client.pause_schedule(schedule)
    return rune.answer(found, f"schedule {schedule} is {found['state']}")


@app.command("resume")
@command
def resume(ctx: typer.Context, schedule: Schedule) -> ExitCode:
    """Post jobs again."""
    rune = of(ctx)
    found = rune.connection.client.resume_schedule(schedule)
    return rune.answer(found, f"schedule {schedule} is {found['state']}, next at {found.get('next_at')}")


@app.command("run")
@command
def run(
    ctx: typer.Context,
    schedule: Schedule,
    yes: options.Yes = False,
    idempotency_key: options.IdempotencyKey = None,
) -> ExitCode:
    """Post one more of its jobs now."""
    rune = of(ctx)
    client = rune.connection.client
    found = client.schedule(schedule)
    plan = client.plan(found["kind"], found["request"])
    rune.output.say(plan_table(plan, title=f"Plan: one more job of {found['name']}"))
    confirm(rune.output, plan, is_yes=yes)
    accepted = client.run_schedule(schedule, idempotency_key=idempotency_key)
    return rune.answer(accepted, str(accepted["job_id"]))


@app.command("delete")
@command
def delete(ctx: typer.Context, schedule: Schedule) -> ExitCode:
    """Remove a schedule; jobs that it has posted go on."""
    rune = of(ctx)
    rune.connection.client.delete_schedule(schedule)
    return rune.answer({"schedule_id": schedule}, f"schedule {schedule} is removed")
