from dataclasses import replace

import pytest

from rune.errors import (
    AddressRefusedError,
    ProviderBusyError,
    ProviderFailedError,
    RentalError,
    RuneError,
    ServerOverloadedError,
    ServerUnreachableError,
)
from rune.jobs.outcomes import Again, Failed, Next, Note, Released, Spending
from rune.jobs.record import StepName
from rune.llm.protocol import ModelServer
from rune.rentals import lifecycle
from rune.rentals.instance import Instance
from rune.rentals.record import EndReason, Rental, RentalState, make_rental_id
from rune.rentals.store import Endpoint
from tests.builders import JOB_ID, after
from tests.memory_rental_store import ContestedRentalStore
from tests.rental_builders import (
    ALIVE,
    CONTRACT_ID,
    OTHER_JOB_ID,
    RENTAL_ID,
    URL,
    a_created_rental,
    a_kept_rental_of,
    a_released_rental,
    a_rental,
    a_rental_of,
    a_running_rental,
    an_instance,
)
from tests.unit.workflows.rental.world import World, a_renting_job, a_world
from tests.unit.workflows.turns import FailingServer

JOB = a_renting_job(StepName.BOOT)
LOADING = an_instance(actual_status="loading", host_ports={}, status_text="")
OUTBID = an_instance(
    cur_state="stopped", intended_status="stopped", next_state="stopped", status_text="outbid"
)
DARK = a_created_rental(last_seen_stopped_at=after(20))


def test_boot_goes_on_when_the_machines_server_answers() -> None:
    world = a_world(DARK, instances=(an_instance(),), seconds=30)

    outcome = world.run(JOB)

    assert outcome == Next(
        StepName.PULL,
        phases_ms={"boot": 30_000},
        labels={"contract_id": str(CONTRACT_ID)},
        spending=Spending(RENTAL_ID, 100 + 1_000 + 6_000),
    )
    rental = world.rental()
    assert (rental.state, rental.url, rental.running_at) == (RentalState.RUNNING, URL, after(30))
    assert (world.server.opened, world.server.close_count) == ([("ollama", URL)], 1)


GUARDED = a_created_rental(last_seen_stopped_at=after(20), is_guarded=True)


def a_guarded_world() -> World:
    world = a_world(GUARDED, instances=(an_instance(),), seconds=30)
    world.rental_store.keys[RENTAL_ID] = world.server.key = "of-this-rental"
    return world


def test_boot_sends_the_key_and_calls_the_machine_closed_once_it_refuses_a_request_without() -> None:
    world = a_guarded_world()

    outcome = world.run(JOB)

    assert isinstance(outcome, Next)
    assert outcome.step is StepName.PULL
    assert world.server.api_keys == ["of-this-rental", None]
    assert world.server.close_count == 2
    assert (world.rental().state, world.rental().is_open) == (RentalState.RUNNING, False)


def test_boot_gives_a_machine_up_whose_server_asks_for_no_key_although_it_should() -> None:
    world = a_guarded_world()
    world.server.key = None

    outcome = world.run(JOB)

    assert isinstance(outcome, Next)
    assert outcome.step is StepName.RELEASE
    rental = world.rental()
    assert (rental.state, rental.end_detail) == (RentalState.RELEASING, "its server asks for no key")


def test_boot_waits_for_a_server_that_does_not_take_its_key() -> None:
    world = a_guarded_world()
    world.server.key = "of another machine"

    assert isinstance(world.run(JOB), Again)

    assert (world.rental().state, world.rental().is_open) == (RentalState.CREATED, True)


def test_boot_waits_while_it_is_not_known_whether_the_machine_is_closed() -> None:
    world = a_guarded_world()
    open_one = world.server.open

    def open_or_fail(kind: str, url: str, api_key: str | None = None) -> ModelServer:
        server = open_one(kind, url, api_key)
        return server if api_key else FailingServer(ServerUnreachableError("The connection broke."))

    world.server.open = open_or_fail  # type: ignore[method-assign]

    assert isinstance(world.run(JOB), Again)

    assert (world.rental().state, world.rental().is_open) == (RentalState.CREATED, True)


def test_boot_calls_a_machine_open_that_was_ordered_so() -> None:
    world = a_world(DARK, instances=(an_instance(),), seconds=30)

    world.run(JOB)

    assert (world.rental().is_open, world.server.api_keys) == (True, [None])


