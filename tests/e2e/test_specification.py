"""The RUNE API specification, one test for each of its statements, through the deployed template.

A test's docstring is the statement. What the server does in its memory cannot be seen from outside: those tests
look at the deployed settings and at the code that runs there. The limiter's statements are in
`test_specification_limiter.py`, beside the stack whose callers are blocked.
"""

from __future__ import annotations

import gc
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx
import pytest

from local.settings import StackSettings
from local.stack import Stack
from rune.contracts import (
    AgenticAgentResult,
    BenchmarkResult,
    Catalog,
    JobAccepted,
    JobEvents,
    LlmInstanceResult,
    MetricsSummary,
    ServerModels,
)
from rune.contracts.estimates import CostEstimationResponse
from rune.tenants.tokens import TokenBook, find_token
from tests.e2e.client import RuneClient, bearer, read_result
from tests.e2e.environment import OTHER_TENANT, TENANT
from tests.e2e.model_server import ModelServer

type RecordProperty = Callable[[str, object], None]

MODEL = "llama3.1:8b"
# Data structures of the specification, to the letter.
COST_ESTIMATION_REQUEST: dict[str, Any] = {
    "vastai": True,
    "min_dph": 0.0,
    "max_dph": 3.0,
    "model": "llama3.1:8b",
    "estimated_duration_seconds": 3600,
}
RUN_BENCHMARK_REQUEST: dict[str, Any] = {
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


@pytest.fixture(scope="module")
def anyone(stack: Stack) -> Iterator[RuneClient]:
    """Give a client that sends nothing by itself."""
    with RuneClient(stack.state.base_url, {}) as client:
        yield client


@pytest.fixture(scope="module")
def benchmark(quick: ModelServer) -> dict[str, Any]:
    """Give the example of the specification with a server that runs already instead of a rented one."""
    return {**RUN_BENCHMARK_REQUEST, "vastai": False, "backend_url": quick.url}


@pytest.fixture(scope="module")
def agentic_agent(quick: ModelServer) -> dict[str, Any]:
    return {"question": "What is unhealthy?", "model": MODEL, "backend_url": quick.url}


@pytest.fixture(scope="module")
def benchmark_job(rune: RuneClient, benchmark: dict[str, Any]) -> str:
    """Give a benchmark that has succeeded."""
    job_id = rune.post_benchmark(benchmark)
    assert rune.wait_for_end(job_id).status == "succeeded"
    return job_id


def accepted(response: httpx.Response) -> str:
    """Return the id of the job in the answer that the specification gives for every POST of a job."""
    assert response.status_code == 202, response.text
    document = response.json()
    assert document == {"job_id": document["job_id"], "status": "accepted"}
    return JobAccepted.model_validate(document).job_id


# ---------------------------------------------------------------------------------------------------- base URL


def test_spec_base_url_is_localhost_8080_by_default(stack: Stack) -> None:
    """The default base URL is http://localhost:8080."""
    assert StackSettings.from_environment({}).port == 8080
    # This one took a free port, and nothing else in its address differs.
    host, _, port = stack.state.base_url.rpartition(":")
    assert host == "http://localhost"
    assert port.isdecimal()
    assert httpx.get(f"{stack.state.base_url}/healthz", trust_env=False, timeout=60.0).status_code == 200


# ---------------------------------------------------------------------------------------------- authentication


def test_spec_authentication_is_scoped_to_the_tenant(anyone: RuneClient, tokens: dict[str, str]) -> None:
    """RUNE uses tenant-scoped authentication with strict security controls."""
    own = anyone.http.get("/v1/jobs", headers=bearer(tokens[OTHER_TENANT], OTHER_TENANT))
    foreign = anyone.http.get("/v1/jobs", headers=bearer(tokens[OTHER_TENANT], TENANT))

    assert (own.status_code, foreign.status_code) == (200, 401)


def test_spec_tenant_header_is_optional_and_defaults_to_default(
    anyone: RuneClient, tokens: dict[str, str], benchmark_job: str
) -> None:
    """Header: X-Tenant-ID (optional, defaults to default)."""
    authorization = {"Authorization": f"Bearer {tokens['default']}"}
    path = f"/v1/jobs/{benchmark_job}"

    without = anyone.http.get(path, headers=authorization)
    named = anyone.http.get(path, headers={**authorization, "X-Tenant-ID": "default"})

    assert (without.status_code, named.status_code) == (200, 200)
    assert without.json() == named.json()


def test_spec_token_comes_as_authorization_bearer(anyone: RuneClient, tokens: dict[str, str]) -> None:
    """Header: Authorization: Bearer <token>."""
    response = anyone.http.get("/v1/jobs", headers={"Authorization": f"Bearer {tokens['default']}"})

    assert response.status_code == 200


def test_spec_token_comes_as_x_api_key(anyone: RuneClient, tokens: dict[str, str]) -> None:
    """Header: … or X-API-Key: <key>."""
    response = anyone.http.get("/v1/jobs", headers={"X-API-Key": tokens["default"]})

    assert response.status_code == 200


def test_spec_tokens_are_configured_via_rune_api_tokens(
    stack: Stack, rune: RuneClient, tokens: dict[str, str]
) -> None:
    """Storage: Tokens configured via RUNE_API_TOKENS …"""
    configured = api_environment(stack)["RUNE_API_TOKENS"].split(",")

    assert [entry.partition(":")[0] for entry in configured] == list(tokens)
    assert rune.http.get("/v1/jobs").status_code == 200


def test_spec_tokens_are_hashed_with_sha_256_on_startup(
    stack: Stack, rune: RuneClient, tokens: dict[str, str]
) -> None:
    """… are immediately hashed (SHA-256) in memory on server startup."""
    token = tokens[TENANT]
    digest = hashlib.sha256(token.encode())
    environment = {"RUNE_API_TOKENS": f"{TENANT}:{token}"}

    book = TokenBook.take_from(environment)

    assert find_token(book.tokens_of(TENANT), token) is not None
    assert digest.digest() in reachable_from(book)
    # The deployed one had it as a hash already, and is as content.
    assert f"sha256:{digest.hexdigest()}" in api_environment(stack)["RUNE_API_TOKENS"]
    assert rune.http.get("/v1/jobs").status_code == 200


def test_spec_plain_tokens_are_never_stored_in_memory(stack: Stack, tokens: dict[str, str]) -> None:
    """Plaintext tokens are never stored in memory."""
    token = tokens[TENANT]
    environment = {"RUNE_API_TOKENS": f"{TENANT}:{token}"}

    book = TokenBook.take_from(environment)

    assert environment == {}
    kept = reachable_from(book)
    assert not [text for text in kept if isinstance(text, str) and token in text]
    assert not [data for data in kept if isinstance(data, bytes) and token.encode() in data]
    assert not [name for name, text in api_environment(stack).items() if token in text]


def test_spec_tokens_are_compared_as_hashes_in_constant_time(
    tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Validation: tokens are hashed and compared … using constant-time comparison (hmac.compare_digest)."""
    compared: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest

    def note(offered: bytes, known: bytes) -> bool:
        compared.append((offered, known))
        return compare(offered, known)

    monkeypatch.setattr(hmac, "compare_digest", note)
    book = TokenBook.parse(f"{TENANT}:{tokens[TENANT]}")
    known = hashlib.sha256(tokens[TENANT].encode()).digest()
    wrong = hashlib.sha256(b"wrong").digest()

    known_tokens = book.tokens_of(TENANT)
    found = [find_token(known_tokens, text) is not None for text in (tokens[TENANT], "wrong")]
    assert found == [True, False]
    assert compared == [(known, known), (wrong, known)]


def test_spec_idempotency_key_is_optional_for_post_jobs(
    rune: RuneClient, quick: ModelServer, benchmark: dict[str, Any], agentic_agent: dict[str, Any]
) -> None:
    """Idempotency: Idempotency-Key (optional for POST jobs)."""
    server = {"backend_url": quick.url}
    for kind, body in [
        ("benchmark", benchmark),
        ("agentic-agent", agentic_agent),
        ("llm-instance", server),
        ("ollama-instance", server),
    ]:
        key = {"Idempotency-Key": f"specification-{kind}"}
        first, second, without = (
            rune.http.post(f"/v1/jobs/{kind}", json=body, headers=headers) for headers in (key, key, {})
        )

        assert accepted(first) == accepted(second)
        assert accepted(without) != accepted(first)


# --------------------------------------------------------------------------------------------------- endpoints


def test_spec_get_healthz_answers_status_ok(anyone: RuneClient) -> None:
    """GET /healthz - Response: {"status": "ok"}."""
    response = anyone.http.get("/healthz")

    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_spec_post_estimates_answers_a_cost_estimation_response(rune: RuneClient) -> None:
    """POST /v1/estimates - Request Body: CostEstimationRequest - Response: CostEstimationResponse."""
    response = rune.http.post("/v1/estimates", json=COST_ESTIMATION_REQUEST)

    assert response.status_code == 200, response.text
    estimate = CostEstimationResponse.model_validate_json(response.content)
    assert estimate.cost_driver == "vastai"
    assert 0 < estimate.projected_cost_usd == estimate.high_usd


def test_spec_jobs_are_processed_asynchronously(rune: RuneClient, ollama: ModelServer) -> None:
    """Jobs are processed asynchronously."""
    # This server writes 40 tokens a second, as people see it.
    job_id = rune.post_benchmark({"question": "Why?", "model": MODEL, "backend_url": ollama.url})

    before = rune.get_job(job_id)

    assert before.status in {"queued", "running"}
    assert rune.wait_for_end(job_id).status == "succeeded"


def test_spec_post_of_a_job_returns_202_accepted_with_a_job_id(
    rune: RuneClient, quick: ModelServer, benchmark: dict[str, Any], agentic_agent: dict[str, Any]
) -> None:
    """POST returns 202 Accepted with a job_id."""
    bodies = {
        "benchmark": benchmark,
        "agentic-agent": agentic_agent,
        "llm-instance": {"backend_url": quick.url},
    }
    for kind, body in bodies.items():
        response = rune.http.post(f"/v1/jobs/{kind}", json=body)

        assert response.status_code == 202
        assert rune.get_job(response.json()["job_id"]).kind == kind


def test_spec_post_agentic_agent_is_accepted(rune: RuneClient, agentic_agent: dict[str, Any]) -> None:
    """POST /v1/jobs/agentic-agent - RunAgenticAgentRequest - {"job_id": "...", "status": "accepted"}."""
    job = rune.wait_for_end(accepted(rune.http.post("/v1/jobs/agentic-agent", json=agentic_agent)))

    assert (job.kind, job.status, job.error) == ("agentic-agent", "succeeded", None)
    assert read_result(AgenticAgentResult, job).answer


def test_spec_post_benchmark_is_accepted(rune: RuneClient, benchmark: dict[str, Any]) -> None:
    """POST /v1/jobs/benchmark - RunBenchmarkRequest - {"job_id": "...", "status": "accepted"}."""
    job = rune.wait_for_end(accepted(rune.http.post("/v1/jobs/benchmark", json=benchmark)))

    assert (job.kind, job.status, job.error) == ("benchmark", "succeeded", None)
    assert read_result(BenchmarkResult, job).answer


def test_spec_post_llm_instance_is_accepted(rune: RuneClient, quick: ModelServer) -> None:
    """POST /v1/jobs/llm-instance - RunLLMInstanceRequest - {"job_id": "...", "status": "accepted"}."""
    job = rune.wait_for_end(
        accepted(rune.http.post("/v1/jobs/llm-instance", json={"backend_url": quick.url}))
    )

    assert (job.kind, job.status, job.error) == ("llm-instance", "succeeded", None)
    assert read_result(LlmInstanceResult, job).backend_url == quick.url


def test_spec_post_ollama_instance_is_a_deprecated_alias_that_works(
    rune: RuneClient, quick: ModelServer
) -> None:
    """Deprecated alias: POST /v1/jobs/ollama-instance (still functional)."""
    response = rune.http.post("/v1/jobs/ollama-instance", json={"backend_url": quick.url})

    job = rune.wait_for_end(accepted(response))
    assert (job.kind, job.status) == ("llm-instance", "succeeded")
    assert_deprecated(response, "/v1/jobs/llm-instance")


def test_spec_get_job_returns_a_job_record_with_status_and_result(
    rune: RuneClient, benchmark_job: str
) -> None:
    """GET /v1/jobs/{job_id} - Response: JobRecord (includes status, result …)."""
    job = rune.http.get(f"/v1/jobs/{benchmark_job}").json()

    assert (job["job_id"], job["status"], job["error"]) == (benchmark_job, "succeeded", None)
    assert isinstance(job["result"], dict)


def test_spec_get_job_returns_a_job_record_with_error(rune: RuneClient, benchmark: dict[str, Any]) -> None:
    """GET /v1/jobs/{job_id} - Response: JobRecord (includes … or error)."""
    job_id = rune.post_benchmark({**benchmark, "model": "a-model-that-the-server-lacks"})
    rune.wait_for_end(job_id)

    job = rune.http.get(f"/v1/jobs/{job_id}").json()

    assert (job["status"], job["result"]) == ("failed", None)
    assert "a-model-that-the-server-lacks" in job["error"]


def test_spec_get_job_events_returns_the_jobs_events(rune: RuneClient, benchmark_job: str) -> None:
    """GET /v1/jobs/{job_id}/events - Response: {"job_id": "...", "events": [...]}."""
    response = rune.http.get(f"/v1/jobs/{benchmark_job}/events")

    document = response.json()
    assert (response.status_code, document.keys()) == (200, {"job_id", "events"})
    assert document["job_id"] == benchmark_job
    assert [event.event for event in JobEvents.model_validate_json(response.content).events] == [
        "job.accepted",
        "job.running",
        "backend.list_models",
        "backend.warmup",
        "benchmark.point",
        "benchmark.measure",
        "job.succeeded",
    ]


def test_spec_get_catalog_lists_vastai_models(rune: RuneClient) -> None:
    """GET /v1/catalog/vastai-models - Response: {"models": [...]}."""
    response = rune.http.get("/v1/catalog/vastai-models")

    assert (response.status_code, response.json().keys()) == (200, {"models"})
    catalog = Catalog.model_validate_json(response.content)
    assert {model.name: model.vram_mb for model in catalog.models}[MODEL] == 8000


def test_spec_get_llm_models_lists_what_a_backend_offers(rune: RuneClient, quick: ModelServer) -> None:
    """GET /v1/llm/models?backend_url=<url>&backend_type=ollama - {"backend_url", …, "running_models"}."""
    response = rune.http.get("/v1/llm/models", params={"backend_url": quick.url, "backend_type": "ollama"})

    assert response.status_code == 200, response.text
    assert response.json().keys() == {"backend_url", "backend_type", "models", "running_models"}
    offered = ServerModels.model_validate_json(response.content)
    assert (offered.backend_url, offered.backend_type) == (quick.url, "ollama")
    assert MODEL in offered.models


def test_spec_get_ollama_models_is_a_deprecated_alias_that_works(
    rune: RuneClient, quick: ModelServer
) -> None:
    """Deprecated alias: GET /v1/ollama/models?backend_url=<url> (still functional)."""
    query = {"backend_url": quick.url}
    response = rune.http.get("/v1/ollama/models", params=query)

    assert (response.status_code, response.json()["models"]) == (
        200,
        rune.http.get("/v1/llm/models", params=query).json()["models"],
    )
    assert_deprecated(response, "/v1/llm/models")


def test_spec_get_metrics_summary_answers_events(rune: RuneClient, benchmark_job: str) -> None:
    """GET /v1/metrics/summary?job_id=<id> - Response: {"events": [...]}."""
    response = rune.http.get("/v1/metrics/summary", params={"job_id": benchmark_job})

    assert (response.status_code, response.json().keys()) == (200, {"events"})
    summary = MetricsSummary.model_validate_json(response.content)
    asked = next(row for row in summary.events if row.event == "benchmark.measure")
    assert (asked.total, asked.ok, asked.error) == (1, 1, 0)


def test_spec_metrics_are_aggregated(rune: RuneClient, benchmark_job: str) -> None:
    """(aggregated metrics)."""
    of_one = rows_of(rune, {"job_id": benchmark_job})
    of_all = rows_of(rune, {})

    assert list(of_all) == sorted(of_all)
    for name, row in of_one.items():
        whole = of_all[name]
        assert whole["total"] == whole["ok"] + whole["error"] >= row["total"]
        assert whole["min_ms"] <= row["min_ms"] <= row["max_ms"] <= whole["max_ms"]
        assert whole["min_ms"] <= whole["avg_ms"] <= whole["max_ms"]


# --------------------------------------------------------------------------------------------- data structures


def test_spec_cost_estimation_request_is_taken_as_it_stands(rune: RuneClient) -> None:
    """CostEstimationRequest: the example, to the letter."""
    response = rune.http.post(
        "/v1/estimates",
        content=json.dumps(COST_ESTIMATION_REQUEST),
        headers={"Content-Type": "application/json"},
    )

    assert (response.status_code, response.json()["warning"]) == (200, None)


# What each field does: another value, and what it changes in the answer.
COST_FIELDS: Mapping[str, tuple[Any, Callable[[dict[str, Any], dict[str, Any]], bool]]] = {
    "vastai": (False, lambda other, _: other["code"] == "cost_driver_missing"),
    "min_dph": (3.5, lambda other, _: other["code"] == "invalid_request"),
    "max_dph": (
        0.05,
        # Nothing is offered for so little; where no search has seen the market, the job's limits are the answer.
        lambda other, usual: (
            other["confidence_score"] == 0 or other["projected_cost_usd"] < usual["projected_cost_usd"]
        ),
    ),
    "model": ("a-model-of-unknown-size", lambda other, _: other["confidence_score"] == 0.8),
    "estimated_duration_seconds": (
        600,
        # Where no search has seen the market, the job's limits are the answer, whatever it is used for.
        lambda other, usual: (
            other["projected_cost_usd"] < usual["projected_cost_usd"] or usual["basis"] == "limits"
        ),
    ),
}


@pytest.mark.parametrize("field", COST_ESTIMATION_REQUEST)
def test_spec_cost_estimation_request_has_the_field(rune: RuneClient, field: str) -> None:
    """CostEstimationRequest: one line of the example."""
    other, has_effect = COST_FIELDS[field]

    usual = rune.http.post("/v1/estimates", json=COST_ESTIMATION_REQUEST)
    answer = rune.http.post("/v1/estimates", json={**COST_ESTIMATION_REQUEST, field: other})
    wrong = rune.http.post("/v1/estimates", json={**COST_ESTIMATION_REQUEST, field: {"no": "value"}})

    assert has_effect(answer.json(), usual.json())
    assert_refused_by_name(wrong, field)


def test_spec_run_benchmark_request_is_carried_out_to_the_letter(rune: RuneClient) -> None:
    """RunBenchmarkRequest: the example, to the letter. It rents a GPU."""
    job = rune.wait_for_end(rune.post_benchmark(RUN_BENCHMARK_REQUEST))

    assert (job.status, job.error) == ("succeeded", None)
    assert job.result
    assert job.result["contract_id"]
    assert job.result["answer"]


# What each field must be; the first of these is the specification's own value.
BENCHMARK_FIELDS: Mapping[str, Any] = {
    "template_hash": "c166c11f035d3a97871a23bd32ca6aba",
    "min_dph": 0.0,
    "max_dph": 1000.0,
    "reliability": 1.0,
    "question": "Why?",
    "model": "llama3.1:70b",
    "backend_warmup": False,
    "vastai_stop_instance": False,
}


def test_spec_run_benchmark_request_has_the_field_vastai(rune: RuneClient, benchmark: dict[str, Any]) -> None:
    """RunBenchmarkRequest: "vastai": true rents, false does not."""
    assert_refused_by_name(
        rune.http.post("/v1/jobs/benchmark", json={**benchmark, "vastai": "yes"}), "vastai"
    )

    rented = accepted(
        rune.http.post("/v1/jobs/benchmark", json={**benchmark, "vastai": True, "backend_url": None})
    )
    rune.cancel(rented)

    assert rune.get_job(rented).cost_usd is not None
    own = accepted(rune.http.post("/v1/jobs/benchmark", json={**benchmark, "vastai": False}))
    assert rune.get_job(own).cost_usd is None


@pytest.mark.parametrize("field", BENCHMARK_FIELDS)
def test_spec_run_benchmark_request_has_the_field(
    rune: RuneClient, benchmark: dict[str, Any], field: str
) -> None:
    """RunBenchmarkRequest: one line of the example."""
    assert set(BENCHMARK_FIELDS) | {"vastai"} == set(RUN_BENCHMARK_REQUEST)

    wrong = rune.http.post("/v1/jobs/benchmark", json={**benchmark, field: {"no": "value"}})
    other = rune.http.post("/v1/jobs/benchmark", json={**benchmark, field: BENCHMARK_FIELDS[field]})

    assert_refused_by_name(wrong, field)
    rune.http.delete(f"/v1/jobs/{accepted(other)}")


# ------------------------------------------------------------------------------------------------------- tools


def api_environment(stack: Stack) -> Mapping[str, str]:
    """Return the variables that the API function was deployed with."""
    functions = stack.aws.client("lambda")
    configuration = functions.get_function_configuration(FunctionName=stack.state.functions["api"])
    variables: Mapping[str, str] = configuration["Environment"]["Variables"]
    return variables


def reachable_from(root: object) -> list[object]:
    """Return everything that an object keeps alive, other than code."""
    found: list[object] = []
    waiting, seen = [root], {id(type(root))}
    while waiting:
        thing = waiting.pop()
        if id(thing) not in seen and not isinstance(thing, type):
            seen.add(id(thing))
            found.append(thing)
            waiting += gc.get_referents(thing)
    return found


def rows_of(rune: RuneClient, query: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    rows = rune.http.get("/v1/metrics/summary", params=query).raise_for_status().json()["events"]
    return {row["event"]: row for row in rows}


def assert_refused_by_name(response: httpx.Response, field: str) -> None:
    assert response.status_code == 422, response.text
    assert [error["pointer"] for error in response.json()["errors"]] == [f"/{field}"]


def assert_deprecated(response: httpx.Response, successor: str) -> None:
    assert response.headers["deprecation"].startswith("@")
    assert response.headers["sunset"].endswith("GMT")
    assert response.headers["link"] == f'<{successor}>; rel="successor-version"'
