import pytest

from rune.errors import ProviderBusyError, ProviderFailedError, RentalError
from rune.jobs.outcomes import Again, Next, Spending
from rune.jobs.record import StepName
from rune.rentals.record import EndReason, RentalState
from rune.rentals.store import Endpoint
from tests.builders import after
from tests.rental_builders import (
    ALIVE,
    CONTRACT_ID,
    RENTAL_ID,
    a_listing,
    a_rental,
    an_instance,
)
from tests.unit.workflows.rental.world import a_renting_job, a_world

JOB = a_renting_job(StepName.RECONCILE)


def test_reconcile_finds_the_machine_of_a_lost_order_by_its_label() -> None:
    world = a_world(a_rental(), instances=(an_instance(contract_id=7, label="x"), an_instance()), seconds=20)

    outcome = world.run(JOB)

    assert outcome == Next(
        StepName.BOOT,
        labels={"contract_id": str(CONTRACT_ID)},
        spending=Spending(RENTAL_ID, 6_000 + 67),
    )
    assert (world.rental().state, world.rental().contract_id) == (RentalState.CREATED, CONTRACT_ID)


@pytest.mark.parametrize("seconds", [1, 60, 90])
def test_reconcile_goes_on_looking_as_long_as_the_machine_may_turn_up(seconds: float) -> None:
    world = a_world(a_rental(), seconds=seconds)

    assert world.run(JOB) == Again(5, spending=Spending(RENTAL_ID, 0))
    assert world.rental() == a_rental()


def test_reconcile_gives_the_order_up_after_two_listings_a_minute_apart() -> None:
    world = a_world(a_rental(), seconds=120.001)

    assert world.run(JOB) == Again(5, spending=Spending(RENTAL_ID, 0))
    assert (world.rental().state, world.rental().missed_at) == (RentalState.INTENDED, after(120.001))
    world.wait(59)
    assert world.run(JOB) == Again(5, spending=Spending(RENTAL_ID, 0))
    world.wait(6)

    assert world.run(JOB) == Next(StepName.RENT, error_type="create_lost")
    rental = world.rental()
    assert (rental.state, rental.end_reason) == (RentalState.RELEASED, EndReason.CREATE_LOST)
    assert (rental.released_at, rental.cost_micro_usd) == (after(185.001), 0)


def test_reconcile_finds_the_machine_that_one_listing_has_lost() -> None:
    world = a_world(a_rental(), seconds=121)
    world.run(JOB)
    world.market.instances = [an_instance()]
    world.wait(6)

    assert isinstance(world.run(JOB), Next)
    assert (world.rental().state, world.rental().contract_id) == (RentalState.CREATED, CONTRACT_ID)


def test_reconcile_takes_no_listing_that_may_have_begun_before_the_window_ended() -> None:
    world = a_world(a_rental(), seconds=123)
    # By a worker whose clock is five seconds ahead.
    world.provider_limits.share_listing(a_listing(begun_at=after(122)))
    world.provider_limits.back_off(Endpoint.LIST, after(125))

    assert world.run(JOB) == Again(2)
    assert world.rental() == a_rental()


@pytest.mark.parametrize(
    ("error", "delay_seconds"),
    [(ProviderFailedError("Half a page."), 10), (ProviderBusyError("Too often.", 30), 30)],
    ids=repr,
)
def test_reconcile_reads_no_error_as_absence(error: RentalError, delay_seconds: int) -> None:
    world = a_world(a_rental(), seconds=600)
    world.market.errors["list"] = [error]

    assert world.run(JOB) == Again(delay_seconds)
    assert world.rental() == a_rental()


@pytest.mark.parametrize(
    ("state", "step"),
    [
        (RentalState.CREATED, StepName.BOOT),
        (RentalState.RUNNING, StepName.BOOT),
        (RentalState.RELEASING, StepName.RELEASE),
    ],
)
def test_reconcile_goes_on_when_the_machine_is_known_already(state: RentalState, step: StepName) -> None:
    outcome = a_world(ALIVE[state](), seconds=200).run(JOB)

    assert isinstance(outcome, Next)
    assert outcome.step is step


def test_reconcile_rents_anew_when_the_job_holds_nothing() -> None:
    assert a_world().run(JOB) == Next(StepName.RENT)
