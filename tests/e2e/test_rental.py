"""Machines rented from the simulated Vast.ai, over HTTP, by the deployed template under IAM."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from local.stack import Stack
from rune.aws.deployment_store import DynamoDeploymentStore
from rune.contracts import BenchmarkResult, LlmInstanceResult, RentalList, RentalRecord
from rune.rentals.labels import make_label
from tests.e2e.client import RuneClient, read_result
from tests.e2e.market import FRAIL_OFFER, FRAIL_RANGE, Market
from tests.e2e.waiting import wait_until

# The specification's RunBenchmarkRequest, to the letter.
EXAMPLE: Mapping[str, object] = {
    "vastai": True,
    "template_hash": "...",
    "min_dph": 2.3,
    "max_dph": 3.0,
    "reliability": 0.99,
    "question": "What is unhealthy?",
    "model": "llama3.1:8b",
    "backend_warmup": True,
    "vastai_stop_instance": True,
}
CENT_USD = 0.01
GONE_LIMIT_SECONDS = 150.0


def list_rentals(rune: RuneClient) -> list[RentalRecord]:
    response = rune.http.get("/v1/rentals")
    assert response.status_code == 200, response.text
    return RentalList.model_validate_json(response.content).rentals


def test_specifications_example_rents_once_and_gives_back_with_a_true_receipt(
    rune: RuneClient, market: Market, record_property: Callable[[str, object], None]
) -> None:
    foreign = market.plant_foreign("somebody-elses")

    job = rune.wait_for_end(rune.post_benchmark(EXAMPLE))

    assert job.status == "succeeded", job.error
    result = read_result(BenchmarkResult, job)
    assert result.rental
    (contract,) = market.contracts_of(job.job_id)
    assert not contract.exists
    assert result.contract_id == contract.contract_id
    assert result.rental.released_at is not None
    assert result.rental.cost_usd == result.telemetry.cost_estimate_usd == job.cost_usd
    assert contract.total_usd <= result.rental.cost_usd < contract.total_usd + CENT_USD
    assert job.job_id not in {rental.job_id for rental in list_rentals(rune)}
    assert market.touched_foreign(foreign) == []
    record_property(
        "figures",
        f"specification's example: contract {contract.contract_id} made once and destroyed; bill"
        f" ${contract.total_usd:.6f}, receipt ${result.rental.cost_usd:.6f}",
    )


def test_events_tell_of_every_step_of_a_rental(rune: RuneClient) -> None:
    job_id = rune.post_benchmark(EXAMPLE)
    rune.wait_for_end(job_id)

    events = {event.event: event for event in rune.get_events(job_id)}

    assert list(events) == [
        "job.accepted",
        "job.running",
        "vastai.offer_search",
        "vastai.instance.create",
        "vastai.instance.wait_running",
        "vastai.model.pull",
        "backend.warmup",
        "benchmark.point",
        "benchmark.measure",
        "provider.teardown",
        "job.succeeded",
    ]
    assert events["vastai.offer_search"].labels["rejected"]
    assert events["provider.teardown"].labels["left"] == "nothing"


def test_machine_is_gone_when_the_job_is_cancelled_while_it_boots(rune: RuneClient, market: Market) -> None:
    job_id = rune.post_benchmark(EXAMPLE)
    wait_until(lambda: market.contracts_of(job_id), "a machine is rented", limit_seconds=30.0)

    rune.cancel(job_id)

    job = rune.wait_for_end(job_id, limit_seconds=GONE_LIMIT_SECONDS)
    assert job.status == "cancelled"
    assert not any(contract.exists for contract in market.contracts_of(job_id))
    assert job.cost_usd is not None


def test_machine_is_gone_when_the_model_is_one_that_nobody_has(rune: RuneClient, market: Market) -> None:
    job = rune.wait_for_end(rune.post_benchmark({**EXAMPLE, "model": "no-such-model:8b"}))

    assert (job.status, job.error_code, job.error_stage) == ("failed", "model_not_found", "pull")
    assert [contract.exists for contract in market.contracts_of(job.job_id)] == [False]


def test_kept_instance_is_listed_extended_used_and_ended(keeper: RuneClient, market: Market) -> None:
    posted = keeper.post_job("llm-instance", {"vastai": True, "model": "llama3.1:8b", "keep_seconds": 600})
    job = keeper.wait_for_end(posted)
    assert job.status == "succeeded", job.error
    result = read_result(LlmInstanceResult, job)
    assert result.mode == "vastai"
    assert result.rental
    assert result.rental.is_open_to_the_world
    assert result.warnings == ("open_to_the_world",)
    (rental,) = list_rentals(keeper)
    assert (rental.state, rental.backend_url) == ("kept", result.backend_url)

    extended = keeper.http.post(f"/v1/rentals/{rental.rental_id}/extend", json={"keep_seconds": 1800})
    assert extended.status_code == 200, extended.text
    used = keeper.wait_for_end(
        keeper.post_benchmark({"vastai": True, "question": "Again?", "model": "llama3.1:8b"})
    )
    assert used.status == "succeeded", used.error
    receipt = read_result(BenchmarkResult, used).rental
    assert receipt
    assert (receipt.is_reused, receipt.rental_id) == (True, rental.rental_id)
    assert market.contracts_of(used.job_id) == []

    ended = keeper.http.delete(f"/v1/rentals/{rental.rental_id}")
    assert ended.status_code == 202, ended.text
    market.wait_until_gone(job.job_id, limit_seconds=GONE_LIMIT_SECONDS)
    wait_until(lambda: not list_rentals(keeper), "its end is proven", limit_seconds=GONE_LIMIT_SECONDS)


def test_failing_machine_is_given_back_and_another_one_does_the_work(
    rune: RuneClient, market: Market
) -> None:
    market.add_faults({"kind": "boot", "boot": "exited", "machine_id": FRAIL_OFFER.machine_id})

    # Of an image of the caller's own, another machine would not be tried.
    job_id = rune.post_benchmark({**EXAMPLE, **FRAIL_RANGE, "template_hash": None})
    job = rune.wait_for_end(job_id, limit_seconds=GONE_LIMIT_SECONDS)

    assert job.status == "succeeded", job.error
    result = read_result(BenchmarkResult, job)
    assert result.rental
    assert result.rental.attempt_count == 2
    contracts = market.contracts_of(job.job_id)
    assert [contract.exists for contract in contracts] == [False, False]
    assert sum(contract.total_usd for contract in contracts) <= result.rental.cost_usd


def test_what_carries_our_label_without_a_row_is_destroyed_and_nothing_else(
    market: Market, stack: Stack
) -> None:
    deployment = DynamoDeploymentStore(stack.aws.client("dynamodb"), stack.state.table).read()
    job_id = "a" * 32
    ours = market.plant_foreign(make_label("local", deployment.deployment_id, job_id, 1))
    labels = (None, "mine", make_label("local", "0123456789", job_id, 1), f"rune-local-{job_id}-1")
    others = [market.plant_foreign(label) for label in labels]

    def is_reaped() -> bool:
        return not {each.contract_id: each.exists for each in market.contracts()}[ours]

    wait_until(is_reaped, "the orphan is destroyed", limit_seconds=GONE_LIMIT_SECONDS)
    exist = {each.contract_id: each.exists for each in market.contracts()}
    assert all(exist[other] for other in others)