@pytest.mark.parametrize(
    ("seconds", "delay_seconds"),
    [(0, 2), (9, 2), (10, 5), (59, 5), (60, 10), (179, 10), (180, 15), (359, 15)],
)
def test_boot_looks_again_less_and_less_often(seconds: float, delay_seconds: int) -> None:
    world = a_world(a_created_rental(), instances=(LOADING,), seconds=seconds)

    outcome = world.run(JOB)

    assert isinstance(outcome, Again)
    assert (outcome.delay_seconds, outcome.progress) == (delay_seconds, {"booting_seconds": seconds})


def test_boot_notes_until_when_the_machine_was_seen_dark() -> None:
    world = a_world(DARK, instances=(LOADING,), seconds=50)

    world.run(JOB)

    assert world.rental().last_seen_stopped_at == after(50)


@pytest.mark.parametrize(
    ("instance", "seconds", "detail"),
    [
        (replace(LOADING, actual_status="exited", status_text="crash"), 5, "exited: crash"),
        (replace(LOADING, status_text="no space left"), 5, "loading: no space left"),
        (replace(LOADING, actual_status=None), 121, "host never reported"),
        (OUTBID, 30, "running: outbid"),
    ],
)
def test_boot_gives_a_machine_up_that_will_not_come(instance: Instance, seconds: float, detail: str) -> None:
    world = a_world(DARK, instances=(instance,), seconds=seconds)

    outcome = world.run(JOB)

    assert isinstance(outcome, Next)
    assert (outcome.step, outcome.error_type) == (StepName.RELEASE, "boot_failed")
    rental = world.rental()
    assert (rental.state, rental.end_reason) == (RentalState.RELEASING, EndReason.BOOT_FAILED)
    assert rental.end_detail == detail
    assert rental.holder == JOB_ID


OWN_IMAGE = replace(DARK, template_hash="h", image_bytes=15_000_000_000)
OLLAMA_TEMPLATE = replace(DARK, template_hash="h")
EXITED = replace(LOADING, actual_status="exited", status_text="crash")


def test_boot_goes_on_to_another_machine_when_a_template_with_ollama_s_image_ends() -> None:
    world = a_world(OLLAMA_TEMPLATE, instances=(EXITED,), seconds=5)

    outcome = world.run(JOB)

    assert isinstance(outcome, Next)
    assert outcome.error_type == "boot_failed"


@pytest.mark.parametrize(
    ("rental", "instance", "detail"),
    [
        (DARK, replace(LOADING, status_text="manifest unknown"), "loading: manifest unknown"),
        (OWN_IMAGE, EXITED, "exited: crash"),
    ],
    ids=["no such image", "the caller's image ended"],
)
def test_boot_fails_the_job_with_the_first_machine_when_the_image_is_wrong(
    rental: Rental, instance: Instance, detail: str
) -> None:
    world = a_world(rental, instances=(instance,), seconds=5)

    outcome = world.run(JOB)

    sentence = f"The machine could not run the image. It is {detail}"
    assert outcome == Failed("image_failed", sentence, retryable=False)
    assert (world.rental().state, world.rental().end_detail) == (RentalState.RELEASING, detail)


@pytest.mark.parametrize(
    ("rental", "is_over"),
    [(OWN_IMAGE, True), (OLLAMA_TEMPLATE, False), (DARK, False)],
    ids=["the caller's image", "a template with Ollama's image", "the default image"],
)
def test_boot_blames_the_caller_s_image_when_two_machines_do_not_answer(
    rental: Rental, is_over: bool
) -> None:
    timeout = {"end_reason": EndReason.BOOT_TIMEOUT, "end_detail": "not ready after 60 s"}
    before = a_released_rental(rental_id=make_rental_id(JOB_ID, 2), attempt=2, **timeout)
    world = a_world(rental, before, instances=(LOADING,), seconds=61)

    outcome = world.run(JOB, boot_timeout_seconds=60)

    assert isinstance(outcome, Failed) is is_over
    assert world.rental().state is RentalState.RELEASING


OCI_ERROR = "loading: OCI runtime create failed: no such file"


