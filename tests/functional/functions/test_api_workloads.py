"""Workloads and expectations at the door, as callers see them."""

from __future__ import annotations

import json
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from tests.builders import a_job
from tests.functional.functions.asking import (
    FLAT,
    KEPT,
    SERVER,
    a_refusal,
    a_wrong_field,
    assert_problem,
    post,
)

if TYPE_CHECKING:
    from tests.cloud import Cloud

QUESTION: dict[str, object] = {"question": "q", "model": "llama3.1:8b", **SERVER}
JUDGE: dict[str, object] = {"model": "judge:70b", "rubric": "Names the failing pod."}
WORKLOAD: dict[str, object] = {"prompt_set": "chat", "repetitions": 2, "sweep": True, "output_tokens": 128}


def kept(cloud: Cloud, job_id: str) -> dict[str, object]:
    document: dict[str, object] = json.loads(cloud.store.read_request(a_job(job_id=job_id)))
    return document


def test_workload_is_stored_with_its_defaults_in_four_calls(api: ModuleType, cloud: Cloud) -> None:
    expected = {"regex": "(?i)probe"}

    response = post(api, {**QUESTION, "workload": WORKLOAD, "expected": expected, "context_tokens": 8192})

    assert response.status == 202
    assert cloud.operations == ["Query", "TransactWriteItems", "SendMessage", "SendMessage"]
    assert kept(cloud, response.document["job_id"]) == {
        **KEPT,
        "context_tokens": 8192,
        "expected": expected,
        "workload": {
            **WORKLOAD,
            "max_concurrency": 32,
            "min_waves": 10,
            "prefix_cache": "busted",
            "seed": 0,
            "point_seconds": 300,
            "max_blocks": 1,
        },
    }


@pytest.mark.parametrize("field", ["workload", "expected", "context_tokens", "backend_credential"])
def test_benchmark_that_leaves_a_field_out_is_the_one_that_says_null(
    field: str, api: ModuleType, cloud: Cloud
) -> None:
    key = {"idempotency-key": "one-benchmark"}
    first = post(api, FLAT, key)

    again = post(api, {**FLAT, field: None}, key)

    assert (again.document, again.headers["idempotency-replayed"]) == (first.document, "true")


def test_key_stands_for_the_same_workload_however_it_is_spelt(api: ModuleType, cloud: Cloud) -> None:
    key = {"idempotency-key": "one-workload"}
    first = post(api, {**QUESTION, "workload": WORKLOAD}, key)

    again = post(api, {**QUESTION, "workload": {**WORKLOAD, "seed": 0, "prompts": None}}, key)
    other = post(api, {**QUESTION, "workload": {**WORKLOAD, "seed": 1}}, key)

    assert again.document == first.document
    assert (other.status, other.document["code"]) == (422, "idempotency_key_reused")


REFUSED: dict[str, tuple[object, dict[str, object]]] = {
    "too large": (
        {"workload": {"prompts": ["a", "b"], "repetitions": 1000, "concurrency": [1, 2, 3, 4, 5, 6]}},
        a_refusal(
            "workload_too_large",
            "/workload",
            "The workload is 12,000 requests to be measured; a job may have 10,000.",
        ),
    ),
    "too many to judge": (
        {"workload": {"repetitions": 201}, "expected": {"judge": JUDGE}},
        a_refusal(
            "too_many_to_judge",
            "/expected/judge",
            "A judge model reads at most 200 answers; the workload gives 201.",
        ),
    ),
    "a judge in the metadata service": (
        {"expected": {"judge": {**JUDGE, "backend_url": "http://169.254.169.254"}}},
        a_refusal(
            "address_refused",
            "/expected/judge/backend_url",
            "'169.254.169.254' is in a network to which RUNE does not connect.",
        ),
    ),
    "an unknown credential": (
        {"backend_credential": "lab"},
        a_refusal("credential_unknown", "/backend_credential", "Your tenant has no credential of this name."),
    ),
    "Bedrock": (
        {"backend_type": "bedrock", "backend_url": None},
        a_refusal("bedrock_not_allowed", "/backend_type", "Your tenant may not use Amazon Bedrock here."),
    ),
    "context for another kind of server": (
        {"backend_type": "openai", "context_tokens": 4096},
        a_refusal(
            "context_tokens_unsupported",
            "/context_tokens",
            "Only Ollama can be told which context to load a model with.",
        ),
    ),
    "levels that fall": (
        {"workload": {"concurrency": [4, 2]}},
        a_wrong_field("/workload", "concurrency must rise from entry to entry."),
    ),
    "two methods": (
        {"expected": {"regex": "a", "contains": ["a"]}},
        a_wrong_field("/expected", "Give exactly one of contains, regex, json_schema, numeric and judge."),
    ),
    "an unknown field": (
        {"workload": {"concurency": [1]}},
        a_wrong_field("/workload/concurency", "There is no such field. Did you mean 'concurrency'?"),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_work_that_could_only_fail_is_refused(name: str, api: ModuleType, cloud: Cloud) -> None:
    fields, problem = REFUSED[name]
    assert isinstance(fields, dict)

    assert_problem(post(api, {**QUESTION, **fields}), problem)
    assert cloud.calls == []


@pytest.mark.parametrize("pattern", ["(", "(?=a)", r"(a)\1", "a{1000}{1000}"])
def test_pattern_that_cannot_be_used_is_refused(pattern: str, api: ModuleType, cloud: Cloud) -> None:
    response = post(api, {**QUESTION, "expected": {"regex": pattern}})

    assert (response.status, response.document["code"]) == (422, "expectation_invalid")
    assert response.document["errors"][0]["pointer"] == "/expected/regex"


SCHEMAS = {
    "no type": '{"type": "nothing"}',
    "somebody's address": '{"$ref": "http://127.0.0.1:1/schema.json"}',
    "a file": '{"$ref": "file:///etc/passwd"}',
    "no number": '{"maximum": NaN}',
    "half a character": '{"const": "\\ud83d"}',
    "too deep": '{"not":' * 100 + "{}" + "}" * 100,
    "far too deep": '{"not":' * 900 + "{}" + "}" * 900,
    "a bad pattern": '{"pattern": "("}',
    "too long": json.dumps({"const": "x" * 40_000}),
}


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS.keys())
def test_schema_that_cannot_be_used_is_refused(schema: str, api: ModuleType, cloud: Cloud) -> None:
    body = json.dumps({**QUESTION, "expected": {"json_schema": 0}}).replace("0}", f"{schema}}}")

    response = post(api, body)

    assert response.status == 422
    assert response.document["code"] in {"expectation_invalid", "invalid_request"}
    assert response.document["errors"][0]["pointer"] == "/expected/json_schema"
    assert cloud.calls == []
