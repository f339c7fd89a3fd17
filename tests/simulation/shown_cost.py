"""What callers are shown of a job's cost: it never falls, and the job's end has at least as much.

One fall is left: a process that is stalled between its decision and its write for longer than `COST_LAG`. It ends
the job's use of a machine as of its decision, and readers have seen more by then.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from rune.jobs.lifecycle import COST_LAG
from rune.jobs.record import Job
from rune.rentals.bills import fastest_bytes, traffic_micro_usd
from rune.rentals.record import Rental
from rune.workflows.rental.job_cost import has_borrowed, job_cost_micro_usd

if TYPE_CHECKING:
    from tests.simulation.world import World

_MILLISECOND = timedelta(milliseconds=1)


def watch_rental(world: World, before: Rental, after: Rental) -> None:
    """Look at the jobs that use a rental, once that has been written."""
    for job in world.table.jobs.values():
        if job.is_active and job.rental_id == before.rental_id:
            is_left = before.holder == job.job_id != after.holder
            stalled = max(timedelta(0), world.now - after.updated_at - COST_LAG) if is_left else timedelta(0)
            _compare(
                world, job, _shown(world, job, before), _shown(world, job, after), after, stalled=stalled
            )


def watch_job(world: World, before: Job, after: Job) -> None:
    """Look at a job that has been written."""
    if world.account is not None and before.is_active and before.rental_id is not None:
        rental = world.account.rental_store.rentals.get(before.rental_id)
        then = _shown(world, after, None) if after.is_active else after.cost_micro_usd
        _compare(world, before, _shown(world, before, None), then, rental)


def _compare(
    world: World, job: Job, told: int, now: int, rental: Rental | None, *, stalled: timedelta = timedelta(0)
) -> None:
    # Two workers' clocks.
    apart = 2 * world.skew + stalled
    slack = 3
    if rental is not None:
        unseen_bytes = fastest_bytes(rental.mbit_per_second or 0, apart // _MILLISECOND)
        slack += round(apart.total_seconds() * rental.prices.micro_usd_per_hour / 3600)
        slack += traffic_micro_usd(rental, min(unseen_bytes, rental.model_bytes))
    if now < told - slack:
        world.violate(f"the cost that is shown of {job.job_id} fell from {told} to {now} in {job.step}")


def _shown(world: World, job: Job, instead: Rental | None) -> int:
    """Return what is shown of a job's cost; with a rental as it was, where one is given."""
    assert world.account is not None
    rentals = dict(world.account.rental_store.rentals)
    if instead is not None:
        rentals[instead.rental_id] = instead
    attempts = tuple(each for each in rentals.values() if each.job_id == job.job_id)
    used = rentals.get(job.rental_id or "") if has_borrowed(job) else None
    return job_cost_micro_usd(job, attempts, used, world.now - COST_LAG)
