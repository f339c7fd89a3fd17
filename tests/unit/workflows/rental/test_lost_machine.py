from dataclasses import replace

import pytest

from rune.errors import (
    AddressRefusedError,
    BadResponseError,
    ModelUnsupportedError,
    OutOfMemoryError,
    ProviderBusyError,
    ProviderFailedError,
    ProviderKeyError,
    RentalError,
    RuneError,
    ServerFailedError,
    ServerTimeoutError,
    ServerUnreachableError,
    StreamTruncatedError,
)
from rune.jobs.outcomes import Done, Next, Outcome
from rune.jobs.record import StepName
from rune.jobs.step import Step, StepContext
from rune.rentals.instance import Instance
from rune.rentals.record import EndReason, RentalState
from rune.rentals.store import Endpoint
from tests.builders import JOB_ID, after
from tests.rental_builders import (
    OTHER_JOB_ID,
    RENTAL_ID,
    a_kept_rental_of,
    a_listing,
    a_running_rental,
    an_instance,
)
from tests.unit.workflows.rental.world import a_renting_job, a_world

JOB = a_renting_job(StepName.MEASURE)
BROKEN = StreamTruncatedError("Broke off.")


def failing(error: RuneError) -> Step:
    async def step(context: StepContext) -> Outcome:
        raise error

    return step


@pytest.mark.parametrize(
    ("instances", "detail"),
    [
        ((), "not listed any more"),
        ((an_instance(actual_status="exited", status_text="OOM"),), "exited: OOM"),
        ((an_instance(actual_status="offline", status_text=""),), "offline"),
        (
            (
                an_instance(
                    cur_state="stopped", intended_status="stopped", next_state="stopped", status_text="outbid"
                ),
            ),
            "running: outbid",
        ),
    ],
)
def test_step_moves_on_to_another_machine_when_its_own_is_lost(
    instances: tuple[Instance, ...], detail: str
) -> None:
    world = a_world(a_running_rental(), instances=instances, seconds=400)

    outcome = world.run_replacing_lost_machine(failing(BROKEN), JOB)

    assert isinstance(outcome, Next)
    assert (outcome.step, outcome.error_type) == (StepName.RELEASE, "machine_lost")
    assert (outcome.labels, outcome.spending.rental_id) == ({"detail": detail}, RENTAL_ID)
    rental = world.rental()
    assert (rental.state, rental.end_reason) == (RentalState.RELEASING, EndReason.MACHINE_LOST)


def test_step_leaves_a_lost_machine_that_it_had_borrowed_to_its_tenant() -> None:
    kept = a_kept_rental_of(OTHER_JOB_ID)
    borrowed = replace(kept, state=RentalState.RUNNING, holder=JOB_ID, held_since=after(350))
    world = a_world(borrowed, instances=(), seconds=400)

    outcome = world.run_replacing_lost_machine(failing(BROKEN), JOB)

    assert isinstance(outcome, Next)
    assert outcome.step is StepName.RELEASE
    returned = world.rental(kept.rental_id)
    assert (returned.state, returned.holder, returned.unfit_for) == (RentalState.KEPT, None, JOB_ID)


@pytest.mark.parametrize("instance", [an_instance(), an_instance(actual_status="loading")])
def test_step_fails_as_it_did_when_the_machine_is_there(instance: Instance) -> None:
    world = a_world(a_running_rental(), instances=(instance,), seconds=400)

    with pytest.raises(StreamTruncatedError):
        world.run_replacing_lost_machine(failing(BROKEN), JOB)

    assert world.rental() == a_running_rental()


@pytest.mark.parametrize(
    "error",
    [ProviderFailedError("Half a page."), ProviderBusyError("Too often."), ProviderKeyError("Unknown key.")],
    ids=repr,
)
def test_step_fails_as_it_did_when_the_provider_does_not_say(error: RentalError) -> None:
    world = a_world(a_running_rental(), seconds=400)
    world.market.errors["list"] = [error]

    with pytest.raises(StreamTruncatedError):
        world.run_replacing_lost_machine(failing(BROKEN), JOB)

    assert world.rental() == a_running_rental()


def test_step_fails_as_it_did_when_the_listing_began_before_the_machine_ran() -> None:
    fresh = a_running_rental(running_at=after(399))
    world = a_world(fresh, seconds=400)
    world.provider_limits.share_listing(a_listing(begun_at=after(398)))

    with pytest.raises(StreamTruncatedError):
        world.run_replacing_lost_machine(failing(BROKEN), JOB)

    assert world.rental() == fresh


