"""Days on which budgets are small: what is reserved and spent adds up at each write, wherever a process dies.

`python -m tests.simulation.budget_days 40` lets one thing go wrong at one cut point in 40 of a day, and prints what
became of the budgets; 1 takes every one.
"""

# ruff: noqa: T201  # a command line
from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from rune.errors import BudgetExhaustedError
from rune.money.budgets import Window, windows_of
from rune.services.admission.requests import Admitted
from rune.services.jobs import Caller
from tests.simulation.faults import CALM, Fault, Odds
from tests.simulation.mischief import QUICK_BOOT, SETTINGS
from tests.simulation.requests import BENCHMARK, CALLER, LIMITS, MODEL, rented_benchmark, rented_instance
from tests.simulation.table import Guard
from tests.simulation.world import World
from tests.spending import LARGE_LIMITS

OTHER_CALLER = Caller("globex")

REQUESTS: tuple[Admitted, ...] = (
    rented_benchmark(MODEL, max_cost_usd=0.30),
    rented_instance(MODEL, keep_seconds=120, max_cost_usd=0.30),
    rented_benchmark(MODEL, max_cost_usd=0.30, vastai_stop_instance=False, keep_seconds=300),
    BENCHMARK,
)

SMALL_LIMITS = replace(LARGE_LIMITS, daily_budget_micro_usd=1_000_000, deployment_daily_micro_usd=1_500_000)
"""For three jobs of a tenant at once, and five of all."""


POST_SECONDS = 5.0


@dataclass(slots=True)
class BudgetDay:
    """A day, with how many of its posts were accepted, refused, or answered with an error."""

    world: World
    answers: Counter[str]


def run_budget_day(
    seed: int = 0,
    odds: Odds = CALM,
    planned: dict[int, Fault] | None = None,
    *,
    post_count: int = 8,
    unguarded: Collection[Guard] = (),
) -> BudgetDay:
    """Return a day on which two tenants posted more than their budgets allow, all within ten minutes."""
    world = World(
        seed,
        odds,
        planned,
        vastai=replace(SETTINGS, boot=QUICK_BOOT),
        unguarded=unguarded,
        limits=replace(LIMITS, spending=SMALL_LIMITS),
    )
    world.watch_cut_point = check_budgets
    answers: Counter[str] = Counter()

    def post(caller: Caller, request: Admitted) -> None:
        answer = "failed"
        with suppress(BudgetExhaustedError):
            answer = "refused"
            answer = "accepted" if world.submit(request, caller) is not None else "failed"
        answers[answer] += 1

    for number in range(post_count):
        caller = OTHER_CALLER if number % 3 == 2 else CALLER
        request = REQUESTS[number % len(REQUESTS)]
        world.plan(number * POST_SECONDS, partial(post, caller, request))
    world.run(hours=23.0, until_kept_are_gone=True, until_redelivered=False)
    check_budgets(world)
    return BudgetDay(world, answers)


def check_budgets(world: World) -> None:
    """Look at every budget, in the midst of all: it adds up, and holds at least what active jobs have reserved."""
    reserved: Counter[Window] = Counter()
    for job in world.table.jobs.values():
        if job.is_active:
            windows = windows_of(job.tenant, job.created_at)
            reserved.update(dict.fromkeys(windows, job.reserved_micro_usd or 0))
    kept: Counter[Window] = Counter()
    for rental in world.account.rental_store.rentals.values() if world.account else ():
        if rental.is_alive and rental.budget_at is not None:
            windows = windows_of(rental.tenant, rental.budget_at)
            kept.update(dict.fromkeys(windows, rental.budget_micro_usd))
    for window, balance in world.table.budgets.balances.items():
        used, held, spent = balance.used_micro_usd, balance.reserved_micro_usd, balance.spent_micro_usd
        if held + spent != used:
            world.violate(f"{window.tenant} {window.name}: {held} + {spent} is not {used}, what is used")
        if held < reserved[window]:
            world.violate(
                f"{window.tenant} {window.name}: {held} are reserved, and jobs need {reserved[window]}"
            )
        # A kept machine's part is reserved before its job's end gives back the same money.
        if used > SMALL_LIMITS.budgets.of(window) + kept[window]:
            world.violate(
                f"{window.tenant} {window.name}: {used} are spent or reserved, more than there may be"
            )


def deal_faults(stride: int, offset: int = 0) -> Iterator[tuple[int, str, Fault]]:
    """Yield every n-th cut point of the day, with each thing that may go wrong there."""
    points = run_budget_day().world.cut_points
    for number in range(offset, len(points), stride):
        place, possible = points[number]
        for fault in sorted(possible):
            yield number, place, fault


def main(stride: int) -> None:
    """Print what became of the budgets."""
    logging.disable(logging.CRITICAL)
    began_seconds = time.process_time()
    calm = run_budget_day()
    print("undisturbed:", dict(calm.answers), calm.world.violations)
    for window, balance in calm.world.table.budgets.balances.items():
        print(
            f"  {window.tenant or 'all'} {window.name}: used {balance.used_micro_usd}, reserved"
            f" {balance.reserved_micro_usd}, spent {balance.spent_micro_usd}, limit"
            f" {SMALL_LIMITS.budgets.of(window)}"
        )
    run_count = 0
    broken: list[str] = []
    answers: Counter[str] = Counter()
    for number, place, fault in deal_faults(stride):
        day = run_budget_day(planned={number: fault})
        run_count += 1
        answers += day.answers
        broken += [f"{fault} {place} (#{number}): {violation}" for violation in day.world.violations]
    print(
        f"one fault each: {run_count} days, posts {dict(answers)}; {len(broken)} rules broken;"
        f" {time.process_time() - began_seconds:.0f} s"
    )
    for each in broken[:20]:
        print(" ", each)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
