"""What a tenant may have rented at the same time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import override

from rune.amounts import MICRO_USD_PER_USD
from rune.jobs.outcomes import Again, Failed, Next, Requeue
from rune.jobs.wants import FEWER_MACHINES, KEPT_UNUSED, LOWER_PRICE, NEXT_PRICE
from rune.money.limits import SpendingLimits
from rune.rentals.record import RentalState
from tests.builders import TENANT
from tests.memory_rental_store import MemoryRentalStore
from tests.rental_builders import OTHER_JOB_ID, a_rental_of
from tests.tenant_builders import tenants_with
from tests.unit.workflows.rental.world import a_renting_job, a_world

JOB = a_renting_job()
OTHER = a_rental_of(OTHER_JOB_ID, tenant=TENANT)
PRICE = OTHER.prices.micro_usd_per_hour


def rented_micro_usd_per_hour() -> int:
    """Return what the machine costs that the job rents without limits."""
    world = a_world()
    world.run(JOB)
    return world.rental().prices.micro_usd_per_hour


def test_rent_waits_without_a_search_when_the_tenant_has_all_its_machines() -> None:
    world = a_world(OTHER)
    world.spending_limits = SpendingLimits(max_machines=1)

    waiting = world.run(JOB)

    assert isinstance(waiting, Requeue)
    assert waiting.progress == {FEWER_MACHINES: 1}
    assert [note.name for note in waiting.notes] == ["vastai.tenant_limit"]
    assert (len(world.market.called("search")), world.market.orders, world.attempts) == (0, [], ())

    assert world.run(replace(JOB, progress=waiting.progress)) == replace(waiting, notes=())
    world.spending_limits = SpendingLimits(max_machines=2)
    assert isinstance(world.run(replace(JOB, progress=waiting.progress)), Next)
    assert len(world.market.orders) == 1


def test_rent_goes_by_its_own_tenants_machines_and_limits() -> None:
    world = a_world(a_rental_of(OTHER_JOB_ID, tenant="another"))
    world.tenants = tenants_with({"max_machines": 1}, TENANT)

    assert isinstance(world.run(JOB), Next)

    world = a_world(OTHER)
    world.tenants = tenants_with({"max_machines": 1}, TENANT)
    assert isinstance(world.run(JOB), Requeue)


def test_rent_keeps_the_slot_of_a_job_that_has_ordered_a_machine() -> None:
    # Its first machine was not to be had, and another job of the tenant has taken its place.
    lost = a_rental_of(JOB.job_id, tenant=TENANT, state=RentalState.RELEASED, contract_id=None, holder=None)
    world = a_world(OTHER, lost)
    world.spending_limits = SpendingLimits(max_machines=1)

    assert isinstance(world.run(JOB), Again)

    world = a_world(OTHER)
    world.spending_limits = SpendingLimits(max_machines=1)
    assert isinstance(world.run(replace(JOB, rental_id=OTHER.rental_id)), Again)


def test_rent_says_that_machines_are_kept_which_do_not_fit() -> None:
    kept = replace(OTHER, state=RentalState.KEPT, holder=None)
    world = a_world(kept)
    world.spending_limits = SpendingLimits(max_machines=1)

    waiting = world.run(JOB)

    assert isinstance(waiting, Requeue)
    assert waiting.progress == {FEWER_MACHINES: 1, KEPT_UNUSED: 1}


def test_rent_searches_once_when_its_machine_would_be_too_much_an_hour() -> None:
    world = a_world(OTHER)
    most = PRICE + rented_micro_usd_per_hour() - 1
    world.spending_limits = SpendingLimits(max_micro_usd_per_hour=most)

    waiting = world.run(JOB)

    assert isinstance(waiting, Requeue)
    assert waiting.progress.keys() == {LOWER_PRICE, NEXT_PRICE}
    assert (len(world.market.called("search")), world.market.orders, world.attempts) == (1, [], ())
    world.wait(20)
    assert isinstance(world.run(replace(JOB, progress=waiting.progress)), Requeue)
    assert len(world.market.called("search")) == 1


def test_rent_takes_no_machine_that_is_dearer_than_the_tenant_may_have() -> None:
    world = a_world()
    world.spending_limits = SpendingLimits(max_dph_micro_usd=rented_micro_usd_per_hour() - 1)

    failed = world.run(JOB)

    assert isinstance(failed, Failed)
    assert (failed.code, world.market.orders) == ("no_offer_fits", [])
    most_usd = Decimal(rented_micro_usd_per_hour() - 1) / MICRO_USD_PER_USD
    assert failed.sentence.endswith(f"Your tenant may rent at {most_usd:f} USD an hour at most.")


class Overtaken(MemoryRentalStore):
    """Another job of the tenant opens a rental after the living were read."""

    happens: Callable[[], object]

    @override
    def read_opened_count(self, tenant: str) -> int:
        count = super().read_opened_count(tenant)
        self.happens()
        return count


def test_rent_looks_again_when_another_job_of_its_tenant_has_ordered_meanwhile() -> None:
    world = a_world()
    world.rental_store = store = Overtaken()
    store.happens = lambda: store.open(OTHER, opened_count=0)

    outcome = world.run(JOB)

    assert outcome == Again(2, {})
    assert (world.market.orders, world.attempts) == ([], ())
