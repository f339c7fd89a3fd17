"""`rune usage`: what jobs have used, and what is left of the budgets."""

from __future__ import annotations

from typing import Annotated

import typer

from rune_client.cli.amounts import dollars, duration
from rune_client.cli.exits import ExitCode
from rune_client.cli.invocation import command, of
from rune_client.cli.output import Columns, facts

app = typer.Typer(rich_markup_mode=None)


@app.command("usage")
@command
def usage(
    ctx: typer.Context,
    days: Annotated[int, typer.Option(min=1, max=92, help="Today, and so many days before less one.")] = 30,
) -> ExitCode:
    """Show what your ended jobs have used, and what is left of your budgets."""
    rune = of(ctx)
    found = rune.connection.client.usage(days=days)
    totals = found["totals"]
    width = rune.output.answers.width
    summary = facts(
        [
            ("jobs", f"{totals['job_count']}, {totals['succeeded_count']} succeeded"),
            ("ran", duration(totals["run_seconds"])),
            ("cost", dollars(totals["cost_usd"])),
            *((f"{each['window']}'s budget", _budget_line(each)) for each in found["budgets"]),
        ],
        title=f"{found['first_day']} to {found['last_day']}",
    )
    by_model = Columns("model", "cost", "jobs", "ran")
    for each in found["by_model"]:
        by_model.add(
            each["model"] or "(none)",
            dollars(each["cost_usd"]),
            each["job_count"],
            duration(each["run_seconds"]),
        )
    return rune.answer(found, summary, "", by_model.table(width))


def _budget_line(budget: object) -> str:
    assert isinstance(budget, dict)  # noqa: S101  # a document
    return (
        f"{dollars(budget['remaining_usd'])} of {dollars(budget['limit_usd'])} left, "
        f"{dollars(budget['reserved_usd'])} reserved, renews {budget['renews_at']}"
    )
