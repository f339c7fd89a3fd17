"""What is refused of a workload and of an expectation, and what is kept of the others."""

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from rune.bench.prompts import make_prompts
from rune.contracts import BenchmarkRequest, Expectation, Workload
from rune.contracts.workloads import most_concurrency
from rune.errors import InvalidRequestError
from rune.net.addresses import AddressPolicy
from rune.services.admission.requests import Renting, admit_benchmark
from rune.services.admission.workloads import count_requests
from tests.builders import a_benchmark_request
from tests.tenant_builders import a_tenant

POLICY = AddressPolicy.parse("127.0.0.0/8")
RENTING = Renting(is_possible=True, longest_keep=timedelta(hours=2))
LAB = "http://127.0.0.1:8000"
BACKENDS = a_tenant(
    {
        "credentials": {"lab": {"api_key": "key-of-the-lab", "url": LAB}},
        "bedrock": {"regions": ["eu-central-1"], "models": ["anthropic.claude-*"]},
    }
).backends
JUDGE: dict[str, object] = {"model": "judge:70b", "rubric": "Names the failing pod."}
RENTED: dict[str, object] = {"vastai": True, "backend_url": None}
BEDROCK = "https://bedrock-runtime.eu-central-1.amazonaws.com"


def admitted(**overrides: object) -> dict[str, Any]:
    request = BenchmarkRequest.model_validate(a_benchmark_request(**overrides))
    kept: dict[str, Any] = json.loads(admit_benchmark(request, POLICY, RENTING, BACKENDS).request_json)
    return kept


def judged(overrides: Mapping[str, object], **others: object) -> dict[str, Any]:
    kept: dict[str, Any] = admitted(expected={"judge": {**JUDGE, **overrides}}, **others)
    return kept


def deep(levels: int) -> dict[str, object]:
    schema: dict[str, object] = {}
    for _ in range(levels - 1):
        schema = {"not": schema}
    return schema


@pytest.mark.parametrize(
    ("workload", "alike"),
    [
        ({"concurrency": [1]}, {}),
        ({"prompts": [["a"], [{"role": "user", "content": "b"}]]}, {"prompts": ["a", "b"]}),
        ({"prompts": [["a", {"role": "user", "content": "b"}]]}, {"prompts": [["a", "b"]]}),
    ],
)
def test_workloads_that_mean_the_same_are_kept_the_same(
    workload: dict[str, object], alike: dict[str, object]
) -> None:
    assert admitted(workload=workload) == admitted(workload=alike)


def test_turn_of_the_assistant_stays_one() -> None:
    turns = ["a", {"role": "assistant", "content": "b"}, "c"]

    assert admitted(workload={"prompts": [turns]})["workload"]["prompts"] == [turns]


# How much is asked.


LOADS: dict[str, tuple[dict[str, object] | None, int]] = {
    "the question once": (None, 1),
    "a workload of defaults": ({}, 1),
    "own prompts": ({"prompts": ["a", "b", "c"], "repetitions": 5, "concurrency": [1, 2]}, 15 + 21),
    "rates": ({"repetitions": 7, "request_rates": [0.5, 1, 2]}, 21),
    "a sweep to 32": ({"sweep": True, "repetitions": 10}, 10 + 20 + 40 + 80 + 160 + 320),
    "a sweep to 48": ({"sweep": True, "max_concurrency": 48}, 1 + 20 + 40 + 80 + 160 + 320 + 480),
    "one request for each slot": ({"min_waves": 1, "concurrency": [1, 8]}, 1 + 8),
    "more repetitions than slots need": ({"repetitions": 30, "concurrency": [2, 3]}, 60),
    "a sweep to 1": ({"sweep": True, "max_concurrency": 1}, 1),
}


@pytest.mark.parametrize(("workload", "count"), LOADS.values(), ids=LOADS.keys())
def test_requests_are_prompts_by_the_repetitions_of_each_point(
    workload: dict[str, object] | None, count: int
) -> None:
    request = BenchmarkRequest.model_validate(a_benchmark_request(workload=workload))

    assert count_requests(request.measured, grows=request.grows) == count


