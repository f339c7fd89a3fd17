"""More jobs that rent than there are slots, or than the credit pays: with the rules of capacity, and without.

`python -m tests.simulation.capacity` prints both: forty jobs of ten minutes against five slots, and twelve jobs on
one dollar of credit. Without the rules a job rents before it has a slot, and every job may spend the whole credit,
as it was until November 2026.
"""

# ruff: noqa: T201  # a command line
from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from local.simulators.vastai import BootScript, SimulatedOffer, VastaiSettings
from rune.amounts import MICRO_USD_PER_USD
from rune.jobs import plan
from rune.jobs.record import Status
from rune.rentals.record import Rental
from tests.simulation.faults import CALM, Odds
from tests.simulation.rented_days import STORMY
from tests.simulation.requests import rented_benchmark
from tests.simulation.slots import job_slots
from tests.simulation.world import World

FORTY_JOBS = 40
FORTY_JOBS_ODDS = replace(CALM, answer_seconds=(600.0, 600.0))
TWELVE_JOBS = 12
TWELVE_JOBS_ODDS = replace(CALM, answer_seconds=(580.0, 580.0))
BOOT = BootScript(null_seconds=10.0, loading_seconds=60.0)
SECONDS_PER_HOUR = 3600
POSTS_PER_SECOND = 20
TOLD_LINES = 5


@dataclass(frozen=True, slots=True)
class Rush:
    """What became of jobs that were posted at once.

    Attributes
    ----------
    billed_hours
        Of all machines, from the moment at which each ran until it was destroyed.
    lost_usd
        What machines of jobs cost that did not succeed.
    told
        What the jobs that had not begun told five minutes after they were posted, in the order of posting.
    """

    world: World
    endings: Counter[str]
    most_machines: int
    billed_hours: float
    billed_usd: float
    lost_usd: float
    lasted_hours: float
    told: tuple[str, ...]

    @property
    def succeeded_count(self) -> int:
        """How many jobs succeeded."""
        return self.endings[Status.SUCCEEDED.value]

    @property
    def rented_count(self) -> int:
        """How many jobs rented a machine."""
        return len({rental.job_id for rental in _rentals(self.world) if rental.contract_id is not None})


def run_forty_jobs(*, has_rules: bool = True, odds: Odds = FORTY_JOBS_ODDS, seed: int = 0) -> Rush:
    """Return what became of forty jobs of ten minutes, posted at once, for which there are five slots."""
    settings = VastaiSettings(offers=offers_at(FORTY_JOBS + 10, 0.35), boot=BOOT, credit_usd=Decimal(1000))
    return _run(FORTY_JOBS, World(seed, odds, vastai=settings, has_capacity_rules=has_rules))


def run_twelve_jobs(*, has_rules: bool = True, odds: Odds = TWELVE_JOBS_ODDS, seed: int = 0) -> Rush:
    """Return what became of twelve jobs of ten minutes at 0.80 USD an hour, with 1.00 USD of credit for all."""
    settings = VastaiSettings(offers=offers_at(30, 0.80), boot=BOOT, credit_usd=Decimal("1.00"))
    return _run(TWELVE_JOBS, World(seed, odds, vastai=settings, has_capacity_rules=has_rules))


def offers_at(count: int, usd_per_hour: float) -> tuple[SimulatedOffer, ...]:
    """Return so many offers alike, at one price."""
    return tuple(
        SimulatedOffer(
            offer_id=1000 + number,
            machine_id=5000 + number,
            gpu_name="RTX 4090",
            gpu_usd_per_hour=usd_per_hour,
            gpu_ram_mb=24_564,
            deep_learning_score=100.0 + number / 100,
            inet_down_mbit_per_second=900.0,
        )
        for number in range(count)
    )


def _run(job_count: int, world: World) -> Rush:
    for number in range(job_count):
        world.plan(number / POSTS_PER_SECOND, lambda: world.submit(rented_benchmark()))
    told: list[str] = []
    world.plan(300.0, lambda: told.extend(_tell(world)))
    world.run(hours=24.0, until_redelivered=False)
    jobs = list(world.table.jobs.values())
    account = world.account
    assert account is not None
    now = world.now.timestamp()
    bills = [account.vastai.bill(contract_id) for contract_id in account.vastai.instances]
    began_at = min(job.created_at for job in jobs)
    return Rush(
        world,
        Counter(job.failure.code if job.failure else job.status.value for job in jobs),
        _most_at_once([(bill.created_at, bill.destroyed_at or now) for bill in bills]),
        sum((bill.destroyed_at or now) - bill.running_at for bill in bills if bill.running_at is not None)
        / SECONDS_PER_HOUR,
        float(sum(bill.total_usd for bill in bills)),
        sum(job.cost_micro_usd for job in jobs if job.status is not Status.SUCCEEDED) / MICRO_USD_PER_USD,
        max((job.finished_at or world.now) - began_at for job in jobs).total_seconds() / SECONDS_PER_HOUR,
        tuple(told),
    )


def _tell(world: World) -> list[str]:
    """Return what jobs without a machine tell now."""
    waiting = [job for job in world.table.jobs.values() if job.is_active and job.rental_id is None]
    return [plan.describe(job, world.job_service.find_place(job)) for job in waiting]


def _most_at_once(spans: Sequence[tuple[float, float]]) -> int:
    steps = sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
    count = most = 0
    for _, step in steps:
        count += step
        most = max(most, count)
    return most


def _rentals(world: World) -> list[Rental]:
    assert world.account is not None
    return [*world.account.rental_store.rentals.values()]


def _row(name: str, rush: Rush) -> str:
    failed = ", ".join(f"{code} {count}" for code, count in rush.endings.most_common() if code != "succeeded")
    return (
        f"| {name} | {rush.rented_count} | {rush.succeeded_count} | {failed or '-'} | {rush.most_machines} |"
        f" {rush.billed_hours:.1f} | {rush.billed_usd:.2f} | {rush.lost_usd:.2f} | {rush.lasted_hours:.1f} |"
    )


def main() -> None:
    """Print what became of both, with the rules and without, on calm days and on a stormy one."""
    logging.disable(logging.CRITICAL)
    head = "| | rented | succeeded | failed | most machines | GPU hours | USD | USD lost | hours |"
    forty_storm = replace(STORMY, answer_seconds=(600.0, 600.0))
    twelve_storm = replace(STORMY, answer_seconds=(580.0, 580.0))
    for title, rows in (
        (
            f"{FORTY_JOBS} jobs of ten minutes, {job_slots()} slots",
            (
                ("without the rules", run_forty_jobs(has_rules=False)),
                ("with them", run_forty_jobs()),
                ("with them, in a storm", run_forty_jobs(odds=forty_storm)),
            ),
        ),
        (
            f"{TWELVE_JOBS} jobs of ten minutes at 0.80 USD an hour, 1.00 USD of credit",
            (
                ("without the rules", run_twelve_jobs(has_rules=False)),
                ("with them", run_twelve_jobs()),
                ("with them, in a storm", run_twelve_jobs(odds=twelve_storm)),
            ),
        ),
    ):
        print(f"{title}:\n\n{head}\n|{'---|' * 9}")
        for name, rush in rows:
            print(_row(name, rush))
        print()
        for sentence in list(dict.fromkeys(rows[1][1].told))[:TOLD_LINES]:
            print(f"  a job told after five minutes: {sentence}")
        print()


if __name__ == "__main__":
    main()