@pytest.mark.parametrize(
    ("instance", "before", "is_over"),
    [
        (EXITED, "exited: crash", True),
        (replace(LOADING, status_text="OCI runtime create failed: no such file"), OCI_ERROR, True),
        (EXITED, "exited: another crash", False),
        (replace(EXITED, status_text=""), "exited", False),
        (replace(LOADING, status_text="no space left"), "loading: no space left", False),
        (OUTBID, "running: outbid", False),
    ],
    ids=["ended", "not made", "other words", "no words", "full disk", "outbid"],
)
def test_boot_blames_the_plain_image_when_it_ends_in_the_same_words_on_two_machines(
    instance: Instance, before: str, *, is_over: bool
) -> None:
    failed = a_released_rental(
        rental_id=make_rental_id(JOB_ID, 2), attempt=2, end_reason=EndReason.BOOT_FAILED, end_detail=before
    )
    world = a_world(DARK, failed, instances=(instance,), seconds=30)

    outcome = world.run(JOB)

    assert isinstance(outcome, Failed) is is_over
    if isinstance(outcome, Failed):
        assert (outcome.code, outcome.retryable) == ("image_failed", False)
        assert outcome.sentence == f"The machine could not run the image. It is {before}"
    assert world.rental().state is RentalState.RELEASING


@pytest.mark.parametrize("seconds", [60, 61, 300])
def test_boot_takes_no_longer_than_the_request_allows(seconds: float) -> None:
    world = a_world(a_created_rental(), instances=(LOADING,), seconds=seconds)

    outcome = world.run(JOB, boot_timeout_seconds=60)

    if seconds == 60:
        assert isinstance(outcome, Again)
    else:
        assert isinstance(outcome, Next)
        assert (outcome.error_type, outcome.labels) == ("boot_timeout", {"detail": "not ready after 60 s"})
        assert world.rental().end_reason is EndReason.BOOT_TIMEOUT


@pytest.mark.parametrize(
    "error",
    [ServerUnreachableError("Refused."), ServerOverloadedError("Busy."), AddressRefusedError("No.")],
    ids=repr,
)
def test_boot_waits_for_the_server_and_gives_it_up_in_the_end(error: RuneError) -> None:
    world = a_world(DARK, instances=(an_instance(),), seconds=65)
    world.server = FailingServer(error)

    assert isinstance(world.run(JOB), Again)
    world.wait(45)
    assert isinstance(world.run(JOB), Again)
    world.wait(0.001)
    given_up = world.run(JOB)

    assert isinstance(given_up, Next)
    assert given_up.labels == {"detail": "its server never answered"}
    assert world.server.close_count == 3


def test_boot_gives_a_machine_up_that_runs_without_its_port() -> None:
    world = a_world(DARK, instances=(an_instance(host_ports={}),), seconds=65)

    assert isinstance(world.run(JOB), Again)
    world.wait(46)
    given_up = world.run(JOB)

    assert isinstance(given_up, Next)
    assert given_up.labels == {"detail": "its port was never mapped"}


def test_boot_gives_the_server_its_time_when_the_machine_runs_at_the_first_look() -> None:
    world = a_world(a_created_rental(), instances=(an_instance(),), seconds=90)
    world.server = FailingServer(ServerUnreachableError("Starting."))

    assert isinstance(world.run(JOB), Again)
    assert world.rental().state is RentalState.CREATED


def test_boot_bills_a_machine_that_has_stopped_from_before_it_may_have_run() -> None:
    crashed = replace(LOADING, actual_status="exited")
    world = a_world(DARK, instances=(crashed,), seconds=300)

    world.run(JOB)

    assert world.rental().last_seen_stopped_at == DARK.last_seen_stopped_at


def test_boot_counts_its_patience_from_the_first_time_that_the_machine_ran() -> None:
    world = a_world(DARK, instances=(an_instance(),), seconds=30)
    world.server = FailingServer(ServerUnreachableError("Starting."))

    world.run(JOB)
    world.wait(20)
    world.run(JOB)

    assert (world.rental().first_seen_running_at, world.rental().last_seen_stopped_at) == (
        after(30),
        after(20),
    )


def test_boot_names_a_machine_that_lost_its_label() -> None:
    world = a_world(DARK, instances=(an_instance(label=None),), seconds=30)

    world.run(JOB)

    assert world.market.called("label") == [CONTRACT_ID]
    assert world.market.instances[0].label == DARK.label