@pytest.mark.parametrize("name", ["chat", "code", "summary", "synthetic"])
def test_requests_of_a_prompt_set_are_counted_by_its_prompts(name: str) -> None:
    lengths = {"input_tokens": 512} if name == "synthetic" else {}
    workload = Workload.model_validate({"prompt_set": name, "repetitions": 3, **lengths})

    assert count_requests(workload, grows=True) == 3 * len(make_prompts("q", workload))


def test_answers_that_a_judge_reads_are_no_more_than_were_asked_for() -> None:
    workload = {"repetitions": 3, "concurrency": [1, 8]}
    judged = BenchmarkRequest.model_validate(
        a_benchmark_request(workload=workload, expected={"judge": JUDGE})
    )

    assert count_requests(judged.measured, grows=judged.grows) == 6


def test_most_requests_that_a_job_may_have_are_admitted() -> None:
    workload = {"prompts": ["a"] * 10, "repetitions": 1000}

    assert admitted(workload=workload)["workload"]["repetitions"] == 1000


def test_workload_is_kept_with_its_defaults() -> None:
    assert admitted(workload={"repetitions": 3})["workload"] == {
        "repetitions": 3,
        "sweep": False,
        "max_concurrency": 32,
        "min_waves": 10,
        "prefix_cache": "busted",
        "seed": 0,
        "point_seconds": 300,
        "max_blocks": 1,
    }


@pytest.mark.parametrize(
    ("concurrency", "processes", "is_admitted"),
    [(64, 0, True), (65, 0, False), (256, 4, True), (257, 4, False)],
)
def test_as_many_requests_are_under_way_as_the_deployment_has_processes_for(
    concurrency: int, processes: int, *, is_admitted: bool
) -> None:
    request = BenchmarkRequest.model_validate(
        a_benchmark_request(workload={"concurrency": [concurrency], "min_waves": 1})
    )

    def admit() -> None:
        admit_benchmark(request, POLICY, RENTING, BACKENDS, most_concurrency(processes))

    if is_admitted:
        admit()
        return
    with pytest.raises(InvalidRequestError, match=f"has at most {64 * max(1, processes)} requests") as raised:
        admit()
    assert (raised.value.pointer, raised.value.specific_code) == ("/workload", "concurrency_too_high")


def test_bedrock_is_asked_by_one_process_whatever_the_deployment_has() -> None:
    """The bill of each call is bounded before it by an account in one process."""
    document = a_benchmark_request(
        model="anthropic.claude-3-haiku-20240307-v1:0",
        backend_type="bedrock",
        backend_url=None,
        workload={"concurrency": [65], "min_waves": 1, "output_tokens": 10},
    )

    with pytest.raises(InvalidRequestError, match="Bedrock is asked by one process") as raised:
        admit_benchmark(BenchmarkRequest.model_validate(document), POLICY, RENTING, BACKENDS, 256)

    assert raised.value.specific_code == "concurrency_too_high"


# What is refused.


