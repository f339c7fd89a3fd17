"""Days on which more jobs are posted than can run, by many tenants, while things break.

`python -m tests.simulation.crowded_days 2000 20` prints what became of so many jobs of so many tenants.
"""

# ruff: noqa: T201  # a command line
from __future__ import annotations

import logging
import sys
from collections import Counter
from dataclasses import dataclass

from rune.jobs.record import Job
from rune.services.jobs import Caller
from tests.simulation.faults import Fault, Odds
from tests.simulation.requests import AGENTIC_AGENT, BENCHMARK, LLM_INSTANCE, SILENT
from tests.simulation.slots import job_slots
from tests.simulation.timing import START
from tests.simulation.world import World

REQUESTS = (BENCHMARK, BENCHMARK, BENCHMARK, AGENTIC_AGENT, LLM_INSTANCE, SILENT)

STORMY = Odds(
    chances={
        Fault.CRASH: 0.005,
        Fault.OUTAGE: 0.005,
        Fault.LOST_ANSWER: 0.005,
        Fault.PAUSE: 0.002,
        Fault.OVERTAKEN: 0.02,
        Fault.DUPLICATE: 0.05,
        Fault.DELAY: 0.01,
        Fault.LOSE_MESSAGE: 0.02,
    },
    overload=0.03,
    truncation=0.02,
    skew_seconds=5.0,
    answer_seconds=(1.0, 120.0),
    index_lag_seconds=2.0,
)

BURSTS_PER_TENANT = 4
"""A tenant posts its jobs in so many bursts, each within a few minutes."""

BURST_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class CrowdedDay:
    """What became of a day.

    Attributes
    ----------
    longest_wait_seconds
        From a job's submission to its first claim.
    largest_wait_ratio
        Of such a wait to a fair one: that of the job's position among its tenant's jobs, served by the tenant's
        part of the slots while all tenants have jobs that wait.
    """

    world: World
    posted_count: int
    refused_count: int
    endings: Counter[str]
    longest_wait_seconds: float
    largest_wait_ratio: float
    mean_run_seconds: float


def run_crowded_day(
    seed: int, *, job_count: int, tenant_count: int, odds: Odds = STORMY, hours: float = 24.0
) -> CrowdedDay:
    """Let each tenant post its part of the jobs in bursts over three quarters of the time."""
    world = World(seed, odds)
    callers = [Caller(f"tenant-{number:02d}") for number in range(tenant_count)]
    counts: Counter[str] = Counter()

    def post(caller: Caller) -> None:
        counts["posted"] += 1
        if world.submit(world.random.choice(REQUESTS), caller) is None:
            counts["refused"] += 1

    for caller in callers:
        begins = [world.random.uniform(0, hours * 2700) for _ in range(BURSTS_PER_TENANT)]
        for number in range(job_count // tenant_count):
            begin = begins[number % BURSTS_PER_TENANT]
            world.plan(begin + world.random.uniform(0, BURST_SECONDS), lambda caller=caller: post(caller))  # type: ignore[misc]
    for number in range(int(hours / 4)):
        # A throttle that lasts, and a row that this version does not understand for a while.
        world.plan(number * 14_400 + 7_000, lambda: world.throttle(world.random.uniform(30, 240)))
        world.plan(number * 14_400 + 9_000, lambda: world.hide_a_job(1800.0))
    world.run(hours=2 * hours, until_redelivered=False)
    return _sum_up(world, counts, tenant_count)


def _sum_up(world: World, counts: Counter[str], tenant_count: int) -> CrowdedDay:
    jobs = list(world.table.jobs.values())
    begun = [job for job in jobs if job.started_at is not None]
    runs = [_run_seconds(job) for job in begun if job.finished_at is not None]
    mean_run_seconds = sum(runs) / len(runs)
    waits = [_wait_seconds(job) for job in begun]
    fair_seconds = tenant_count * mean_run_seconds / job_slots()
    ratios = [_wait_seconds(job) / (fair_seconds * (1 + _count_before(job, begun))) for job in begun]
    return CrowdedDay(
        world,
        counts["posted"],
        counts["refused"],
        Counter(job.failure.code if job.failure else job.status.value for job in jobs),
        max(waits),
        max(ratios),
        mean_run_seconds,
    )


def _wait_seconds(job: Job) -> float:
    return ((job.started_at or START) - job.created_at).total_seconds()


def _run_seconds(job: Job) -> float:
    return ((job.finished_at or START) - (job.started_at or START)).total_seconds()


def _count_before(job: Job, jobs: list[Job]) -> int:
    """Return how many jobs of the tenant were posted before and had not ended when this one was posted."""
    return sum(
        other.tenant == job.tenant
        and other.created_at < job.created_at
        and (other.finished_at is None or other.finished_at > job.created_at)
        for other in jobs
    )


def main() -> None:
    """Print what became of a day."""
    logging.disable(logging.CRITICAL)
    job_count, tenant_count = int(sys.argv[1]), int(sys.argv[2])
    day = run_crowded_day(0, job_count=job_count, tenant_count=tenant_count)
    print(f"posted {day.posted_count}, refused {day.refused_count}, stored {len(day.world.table.jobs)}")
    print("ended:", ", ".join(f"{name} {number}" for name, number in day.endings.most_common()))
    print(f"mean run {day.mean_run_seconds:.0f} s, longest wait {day.longest_wait_seconds:,.0f} s")
    print(f"largest wait beside a fair one: {day.largest_wait_ratio:.2f}")
    print(f"messages {day.world.queue.sent_count}, ended by the janitor {day.world.janitor.ended_count}")
    print(f"lost slots freed {day.world.janitor.freed_count}, broken rules {len(day.world.violations)}")
    for violation in day.world.violations[:5]:
        print(" ", violation)


if __name__ == "__main__":
    main()