@pytest.mark.parametrize("seconds", [5, 119.999])
def test_boot_waits_for_a_machine_that_was_never_seen_until_the_lag_is_over(seconds: float) -> None:
    world = a_world(a_created_rental(), seconds=seconds)

    assert world.run(JOB) == Again(5)
    assert world.rental() == a_created_rental()


@pytest.mark.parametrize(
    ("rental", "seconds"), [(a_created_rental(), 120.001), (DARK, 25), (a_running_rental(), 130)]
)
def test_boot_gives_a_machine_up_that_should_be_listed_and_is_not(rental: Rental, seconds: float) -> None:
    world = a_world(rental, seconds=seconds)

    outcome = world.run(JOB)

    assert isinstance(outcome, Next)
    # One incomplete listing is enough for that; so the step that follows destroys it all the same.
    assert (outcome.step, outcome.error_type) == (StepName.RELEASE, "vanished")
    assert (world.rental().state, world.rental().holder) == (RentalState.RELEASING, JOB_ID)


@pytest.mark.parametrize(
    ("error", "delay_seconds"),
    [
        (ProviderFailedError("Half a page."), 10),
        (ProviderBusyError("Too often.", 30), 30),
        (ProviderBusyError("Too often.", 900), 60),
    ],
    ids=repr,
)
def test_boot_reads_no_error_as_absence(error: RentalError, delay_seconds: int) -> None:
    world = a_world(a_running_rental(), seconds=600)
    world.market.errors["list"] = [error]

    assert world.run(replace(JOB, progress={"booting_seconds": 9})) == Again(
        delay_seconds, {"booting_seconds": 9}
    )
    assert world.rental() == a_running_rental()


def test_boot_comes_again_when_it_is_not_its_turn() -> None:
    world = a_world(DARK, seconds=30)
    world.provider_limits.back_off(Endpoint.LIST, after(33))

    assert world.run(JOB) == Again(3)


@pytest.mark.parametrize(
    ("state", "step"),
    [(RentalState.INTENDED, StepName.RECONCILE), (RentalState.RELEASING, StepName.RELEASE)],
)
def test_boot_leaves_a_machine_to_the_step_that_it_is_for(state: RentalState, step: StepName) -> None:
    assert a_world(ALIVE[state](), seconds=30).run(JOB) == Next(step)


def test_boot_rents_when_the_job_holds_nothing() -> None:
    assert a_world(a_rental_of(OTHER_JOB_ID)).run(JOB) == Next(StepName.RENT)


def test_boot_counts_a_kept_machines_time_from_its_taking() -> None:
    taken = a_running_rental(job_id=OTHER_JOB_ID, held_since=after(1000))
    world = a_world(taken, instances=(an_instance(),), seconds=1002)

    outcome = world.run(JOB)

    assert isinstance(outcome, Next)
    assert (outcome.step, outcome.phases_ms) == (StepName.PULL, {"boot": 2000})
    assert world.rental().running_at == after(90)


def test_boot_gives_a_kept_machine_that_is_busy_the_time_of_a_new_one() -> None:
    taken = a_running_rental(job_id=OTHER_JOB_ID, first_seen_running_at=after(80), held_since=after(1000))
    world = a_world(taken, instances=(an_instance(),), seconds=1001)
    world.server = FailingServer(ServerOverloadedError("Busy."))

    assert isinstance(world.run(JOB), Again)
    world.wait(44)
    assert isinstance(world.run(JOB), Again)
    world.wait(0.001)
    assert isinstance(world.run(JOB), Next)


@pytest.mark.parametrize(
    "instances",
    [(an_instance(),), (an_instance(actual_status=None, status_text=""),), (OUTBID,), ()],
    ids=["busy", "not reported", "outbid", "not listed"],
)
def test_boot_leaves_a_borrowed_machine_to_its_tenant_and_rents_another(
    instances: tuple[Instance, ...],
) -> None:
    kept = a_kept_rental_of(OTHER_JOB_ID)
    borrowed = replace(kept, state=RentalState.RUNNING, holder=JOB_ID, held_since=after(1000))
    world = a_world(borrowed, instances=instances, seconds=1400)
    world.server = FailingServer(ServerOverloadedError("Busy."))
    own = an_instance(contract_id=CONTRACT_ID + 1)

    left = world.run(JOB)
    released = world.run(a_renting_job(StepName.RELEASE, ends_as=None, rental_id=kept.rental_id))
    world.market.instances.append(own)
    rented = world.run(a_renting_job(StepName.RENT, rental_id=kept.rental_id))

    assert isinstance(left, Next)
    assert left.step is StepName.RELEASE
    assert isinstance(released, Released)
    returned = world.rental(kept.rental_id)
    assert (returned.state, returned.holder, returned.kept_until) == (
        RentalState.KEPT,
        None,
        kept.kept_until,
    )
    assert isinstance(rented, Next)
    assert [rental.job_id for rental in world.attempts] == [JOB_ID]
    assert world.market.called("destroy") == []