SYNTHETIC = {"prompt_set": "synthetic", "input_tokens": 4000, "output_tokens": 97}
REFUSALS: dict[str, tuple[dict[str, object], str, str]] = {
    "a request too many": (
        {"workload": {"prompts": ["a"] * 11, "repetitions": 910}},
        "/workload",
        "workload_too_large",
    ),
    "too many over all points": (
        {"workload": {"repetitions": 1000, "concurrency": [*range(1, 12)]}},
        "/workload",
        "workload_too_large",
    ),
    "more under way than one process puts": (
        {"workload": {"concurrency": [1, 65], "min_waves": 1}},
        "/workload",
        "concurrency_too_high",
    ),
    "a sweep to more than one process puts": (
        {"workload": {"sweep": True, "max_concurrency": 65, "min_waves": 1}},
        "/workload",
        "concurrency_too_high",
    ),
    "rates with more under way than one process puts": (
        {"workload": {"request_rates": [1.0], "max_concurrency": 65}},
        "/workload",
        "concurrency_too_high",
    ),
    "too many answers for a judge": (
        {"workload": {"repetitions": 201}, "expected": {"judge": JUDGE}},
        "/expected/judge",
        "too_many_to_judge",
    ),
    "context of an OpenAI-compatible server": (
        {"context_tokens": 4096, "backend_type": "openai"},
        "/context_tokens",
        "context_tokens_unsupported",
    ),
    "context of Bedrock": (
        {
            "context_tokens": 4096,
            "backend_type": "bedrock",
            "backend_url": None,
            "model": "anthropic.claude-3-haiku-20240307-v1:0",
        },
        "/context_tokens",
        "context_tokens_unsupported",
    ),
    "context smaller than the work": (
        {"context_tokens": 4096, "workload": SYNTHETIC},
        "/context_tokens",
        "context_too_small",
    ),
    "bad pattern": ({"expected": {"regex": "("}}, "/expected/regex", "expectation_invalid"),
    "bad schema": (
        {"expected": {"json_schema": {"type": "nothing"}}},
        "/expected/json_schema",
        "expectation_invalid",
    ),
    "a schema too deep": (
        {"expected": {"json_schema": deep(300)}},
        "/expected/json_schema",
        "expectation_invalid",
    ),
    "a machine without a judge": (
        {**RENTED, "expected": {"judge": JUDGE}},
        "/expected/judge/backend_url",
        "judge_server_missing",
    ),
    "a judge's type without its server": (
        {"expected": {"judge": {**JUDGE, "backend_type": "openai"}}},
        "/expected/judge/backend_url",
        "judge_server_missing",
    ),
    "a judge's credential without its server": (
        {"expected": {"judge": {**JUDGE, "backend_credential": "lab"}}},
        "/expected/judge/backend_url",
        "judge_server_missing",
    ),
    "a judge in a private network": (
        {"expected": {"judge": {**JUDGE, "backend_url": "http://169.254.169.254"}}},
        "/expected/judge/backend_url",
        "address_refused",
    ),
    "a judge's unknown credential": (
        {"expected": {"judge": {**JUDGE, "backend_url": LAB, "backend_credential": "lob"}}},
        "/expected/judge/backend_credential",
        "credential_unknown",
    ),
    "a judge's credential of another server": (
        {
            "expected": {
                "judge": {**JUDGE, "backend_url": "http://127.0.0.1:8001", "backend_credential": "lab"}
            }
        },
        "/expected/judge/backend_credential",
        "credential_wrong_server",
    ),
    "a judge on Bedrock that is not allowed": (
        {"expected": {"judge": {**JUDGE, "backend_type": "bedrock"}}},
        "/expected/judge/model",
        "bedrock_model_not_allowed",
    ),
    "a judge beside a model on Bedrock that is not allowed": (
        {
            "backend_type": "bedrock",
            "backend_url": None,
            "model": "anthropic.claude-3-haiku-20240307-v1:0",
            "expected": {"judge": JUDGE},
        },
        "/expected/judge/model",
        "bedrock_model_not_allowed",
    ),
    "an unknown credential": ({"backend_credential": "lob"}, "/backend_credential", "credential_unknown"),
    "a credential for a rented machine": (
        {**RENTED, "backend_credential": "lab"},
        "/backend_credential",
        "rental_backend_credential",
    ),
    "a rented machine with Bedrock": (
        {**RENTED, "backend_type": "bedrock"},
        "/backend_type",
        "rental_backend_type",
    ),
    "a model on Bedrock that is not allowed": (
        {"backend_type": "bedrock", "backend_url": None},
        "/model",
        "bedrock_model_not_allowed",
    ),
}


