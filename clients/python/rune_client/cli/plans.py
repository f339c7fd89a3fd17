"""Before money: what a job would rent and cost, and whether a person wants it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from rich.table import Table

from rune_client.cli.amounts import dollars, duration, number
from rune_client.cli.outcomes import DeclinedError, UsageRefusedError
from rune_client.cli.output import Output, facts

type Record = Mapping[str, Any]

WARNED_ABOVE_USD = 5.0
"""The specification's spend warning; `RUNE_SPEND_WARNING_THRESHOLD` is the field's variable for another one."""


def spends(plan: Record) -> bool:
    """Return whether the job may cost something: it rents, or reserves money for tokens."""
    return bool(plan.get("rents")) or (plan.get("max_cost_usd") or 0) > 0


def plan_table(plan: Record, *, title: str) -> Table:
    """Return the offer, the low, likely and high figure, the cap, the waiting and the budgets of a plan."""
    estimate = plan.get("estimate") or {}
    cap = plan.get("max_cost_usd")
    rows: list[tuple[str, object]] = []
    if spends(plan):
        rows += [
            ("machine", machine_of(estimate) if plan.get("rents") else "none: tokens are bought"),
            ("cost", cost_of(estimate) if estimate else None),
            ("cap", f"{dollars(cap)}, where the job stops" if cap is not None else None),
        ]
    else:
        rows.append(("cost", "nothing is rented"))
    rows += [
        ("points", plan.get("point_count") if (plan.get("point_count") or 1) > 1 else None),
        ("waits", _waiting(plan)),
        (
            "runs",
            f"{duration(plan['max_runtime_seconds'])} at most" if plan.get("max_runtime_seconds") else None,
        ),
    ]
    rows += [
        (
            f"{budget['window']}'s budget",
            f"{dollars(budget['remaining_usd'])} of {dollars(budget['limit_usd'])} left after it",
        )
        for budget in plan.get("budgets_after") or ()
    ]
    rows += [("note", sentence) for sentence in (*_notes(estimate), *(plan.get("warnings") or ()))]
    return facts(rows, title=title)


def machine_of(estimate: Record) -> str:
    """Return the machine that an estimate expects."""
    offer = estimate.get("offer")
    if not offer:
        return "no offer is known yet"
    return (
        f"{offer['gpu_count']} x {offer['gpu_name']} ({number(offer['vram_mb'] / 1024, 'GiB')}), {offer['place']}, "
        f"{dollars(offer['usd_per_hour'])} an hour"
    )


def cost_of(estimate: Record) -> str:
    """Return an estimate's low, likely and high figure, or what its limits allow where no offer is known."""
    high = f"{dollars(estimate['high_usd'])} high"
    if estimate.get("low_usd") is None:
        return f"up to {dollars(estimate['high_usd'])}, what its limits allow"
    return f"{dollars(estimate['low_usd'])} low, {dollars(estimate['likely_usd'])} likely, {high}"


def _notes(estimate: Record) -> tuple[str, ...]:
    notes = estimate.get("notes")
    given = tuple(str(note) for note in notes) if isinstance(notes, list) else ()
    warning = estimate.get("warning")
    return (*given, str(warning)) if warning else given


def _waiting(plan: Record) -> str | None:
    if not plan.get("would_wait"):
        return None
    wait = plan.get("queue_wait_seconds")
    place = f"place {plan['queue_position']}" if plan.get("queue_position") is not None else "yes"
    return f"{place}, about {duration(wait)}" if wait is not None else place


def warned_above_usd() -> float:
    """Return the sum above which the question says so; the field's variable, where it is a number."""
    try:
        return float(os.environ["RUNE_SPEND_WARNING_THRESHOLD"])
    except (KeyError, ValueError):
        return WARNED_ABOVE_USD


def confirm(output: Output, plan: Record, *, is_yes: bool) -> None:
    """Return where the job may be sent: it spends nothing, `--yes` was given, or a person said yes.

    Raises
    ------
    UsageRefusedError
        It may spend, and nobody can be asked.
    DeclinedError
        The person did not say yes.
    """
    if not spends(plan):
        return
    highest = (plan.get("estimate") or {}).get("high_usd") or plan.get("max_cost_usd")
    if highest is not None and highest > warned_above_usd():
        output.note(f"this may cost {dollars(highest)}.")
    _ask(output, is_yes=is_yes)


def ask_to_spend(output: Output, sentence: str, *, is_yes: bool) -> None:
    """Say what something costs that has no plan, and return where it may be done.

    Raises
    ------
    UsageRefusedError, DeclinedError
        As `confirm`.
    """
    output.note(sentence)
    _ask(output, is_yes=is_yes)


def _ask(output: Output, *, is_yes: bool) -> None:
    if is_yes:
        return
    if not output.can_ask:
        raise UsageRefusedError(
            "This may cost money, and there is nobody to ask: give --yes, and --max-cost for a cap. "
            "Nothing was sent."
        )
    if output.ask("Spend it? [y/N]") not in {"y", "yes"}:
        raise DeclinedError("Declined: nothing was sent.")
