"""Jobs whose money ends before their work: they stop, keep what they have, and cost no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from rune.contracts import StoredBenchmarkResult
from rune.errors import InvalidRequestError
from rune.jobs.record import Status
from rune.rentals.record import EndReason, RentalState
from rune.services.rentals import RentalService
from tests.memory_rental_store import MemoryReleaseQueue
from tests.simulation.caps import REQUESTS, SLOW_SECONDS, Overshoot, find_overshoots, run_capped_day
from tests.simulation.faults import CALM, Odds
from tests.simulation.rented_days import SETTINGS, STORMY
from tests.simulation.requests import CALLER, MODEL, rented_benchmark, rented_instance
from tests.simulation.timing import SkewedClock
from tests.simulation.world import World

DAYS = 6
LONGEST_OVERSHOOT_SECONDS = 60.0
SLOW = replace(CALM, answer_seconds=SLOW_SECONDS)


@pytest.mark.parametrize(("odds", "longest_seconds"), [(CALM, 0.0), (STORMY, LONGEST_OVERSHOOT_SECONDS)])
def test_no_job_costs_more_than_it_may(
    odds: Odds, longest_seconds: float, record_property: Callable[[str, object], None]
) -> None:
    worlds = [run_capped_day(seed, odds) for seed in range(DAYS)]
    found: list[Overshoot] = [each for world in worlds for each in find_overshoots(world)]

    worst = max(each.seconds for each in found)
    record_property("jobs", len(found))
    record_property("worst_seconds", round(worst, 1))
    assert [violation for world in worlds for violation in world.violations] == []
    assert any(each.job.is_capped for each in found)
    assert worst <= longest_seconds


def test_job_keeps_what_it_has_measured_when_its_money_is_over() -> None:
    world = World(0, SLOW, vastai=replace(SETTINGS))
    world.submit(REQUESTS[0])
    world.run()

    (job,) = world.table.jobs.values()
    result = StoredBenchmarkResult.model_validate_json(world.table.result_of(job.job_id) or "")
    assert world.violations == []
    assert job.status is Status.SUCCEEDED
    assert result.report is not None
    assert (result.report.ended_by, len(result.report.runs)) == ("cost_cap", 1)
    assert "cost_cap_reached" in result.report.warnings


def test_job_without_any_answer_fails_by_name_when_its_money_is_over() -> None:
    world = World(0, replace(CALM, answer_seconds=(3000.0, 3000.0)), vastai=replace(SETTINGS))
    world.submit(rented_benchmark(MODEL, max_cost_usd=0.06))
    world.run()

    (job,) = world.table.jobs.values()
    assert job.failure is not None
    assert (job.failure.code, job.failure.retryable) == ("cost_cap_reached", False)


def test_nothing_is_rented_when_the_cheapest_offer_is_too_dear() -> None:
    world = World(vastai=replace(SETTINGS))
    world.submit(rented_benchmark(MODEL, max_cost_usd=0.01))
    world.run()

    (job,) = world.table.jobs.values()
    assert world.account is not None
    assert world.account.rental_store.rentals == {}
    assert job.failure is not None
    assert job.failure.code == "cost_cap_too_low"


def test_kept_machine_can_be_extended_for_its_job_s_money_alone() -> None:
    world = World(vastai=replace(SETTINGS))
    world.submit(rented_instance(MODEL, keep_seconds=300, max_cost_usd=0.08, max_runtime_seconds=600))
    account = world.account
    assert account is not None
    rentals = RentalService(account.rental_store, SkewedClock(world), MemoryReleaseQueue())

    def extend() -> None:
        (rental,) = account.rental_store.rentals.values()
        assert rental.state is RentalState.KEPT
        with pytest.raises(InvalidRequestError, match="at the latest"):
            rentals.extend(CALLER.tenant, rental.rental_id, timedelta(minutes=30))
        rentals.extend(CALLER.tenant, rental.rental_id, rental.ceiling_at - world.now)

    world.plan(240.0, extend)
    world.run(hours=2.0, until_kept_are_gone=True)

    (rental,) = account.rental_store.rentals.values()
    (overshoot,) = find_overshoots(world)
    assert (rental.end_reason, rental.kept_until) == (EndReason.EXPIRED, rental.ceiling_at)
    assert -150 < overshoot.seconds <= 0


@pytest.mark.parametrize(
    ("odds", "credit_usd", "least_count"), [(CALM, Decimal("1.00"), 10), (STORMY, Decimal("1.50"), 8)]
)
def test_twelve_jobs_share_little_credit_one_after_the_other(
    odds: Odds, credit_usd: Decimal, least_count: int
) -> None:
    # In a storm twelve jobs cost up to a dollar, so that the last ones would rightly find no credit.
    world = World(
        3, replace(odds, answer_seconds=(10.0, 10.0)), vastai=replace(SETTINGS, credit_usd=credit_usd)
    )
    for _ in range(12):
        world.submit(rented_benchmark(MODEL))
    world.run(hours=12.0)

    codes = [job.failure.code for job in world.table.jobs.values() if job.failure]
    assert world.violations == []
    assert "no_credit" not in codes
    # Those that a storm has ended have cost something too.
    assert sum(job.status is Status.SUCCEEDED for job in world.table.jobs.values()) >= least_count


def test_job_fails_at_once_when_the_credit_alone_is_too_little() -> None:
    world = World(vastai=replace(SETTINGS, credit_usd=Decimal("0.02")))
    world.submit(rented_benchmark(MODEL))
    world.run()

    (job,) = world.table.jobs.values()
    assert world.account is not None
    assert world.account.rental_store.rentals == {}
    assert job.failure is not None
    assert job.failure.code == "no_credit"
