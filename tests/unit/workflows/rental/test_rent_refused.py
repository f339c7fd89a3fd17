from dataclasses import replace

import pytest

from rune.errors import (
    CreateLostError,
    NoCreditError,
    OfferGoneError,
    ProviderBusyError,
    ProviderFailedError,
    ProviderKeyError,
    ProviderRefusedError,
    RentalError,
)
from rune.jobs.outcomes import Failed, Next
from rune.jobs.record import StepName
from rune.rentals.provider import Order
from rune.rentals.record import EndReason, Rental, RentalState
from rune.rentals.store import Turn
from tests.builders import JOB_ID, after
from tests.rental_builders import (
    CONTRACT_ID,
    RENTAL_ID,
)
from tests.unit.rentals.scripted import an_offer
from tests.unit.workflows.rental.world import a_renting_job, a_world

JOB = a_renting_job()


def test_rent_goes_on_to_another_offer_when_somebody_else_was_faster() -> None:
    world = a_world()
    world.market.errors["create"] = [OfferGoneError("Taken.")]

    first = world.run(JOB)
    world.wait(10)
    world.run(JOB)

    assert isinstance(first, Next)
    assert (first.step, first.error_type, first.delay_seconds) == (StepName.RENT, "offer_gone", 0)
    one, two = world.attempts
    assert (one.state, one.end_reason, one.cost_micro_usd) == (RentalState.RELEASED, EndReason.OFFER_GONE, 0)
    # The machine may come back under another offer.
    assert two.machine.machine_id == one.machine.machine_id
    assert [order.label for order in world.market.orders] == [one.label, two.label]


@pytest.mark.parametrize(
    ("error", "following", "delay_seconds"),
    [
        (ProviderRefusedError("No."), StepName.RENT, 0),
        (ProviderBusyError("Too often."), StepName.RENT, 12),
        (ProviderBusyError("Too often.", 40), StepName.RENT, 40),
    ],
    ids=repr,
)
def test_rent_goes_on_when_an_order_is_refused(
    error: RentalError, following: StepName, delay_seconds: int
) -> None:
    world = a_world()
    world.market.errors["create"] = [error]

    outcome = world.run(JOB)

    assert isinstance(outcome, Next)
    assert (outcome.step, outcome.delay_seconds, outcome.error_type) == (following, delay_seconds, error.code)
    assert (world.rental().state, world.rental().cost_micro_usd) == (RentalState.RELEASED, 0)


def test_rent_fails_when_two_offers_are_refused_in_the_same_words() -> None:
    world = a_world()
    world.market.offers = (an_offer(), an_offer(offer_id=2, machine_id=2))
    world.market.errors["create"] = [
        ProviderRefusedError("Refused (400)."),
        ProviderRefusedError("Refused (400)."),
    ]
    world.run(JOB)
    world.wait(10)

    assert isinstance(outcome := world.run(JOB), Failed)
    assert (outcome.code, outcome.sentence) == ("provider_refused", "Refused (400).")


def test_rent_may_order_the_same_machine_again_when_it_only_asked_too_often() -> None:
    world = a_world()
    world.market.errors["create"] = [ProviderBusyError("Too often.")]
    world.run(JOB)
    world.wait(12)

    outcome = world.run(JOB)

    assert isinstance(outcome, Next)
    assert outcome.step is StepName.BOOT


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (NoCreditError("No money."), False),
        (ProviderKeyError("Unknown key."), False),
        (ProviderFailedError("No connection."), True),
    ],
    ids=repr,
)
def test_rent_fails_when_no_other_offer_helps(error: RentalError, retryable: bool) -> None:
    world = a_world()
    world.market.errors["create"] = [error]

    outcome = world.run(JOB)

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == (error.code, retryable)
    assert [note.name for note in outcome.notes] == ["vastai.offer_search"]
    assert world.rental().state is RentalState.RELEASED


