"""One tenant posts more jobs that rent than it may have machines, another posts a plain job: what becomes of each.

`python -m tests.simulation.limited_days` prints both for each kind of limit, with jobs that keep their slots while
they may not rent, as they did until November 2026, and with jobs that give them back.
"""

# ruff: noqa: T201  # a command line
from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial

from local.simulators.vastai import VastaiSettings
from rune.jobs.record import Job
from rune.money.limits import SpendingLimits
from rune.services.jobs import Caller
from tests.simulation.capacity import BOOT, offers_at
from tests.simulation.faults import CALM, Odds
from tests.simulation.requests import BENCHMARK, CALLER, LIMITS, rented_benchmark
from tests.simulation.world import World
from tests.spending import LARGE_LIMITS

OTHER = Caller("bystander")
JOB_COUNT = 12
ODDS = replace(CALM, answer_seconds=(580.0, 580.0))
USD_PER_HOUR = 0.80
POSTED_AFTER_SECONDS = 120.0
"""The plain job: the others hold by then what they can get."""

LARGE_CREDIT = Decimal(1000)
MACHINES = replace(LARGE_LIMITS, max_machines=2)
DOLLARS = replace(LARGE_LIMITS, max_micro_usd_per_hour=1_700_000)
"""An hour of two such machines, and not of three."""
CREDIT = Decimal("1.00")
"""Enough for the worst case of one such machine at a time."""


@dataclass(frozen=True, slots=True)
class LimitedDay:
    """What became of a day.

    Attributes
    ----------
    waited_seconds
        Of the other tenant's plain job, from its submission to its first claim; None where it was never begun.
    endings
        Of the jobs that rent.
    lasted_hours
        Until the last of them ended.
    """

    world: World
    waited_seconds: float | None
    endings: Counter[str]
    lasted_hours: float


def run_limited_day(
    limits: SpendingLimits = LARGE_LIMITS,
    credit_usd: Decimal = LARGE_CREDIT,
    *,
    job_count: int = JOB_COUNT,
    odds: Odds = ODDS,
    seed: int = 0,
    keeps_slots: bool = False,
) -> LimitedDay:
    """Return what became of twelve jobs of ten minutes that rent, and of a plain job of another tenant."""
    settings = VastaiSettings(
        offers=offers_at(JOB_COUNT + 10, USD_PER_HOUR), boot=BOOT, credit_usd=credit_usd
    )
    job_limits = replace(LIMITS, spending=limits)
    world = World(seed, odds, vastai=settings, limits=job_limits, keeps_slots=keeps_slots)
    for number in range(job_count):
        world.plan(number / 10, partial(world.submit, rented_benchmark()))
    world.plan(POSTED_AFTER_SECONDS, partial(world.submit, BENCHMARK, OTHER))
    world.run(hours=30.0, until_redelivered=False)
    jobs = list(world.table.jobs.values())
    plain = next((job for job in jobs if job.tenant == OTHER.tenant), None)
    renting = [job for job in jobs if job.tenant == CALLER.tenant]
    ends = [(job.finished_at or world.now) - job.created_at for job in renting]
    return LimitedDay(
        world,
        None if plain is None else _waited_seconds(plain),
        Counter(job.failure.code if job.failure else job.status.value for job in renting),
        max(ends).total_seconds() / 3600,
    )


def _waited_seconds(job: Job) -> float | None:
    return None if job.started_at is None else (job.started_at - job.created_at).total_seconds()


def main() -> None:
    """Print what became of both, by limit, before and after."""
    logging.disable(logging.CRITICAL)
    print(
        "| limit | slots | the other's wait, s | how the jobs that rent ended | hours |\n|---|---|---|---|---|"
    )
    for name, limits, credit in (
        ("2 machines", MACHINES, LARGE_CREDIT),
        ("1.70 USD an hour", DOLLARS, LARGE_CREDIT),
        ("1.00 USD of credit", LARGE_LIMITS, CREDIT),
    ):
        for keeps_slots in (True, False):
            day = run_limited_day(limits, credit, keeps_slots=keeps_slots)
            ended = ", ".join(f"{code} {count}" for code, count in day.endings.most_common())
            waited = "never begun" if day.waited_seconds is None else f"{day.waited_seconds:,.0f}"
            slots = "kept" if keeps_slots else "given back"
            print(f"| {name} | {slots} | {waited} | {ended} | {day.lasted_hours:.1f} |")
            for violation in day.world.violations[:5]:
                print("  broken:", violation)


if __name__ == "__main__":
    main()
