"""Jobs that rented while the deployment had an account, which was taken away since."""

from dataclasses import replace

import pytest

from rune.errors import ProviderKeyError
from rune.jobs.outcomes import Again, Outcome, Released
from rune.jobs.record import Job, Status, StepName
from rune.rentals.paced_provider import PacedProvider
from rune.rentals.provider_key import KeyedTransport, NoKey
from rune.rentals.record import Rental, RentalState
from rune.rentals.vastai import VastAi, VastaiTransport
from rune.workflows.rental.lost_machine import make_rental_steps
from tests.builders import a_step_context
from tests.rental_builders import (
    RENTAL_ID,
    a_created_rental,
    a_released_rental,
    a_releasing_rental,
    a_rental,
    a_running_rental,
    an_instance,
)
from tests.unit.workflows.rental.world import World, a_renting_job, a_world, run_step


def a_releasing_job() -> Job:
    return a_renting_job(StepName.RELEASE, ends_as=Status.FAILED, rental_id=RENTAL_ID)


def run_without_account(world: World, job: Job) -> Outcome:
    def open_transport(api_key: str) -> VastaiTransport:
        raise AssertionError(f"A call was made with the key {api_key!r}.")

    async def pause(seconds: float) -> None:
        world.wait(seconds)

    market = VastAi(KeyedTransport(NoKey(), open_transport), pause)
    provider = PacedProvider(market, world.provider_limits, world.clock, pause)
    steps = make_rental_steps(replace(world.dependencies, provider=provider))
    return run_step(
        steps[job.step], a_step_context(job, {"question": "Why?", "model": "m:1b", "vastai": True})
    )


@pytest.mark.parametrize("rentals", [(), (a_released_rental(),)], ids=["never had", "proven gone"])
def test_release_lets_a_job_end_that_has_no_machine(rentals: tuple[Rental, ...]) -> None:
    assert isinstance(run_without_account(a_world(*rentals, seconds=400), a_releasing_job()), Released)


@pytest.mark.parametrize(
    "rental",
    [a_rental(), a_created_rental(), a_running_rental(), a_releasing_rental()],
    ids=lambda r: r.state,
)
def test_release_waits_and_says_why_where_a_machine_may_be_alive(rental: Rental) -> None:
    world = a_world(rental, seconds=4_000)

    outcomes = []
    for _ in range(60):
        outcomes.append(run_without_account(world, a_releasing_job()))
        world.wait(60)

    assert {(type(each), each.delay_seconds) for each in outcomes if isinstance(each, Again)} == {(Again, 60)}
    told = [note for each in outcomes if isinstance(each, Again) for note in each.notes]
    assert {(note.error_type, note.labels["detail"]) for note in told} == {
        ("provider_key", "There is no key for Vast.ai.")
    }
    assert 1 <= len(told) <= 7
    assert world.rental().state is RentalState.RELEASING


def test_release_ends_the_job_once_the_account_is_back() -> None:
    world = a_world(a_running_rental(), instances=(an_instance(),), seconds=400)
    run_without_account(world, a_releasing_job())
    world.wait(60)

    assert isinstance(world.run(a_releasing_job()), Released)
    assert world.rental().state is RentalState.RELEASED


@pytest.mark.parametrize("step", [StepName.RENT, StepName.RECONCILE, StepName.BOOT])
def test_step_that_needs_the_provider_fails_for_good(step: StepName) -> None:
    world = a_world(*(() if step is StepName.RENT else (a_created_rental(),)), seconds=400)
    if step is StepName.RECONCILE:
        world = a_world(a_rental(), seconds=400)

    with pytest.raises(ProviderKeyError) as raised:
        run_without_account(world, a_renting_job(step))

    assert not raised.value.retryable
