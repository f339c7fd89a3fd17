import json
from dataclasses import replace
from datetime import datetime
from typing import override

import pytest

from rune.contracts import LlmInstanceResult, StoredBenchmarkResult
from rune.errors import (
    ProviderBusyError,
    ProviderFailedError,
    ProviderKeyError,
    RentalError,
    StoreUnavailableError,
    UnreadableRowError,
)
from rune.jobs.engine import NO_REQUEST, REQUEST_TRIES
from rune.jobs.outcomes import Again, Done, Next, Outcome, Released, Spending
from rune.jobs.record import Job, Kind, Status, StepName
from rune.jobs.step import StepContext
from rune.rentals import lifecycle
from rune.rentals.hosts import HostRecord, HostReport
from rune.rentals.instance import Listing
from rune.rentals.record import EndReason, Rental, RentalState
from rune.rentals.store import Endpoint
from rune.storage.change import Change, apply, make_change
from rune.workflows.rental.receipt import CHOSEN_AS_KEPT
from tests.builders import JOB_ID, NOW, FakeClock, a_step_context, after
from tests.memory_host_store import MemoryHostStore
from tests.memory_rental_store import ContestedRentalStore, MemoryRentalStore
from tests.rental_builders import (
    ACCOUNT_ID,
    ALIVE,
    CONTRACT_ID,
    MODEL,
    OTHER_JOB_ID,
    RENTAL_ID,
    URL,
    a_created_rental,
    a_kept_rental,
    a_kept_rental_of,
    a_label,
    a_listing,
    a_released_rental,
    a_releasing_rental,
    a_rental,
    a_rental_of,
    a_running_rental,
    an_instance,
)
from tests.unit.rentals.scripted import ScriptedMarket
from tests.unit.workflows.benchmark.sweeps import Bench, a_question
from tests.unit.workflows.rental.world import World, a_renting_job, a_world

MACHINE = an_instance()
COST_AT_400 = 1_334 + 34_000 + 14_700 + 6_000
"""400 s of disk, 340 s of GPU, 4.9 GB and the image, each rounded up."""


def without_uses(outcome: Outcome) -> Outcome:
    """Return an outcome without what each machine cost; see `test_machine_uses`."""
    return replace(outcome, uses=()) if isinstance(outcome, Released) else outcome


def a_releasing_job(ends_as: Status | None = Status.SUCCEEDED, **overrides: object) -> Job:
    claimed = {"ends_as": ends_as, "rental_id": RENTAL_ID, "updated_at": after(400)}
    return a_renting_job(StepName.RELEASE, **{**claimed, **overrides})


JOB = a_releasing_job()
LLM_DRAFT = LlmInstanceResult(mode="vastai", backend_url=URL, model_name=MODEL).model_dump_json()


def test_release_destroys_the_machine_and_proves_it_gone_by_a_listing_of_its_own() -> None:
    world = a_world(a_running_rental(), instances=(MACHINE,), seconds=400)
    # Without the machine, but begun before it was destroyed.
    world.provider_limits.share_listing(a_listing(begun_at=after(399)))

    outcome = world.run(JOB)

    assert without_uses(outcome) == Released(None, {"left": "nothing"}, Spending(RENTAL_ID, COST_AT_400))
    rental = world.rental()
    assert (rental.state, rental.end_reason) == (RentalState.RELEASED, EndReason.JOB_ENDED)
    assert (rental.released_at, rental.cost_micro_usd) == (after(400), COST_AT_400)
    # Due is what remains: to read what the provider has charged.
    assert (rental.due_at, rental.holder) == (after(400) + lifecycle.CHARGES_READ_EVERY, None)
    assert [name for name, _ in world.market.calls] == ["destroy", "list", "show"]


def test_release_proves_nothing_with_the_key_of_another_account() -> None:
    world = a_world(a_running_rental(account_id=ACCOUNT_ID + 1), seconds=400)

    outcome = world.run(JOB)

    assert isinstance(outcome, Again)
    assert (outcome.delay_seconds, world.rental().state) == (60, RentalState.RELEASING)


def test_release_proves_nothing_while_a_read_of_the_machine_itself_shows_it() -> None:
    world = a_world(a_running_rental(), instances=(MACHINE,), seconds=400)
    world.market.unlisted = frozenset({CONTRACT_ID})
    world.market.is_destroying = False

    assert isinstance(world.run(JOB), Again)
    assert world.rental().state is RentalState.RELEASING


