from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from rune.jobs import closing
from rune.jobs.outcomes import Done
from rune.jobs.record import Event
from rune.jobs.store import Submission
from rune.jobs.transitions import make_transition
from tests.builders import NOW, a_claimed_job, after
from tests.functional.functions.asking import a_refusal, a_wrong_field, assert_problem, get, post

if TYPE_CHECKING:
    from tests.cloud import Cloud

SIMULATE = "/v1/finops/simulate"


def run_once(cloud: Cloud, model: str = "llama3.1:8b") -> None:
    """Let a job of the tenant take ten minutes."""
    job = a_claimed_job(started_at=NOW)
    cloud.store.submit(Submission(job, "{}", Event(1, "job.accepted", "ok", NOW, labels={"model": model})))
    assert closing.commit(cloud.store, job, make_transition(job, Done("{}"), after(600), 5))
    cloud.calls.clear()


# Boot and download take 198.4 s beside the 600 s, at 0.40 USD an hour; 6.9 GB of traffic cost 0.01 USD each.
SIMULATED: dict[str, object] = {
    "agent": "",
    "model": "llama3.1:8b",
    "gpu": "1x RTX 4090",
    "total_cost_usd": 0.157712,
    "gpu_cost_usd": 0.157712,
    "token_cost_usd": 0.0,
    "projected_cost_usd": 0.157712,
    "projected_total_usd": 3.311952,
    "cost_low_usd": 0.033267,
    "cost_high_usd": 0.492845,
    "currency": "USD",
    "confidence": "low",
    "confidence_score": 0.4,
    "cost_basis": "price_table",
    "historical_match": True,
    "historical_basis": "from_history",
    "historical_sample_count": 1,
    "token_samples_from_history": 0,
    "llm_input_tokens_assumed": 0,
    "llm_output_tokens_assumed": 0,
    "runs_per_period": 3,
    "period_days": 7,
    "avg_duration_seconds": 798.4,
    "vast_pricing_source": "vastai_baseline",
    "price_as_of": "2026-11-30T00:00:00Z",
    "price_usd_per_hour": 0.4,
    "components_usd": {"gpu_compute": 0.157712, "llm_tokens": 0.0},
    "notes": [
        (
            "Cost: RUNE's table of prices of 2026-11-30, since no search of the last day saw this GPU, for an"
            " assumed boot and download, with traffic. A guess."
        ),
    ],
}


def test_simulation_has_every_field_that_clients_read(api: ModuleType, cloud: Cloud) -> None:
    run_once(cloud)

    response = get(api, f"{SIMULATE}?model=llama3.1:8b&gpu=rtx4090&runs_per_period=3&period_days=7")

    assert (response.status, response.document) == (200, SIMULATED)
    assert sorted(cloud.operations) == ["GetItem", "Query", "Query", "Query"]


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("", {"model": "llama3.1:8b", "gpu": "RTX 4090", "runs_per_period": 3, "period_days": 7}),
        ("?runs_per_period=3", {"period_days": 7}),
        ("?runs_per_period=3&period_days=7", {}),
        ("?runs_per_period=3&period_days=7&gpu=RTX%204090", {"runs_per_period": 3, "gpu": "RTX 4090"}),
    ],
)
def test_simulation_takes_its_parameters_from_body_and_query(
    query: str, body: dict[str, object], api: ModuleType, cloud: Cloud
) -> None:
    run_once(cloud)

    assert post(api, body, path=SIMULATE + query).document == SIMULATED


def test_simulation_without_parameters_is_one_run_of_the_smallest_model(
    api: ModuleType, cloud: Cloud
) -> None:
    document = get(api, SIMULATE).document

    assert (document["model"], document["gpu"]) == ("llama3.1:8b", "1x RTX 4090")
    assert (document["confidence_score"], document["historical_basis"]) == (0.4, "scope_heuristic")
    assert document["projected_total_usd"] == document["projected_cost_usd"] > 0


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        (
            "gpu=mi300x",
            a_refusal(
                "price_unknown",
                "/gpu",
                "RUNE knows no price of the GPU 'mi300x': no search of the last day saw it, and no table has it.",
            ),
        ),
        (
            "model=phi3",
            a_refusal(
                "model_size_unknown",
                "/model",
                "RUNE does not know how large 'phi3' is, so it cannot say which machine holds it.",
            ),
        ),
        (
            "runs_per_period=many",
            a_wrong_field(
                "/runs_per_period", "Input should be a valid integer, unable to parse string as an integer."
            ),
        ),
        ("period_days=0", a_wrong_field("/period_days", "Input should be greater than or equal to 1.")),
    ],
)
def test_simulation_is_refused_when_it_would_be_a_guess(
    query: str, problem: dict[str, object], api: ModuleType, cloud: Cloud
) -> None:
    assert_problem(get(api, f"{SIMULATE}?{query}"), problem)


def test_simulation_refuses_a_query_and_a_body_that_contradict(api: ModuleType, cloud: Cloud) -> None:
    refused = post(api, {"runs_per_period": 3}, path=f"{SIMULATE}?runs_per_period=9")

    sentence = "runs_per_period is another one in the query than in the body."
    assert_problem(refused, a_refusal("query_and_body_differ", "/runs_per_period", sentence))


def test_simulation_refuses_a_member_that_it_does_not_know(api: ModuleType, cloud: Cloud) -> None:
    assert_problem(
        post(api, {"gpus": 1}, path=SIMULATE),
        a_wrong_field("/gpus", "There is no such field. Did you mean 'gpu'?"),
    )