@pytest.mark.parametrize(("overrides", "pointer", "code"), REFUSALS.values(), ids=REFUSALS.keys())
def test_admit_refuses_work_that_could_only_fail(
    overrides: dict[str, object], pointer: str, code: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        admitted(**overrides)

    assert (caught.value.pointer, caught.value.specific_code) == (pointer, code)
    assert caught.value.sentence


def test_admit_refuses_bedrock_to_a_tenant_that_may_not_use_it() -> None:
    body = a_benchmark_request(backend_type="bedrock", backend_url=None)

    with pytest.raises(InvalidRequestError) as caught:
        admit_benchmark(BenchmarkRequest.model_validate(body), POLICY)

    assert (caught.value.pointer, caught.value.specific_code) == ("/backend_type", "bedrock_not_allowed")


# What is kept.


def test_judge_is_kept_with_its_server_in_one_spelling() -> None:
    server = {"backend_url": "HTTP://127.0.0.1:8000/", "backend_type": "openai", "backend_credential": "lab"}

    assert judged(server)["expected"] == {
        "judge": {**JUDGE, "backend_url": LAB, "backend_type": "openai", "backend_credential": "lab"}
    }


def test_judge_of_a_rented_machine_has_a_server_of_its_own() -> None:
    kept = judged({"backend_url": LAB}, **RENTED)

    assert (kept["vastai"], kept["expected"]["judge"]["backend_url"]) == (True, LAB)


def test_judge_on_bedrock_is_kept_with_its_region() -> None:
    kept = judged({"backend_type": "bedrock", "model": "anthropic.claude-3-haiku-20240307-v1:0"})

    assert kept["expected"]["judge"]["backend_url"] == BEDROCK


def test_judge_on_the_measured_server_is_kept_without_one() -> None:
    assert judged({})["expected"] == {"judge": {**JUDGE, "backend_type": "ollama"}}


def test_most_answers_that_a_judge_reads_are_admitted() -> None:
    assert judged({}, workload={"repetitions": 200})["workload"]["repetitions"] == 200


def test_schema_keeps_its_nulls() -> None:
    schema = {"enum": ["yes", None], "default": None}

    assert admitted(expected={"json_schema": schema})["expected"] == {"json_schema": schema}


def test_context_that_just_holds_the_work_is_admitted() -> None:
    assert admitted(context_tokens=4097, workload=SYNTHETIC)["context_tokens"] == 4097


def test_credential_is_kept_by_name_alone() -> None:
    kept = admitted(backend_url=LAB, backend_type="openai", backend_credential="lab")

    assert kept["backend_credential"] == "lab"
    assert "key-of-the-lab" not in str(kept)


def test_bedrock_is_kept_with_its_region() -> None:
    kept = admitted(backend_type="bedrock", backend_url=None, model="anthropic.claude-3-haiku-20240307-v1:0")

    assert (kept["backend_type"], kept["backend_url"]) == ("bedrock", BEDROCK)


SAME: list[dict[str, object]] = [
    {"workload": {"repetitions": 3}},
    {"workload": {"repetitions": 3, "seed": 0, "concurrency": None, "point_seconds": 300}},
]


@pytest.mark.parametrize("overrides", SAME)
def test_workloads_that_mean_the_same_are_kept_alike(overrides: dict[str, object]) -> None:
    assert admitted(**overrides) == admitted(**SAME[0])


UNKEPT: dict[str, Callable[[], dict[str, object]]] = {
    "no number": lambda: {"maximum": float("nan")},
    "half a character": lambda: {"const": "\ud83d"},
    "half a character as a name": lambda: {"\ud83d": True},
    "far too deep": lambda: deep(100_000),
}


@pytest.mark.parametrize("make", UNKEPT.values(), ids=UNKEPT.keys())
def test_schema_that_no_json_can_hold_is_refused(make: Callable[[], dict[str, object]]) -> None:
    with pytest.raises(ValidationError, match=r"The schema holds what JSON cannot hold\."):
        Expectation.model_validate({"json_schema": make()})