@pytest.mark.parametrize("ends_as", [Status.FAILED, Status.CANCELLED, None])
def test_release_destroys_the_machine_when_the_job_did_not_go_well(ends_as: Status | None) -> None:
    world = a_world(a_running_rental(), instances=(MACHINE,), seconds=400)

    outcome = world.run(a_releasing_job(ends_as), vastai_stop_instance=False)

    assert isinstance(outcome, Released)
    assert world.market.called("destroy") == [CONTRACT_ID]


def test_release_waits_as_long_as_the_machine_is_listed() -> None:
    world = a_world(a_releasing_rental(), instances=(MACHINE,), seconds=400)
    world.market.is_destroying = False

    for _ in range(10):
        assert world.run(JOB) == Again(3, spending=world.dependencies.spending(JOB, world.rental()))
        world.wait(3)

    assert world.rental().state is RentalState.RELEASING
    # Once more every 15 seconds, in case the provider forgot.
    assert world.market.called("destroy") == [CONTRACT_ID] * 2


@pytest.mark.parametrize(
    ("call", "error", "delay_seconds"),
    [
        ("destroy", ProviderFailedError("Down."), 10),
        ("destroy", ProviderKeyError("Unknown key."), 60),
        ("destroy", ProviderBusyError("Too often.", 30), 30),
        ("destroy", ProviderBusyError("Too often.", 900), 60),
        ("list", ProviderFailedError("Half a page."), 10),
        ("list", ProviderKeyError("Unknown key."), 60),
        ("list", ProviderBusyError("Too often."), 10),
    ],
)
def test_release_reads_no_error_as_absence(call: str, error: RentalError, delay_seconds: int) -> None:
    world = a_world(a_running_rental(), seconds=400)
    world.market.errors[call] = [error]

    outcome = world.run(JOB)

    assert isinstance(outcome, Again)
    assert outcome.delay_seconds == delay_seconds
    assert world.rental().state is RentalState.RELEASING


