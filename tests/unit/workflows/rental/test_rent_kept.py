from dataclasses import replace
from typing import override

import pytest

from rune.jobs.outcomes import Next, Note
from rune.jobs.record import Kind, StepName
from rune.rentals import lifecycle
from rune.rentals.record import Prices, Rental, RentalState
from tests.builders import JOB_ID, after
from tests.memory_rental_store import MemoryRentalStore
from tests.rental_builders import (
    MODEL,
    OTHER_JOB_ID,
    a_rental,
    a_rental_of,
)
from tests.unit.workflows.rental.world import a_renting_job, a_world

JOB = a_renting_job()
OTHER_RENTAL_ID = f"{OTHER_JOB_ID}-1"
DISK_GB = 41
FITTING = replace(a_rental().machine, disk_gb=DISK_GB)


def a_kept_rental_of_another(**overrides: object) -> Rental:
    """Return a machine that an earlier job of the tenant's left."""
    kept = {
        "state": RentalState.KEPT,
        "contract_id": 7,
        "holder": None,
        "held_since": None,
        "kept_until": after(3600),
        "running_at": after(-600),
        "intended_at": after(-900),
        "machine": FITTING,
        **overrides,
    }
    return replace(a_rental_of(OTHER_JOB_ID), **kept)  # type: ignore[arg-type]  # replace() refuses unknown names


def test_rent_uses_a_machine_that_its_tenant_keeps() -> None:
    world = a_world(a_kept_rental_of_another())

    outcome = world.run(JOB)

    assert isinstance(outcome, Next)
    assert outcome.step is StepName.BOOT
    assert outcome.notes == (
        Note("vastai.instance.reuse_check", {"rental_id": OTHER_RENTAL_ID, "found": "1"}),
    )
    taken = world.rental(OTHER_RENTAL_ID)
    assert (taken.state, taken.holder, taken.held_since) == (RentalState.RUNNING, JOB_ID, after(0))
    assert world.market.calls == []


@pytest.mark.parametrize(
    "overrides",
    [
        {"tenant": "other"},
        {"kept_until": after(0)},
        {"kept_until": None},
        {"ceiling_at": after(3599)},
        {"template_hash": "another"},
        {"unfit_for": JOB_ID},
        {"machine": replace(FITTING, vram_mb=8_799)},
        {"machine": replace(FITTING, disk_gb=40)},
        {"downloaded_bytes": 24_000_000_001},
        {"pulling_bytes": 12_000_000_000, "downloaded_bytes": 12_000_000_001},
        {"downloaded_bytes": 24_000_000_001, "model": "mixtral:8x7b"},
        {"machine": replace(FITTING, reliability_percent=98)},
        {"prices": Prices(3_000_000, 1, 0)},
    ],
    ids=lambda overrides: next(iter(overrides)),
)
def test_rent_orders_a_machine_of_its_own_when_a_kept_one_does_not_fit(overrides: dict[str, object]) -> None:
    kept = a_kept_rental_of_another(**overrides)
    world = a_world(kept)

    world.run(JOB)

    assert world.rental(OTHER_RENTAL_ID) == kept
    assert len(world.market.orders) == 1


@pytest.mark.parametrize(
    "overrides",
    [
        {"downloaded_bytes": 24_000_000_000},
        {"downloaded_bytes": 24_000_000_000, "model": "mixtral:8x7b"},
        {"downloaded_bytes": 40_000_000_000, "model": MODEL},
    ],
)
def test_rent_uses_a_kept_machine_whose_disk_has_room(overrides: dict[str, object]) -> None:
    world = a_world(a_kept_rental_of_another(**overrides))

    world.run(JOB)

    assert world.rental(OTHER_RENTAL_ID).holder == JOB_ID


class StaleStore(MemoryRentalStore):
    """Another job takes every kept machine right after it was seen."""

    @override
    def read_alive(self, tenant: str, *, needed_by: str | None = None) -> tuple[Rental, ...]:
        seen = super().read_alive(tenant, needed_by=needed_by)
        for rental in seen:
            self.update(rental, lifecycle.take_kept(rental, "another", after(0)))
        return seen


def test_rent_leaves_a_kept_machine_to_a_job_that_was_faster() -> None:
    world = a_world()
    world.rental_store = StaleStore(a_kept_rental_of_another())

    world.run(JOB)

    assert world.rental(OTHER_RENTAL_ID).holder == "another"
    assert len(world.market.orders) == 1


def test_rent_hands_no_kept_machine_over() -> None:
    world = a_world(a_kept_rental_of_another())

    world.run(a_renting_job(kind=Kind.LLM_INSTANCE))

    assert len(world.market.orders) == 1


def test_use_of_a_lost_machine_is_charged_when_the_job_then_orders_its_own() -> None:
    lost = a_kept_rental_of_another(state=RentalState.RELEASING, used_by=JOB_ID, used_micro_usd=90_000)
    world = a_world(lost)

    outcome = world.run(a_renting_job(rental_id=OTHER_RENTAL_ID))

    assert isinstance(outcome, Next)
    assert outcome.spending is not None
    assert outcome.spending.rental_id == f"{JOB_ID}-1"
    # The own machine has received its image by then.
    assert (outcome.spending.cost_micro_usd, outcome.spending.borrowed_micro_usd) == (94_000, 90_000)
