"""Jobs that may cost little: by how much their machines cost more than that.

`python -m tests.simulation.caps 100` prints it for a hundred calm and a hundred stormy days.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

from rune.amounts import MICRO_USD_PER_USD
from rune.jobs.record import Job
from rune.rentals.record import Rental
from rune.services.admission.requests import Admitted
from tests.simulation.faults import CALM, Odds
from tests.simulation.provider import Account
from tests.simulation.rented_days import SETTINGS, STORMY
from tests.simulation.requests import MODEL, OTHER_MODEL, rented_benchmark, rented_instance
from tests.simulation.rest import bill_micro_usd
from tests.simulation.world import World

WORK = {"concurrency": [1, 2, 4], "repetitions": 6}
"""Expected to take two minutes, and it takes twenty: the answers are slow."""

REQUESTS: tuple[Admitted, ...] = (
    rented_benchmark(MODEL, workload=WORK, max_cost_usd=0.062),
    rented_benchmark(OTHER_MODEL, workload=WORK, max_cost_usd=0.12),
    rented_benchmark(MODEL, max_cost_usd=0.045),
    rented_instance(MODEL, keep_seconds=300, max_cost_usd=0.08),
)
SLOW_SECONDS = (60.0, 90.0)


@dataclass(frozen=True, slots=True)
class Overshoot:
    """What a job's machines cost beyond what it may; negative where something was left.

    Attributes
    ----------
    seconds
        The same as time of its dearest machine.
    """

    job: Job
    micro_usd: float
    seconds: float


def find_overshoots(world: World) -> Iterator[Overshoot]:
    """Yield one for each job that rented a machine."""
    account = world.account
    assert account is not None
    for job in world.table.jobs.values():
        own = [each for each in account.rental_store.rentals.values() if each.job_id == job.job_id]
        if job.cap_micro_usd is None or not own:
            continue
        bill = float(sum(bill_micro_usd(account, rental) for rental in own))
        beyond = bill - job.cap_micro_usd
        yield Overshoot(job, beyond, beyond / _micro_usd_per_second(account, own))


def _micro_usd_per_second(account: Account, rentals: list[Rental]) -> float:
    return max(rental.prices.micro_usd_per_hour for rental in rentals) / 3600


def run_capped_day(seed: int, odds: Odds) -> World:
    """Return a world in which eight jobs with little money were posted within an hour, to a provider that works."""
    world = World(seed, replace(odds, answer_seconds=SLOW_SECONDS), vastai=replace(SETTINGS))
    for _ in range(8):
        world.plan(world.random.uniform(0.0, 3600.0), lambda: world.submit(world.random.choice(REQUESTS)))
    return world.run(hours=24.0, until_kept_are_gone=True, until_redelivered=False)


def main(day_count: int) -> None:
    """Print how far the jobs of calm and of stormy days cost more than they may."""
    for name, odds in (("calm", CALM), ("stormy", STORMY)):
        found = [each for seed in range(day_count) for each in find_overshoots(run_capped_day(seed, odds))]
        worst = max(found, key=lambda each: each.seconds)
        codes = [each.job.failure.code if each.job.failure else each.job.status.value for each in found]
        told = ", ".join(f"{code} {codes.count(code)}" for code in sorted(set(codes)))
        sys.stdout.write(
            f"{name}: {len(found)} jobs with machines; {told}\n"
            f"  beyond their cap: {sum(each.micro_usd > 0 for each in found)};"
            f" worst {worst.micro_usd / MICRO_USD_PER_USD:+.6f} USD, {worst.seconds:+.1f} s of its machine\n"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
