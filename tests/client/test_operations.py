"""Each operation of the OpenAPI document has a method, and each method sends what the document says."""

from __future__ import annotations

import ast
import inspect
import json
import re
from typing import Any

import anyio
import httpx
import pytest

from rune_client import AsyncRuneClient, RuneClient
from rune_client.calls.jobs import KINDS
from tests.client.scripted import JOB_ID, TOKEN, Script, document
from tests.client_documents import FILE, describe
from tests.conformance.contract import DOCUMENT

type Sample = tuple[tuple[Any, ...], dict[str, Any]]

LEFT_OUT = {
    "submit_ollama_instance": "an old name of submit_llm_instance",
    "list_ollama_models": "an old name of list_llm_models",
    "get_health_of_v1": "another name of get_health",
    "simulate_cost": "the same as get_cost_simulation",
}

SAMPLES: dict[str, Sample] = {
    "submit": (("agentic-agent", {"question": "q"}), {"idempotency_key": "k"}),
    "plan": (("llm-instance", {"backend_url": "http://gpu"}), {}),
    "job": ((JOB_ID,), {}),
    "jobs": (
        (),
        {"status": "failed", "kind": "benchmark", "name": "n", "metadata": {"a": "b"}, "page_size": 9},
    ),
    "events": ((JOB_ID,), {"after": 3}),
    "follow": ((JOB_ID,), {"after": 3, "timeout_seconds": 1}),
    "wait": ((JOB_ID,), {"timeout_seconds": 1}),
    "cancel": ((JOB_ID,), {}),
    "artifacts": ((JOB_ID,), {}),
    "receipt": ((JOB_ID,), {}),
    "receipt_page": ((JOB_ID,), {}),
    "job_link": ((JOB_ID, "events"), {"lifetime_seconds": 60}),
    "report": ((JOB_ID,), {"format": "vllm", "run": 1}),
    "benchmarks": ((), {"status": "failed", "name": "n", "metadata": {"a": "b"}, "page_size": 9}),
    "compare": (
        (["a", "b"],),
        {"baseline": "main", "threshold": 0.1, "fail_on": ["ttft_ms.p95:1.1"], "undecided": "failure"},
    ),
    "records": ((JOB_ID,), {}),
    "benchmark_link": ((JOB_ID,), {"lifetime_seconds": 60, "compared_with": ["b"], "threshold": 0.1}),
    "baselines": ((), {}),
    "baseline": (("main",), {}),
    "set_baseline": (("main", JOB_ID), {"if_match": '"1"'}),
    "delete_baseline": (("main",), {"if_match": '"1"'}),
    "suites": ((), {}),
    "suite": (("mine",), {}),
    "set_suite": (("mine", [{"id": "a"}]), {}),
    "delete_suite": (("mine",), {}),
    "rentals": ((), {"state": "released", "job_id": JOB_ID, "page_size": 9}),
    "rental": (("r",), {}),
    "extend_rental": (("r", 600), {}),
    "stop_rental": (("r",), {}),
    "rental_key": (("r",), {}),
    "stop_state": ((), {}),
    "stop_all": ((), {}),
    "resume_all": ((), {}),
    "schedules": ((), {}),
    "schedule": (("s",), {}),
    "create_schedule": (({"name": "n", "kind": "benchmark", "request": {}, "rate": "1 day"},), {}),
    "update_schedule": (("s", {"rate": "2 days"}), {}),
    "delete_schedule": (("s",), {}),
    "pause_schedule": (("s",), {}),
    "resume_schedule": (("s",), {}),
    "run_schedule": (("s",), {"idempotency_key": "k"}),
    "webhooks": ((), {}),
    "webhook": (("w",), {}),
    "create_webhook": (("https://example.org",), {"events": ["*"], "description": "d"}),
    "update_webhook": (("w", {"status": "disabled"}), {}),
    "delete_webhook": (("w",), {}),
    "rotate_webhook_secret": (("w",), {"overlap_seconds": 60}),
    "test_webhook": (("w",), {}),
    "deliveries": (("w",), {"state": "failed", "page_size": 9}),
    "delivery": (("w", "e"), {}),
    "redeliver": (("w",), {"event_id": "e", "since": "2026-11-30T00:00:00Z"}),
    "callback_secret": ((), {}),
    "rotate_callback_secret": ((), {"overlap_seconds": 60}),
    "estimate": (({"vastai": True},), {}),
    "finops": (
        (),
        {"agent": "a", "model": "m", "gpu": "g", "suite": "s", "runs_per_period": 1, "period_days": 1},
    ),
    "usage": ((), {"days": 7}),
    "models": (("http://gpu", "openai"), {"backend_credential": "c"}),
    "catalog": ((), {}),
    "agents": ((), {}),
    "metrics": ((JOB_ID,), {}),
    "health": ((), {}),
    "request": (("GET", "/v1/jobs"), {"params": {"limit": 1}}),
}
"""Arguments for each method, all that it has."""

OPERATIONS: list[tuple[str, str, dict[str, Any]]] = [
    (method.upper(), path, operation)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
]
ANSWER = document(
    {"job_id": JOB_ID, "status": "succeeded", "events": [], "jobs": [], "next_cursor": None},
    headers={"ETag": '"1"'},
)


def public_names(kind: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(kind, callable) if not name.startswith("_")}


