"""Downloads that end badly, by the provider's own books: the bill covers them, and little more."""

from __future__ import annotations

from decimal import Decimal

import pytest

from rune.jobs.record import Job, Status, StepName
from rune.rentals.record import Rental
from tests.simulation.faults import CALM, Fault
from tests.simulation.mischief import SETTINGS
from tests.simulation.requests import MODEL, OTHER_MODEL, rented_benchmark, rented_instance
from tests.simulation.rest import bill_micro_usd
from tests.simulation.world import World

SECONDS_PAID_IN_VAIN = 6
"""Of bandwidth at its upper bound and of time, at most, beyond what is charged. Simulated
servers tell every five seconds how much has come; a job's whole model may be 17 seconds at that bandwidth."""


def a_world(planned: dict[int, Fault] | None = None) -> World:
    return World(0, CALM, planned, vastai=SETTINGS)


def the_job(world: World) -> Job:
    return list(world.table.jobs.values())[-1]


def rentals(world: World) -> list[Rental]:
    assert world.account is not None
    return list(world.account.rental_store.rentals.values())


def cancel_while_pulling(world: World, after_seconds: float) -> None:
    """Cancel the latest job so long after it was first seen to download."""

    def look() -> None:
        job = the_job(world)
        if job.step is StepName.PULL:
            world.plan(after_seconds, lambda: world.cancel(job.job_id))
        elif job.is_active:
            world.plan(1.0, look)

    world.plan(1.0, look)


def most_micro_usd(rental: Rental) -> Decimal:
    """Return what so many seconds of the machine at its fastest cost."""
    hours = Decimal(SECONDS_PAID_IN_VAIN) / 3600
    gb = Decimal(2 * (rental.mbit_per_second or 0) * SECONDS_PAID_IN_VAIN) / 8000
    each = rental.prices
    return each.micro_usd_per_hour * hours + each.download_micro_usd_per_gb * gb


@pytest.mark.parametrize("after_seconds", [0.0, 3.0, 8.0])
def test_cancelled_download_costs_little_more_than_came(after_seconds: float) -> None:
    world = a_world()
    world.submit(rented_benchmark())
    cancel_while_pulling(world, after_seconds)

    world.run()

    (rental,) = rentals(world)
    assert world.account is not None
    charged = bill_micro_usd(world.account, rental)
    assert (world.violations, the_job(world).status) == ([], Status.CANCELLED)
    assert charged <= (rental.cost_micro_usd or 0) <= charged + most_micro_usd(rental)


def test_download_of_an_unknown_model_costs_nothing() -> None:
    world = a_world()
    world.submit(rented_benchmark("nosuch:8b"))

    world.run()

    (rental,) = rentals(world)
    failure = the_job(world).failure
    assert failure is not None
    assert (world.violations, failure.code) == ([], "model_not_found")
    assert rental.downloaded_bytes + rental.pulling_bytes == 0


@pytest.mark.parametrize(
    ("model", "bytes_more"), [("nosuch:8b", 0), (OTHER_MODEL, 9_300_000_000), (MODEL, 0)]
)
def test_borrower_pays_for_its_own_download_and_changes_nothing_else(model: str, bytes_more: int) -> None:
    world = a_world()
    world.submit(rented_instance(keep_seconds=3600, min_vram_mb=12_000))
    world.plan(500.0, lambda: world.submit(rented_benchmark(model)))

    world.run(until_kept_are_gone=False)

    kept = rentals(world)[0]
    owner, borrower = world.table.jobs.values()
    assert world.violations == []
    assert (kept.model, kept.downloaded_bytes) == (MODEL, 4_900_000_000 + bytes_more)
    assert borrower.rental_id == kept.rental_id
    held_hours = Decimal((borrower.finished_at - borrower.created_at).total_seconds()) / 3600  # type: ignore[operator]
    time_micro_usd = held_hours * kept.prices.micro_usd_per_hour
    traffic_micro_usd = bytes_more * kept.prices.download_micro_usd_per_gb // 10**9
    assert traffic_micro_usd <= borrower.cost_micro_usd <= time_micro_usd + traffic_micro_usd + 1
    assert owner.cost_micro_usd > 0


def test_cost_of_a_job_rises_while_its_machine_downloads() -> None:
    world = a_world()
    world.submit(rented_benchmark())
    told: set[int] = set()

    def look() -> None:
        job = the_job(world)
        if job.step is StepName.PULL:
            told.add(job.cost_micro_usd)
        if job.is_active:
            world.plan(1.0, look)

    world.plan(1.0, look)
    world.run()

    assert world.violations == []
    assert len(told) > 2