@pytest.mark.parametrize(("told", "noted"), [(None, 360_000), (372_000, 360_000), (372_001, 360_001)])
def test_boot_notes_a_price_that_is_higher_than_the_offer_said(told: int | None, noted: int) -> None:
    world = a_world(DARK, instances=(replace(LOADING, micro_usd_per_hour=told),), seconds=30)

    assert isinstance(world.run(JOB), Again)
    assert world.rental().prices == replace(DARK.prices, gpu_micro_usd_per_hour=noted)


@pytest.mark.parametrize(("told", "is_given_up"), [(505_000, False), (505_001, True)])
def test_boot_gives_a_machine_up_that_costs_more_than_the_caller_allows(told: int, is_given_up: bool) -> None:
    world = a_world(DARK, instances=(an_instance(micro_usd_per_hour=told),), seconds=30)

    outcome = world.run(JOB, min_dph=0, max_dph=0.5)

    assert isinstance(outcome, Next)
    if is_given_up:
        assert (outcome.step, outcome.error_type) == (StepName.RELEASE, "boot_failed")
        assert outcome.labels == {"detail": "costs 0.5050 USD per hour"}
        assert world.rental().state is RentalState.RELEASING
    else:
        assert outcome.step is StepName.PULL


def test_boot_goes_on_to_the_release_of_a_machine_that_the_janitor_gives_up_meanwhile() -> None:
    seen = a_created_rental(first_seen_running_at=after(20))
    world = a_world(instances=(an_instance(),), seconds=30)
    world.rental_store = ContestedRentalStore(
        seen, lambda found: lifecycle.ask_release(found, EndReason.ORPHANED, after(30))
    )

    outcome = world.run(JOB)

    assert isinstance(outcome, Next)
    assert (outcome.step, world.rental().state) == (StepName.RELEASE, RentalState.RELEASING)


def test_boot_uses_a_borrowed_machine_whose_price_has_risen_since_it_was_taken() -> None:
    kept = a_kept_rental_of(OTHER_JOB_ID)
    borrowed = replace(kept, state=RentalState.RUNNING, holder=JOB_ID, held_since=after(1000))
    world = a_world(borrowed, instances=(an_instance(micro_usd_per_hour=900_000),), seconds=1001)

    outcome = world.run(JOB, min_dph=0, max_dph=0.5)

    assert isinstance(outcome, Next)
    assert outcome.step is StepName.PULL


@pytest.mark.parametrize(
    ("told", "notes"),
    [
        (500_000, ()),
        (500_001, (Note("vastai.price_above_max", {"usd_per_hour": "0.500001", "max_dph": "0.5"}),)),
    ],
)
def test_boot_tells_of_a_price_that_is_above_the_highest_by_rounding(
    told: int, notes: tuple[Note, ...]
) -> None:
    world = a_world(DARK, instances=(an_instance(micro_usd_per_hour=told),), seconds=30)

    outcome = world.run(JOB, min_dph=0, max_dph=0.5)

    assert isinstance(outcome, Next)
    assert outcome.notes == notes


def test_boot_returns_a_borrowed_machine_of_the_caller_s_image_that_has_ended() -> None:
    borrowed = replace(
        OWN_IMAGE, state=RentalState.RUNNING, job_id=OTHER_JOB_ID, held_since=after(1000), url=URL
    )
    world = a_world(borrowed, instances=(EXITED,), seconds=1001)

    assert isinstance(world.run(JOB), Next)
    assert world.rental().state is RentalState.KEPT


def test_boot_leaves_the_intent_of_another_job_alone() -> None:
    world = a_world(a_rental(holder=OTHER_JOB_ID))

    assert world.run(JOB) == Next(StepName.RENT)
    assert world.rental() == a_rental(holder=OTHER_JOB_ID)