def requests_of(name: str) -> list[httpx.Request]:
    script = Script(ANSWER)
    arguments, named = SAMPLES[name]
    with RuneClient("https://rune.test", TOKEN, transport=script) as client:
        result = getattr(client, name)(*arguments, **named)
        if inspect.isgenerator(result):
            list(result)
    return script.requests


def operation_of(request: httpx.Request) -> dict[str, Any]:
    """Return the operation that a request is for; a path without a name in it goes before one with."""
    fitting = [
        (path.count("{"), operation)
        for method, path, operation in OPERATIONS
        if method == request.method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), request.url.path)
    ]
    assert fitting, f"{request.method} {request.url.path} is no operation"
    return min(fitting, key=lambda each: each[0])[1]


def shape_of(operation: dict[str, Any]) -> dict[str, Any]:
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    chosen = next((each for each in schema.get("anyOf", []) if "$ref" in each), schema)
    name = chosen.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = DOCUMENT["components"]["schemas"].get(name, {})
    return found


def test_every_method_has_a_sample() -> None:
    assert public_names(RuneClient) - {"close"} == SAMPLES.keys()


@pytest.mark.parametrize("name", SAMPLES)
def test_sample_has_every_argument(name: str) -> None:
    parameters = list(inspect.signature(getattr(RuneClient, name)).parameters)
    arguments, named = SAMPLES[name]
    given = {"self", *parameters[1 : 1 + len(arguments)], *named}

    assert parameters[0] == "self"
    # These four say how something is asked for, and not what is sent.
    assert set(parameters) - given <= {
        "dry_run",
        "format",
        "only_if_new",
        "json",
        "headers",
        "name",
        "idempotency_key",
    }


@pytest.mark.parametrize("name", SAMPLES)
def test_method_sends_what_the_document_says(name: str) -> None:
    sent = requests_of(name)

    assert sent
    for request in sent:
        operation = operation_of(request)
        members = {each["name"] for each in operation.get("parameters", []) if each["in"] == "query"}
        headers = {each["name"].lower() for each in operation.get("parameters", []) if each["in"] == "header"}
        needed = {
            each["name"]
            for each in operation.get("parameters", [])
            if each["in"] == "query" and each["required"]
        }
        assert needed <= set(request.url.params) <= members
        conditional = {"idempotency-key", "if-match", "if-none-match"} & set(request.headers)
        # A plan may have a key, which changes nothing.
        assert conditional <= headers
        shape = shape_of(operation)
        body = json.loads(request.content) if request.content else {}
        assert set(body) <= set(shape.get("properties", {}))
        assert set(shape.get("required", [])) - {"question", "model"} <= set(body)


def test_every_operation_has_a_method_or_is_left_out_on_purpose() -> None:
    reached = {operation_of(request)["operationId"] for name in SAMPLES for request in requests_of(name)}
    script = Script(ANSWER)
    with RuneClient("https://rune.test", TOKEN, transport=script) as client:
        for kind in KINDS:
            client.submit(kind, {})
    reached |= {operation_of(request)["operationId"] for request in script.requests}

    assert {operation["operationId"] for _, _, operation in OPERATIONS} == reached | LEFT_OUT.keys()
    assert reached.isdisjoint(LEFT_OUT)


async def collect(client: AsyncRuneClient, name: str) -> None:
    arguments, named = SAMPLES[name]
    result = getattr(client, name)(*arguments, **named)
    if inspect.isawaitable(result):
        await result
    else:
        _ = [item async for item in result]


def test_both_clients_send_the_same() -> None:
    script = Script(ANSWER)

    async def call_all() -> None:
        async with AsyncRuneClient("https://rune.test", TOKEN, transport=script) as client:
            for name in SAMPLES:
                await collect(client, name)

    anyio.run(call_all)

    def shown(request: httpx.Request) -> tuple[str, str, bytes]:
        return request.method, str(request.url), request.content

    assert public_names(AsyncRuneClient) - {"aclose"} == SAMPLES.keys()
    assert [*map(shown, script.requests)] == [
        shown(request) for name in SAMPLES for request in requests_of(name)
    ]


def test_both_clients_show_the_same_signatures() -> None:
    for name in SAMPLES:
        ours, theirs = (inspect.signature(getattr(kind, name)) for kind in (RuneClient, AsyncRuneClient))
        assert ours.parameters == theirs.parameters
        assert inspect.getdoc(getattr(RuneClient, name)) == inspect.getdoc(getattr(AsyncRuneClient, name))


def test_every_document_has_its_type() -> None:
    """Cheap, so that a new member is noticed at once. `test_types_are_those_of_the_document` compares all."""
    typed = {
        node.name: {
            each.target.id
            for each in node.body
            if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
        }
        for node in ast.walk(ast.parse(FILE.read_text()))
        if isinstance(node, ast.ClassDef)
    }
    kinds = {
        name: set(schema["properties"])
        for name, schema in DOCUMENT["components"]["schemas"].items()
        if schema.get("type") == "object" and "properties" in schema
    }
    missing = [name for name, members in kinds.items() if typed.get(name) != members]

    assert kinds
    assert missing == [], "Print them: PYTHONPATH=shared:functions python -m tests.client_documents"


@pytest.mark.slow
def test_types_are_those_of_the_document() -> None:
    assert FILE.read_text() == describe(), (
        "Print them: PYTHONPATH=shared:functions python -m tests.client_documents"
    )
