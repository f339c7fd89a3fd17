"""The OpenAPI document says what programs need: names that stay, shapes, codes, headers, examples."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from jsonschema_rs import Draft202012Validator
from pydantic import TypeAdapter

from api.openapi import OPEN_PATHS
from api.openapi.answers import CODES_MEMBER, RESPONSES
from api.openapi.codes import CODES_OF
from api.openapi.examples import REQUESTS, SAME_REQUESTS, read_example
from api.openapi.schemas import PREFIX, references
from tests.benchmark_builders import a_report, a_result_json
from tests.builders import JOB_ID
from tests.conformance.contract import DOCUMENT
from tests.unit.api.test_rare_routes import an_app

NAMES = """
    cancel_job compare_benchmarks create_benchmark_link create_job_link create_schedule create_webhook
    delete_baseline delete_schedule delete_suite delete_webhook end_rental estimate_cost extend_rental
    get_baseline get_benchmark_records get_benchmark_report get_callback_secret get_cost_simulation get_health
    get_health_of_v1 get_job get_job_artifacts get_job_events get_job_receipt get_metrics_summary
    get_rental get_rental_key get_schedule get_suite get_usage get_webhook get_webhook_delivery
    list_baselines list_jobs list_llm_models list_ollama_models list_rentals list_schedules list_suites
    list_vastai_models
    list_webhook_deliveries list_webhooks pause_schedule redeliver_events resume_schedule
    rotate_callback_secret rotate_webhook_secret run_schedule send_test_event set_baseline set_suite simulate_cost
    submit_agentic_agent submit_benchmark submit_llm_instance submit_ollama_instance update_schedule
    update_webhook
