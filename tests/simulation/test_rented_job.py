"""One job on a rented machine when nothing goes wrong: what it does, what it costs, and for whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from local.simulators.vastai import BootScript, Contract, Endpoint
from rune.contracts import LlmInstanceResult, StoredBenchmarkResult
from rune.jobs.plan import Lane
from rune.jobs.receipts import read_receipt
from rune.jobs.record import Job, Status
from rune.money.receipts import LineKind, Phase
from rune.rentals.bills import cost_micro_usd
from rune.rentals.record import OLLAMA_IMAGE_BYTES, EndReason, Rental, RentalState
from tests.simulation.mischief import SETTINGS
from tests.simulation.provider import Account
from tests.simulation.renting import FOREIGN_LABELS
from tests.simulation.requests import OTHER_MODEL, rented_benchmark, rented_instance
from tests.simulation.rest import bill_micro_usd
from tests.simulation.world import World

type Figures = dict[str, float]
type RecordProperty = Callable[[str, object], None]

SLOW_BOOT = replace(SETTINGS, boot=BootScript(null_seconds=15.0, loading_seconds=465.0))
LONGEST_OVERCHARGE_SECONDS = 90


def make_world(settings: object = SETTINGS) -> tuple[World, Account]:
    """Return a deployment with an account on which others rent too."""
    world = World(vastai=settings)  # type: ignore[arg-type]  # narrowed by the callers
    assert world.account is not None
    for label in FOREIGN_LABELS:
        world.account.vastai.plant_foreign(label)
    return world, world.account


def the_job(world: World) -> Job:
    (job,) = world.table.jobs.values()
    return job


def the_rental(account: Account) -> Rental:
    (rental,) = account.rental_store.rentals.values()
    return rental


def count_requests(account: Account) -> Counter[Endpoint | None]:
    return Counter(record.endpoint for record in account.vastai.requests.records)


def test_rented_benchmark_succeeds_with_one_order_and_one_destroy() -> None:
    world, account = make_world()

    world.submit(rented_benchmark())
    world.run()

    requests = count_requests(account)
    assert world.violations == []
    assert (the_job(world).status, the_rental(account).state) == (Status.SUCCEEDED, RentalState.RELEASED)
    assert (requests[Endpoint.CREATE], requests[Endpoint.DESTROY]) == (1, 1)
    assert the_rental(account).end_reason is EndReason.JOB_ENDED


def test_receipt_of_a_rented_benchmark_has_the_time_of_measuring_as_work() -> None:
    world, _account = make_world()

    world.submit(rented_benchmark())
    world.run()

    job = the_job(world)
    receipt = read_receipt(world.table.receipts[job.job_id])
    gpu = {line.phase: line.micro_usd for line in receipt.lines if line.kind is LineKind.GPU}
    assert job.phases_ms["measure"] > 0
    assert gpu[Phase.WORK] > 0


def test_rented_benchmark_tells_in_its_result_what_it_cost() -> None:
    world, account = make_world()

    world.submit(rented_benchmark())
    world.run()

    job = the_job(world)
    result = StoredBenchmarkResult.model_validate_json(world.table.result_of(job.job_id) or "")
    assert result.rental is not None
    assert Decimal(str(result.rental.cost_usd)) * 1_000_000 == job.cost_micro_usd
    assert result.telemetry.cost_estimate_usd == result.rental.cost_usd
    assert result.rental.contract_id == the_rental(account).contract_id


def test_recorded_cost_covers_the_bill_and_little_more_when_nothing_goes_wrong(
    record_property: RecordProperty,
) -> None:
    world, account = make_world()

    world.submit(rented_benchmark())
    world.run()

    rental = the_rental(account)
    bill = bill_micro_usd(account, rental)
    image_micro_usd = OLLAMA_IMAGE_BYTES * rental.prices.download_micro_usd_per_gb / 1_000_000_000
    longest = rental.prices.micro_usd_per_hour * LONGEST_OVERCHARGE_SECONDS / 3600 + image_micro_usd
    record_property("figures", {"bill_micro_usd": float(bill), "written_micro_usd": rental.cost_micro_usd})
    assert rental.cost_micro_usd is not None
    assert bill <= rental.cost_micro_usd <= bill + Decimal(longest)
    assert the_job(world).cost_micro_usd == rental.cost_micro_usd


def test_waiting_for_a_slow_boot_costs_next_to_nothing(record_property: RecordProperty) -> None:
    world, _ = make_world(SLOW_BOOT)

    world.submit(rented_benchmark(boot_timeout_seconds=900))
    world.run()

    job = the_job(world)
    assert job.status is Status.SUCCEEDED
    assert job.finished_at
    wall_seconds = (job.finished_at - job.created_at).total_seconds()
    money_seconds = world.billed.seconds[job.job_id, Lane.MONEY]
    inference_seconds = world.billed.seconds[job.job_id, Lane.INFERENCE]
    served = world.billed.server_seconds
    server_seconds = sum(served[name] for name in ("has_model", "pull", "warm_up", "chat"))
    figures: Figures = {
        "wall_seconds": round(wall_seconds, 1),
        "money_lane_seconds": round(money_seconds, 2),
        "money_lane_percent_of_wall": round(100 * money_seconds / wall_seconds, 2),
        "money_lane_turns": world.billed.turns[job.job_id, Lane.MONEY],
        "inference_lane_seconds": round(inference_seconds, 2),
        "model_server_seconds": round(server_seconds, 2),
    }
    record_property("figures", figures)
    assert money_seconds <= 0.02 * wall_seconds
    assert inference_seconds <= 1.05 * server_seconds


def test_kept_machine_serves_the_next_job_and_is_paid_once() -> None:
    world, account = make_world()

    world.submit(rented_instance(keep_seconds=1200))
    pulls: list[int] = []
    world.plan(299.0, lambda: pulls.append(world.model_calls["pull"]))
    world.plan(300.0, lambda: world.submit(rented_benchmark()))
    world.run()

    first, second = world.table.jobs.values()
    rental = the_rental(account)
    assert world.violations == []
    assert (first.status, second.status) == (Status.SUCCEEDED, Status.SUCCEEDED)
    assert (rental.state, first.rental_id, second.rental_id) == (RentalState.KEPT, *2 * [rental.rental_id])
    assert count_requests(account)[Endpoint.CREATE] == 1
    # Slices of the first job's download; the second finds the model there.
    assert pulls == [world.model_calls["pull"]]


def test_kept_machine_is_paid_for_every_model_that_was_put_on_it() -> None:
    world, account = make_world()

    world.submit(rented_instance(model=OTHER_MODEL, keep_seconds=1200))
    world.plan(300.0, lambda: world.submit(rented_benchmark()))
    world.run(until_kept_are_gone=True)

    assert world.violations == []
    assert the_rental(account).state is RentalState.RELEASED


def test_kept_machine_is_destroyed_when_its_time_is_over() -> None:
    world, account = make_world()

    world.submit(rented_instance(keep_seconds=600))
    world.run()
    kept = the_rental(account)
    world.run(until_kept_are_gone=True)

    gone = the_rental(account)
    assert world.violations == []
    assert kept.state is RentalState.KEPT
    assert (gone.state, gone.end_reason) == (RentalState.RELEASED, EndReason.EXPIRED)
    assert kept.kept_until
    assert gone.released_at
    assert 0 <= (gone.released_at - kept.kept_until).total_seconds() <= 150


def test_instance_hands_over_an_address_that_answers() -> None:
    world, account = make_world()

    world.submit(rented_instance())
    world.run()

    job = the_job(world)
    result = LlmInstanceResult.model_validate_json(world.table.result_of(job.job_id) or "")
    find = account.park.finder(account.vastai, result.backend_url)
    disk = find()
    assert disk is not None
    assert disk.has("llama3.1:8b")
    assert disk.machine.contract_id == the_rental(account).contract_id


def test_machine_gets_its_label_back_when_another_tool_took_it_away() -> None:
    world, account = make_world(replace(SETTINGS, boot=BootScript(null_seconds=5.0, loading_seconds=25.0)))

    def take_label() -> None:
        the_contract(account).label = None

    world.submit(rented_benchmark())
    world.plan(12.0, take_label)
    world.run()

    assert world.violations == []
    assert the_contract(account).label == the_rental(account).label
    assert count_requests(account)[Endpoint.MANAGE] == 1


def test_job_gives_its_machine_back_when_it_is_cancelled_at_any_moment() -> None:
    ends = []
    for seconds in (0.2, 0.5, 2.0, 5.0, 9.0, 20.0, 40.0, 55.0, 65.0, 70.0, 97.0):
        world, account = make_world()
        job_id = world.submit(rented_benchmark())
        assert job_id
        world.plan(seconds, lambda world=world, job_id=job_id: world.cancel(job_id))  # type: ignore[misc]
        world.run()
        ends.append((world.violations, the_job(world).status, len(account.our_contracts())))

    assert ends[:-1] == [([], Status.CANCELLED, 0)] * 10
    assert ends[-1] == ([], Status.SUCCEEDED, 0)


def test_instance_is_not_kept_when_it_is_cancelled_at_any_moment() -> None:
    kept = []
    for tenths in range(700, 1300, 12):
        world, account = make_world()
        job_id = world.submit(rented_instance())
        assert job_id
        world.plan(tenths / 10, lambda world=world, job_id=job_id: world.cancel(job_id))  # type: ignore[misc]
        world.run()
        assert world.violations == []
        is_kept = bool(account.our_contracts())
        assert is_kept == (the_job(world).status is Status.SUCCEEDED), tenths
        kept.append(is_kept)

    assert set(kept) == {True, False}


def the_contract(account: Account) -> Contract:
    (contract,) = (each for each in account.vastai.instances.values() if not each.is_foreign)
    return contract


def test_machine_that_is_cancelled_while_it_boots_is_billed_until_it_was_gone() -> None:
    world, account = make_world(replace(SLOW_BOOT, list_lag_seconds=8.0))
    world.submit(rented_benchmark())
    world.plan(3.0, lambda: world.cancel(the_job(world).job_id))

    world.run()

    rental = the_rental(account)
    (contract,) = (c for c in account.vastai.instances.values() if c.order.label == rental.label)
    destroyed_at = account.vastai.bill(contract.contract_id).destroyed_at
    assert (world.violations, the_job(world).status) == ([], Status.CANCELLED)
    assert destroyed_at is not None
    assert rental.absent_at is not None
    assert rental.released_at is not None
    # It was too fresh for a proof, which came half a minute later.
    assert 0 <= rental.absent_at.timestamp() - destroyed_at < 5
    assert rental.released_at.timestamp() - destroyed_at > 20
    assert rental.cost_micro_usd == cost_micro_usd(rental, rental.absent_at)