def test_step_fails_as_it_did_when_it_is_not_its_turn_to_ask() -> None:
    world = a_world(a_running_rental(), seconds=400)
    world.provider_limits.back_off(Endpoint.LIST, after(403))

    with pytest.raises(StreamTruncatedError):
        world.run_replacing_lost_machine(failing(BROKEN), JOB)


def test_step_rents_anew_when_the_janitor_has_proven_the_machine_gone() -> None:
    outcome = a_world(seconds=400).run_replacing_lost_machine(
        failing(ServerUnreachableError("Refused.")), JOB
    )

    assert outcome == Next(StepName.RENT, error_type="machine_lost")


def test_step_of_a_job_that_does_not_rent_fails_without_asking_the_provider() -> None:
    world = a_world(seconds=400)

    with pytest.raises(ServerUnreachableError):
        world.run_replacing_lost_machine(
            failing(ServerUnreachableError("Refused.")), a_renting_job(StepName.MEASURE, rents=False)
        )

    assert world.market.calls == []


def test_step_fails_as_it_did_when_no_model_server_is_to_blame() -> None:
    world = a_world(a_running_rental(), seconds=400)

    with pytest.raises(AddressRefusedError):
        world.run_replacing_lost_machine(failing(AddressRefusedError("No.")), JOB)

    assert world.market.calls == []


def test_step_that_goes_well_asks_nobody() -> None:
    async def step(context: StepContext) -> Outcome:
        return Done("{}")

    world = a_world(a_running_rental(), seconds=400)

    assert world.run_replacing_lost_machine(step, JOB) == Done("{}")
    assert world.market.calls == []


LOADING_JOB = a_renting_job(StepName.WARM_UP, failures=2)


@pytest.mark.parametrize(
    "error", [BROKEN, ServerFailedError("CUDA error."), BadResponseError("Garbage.")], ids=repr
)
def test_load_moves_on_to_another_machine_when_this_one_cannot(error: RuneError) -> None:
    world = a_world(a_running_rental(), instances=(an_instance(),), seconds=400)

    outcome = world.run_replacing_lost_machine(failing(error), LOADING_JOB)

    assert isinstance(outcome, Next)
    assert (outcome.step, outcome.error_type) == (StepName.RELEASE, "model_failed")
    rental = world.rental()
    assert (rental.state, rental.end_detail) == (RentalState.RELEASING, error.sentence)


def test_load_is_tried_again_before_the_machine_is_given_up() -> None:
    world = a_world(a_running_rental(), instances=(an_instance(),), seconds=400)

    with pytest.raises(StreamTruncatedError):
        world.run_replacing_lost_machine(failing(BROKEN), replace(LOADING_JOB, failures=1))

    assert world.rental().state is RentalState.RUNNING


@pytest.mark.parametrize(
    "error",
    [OutOfMemoryError("Full."), ModelUnsupportedError("Unknown kind."), ServerTimeoutError("Slow.")],
    ids=repr,
)
def test_load_fails_the_job_with_the_first_machine_when_no_other_would_help(error: RuneError) -> None:
    world = a_world(a_running_rental(), instances=(an_instance(),), seconds=400)

    with pytest.raises(type(error)):
        world.run_replacing_lost_machine(failing(error), LOADING_JOB)

    assert world.rental().state is RentalState.RUNNING


def test_load_returns_a_borrowed_machine_whose_memory_others_fill() -> None:
    borrowed = a_running_rental(job_id=OTHER_JOB_ID, held_since=after(350))
    world = a_world(borrowed, instances=(an_instance(),), seconds=400)

    outcome = world.run_replacing_lost_machine(failing(OutOfMemoryError("Full.")), LOADING_JOB)

    assert isinstance(outcome, Next)
    assert (world.rental().state, world.rental().unfit_for) == (RentalState.KEPT, JOB_ID)


def test_work_goes_on_with_its_machine_when_the_server_fails_after_the_load() -> None:
    world = a_world(a_running_rental(), instances=(an_instance(),), seconds=400)

    with pytest.raises(StreamTruncatedError):
        world.run_replacing_lost_machine(failing(BROKEN), replace(JOB, failures=2))
