"""Days on which everything happens at once, each from a seed; `RUNE_SIMULATED_DAYS` runs more of them."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache

import pytest

from rune.jobs.record import Job, Kind, Status
from rune.rentals.record import EndReason, Rental
from tests.simulation.rental_store import TAKE_GUARD, TURN_GUARD, USE_GUARD
from tests.simulation.rented_days import run_contended_day, run_rented_day
from tests.simulation.world import World

pytestmark = pytest.mark.slow

type RecordProperty = Callable[[str, object], None]

DAY_COUNT = int(os.environ.get("RUNE_SIMULATED_DAYS", "60"))
DAYS_AT_ONCE = 20

UNLIKELY_ENDS = {
    EndReason.CREATE_PUT_OFF,
    EndReason.BOOT_TIMEOUT,
    EndReason.DEPLOYMENT_CLOSED,
    EndReason.COST_CAP,
}
"""Two are a matter of seconds, so that a handful of days may do without; no day ends a deployment; no job of these
days comes to its cap, as those of `caps` do."""


def count_figures(days: Iterable[World]) -> dict[str, int]:
    """Return what days came to, added up."""
    figures = Counter[str]()
    for world in days:
        assert world.account is not None
        rented = world.account.rental_store.rentals
        figures.update(days=1, jobs=len(world.table.jobs), machines=len(world.account.vastai.instances))
        figures.update(rentals=len(rented), leaked=world.leaked, foreign_touched=world.foreign_touched)
    return dict(figures)


@pytest.mark.parametrize("first_seed", range(0, DAY_COUNT, DAYS_AT_ONCE))
def test_no_machine_is_lost_when_days_are_stormy(first_seed: int, record_property: RecordProperty) -> None:
    began_seconds = time.process_time()
    days = {seed: run_rented_day(seed) for seed in range(first_seed, first_seed + DAYS_AT_ONCE)}

    seconds = round(time.process_time() - began_seconds, 2)
    record_property("figures", {**count_figures(days.values()), "seconds": seconds})
    assert {seed: world.violations for seed, world in days.items() if world.violations} == {}


@pytest.mark.parametrize("first_seed", range(0, DAY_COUNT // 3, DAYS_AT_ONCE))
def test_no_machine_is_lost_when_many_want_the_same_one(
    first_seed: int, record_property: RecordProperty
) -> None:
    began_seconds = time.process_time()
    days = {seed: run_contended_day(seed) for seed in range(first_seed, first_seed + DAYS_AT_ONCE)}

    seconds = round(time.process_time() - began_seconds, 2)
    record_property("figures", {**count_figures(days.values()), "seconds": seconds})
    assert {seed: world.violations for seed, world in days.items() if world.violations} == {}


def test_simulation_sees_a_machine_begun_for_an_ended_job_when_the_turn_is_not_checked() -> None:
    days = (run_contended_day(seed, unguarded=[TURN_GUARD]) for seed in (8, 13, 18, *range(40)))

    assert any("was begun for a job" in each for world in days for each in world.violations)


def test_simulation_sees_a_machine_taken_for_an_ended_job_when_the_turn_is_not_checked() -> None:
    days = (run_contended_day(seed, unguarded=[TAKE_GUARD]) for seed in (27, 35, 50, *range(27)))

    assert any("was taken for a job" in each for world in days for each in world.violations)


def test_simulation_sees_a_cost_that_is_forgotten_when_the_next_job_takes_the_machine_too_soon() -> None:
    days = (run_contended_day(seed, unguarded=[USE_GUARD]) for seed in (60, 156, 177, *range(30)))

    assert any("the cost that is shown" in each for world in days for each in world.violations)


@cache
def some_days() -> tuple[World, ...]:
    """Return days to look at more than once."""
    return tuple(run_rented_day(seed) for seed in range(50))


@pytest.mark.parametrize("seed", range(5))
def test_same_seed_gives_the_same_rented_day(seed: int) -> None:
    once, again = run_rented_day(seed), run_rented_day(seed)

    assert once.cut_points == again.cut_points


def test_stormy_days_reach_every_end_of_rentals_and_their_jobs() -> None:
    rentals = [rental for world in some_days() for rental in list_rentals(world)]
    jobs = [job for world in some_days() for job in world.table.jobs.values() if job.rents]

    assert {rental.end_reason for rental in rentals} | UNLIKELY_ENDS == set(EndReason)
    assert {(job.kind, job.status) for job in jobs} == {
        (kind, status)
        for kind in (Kind.BENCHMARK, Kind.LLM_INSTANCE)
        for status in (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)
    }


def test_stormy_days_use_kept_machines_again_and_put_their_ends_off() -> None:
    jobs = [job for world in some_days() for job in world.table.jobs.values()]
    put_off = [world for world in some_days() if ("extend", "state") in world.guards]
    turned_up = [rental for world in some_days() for rental in list_rentals(world, turned_up=True)]

    assert sum(is_reuse(job) for job in jobs) >= 5
    assert len(put_off) >= 5
    assert turned_up


def list_rentals(world: World, *, turned_up: bool = False) -> list[Rental]:
    """Return a day's rentals, or only those whose machine turned up after they had been given up."""
    assert world.account is not None
    rental_store = world.account.rental_store
    return [
        rental
        for rental in rental_store.rentals.values()
        if not turned_up or rental.rental_id in rental_store.reopened
    ]


def is_reuse(job: Job) -> bool:
    """Return whether a job worked on a machine that another one had rented."""
    return job.rental_id is not None and not job.rental_id.startswith(job.job_id)