"""
"""Names that generated clients have. One that changes breaks its callers."""

OPERATIONS: dict[str, dict[str, Any]] = {
    operation["operationId"]: operation for path in DOCUMENT["paths"].values() for operation in path.values()
}
WITH_BODY = [name for name, operation in OPERATIONS.items() if "requestBody" in operation]
SHAPES: dict[str, Any] = DOCUMENT["components"]["schemas"]
CHECKER = Path(__file__).parents[3] / ".local" / "venvs" / "openapi" / "bin" / "openapi-spec-validator"
SENTENCES = Path(__file__).parents[3] / "docs" / "api.md"


def reached(roots: object) -> set[str]:
    found: set[str] = set()
    waiting = [*references(roots)]
    while waiting:
        name = waiting.pop()
        waiting += [] if name in found else [*references(SHAPES[name])]
        found.add(name)
    return found


def problems() -> Iterator[tuple[str, int, list[str]]]:
    """Yield each problem that the document knows: operation, status, codes."""
    for name, operation in OPERATIONS.items():
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                shared = answer.get("$ref", "").removeprefix(RESPONSES)
                yield (
                    name,
                    int(status),
                    (DOCUMENT["components"]["responses"].get(shared) or answer)[CODES_MEMBER],
                )


def test_operations_keep_their_names() -> None:
    assert set(NAMES.split()) <= OPERATIONS.keys()
    assert len(OPERATIONS) == sum(len(path) for path in DOCUMENT["paths"].values())
    assert [name for name in OPERATIONS if not re.fullmatch(r"[a-z]+(_[a-z0-9]+)+", name)] == []


def test_requests_have_the_specifications_names() -> None:
    sent = {
        path: operations["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        for path, operations in DOCUMENT["paths"].items()
        if path in {"/v1/jobs/benchmark", "/v1/jobs/agentic-agent", "/v1/jobs/llm-instance", "/v1/estimates"}
    }

    assert {path: name.removeprefix(PREFIX) for path, name in sent.items()} == {
        "/v1/jobs/benchmark": "RunBenchmarkRequest",
        "/v1/jobs/agentic-agent": "RunAgenticAgentRequest",
        "/v1/jobs/llm-instance": "RunLLMInstanceRequest",
        "/v1/estimates": "CostEstimationRequest",
    }


def test_requests_are_closed_and_answers_are_open() -> None:
    sent = reached([operation.get("requestBody") for operation in OPERATIONS.values()])
    answered = reached([operation["responses"] for operation in OPERATIONS.values()])
    closed = {name for name, shape in SHAPES.items() if shape.get("additionalProperties") is False}

    assert {name for name in sent if "properties" in SHAPES[name]} == closed
    assert answered & closed == set()
    assert reached(DOCUMENT["components"]["responses"]) == {
        "ProblemDocument",
        "ProblemField",
        "RefusedBefore",
    }


def test_document_has_no_shape_that_nothing_names() -> None:
    assert SHAPES.keys() == reached([DOCUMENT["paths"], DOCUMENT["components"]["responses"]])


@cache
def the_routes() -> dict[str, APIRoute]:
    app = an_app()
    app.openapi()
    return {each.name: each for each in app.routes if isinstance(each, APIRoute)}


def body_of(name: str) -> Any:  # noqa: ANN401  # the type that a route names
    field = the_routes()[name].body_field
    assert field is not None
    return field.field_info.annotation


@pytest.mark.parametrize("name", WITH_BODY)
def test_body_has_examples_that_the_route_takes(name: str) -> None:
    kind: TypeAdapter[Any] = TypeAdapter(body_of(name))
    content = OPERATIONS[name]["requestBody"]["content"]["application/json"]

    assert content["examples"]
    for example in content["examples"].values():
        kind.validate_json(json.dumps(example["value"]))
        assert list(schema(content["schema"]).iter_errors(example["value"])) == []


def test_examples_of_bodies_are_all_shown() -> None:
    assert sorted([*read_example(REQUESTS), *SAME_REQUESTS]) == sorted(WITH_BODY)


def schema(part: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**part, "components": DOCUMENT["components"]})


def a_record(kind: str, result: object) -> dict[str, object]:
    shape = SHAPES[
        {"benchmark": "BenchmarkJob", "llm-instance": "LLMInstanceJob"}.get(kind, "AgenticAgentJob")
    ]
    nothing = dict.fromkeys(shape["required"])
    texts = {
        "job_id": JOB_ID,
        "kind": kind,
        "status": "succeeded",
        "message": "It has ended.",
        "warnings": [],
    }
    times = dict.fromkeys(("created_at", "updated_at"), "2026-11-23T12:00:00Z")
    return {**nothing, **texts, **times, "progress": {}, "result": result, "added_later": 1}


A_RESULT = json.loads(a_result_json(a_report(JOB_ID), []))
AN_INSTANCE = {"mode": "existing", "backend_url": "http://gpu-1.example:11434"}


def test_record_has_the_result_of_its_kind() -> None:
    record = schema({"$ref": f"{PREFIX}JobRecord"})

    assert record.is_valid(a_record("benchmark", A_RESULT))
    assert record.is_valid(a_record("llm-instance", AN_INSTANCE))
    assert record.is_valid(a_record("agentic-agent", None))
    assert not record.is_valid(a_record("benchmark", AN_INSTANCE))
    assert not record.is_valid(a_record("llm-instance", A_RESULT))
    assert not record.is_valid(a_record("agentic-agent", AN_INSTANCE))


def test_every_parameter_is_described() -> None:
    silent = [
        (name, parameter["name"])
        for name, operation in OPERATIONS.items()
        for parameter in operation.get("parameters", [])
        if not parameter.get("description")
    ]

    assert silent == []


def test_every_call_has_a_group_that_is_described() -> None:
    described = {tag["name"] for tag in DOCUMENT["tags"]}

    assert {tag for operation in OPERATIONS.values() for tag in operation["tags"]} == described


def test_every_call_with_a_token_tells_what_may_be_refused() -> None:
    open_names = {
        each["get"]["operationId"] for path, each in DOCUMENT["paths"].items() if path in OPEN_PATHS
    }
    always = {"401", "403", "429", "500", "503"}

    for name, operation in OPERATIONS.items():
        assert (name in open_names) == (not operation["security"])
        assert name in open_names or always <= operation["responses"].keys()


def test_every_code_is_one_that_the_documentation_explains() -> None:
    explained = set(re.findall(r"`([a-z_]+)`", SENTENCES.read_text()))
    codes = {code for _, _, codes in problems() for code in codes}

    assert codes - explained == set()
    assert CODES_OF.keys() <= OPERATIONS.keys()


def test_every_code_in_the_table_is_one_of_a_call() -> None:
    rows = re.findall(r"^\| (4\d\d|500|503) \| ([^|]*) \|", SENTENCES.read_text(), re.MULTILINE)
    told = {(int(status), code) for status, codes in rows for code in re.findall(r"`([a-z_]+)`", codes)}
    known = {(status, code) for _, status, codes in problems() for code in codes}

    # The path is none of the document's, or the method is none of the path's.
    assert told - known == {(404, "not_found"), (405, "method_not_allowed")}


def test_aliases_tell_their_end() -> None:
    aliases = {name for name, operation in OPERATIONS.items() if operation.get("deprecated")}

    assert aliases == {"submit_ollama_instance", "list_ollama_models"}
    for name in aliases:
        assert {"Deprecation", "Sunset", "Link"} <= OPERATIONS[name]["responses"]["200"]["headers"].keys()


@pytest.mark.slow
@pytest.mark.skipif(not CHECKER.exists(), reason="there is no checker: make setup")
def test_document_keeps_to_the_standard(tmp_path: Path) -> None:
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(DOCUMENT))

    done = subprocess.run([CHECKER, document], capture_output=True, text=True, check=False)  # noqa: S603  # ours

    assert done.returncode == 0, done.stdout + done.stderr