def test_release_tells_why_it_waits_whenever_the_wait_has_doubled() -> None:
    world = a_world(a_running_rental(), seconds=400)
    told_after_minutes = []

    for number in range(6 * 60):
        world.market.errors["destroy"] = [ProviderFailedError("Down.")]
        outcome = world.run(JOB)
        assert isinstance(outcome, Again)
        for note in outcome.notes:
            assert (note.name, note.error_type) == ("provider.teardown", "provider_failed")
            assert note.labels == {"step": "release", "detail": "Down."}
            told_after_minutes.append(number // 6)
        world.wait(outcome.delay_seconds)

    assert told_after_minutes == [0, 0, 1, 3, 7, 15, 31]


@pytest.mark.parametrize("endpoint", [Endpoint.DESTROY, Endpoint.LIST])
def test_release_comes_again_when_it_is_not_its_turn(endpoint: Endpoint) -> None:
    world = a_world(a_releasing_rental(), instances=(MACHINE,), seconds=400)
    world.provider_limits.back_off(endpoint, after(404))

    outcome = world.run(JOB)

    assert isinstance(outcome, Again)
    assert outcome.delay_seconds == 4


def test_release_believes_a_machine_that_was_never_seen_gone_only_after_the_lag() -> None:
    world = a_world(a_created_rental(), seconds=120)

    assert isinstance(world.run(JOB), Again)
    world.wait(3)

    assert isinstance(world.run(JOB), Released)
    assert world.rental().released_at == after(123)


def test_release_believes_a_fresh_machine_gone_only_when_it_could_have_been_listed() -> None:
    world = a_world(a_created_rental(), instances=(MACHINE,), seconds=25)

    first = world.run(JOB)
    world.wait(6)

    assert isinstance(first, Again)
    assert isinstance(world.run(JOB), Released)
    assert (world.rental().destroyed_at, world.rental().released_at) == (after(25), after(31))


@pytest.mark.parametrize("contract_id", [CONTRACT_ID, None])
def test_release_notes_what_a_machine_costs_that_nobody_looked_at(contract_id: int | None) -> None:
    dear = an_instance(micro_usd_per_hour=900_000)
    world = a_world(a_created_rental(contract_id=contract_id), instances=(dear,), seconds=60)

    world.run(JOB)

    assert world.rental().prices.micro_usd_per_hour == 900_000
    assert world.market.called("destroy") == [CONTRACT_ID]


def test_release_destroys_a_machine_that_nobody_looked_at_though_nobody_may_list() -> None:
    world = a_world(a_created_rental(), instances=(MACHINE,), seconds=60)
    world.provider_limits.back_off(Endpoint.LIST, after(90))

    world.run(JOB)

    assert world.market.called("destroy") == [CONTRACT_ID]


def test_release_destroys_a_fresh_machine_again_that_shows_up_in_spite_of_the_providers_word() -> None:
    world = a_world(a_created_rental(), instances=(MACHINE,), seconds=5)
    world.market.is_destroying = False
    world.run(JOB)
    world.market.is_destroying = True
    world.wait(20)

    world.run(JOB)

    assert world.market.called("destroy") == [CONTRACT_ID, CONTRACT_ID]


def test_release_waits_for_an_order_whose_answer_was_lost() -> None:
    world = a_world(a_rental(), seconds=90)

    assert isinstance(world.run(JOB), Again)
    assert (world.rental().state, world.market.called("destroy")) == (RentalState.RELEASING, [])
    world.wait(29.999)
    assert isinstance(world.run(JOB), Again)
    world.wait(3)
    assert isinstance(world.run(JOB), Again)
    world.wait(63)
    assert isinstance(world.run(JOB), Released)
    assert (world.rental().state, world.rental().cost_micro_usd) == (RentalState.RELEASED, 0)


def test_release_destroys_what_a_lost_order_made_after_all() -> None:
    world = a_world(a_rental(), seconds=60)
    world.run(JOB)
    world.market.instances = [MACHINE]
    world.wait(6)

    world.run(JOB)

    assert world.market.called("destroy") == [CONTRACT_ID]
    assert world.rental().contract_id == CONTRACT_ID


def test_release_reads_no_error_as_the_absence_of_a_lost_orders_machine() -> None:
    world = a_world(a_rental(), seconds=600)
    world.market.errors["list"] = [ProviderFailedError("Half a page.")]

    assert isinstance(world.run(JOB), Again)
    assert world.rental().is_alive


def test_release_destroys_both_when_two_machines_carry_one_label() -> None:
    world = a_world(a_releasing_rental(), instances=(MACHINE, replace(MACHINE, contract_id=7)), seconds=400)

    for _ in range(20):
        if isinstance(world.run(JOB), Released):
            break
        world.wait(5)

    assert world.market.instances == []


@pytest.mark.parametrize(
    ("kind", "request_fields"),
    [(Kind.BENCHMARK, {"vastai_stop_instance": False}), (Kind.LLM_INSTANCE, {})],
)
def test_release_keeps_the_machine_of_a_job_that_went_well_where_it_is_wanted(
    kind: Kind, request_fields: dict[str, object]
) -> None:
    world = a_world(a_running_rental(), instances=(MACHINE,), seconds=400)

    outcome = world.run(a_releasing_job(kind=kind), keep_seconds=600, **request_fields)

    assert without_uses(outcome) == Released(None, {"left": "kept"}, Spending(RENTAL_ID, COST_AT_400))
    rental = world.rental()
    assert (rental.state, rental.kept_until) == (RentalState.KEPT, after(1000))
    assert (rental.holder, world.market.calls) == (None, [])


@pytest.mark.parametrize("kind", [Kind.BENCHMARK, Kind.LLM_INSTANCE])
def test_release_keeps_no_machine_of_a_job_that_was_cancelled_during_the_release(kind: Kind) -> None:
    world = a_world(a_running_rental(), instances=(MACHINE,), seconds=400)
    request = {"vastai_stop_instance": False} if kind is Kind.BENCHMARK else {}

    outcome = world.run(a_releasing_job(kind=kind, cancel_requested_at=after(399)), **request)

    assert isinstance(outcome, Released)
    assert world.market.called("destroy") == [CONTRACT_ID]
    assert world.rental().state is RentalState.RELEASED


def test_release_destroys_a_machine_that_was_kept_while_the_cancel_request_came() -> None:
    world = a_world(a_kept_rental(), instances=(MACHINE,), seconds=400)
    world.market.is_destroying = False

    first = world.run(a_releasing_job(Status.CANCELLED))
    world.market.is_destroying = True
    world.wait(16)
    second = world.run(a_releasing_job(Status.CANCELLED))

    assert isinstance(first, Again)
    assert isinstance(second, Released)
    assert world.rental().state is RentalState.RELEASED


def test_job_ends_when_a_machine_is_gone_again_that_came_back_and_tells_what_it_cost() -> None:
    gone = a_released_rental()
    back = apply(lifecycle.reopen(gone, CONTRACT_ID, after(380)), gone)
    second = a_released_rental(rental_id=f"{JOB_ID}-2", attempt=2, contract_id=7)
    world = a_world(back, second, instances=(MACHINE,), seconds=400)
    world.market.is_destroying = False
    job = a_releasing_job(rental_id=second.rental_id)

    first = world.run(job)
    world.market.is_destroying = True
    world.wait(16)
    last = world.run(job)

    # What it has used last is another one.
    assert isinstance(first, Again)
    assert first.spending.rental_id is None
    assert isinstance(last, Released)
    assert last.spending.rental_id == second.rental_id
    assert world.rental().state is RentalState.RELEASED
    told = {use.rental_id: sum(line.micro_usd for line in use.lines) for use in last.uses}
    assert told == {each.rental_id: each.cost_micro_usd for each in world.attempts}


def test_job_waits_for_a_machine_that_came_back_when_it_has_given_its_own_back() -> None:
    back = apply(lifecycle.reopen(a_released_rental(), CONTRACT_ID, after(380)), a_released_rental())
    own = a_running_rental(rental_id=f"{JOB_ID}-2", attempt=2, contract_id=7, label=a_label(attempt=2))
    world = a_world(back, own, instances=(MACHINE,), seconds=400)

    outcome = world.run(a_releasing_job(rental_id=own.rental_id))

    assert isinstance(outcome, Again)
    assert world.rental(own.rental_id).state is RentalState.RELEASED


def test_job_that_goes_on_does_not_wait_for_a_machine_that_came_back() -> None:
    back = apply(lifecycle.reopen(a_released_rental(), CONTRACT_ID, after(380)), a_released_rental())
    world = a_world(back, instances=(MACHINE,), seconds=400)

    assert isinstance(world.run(a_releasing_job(None)), Released)


def test_job_that_ends_after_another_has_taken_its_machine_books_what_that_had_cost() -> None:
    running = a_running_rental(budget_at=NOW)
    kept = apply(lifecycle.keep(running, after(900), after(400)), running)
    taken = apply(lifecycle.take_kept(kept, OTHER_JOB_ID, after(410)), kept)
    world = a_world(taken, instances=(MACHINE,), seconds=500)

    # The worker that kept it died; what its job was told before was more, by another clock.
    outcome = world.run(a_releasing_job(cost_micro_usd=COST_AT_400 + 9, reserved_micro_usd=10**6))

    assert isinstance(outcome, Released)
    assert outcome.spending == Spending(RENTAL_ID, COST_AT_400 + 9, shared_micro_usd=9)
    assert sum(line.micro_usd for line in outcome.uses[0].lines) == COST_AT_400


@pytest.mark.parametrize("ends_as", [Status.SUCCEEDED, Status.FAILED])
def test_release_leaves_a_machine_that_was_kept_when_the_job_was_not_cancelled(ends_as: Status) -> None:
    world = a_world(a_kept_rental(), instances=(MACHINE,), seconds=400)

    assert isinstance(world.run(a_releasing_job(ends_as)), Released)
    assert world.rental() == a_kept_rental()


def test_release_of_a_cancelled_job_leaves_another_jobs_kept_machine() -> None:
    kept = a_kept_rental_of(OTHER_JOB_ID)
    world = a_world(kept, instances=(MACHINE,), seconds=400)

    world.run(a_releasing_job(Status.CANCELLED, rental_id=kept.rental_id))

    assert world.rental(kept.rental_id) == kept


def test_release_keeps_no_machine_beyond_its_ceiling() -> None:
    world = a_world(a_running_rental(ceiling_at=after(500)), instances=(MACHINE,), seconds=400)

    world.run(JOB, vastai_stop_instance=False)

    assert world.rental().kept_until == after(500)


@pytest.mark.parametrize("state", [RentalState.INTENDED, RentalState.CREATED, RentalState.RELEASING])
def test_release_keeps_no_machine_that_does_not_run(state: RentalState) -> None:
    world = a_world(ALIVE[state](), instances=(MACHINE,), seconds=400)

    world.run(JOB, vastai_stop_instance=False)

    assert world.market.called("destroy") == [CONTRACT_ID]


class SlowMarket(ScriptedMarket):
    """A listing is under way for a minute, and shows what is there at its end."""

    clock: FakeClock

    async def list_instances(self, begun_at: datetime) -> Listing:
        self.clock.advance(60)
        return await super().list_instances(begun_at)


def test_release_bills_a_machine_until_the_listing_without_it_had_come() -> None:
    world = a_world(a_releasing_rental(destroy_asked_at=after(395), destroyed_at=after(395)), seconds=400)
    world.market = SlowMarket()
    world.market.clock = world.clock

    world.run(JOB)

    assert world.rental().released_at == after(400)
    assert world.rental().cost_micro_usd == COST_AT_400 + 200 + 6_000


@pytest.mark.parametrize("ends_as", [*[Status.SUCCEEDED, Status.FAILED, Status.CANCELLED], None])
def test_release_leaves_a_machine_that_it_found_kept_as_it_found_it(ends_as: Status | None) -> None:
    kept = a_kept_rental(job_id=OTHER_JOB_ID)
    borrowed = replace(kept, state=RentalState.RUNNING, holder=JOB_ID, held_since=after(400))
    world = a_world(borrowed, instances=(MACHINE,), seconds=500)

    outcome = world.run(a_releasing_job(ends_as))

    # 100 s of disk and GPU, and nothing that came before.
    assert without_uses(outcome) == Released(None, {"left": "kept"}, Spending(RENTAL_ID, 334 + 10_000))
    use = {"used_by": JOB_ID, "used_micro_usd": 334 + 10_000}
    assert world.rental() == replace(kept, version=7, updated_at=after(500), **use)  # type: ignore[arg-type]
    assert world.market.calls == []


def test_use_of_a_kept_machine_is_charged_whose_worker_was_lost_as_it_returned_it() -> None:
    kept = a_kept_rental_of(OTHER_JOB_ID, used_by=JOB_ID, used_micro_usd=90_000)
    world = a_world(kept, seconds=500)

    outcome = world.run(a_releasing_job(rental_id=f"{OTHER_JOB_ID}-1", cost_micro_usd=20_000))

    assert isinstance(outcome, Released)
    assert (outcome.spending.cost_micro_usd, outcome.spending.borrowed_micro_usd) == (90_000, 90_000)


def a_borrowed_rental() -> Rental:
    """Return a machine of another job's that was kept, and that the job has taken."""
    return replace(a_kept_rental_of(OTHER_JOB_ID), state=RentalState.RUNNING, holder=JOB_ID, contract_id=7)


def test_release_goes_on_until_the_job_holds_nothing_when_it_holds_two_machines() -> None:
    world = a_world(a_borrowed_rental(), a_running_rental(), instances=(MACHINE,), seconds=400)

    first, second = world.run(JOB), world.run(JOB)

    assert isinstance(first, Again)
    assert (first.delay_seconds, isinstance(second, Released)) == (1, True)
    assert world.market.called("destroy") == [CONTRACT_ID]
    assert [rental.holder for rental in world.rental_store.rentals.values()] == [None, None]


def test_release_leaves_a_borrowed_machine_alone_that_another_job_has_by_now() -> None:
    def take(found: Rental) -> Change:
        return make_change("take", after(400), requires=(), sets={"holder": "a later job"})

    borrowed = a_borrowed_rental()
    world = World(ContestedRentalStore(borrowed, take))

    assert isinstance(world.run(JOB), Released)
    left = world.rental(borrowed.rental_id)
    assert (left.state, left.holder) == (RentalState.RUNNING, "a later job")


@pytest.mark.parametrize(
    "later",
    [a_running_rental(held_since=after(470)), replace(a_borrowed_rental(), held_since=after(470))],
    ids=["rented", "borrowed"],
)
def test_release_leaves_a_machine_alone_that_the_job_took_after_the_turn_began(later: Rental) -> None:
    """The worker stood still and was taken for lost, and the job goes on with this machine."""
    world = a_world(later, instances=(MACHINE,), seconds=500)

    outcome = world.run(a_releasing_job(None))

    assert isinstance(outcome, Again)
    assert world.rental(later.rental_id) == later
    assert world.market.calls == []


def test_release_leaves_a_machine_alone_that_the_job_gave_back_and_took_again_meanwhile() -> None:
    def take_again(found: Rental) -> Change:
        return make_change("take", after(470), requires=(), sets={"held_since": after(470)})

    borrowed = replace(a_borrowed_rental(), held_since=after(300))
    world = World(ContestedRentalStore(borrowed, take_again))

    assert isinstance(world.run(JOB), Again)
    left = world.rental(borrowed.rental_id)
    assert (left.state, left.holder) == (RentalState.RUNNING, JOB_ID)


def test_release_destroys_a_machine_that_it_found_kept_when_that_was_given_up() -> None:
    world = a_world(a_releasing_rental(job_id=OTHER_JOB_ID), instances=(MACHINE,), seconds=400)

    world.run(JOB)

    assert world.market.called("destroy") == [CONTRACT_ID]


def test_release_has_nothing_to_do_when_the_job_never_rented() -> None:
    world = a_world(a_rental_of(OTHER_JOB_ID))

    outcome = world.run(a_releasing_job(Status.FAILED, rental_id=None))

    assert without_uses(outcome) == Released(None, {"left": "nothing"}, Spending(None, 0))
    assert world.market.calls == []


def test_release_is_done_when_the_janitor_was_faster() -> None:
    world = a_world(a_released_rental(), seconds=400)

    assert without_uses(world.run(JOB)) == Released(None, {"left": "nothing"}, Spending(RENTAL_ID, 51_400))


@pytest.mark.parametrize(("is_open", "warnings"), [(True, ["open_to_the_world"]), (False, [])])
def test_release_warns_of_a_machine_that_is_open_to_the_world(is_open: bool, warnings: list[str]) -> None:
    world = a_world(a_running_rental(is_open=is_open), instances=(MACHINE,), seconds=400)

    outcome = world.run_with_draft(
        a_releasing_job(kind=Kind.LLM_INSTANCE, rental_id=RENTAL_ID), LLM_DRAFT, keep_seconds=600
    )

    assert isinstance(outcome, Released)
    assert json.loads(outcome.result_json or "")["warnings"] == warnings


def test_release_puts_the_receipt_into_the_result() -> None:
    failed = a_released_rental(cost_micro_usd=10_000, contract_id=7)
    used: Rental = replace(
        a_running_rental(has_self_destruct=True, choice="It was the only one."),
        rental_id=f"{JOB_ID}-2",
        attempt=2,
        label="rune-x",
    )
    world = a_world(failed, used, instances=(replace(MACHINE, label="rune-x"),), seconds=400)

    outcome = world.run_with_draft(
        a_releasing_job(kind=Kind.LLM_INSTANCE, rental_id=used.rental_id), LLM_DRAFT, keep_seconds=600
    )

    assert isinstance(outcome, Released)
    result = json.loads(outcome.result_json or "")
    assert result["contract_id"] == CONTRACT_ID
    assert result["rental"] == {
        "rental_id": used.rental_id,
        "provider": "vastai",
        "contract_id": CONTRACT_ID,
        "machine_id": 15_401,
        "gpu_name": "RTX 4090",
        "gpu_count": 1,
        "vram_mb": 24_564,
        "disk_gb": 40,
        "place": "Sweden, SE",
        "price_usd_per_hour": 0.372,
        "cost_usd": (10_000 + COST_AT_400) / 1_000_000,
        "attempt_count": 2,
        "downloaded_bytes": 4_900_000_000,
        "is_reused": False,
        "rented_at": "2026-11-23T12:00:00Z",
        "released_at": None,
        "kept_until": "2026-11-23T12:16:40Z",
        "chosen_because": "It was the only one.",
        "is_open_to_the_world": True,
        "destroys_itself": None,
    }


def a_benchmark_draft() -> str:
    """Return a benchmark's result as its last step leaves it."""
    outcome = Bench().run(a_question())
    assert isinstance(outcome, Done)
    return outcome.result_json


def test_release_puts_the_cost_where_clients_look_for_it() -> None:
    world = a_world(a_running_rental(), instances=(MACHINE,), seconds=400)

    outcome = world.run_with_draft(JOB, a_benchmark_draft())

    assert isinstance(outcome, Released)
    result = StoredBenchmarkResult.model_validate_json(outcome.result_json or "")
    assert result.telemetry.cost_estimate_usd == COST_AT_400 / 1_000_000
    assert result.rental is not None
    assert (result.rental.released_at, result.rental.kept_until) == (after(400), None)


def test_release_closes_a_borrower_s_bill_and_tells_why_it_has_that_machine() -> None:
    kept = replace(a_borrowed_rental(), choice="The owner's plan.", held_since=after(300))
    world = a_world(kept, seconds=400)

    outcome = world.run_with_draft(JOB, a_benchmark_draft())

    assert isinstance(outcome, Released)
    result = StoredBenchmarkResult.model_validate_json(outcome.result_json or "")
    assert result.rental is not None
    assert result.report is not None
    assert (result.rental.chosen_because, result.rental.downloaded_bytes) == (CHOSEN_AS_KEPT, 0)
    assert "cost_so_far" not in result.report.warnings


def test_release_bills_a_fresh_machine_only_until_no_look_showed_it() -> None:
    fresh = a_created_rental(state=RentalState.RELEASING, release_asked_at=after(5))
    world = a_world(fresh, instances=(MACHINE,), seconds=5)
    world.market.unlisted = frozenset({CONTRACT_ID})

    world.run(JOB)
    # Two listings in a second are too many.
    world.wait(2)
    world.run(JOB)
    world.wait(40)
    outcome = world.run(JOB)

    assert isinstance(outcome, Released)
    assert world.rental().absent_at == after(7)
    # 7 s of disk and of GPU, and the image.
    assert world.rental().cost_micro_usd == 24 + 700 + 6_000


def test_release_bills_a_machine_on_that_a_later_look_shows() -> None:
    gone_for_a_while = a_created_rental(
        state=RentalState.RELEASING,
        release_asked_at=after(5),
        destroy_asked_at=after(5),
        destroyed_at=after(5),
        absent_at=after(6),
    )
    world = a_world(gone_for_a_while, instances=(MACHINE,), seconds=12)

    world.run(JOB)

    assert world.rental().absent_at is None


def unreadable() -> str:
    raise StoreUnavailableError("The bucket cannot be reached now.")


def test_release_gives_the_machine_back_before_it_reads_the_result() -> None:
    world = a_world(a_running_rental(), instances=(MACHINE,), seconds=400)
    context = replace(a_step_context(JOB), read_draft=unreadable)

    with pytest.raises(StoreUnavailableError):
        world.run_context(context)

    assert world.market.called("destroy") == [CONTRACT_ID]
    assert world.rental().state is RentalState.RELEASED


@pytest.mark.parametrize("failures", [0, 9])
def test_release_is_tried_again_when_the_result_cannot_be_read(failures: int) -> None:
    world = a_world(a_released_rental(), seconds=400)
    context = replace(a_step_context(a_releasing_job(failures=failures)), read_draft=unreadable)

    with pytest.raises(StoreUnavailableError):
        world.run_context(context)


def test_release_leaves_the_result_without_receipt_when_it_can_never_be_read() -> None:
    world = a_world(a_released_rental(), seconds=400)
    context = replace(a_step_context(a_releasing_job(failures=10)), read_draft=unreadable)

    labels = {"left": "nothing", "missing": "receipt"}
    assert without_uses(world.run_context(context)) == Released(None, labels, Spending(RENTAL_ID, 51_400))


@pytest.mark.parametrize("draft_json", ["not JSON", '{"a_field_of_another_version": 1}'])
def test_release_waits_only_so_long_for_a_version_that_understands_the_result(
    draft_json: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = a_world(a_released_rental(), seconds=400)

    with pytest.raises(UnreadableRowError):
        world.run_with_draft(a_releasing_job(failures=9), draft_json)
    outcome = world.run_with_draft(a_releasing_job(failures=10), draft_json)

    labels = {"left": "nothing", "missing": "receipt"}
    assert without_uses(outcome) == Released(None, labels, Spending(RENTAL_ID, 51_400))
    (line,) = [record for record in caplog.records if record.msg == "release.incomplete"]
    assert (line.__dict__["job_id"], line.__dict__["reason"]) == (JOB_ID, "receipt")


class BilllessStore(MemoryRentalStore):
    """Does not give the rentals that a job ordered."""

    @override
    def read_attempts(self, job_id: str) -> tuple[Rental, ...]:
        raise StoreUnavailableError("The table cannot be reached now.")


def test_release_ends_without_the_bill_when_it_can_never_be_read() -> None:
    world = World(BilllessStore())

    with pytest.raises(StoreUnavailableError):
        world.run(a_releasing_job(failures=9))
    assert world.run(a_releasing_job(failures=10)) == Released(None, {"left": "nothing", "missing": "bill"})


def test_release_never_ends_without_proof_when_the_rentals_cannot_be_read() -> None:
    class BlindStore(MemoryRentalStore):
        """Does not tell what is held."""

        @override
        def read_alive(self, tenant: str, *, needed_by: str | None = None) -> tuple[Rental, ...]:
            raise StoreUnavailableError("The table cannot be reached now.")

    with pytest.raises(StoreUnavailableError):
        World(BlindStore()).run(a_releasing_job(failures=1000))


def test_job_goes_on_paying_for_a_machine_that_it_had_found_kept_and_lost() -> None:
    other = a_rental_of(OTHER_JOB_ID)
    lost = a_releasing_rental(
        rental_id=other.rental_id, label=other.label, job_id=OTHER_JOB_ID, held_since=after(400)
    )
    world = a_world(lost, seconds=500)
    used = {"rental_id": other.rental_id, "cost_micro_usd": 10_334}

    released = world.run(a_releasing_job(None, **used))
    assert isinstance(released, Released)
    borrowed = released.spending.borrowed_micro_usd
    rented = world.run(a_renting_job(StepName.RENT, **used, borrowed_micro_usd=borrowed))

    assert released.spending == Spending(other.rental_id, 10_334, 10_334)
    assert isinstance(rented, Next)
    # What it had cost, and the image's traffic of the next one.
    assert replace(rented.spending, cost_cap_at=None) == Spending(RENTAL_ID, 10_334 + 4_000, 10_334)


@pytest.mark.parametrize("kind", [Kind.BENCHMARK, Kind.LLM_INSTANCE])
def test_release_destroys_the_machine_when_the_request_is_gone_from_the_table(kind: Kind) -> None:
    world = a_world(a_running_rental(), instances=(MACHINE,), seconds=400)

    outcome = world.run_context(StepContext(a_releasing_job(kind=kind), NO_REQUEST, 45.0))

    assert isinstance(outcome, Released)
    assert world.rental().state is RentalState.RELEASED


def test_release_waits_only_so_long_for_a_version_that_understands_the_request() -> None:
    world = a_world(a_running_rental(), instances=(MACHINE,), seconds=400)
    of_later_version = '{"vastai": true, "boot_timeout_seconds": 7200}'
    waiting = a_releasing_job(kind=Kind.LLM_INSTANCE, failures=REQUEST_TRIES - 1)
    tired = a_releasing_job(kind=Kind.LLM_INSTANCE, failures=REQUEST_TRIES)

    with pytest.raises(UnreadableRowError):
        world.run_context(StepContext(waiting, of_later_version, 45.0))
    assert world.rental().state is RentalState.RUNNING
    assert isinstance(world.run_context(StepContext(tired, of_later_version, 45.0)), Released)
    assert world.rental().state is RentalState.RELEASED


def test_release_tells_later_jobs_how_fast_the_host_was() -> None:
    world = a_world(a_running_rental(), seconds=400)

    assert isinstance(world.run(a_releasing_job(phases_ms={"pull": 49_000})), Released)

    assert world.hosts.read({15_401}, after(400)) == {15_401: HostRecord(0, None, 800.0)}


def test_release_tells_later_jobs_that_the_host_failed_once_its_machine_is_gone() -> None:
    failed = a_releasing_rental(end_reason=EndReason.BOOT_FAILED, end_detail="host never reported")
    world = a_world(failed, instances=(MACHINE,), seconds=400)
    world.market.is_destroying = False

    assert isinstance(world.run(JOB), Again)
    assert world.hosts.read({15_401}, after(400)) == {}

    world.market.instances = []
    world.wait(3)
    assert isinstance(world.run(JOB), Released)
    assert world.hosts.read({15_401}, after(403)) == {15_401: HostRecord(1, after(403))}


class UnreachableHosts(MemoryHostStore):
    @override
    def note(self, report: HostReport) -> None:
        raise StoreUnavailableError("Down.")


def test_release_does_not_wait_for_a_report_that_cannot_be_written() -> None:
    world = a_world(a_running_rental(), seconds=400)
    world.hosts = UnreachableHosts()

    assert isinstance(world.run(JOB), Released)


def test_release_does_not_report_the_host_of_a_machine_that_it_borrowed() -> None:
    borrowed = a_running_rental(job_id=OTHER_JOB_ID, held_since=after(350))
    world = a_world(borrowed, seconds=400)

    assert isinstance(world.run(a_releasing_job(phases_ms={"pull": 49_000})), Released)
    assert world.hosts.read({15_401}, after(400)) == {}


def a_job_giving_back(**overrides: object) -> Job:
    return a_renting_job(StepName.GIVE_BACK, **{"rental_id": RENTAL_ID, **overrides})


def test_giving_back_destroys_the_machine_and_closes_its_bill() -> None:
    world = a_world(a_running_rental(), instances=(MACHINE,), seconds=400)

    outcome = world.run(a_job_giving_back())

    assert without_uses(outcome) == Released(None, {"left": "nothing"}, Spending(RENTAL_ID, COST_AT_400))
    assert (world.rental().state, world.rental().cost_micro_usd) == (RentalState.RELEASED, COST_AT_400)


def test_giving_back_waits_for_the_proof_only_so_long() -> None:
    world = a_world(a_running_rental(), instances=(MACHINE,), seconds=400)
    world.market.is_destroying = False

    outcomes = []
    for _ in range(2):
        outcomes.append(world.run(a_job_giving_back()))
        world.wait(61)

    assert [type(outcome) for outcome in outcomes] == [Again, Released]
    assert isinstance(outcomes[1], Released)
    assert outcomes[1].labels == {"left": "unproven"}
    assert (world.rental().state, world.rental().holder) == (RentalState.RELEASING, JOB_ID)
    assert world.market.called("destroy") == [CONTRACT_ID, CONTRACT_ID]


def test_release_proves_what_was_given_back_without_a_proof() -> None:
    world = a_world(a_releasing_rental(), instances=(), seconds=400)

    outcome = world.run(JOB)

    assert isinstance(outcome, Released)
    assert world.rental().state is RentalState.RELEASED