@pytest.mark.parametrize(
    "error",
    [
        ProviderRefusedError("Bid too low.", 4711),
        OfferGoneError("Taken.", 4711),
        NoCreditError("No money.", 4711),
        ProviderFailedError("Failed.", 4711),
    ],
    ids=repr,
)
def test_rent_gives_back_what_a_refused_order_left_behind(error: RentalError) -> None:
    world = a_world()
    world.market.errors["create"] = [error]

    outcome = world.run(JOB)

    assert isinstance(outcome, Next)
    assert (outcome.step, outcome.error_type) == (StepName.RELEASE, error.code)
    rental = world.rental()
    assert (rental.state, rental.contract_id) == (RentalState.RELEASING, 4711)
    assert (rental.end_reason, rental.holder) == (EndReason.CREATE_REFUSED, JOB_ID)


def test_rent_finds_out_what_became_of_a_lost_order_before_anything_else() -> None:
    world = a_world()
    world.market.errors["create"] = [CreateLostError("Silence.")]

    first = world.run(JOB)
    second = world.run(JOB)

    assert isinstance(first, Next)
    assert isinstance(second, Next)
    assert (first.step, first.error_type) == (StepName.RECONCILE, "create_lost")
    assert second.step is StepName.RECONCILE
    assert (len(world.market.orders), world.rental().state) == (1, RentalState.INTENDED)


def test_rent_orders_nothing_when_it_stood_still_after_the_intent() -> None:
    world = a_world()
    opened = world.rental_store.open

    def open_slowly(
        rental: Rental,
        credit_micro_usd: int | None = None,
        *,
        key: str | None = None,
        opened_count: int | None = None,
        turn: Turn | None = None,
    ) -> bool:
        is_new = opened(rental, credit_micro_usd, key=key, opened_count=opened_count, turn=turn)
        world.wait(10.001)
        return is_new

    world.rental_store.open = open_slowly  # type: ignore[method-assign]

    outcome = world.run(JOB)

    assert isinstance(outcome, Next)
    assert (outcome.step, world.market.orders) == (StepName.RECONCILE, [])


def test_rent_reopens_a_rental_that_was_given_up_while_its_order_was_under_way() -> None:
    world = a_world()
    order = world.market.create

    async def create_late(made: Order) -> int:
        contract_id = await order(made)
        world.rental_store.rentals[RENTAL_ID] = replace(
            world.rental(), state=RentalState.RELEASED, version=9, due_at=None, holder=None
        )
        return contract_id

    world.market.create = create_late  # type: ignore[method-assign, assignment]

    world.run(JOB)

    rental = world.rental()
    assert (rental.state, rental.contract_id) == (RentalState.RELEASING, CONTRACT_ID)
    assert (rental.end_reason, rental.due_at) == (EndReason.ORPHANED, after(0))


def test_rent_keeps_the_contract_when_the_rental_was_given_up_meanwhile() -> None:
    world = a_world()
    order = world.market.create

    async def create_late(made: Order) -> int:
        contract_id = await order(made)
        world.dependencies.give_up(world.rental(), EndReason.JOB_ENDED)
        return contract_id

    world.market.create = create_late  # type: ignore[method-assign, assignment]

    world.run(JOB)

    assert (world.rental().state, world.rental().contract_id) == (RentalState.RELEASING, CONTRACT_ID)


def test_rent_goes_on_with_a_machine_that_was_found_although_its_order_was_refused() -> None:
    world = a_world()

    async def refuse_late(made: Order) -> int:
        world.rental_store.rentals[RENTAL_ID] = replace(
            world.rental(), state=RentalState.CREATED, version=2, contract_id=CONTRACT_ID
        )
        raise OfferGoneError("Taken.")

    world.market.create = refuse_late  # type: ignore[method-assign, assignment]

    world.run(JOB)
    outcome = world.run(JOB)

    assert isinstance(outcome, Next)
    assert outcome.step is StepName.BOOT
    assert (world.rental().state, world.rental().contract_id) == (RentalState.CREATED, CONTRACT_ID)


def test_rent_orders_nothing_once_the_deployment_gives_everything_back() -> None:
    world = a_world()
    world.deployments.close(after(-60))

    outcome = world.run(JOB)

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("renting_closed", True)
    assert (world.attempts, world.market.orders) == ((), [])
