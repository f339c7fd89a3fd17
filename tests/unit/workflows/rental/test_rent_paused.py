"""A worker that pauses while it rents: another one may have gone on with the job meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import override

import pytest

from rune.errors import LeaseLostError
from rune.jobs.outcomes import Again, Next
from rune.jobs.record import StepName
from rune.rentals.provider import Account
from rune.rentals.record import Rental
from rune.rentals.store import Turn
from rune.workflows.rental.rent import LONGEST_SEARCH, ORDER_FRESHNESS
from tests.builders import JOB_ID
from tests.memory_rental_store import MemoryRentalStore
from tests.rental_builders import OTHER_JOB_ID, a_kept_rental_of, a_running_rental
from tests.unit.rentals.scripted import ScriptedMarket, an_offer
from tests.unit.workflows.rental.world import World, a_renting_job, a_world

JOB = a_renting_job()


class PausingMarket(ScriptedMarket):
    """Something happens while the account is read, which is the last call before an order."""

    happens: Callable[[], object]

    @override
    async def read_account(self) -> Account:
        self.happens()
        return await super().read_account()


class PausingStore(MemoryRentalStore):
    """Something happens after an intent is written."""

    happens: Callable[[], object]

    @override
    def open(
        self,
        rental: Rental,
        credit_micro_usd: int | None = None,
        *,
        key: str | None = None,
        opened_count: int | None = None,
        turn: Turn | None = None,
    ) -> bool:
        is_opened = super().open(rental, credit_micro_usd, key=key, opened_count=opened_count, turn=turn)
        self.happens()
        return is_opened


def test_rent_orders_nothing_when_another_worker_has_taken_a_kept_machine_for_the_job() -> None:
    world = a_world()
    kept = a_kept_rental_of(OTHER_JOB_ID)
    taken = a_running_rental(
        rental_id=kept.rental_id, label=kept.label, job_id=OTHER_JOB_ID, holder=JOB_ID, contract_id=7
    )
    world.market = market = PausingMarket(offers=(an_offer(),))
    market.happens = lambda: world.rental_store.rentals.update({taken.rental_id: taken})

    assert world.run(JOB) == Again(0)
    assert (market.orders, world.attempts) == ([], ())


@pytest.mark.parametrize(
    ("turn", "order_count"),
    [
        (Turn(JOB.epoch, JOB.seq), 1),
        (Turn(JOB.epoch + 1, JOB.seq), 0),
        (Turn(JOB.epoch, JOB.seq + 1), 0),
        (None, 0),
    ],
)
def test_rent_orders_only_in_the_present_turn_of_its_job(turn: Turn | None, order_count: int) -> None:
    world = a_world()
    world.rental_store.turn_of = {JOB_ID: turn}.get

    with nullcontext() if order_count else pytest.raises(LeaseLostError):
        world.run(JOB)

    assert (len(world.market.orders), len(world.attempts)) == (order_count, order_count)


@pytest.mark.parametrize(("late_seconds", "order_count"), [(0, 1), (0.001, 0)])
def test_rent_sends_no_order_when_its_search_has_taken_so_long_that_it_may_be_interrupted(
    late_seconds: float, order_count: int
) -> None:
    world = a_world()
    world.market = market = PausingMarket(offers=(an_offer(),))
    market.happens = lambda: world.clock.advance(LONGEST_SEARCH.total_seconds() + late_seconds)

    outcome = world.run(JOB)

    assert (outcome == Again(2)) is (order_count == 0)
    assert (len(market.orders), len(world.attempts)) == (order_count, order_count)


@pytest.mark.parametrize(
    ("late_seconds", "order_count", "step"), [(0, 1, StepName.BOOT), (0.001, 0, StepName.RECONCILE)]
)
def test_rent_sends_no_order_when_its_intent_is_older_than_ten_seconds(
    late_seconds: float, order_count: int, step: StepName
) -> None:
    store = PausingStore()
    world = World(store, market=a_world().market, provider_limits=a_world().provider_limits)
    store.happens = lambda: world.clock.advance(ORDER_FRESHNESS.total_seconds() + late_seconds)

    outcome = world.run(JOB)

    assert isinstance(outcome, Next)
    assert (outcome.step, len(world.market.orders)) == (step, order_count)
    assert len(world.attempts) == 1
