"""Servers that the operator lends, through the deployed stack: Bedrock, and one behind a key."""

from __future__ import annotations

import json

import httpx

from local.emulator import REGION
from local.stack import Stack
from rune.contracts import BenchmarkResult
from tests.e2e.client import RuneClient, bearer
from tests.e2e.environment import OTHER_TENANT
from tests.e2e.keyed_server import KeyedServer
from tests.e2e.test_secrets import read_logs, read_table

HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
BEDROCK = {"question": "What is unhealthy?", "model": HAIKU, "backend_type": "bedrock"}


def test_benchmark_runs_on_bedrock(rune: RuneClient, stack: Stack) -> None:
    job = rune.wait_for_end(rune.post_benchmark(BEDROCK))

    assert (job.status, job.error) == ("succeeded", None)
    assert job.result
    assert str(job.result["answer"]).startswith("Simulated answer:")
    assert job.result["backend_url"] == f"https://bedrock-runtime.{REGION}.amazonaws.com"
    measured = job.result["measurements"]
    assert isinstance(measured, dict)
    assert (measured["output_tokens"], measured["token_count_source"]) == (120, "usage")
    # The simulator's own times: 200 ms to the first token, then 40 a second. A busy machine only makes them longer.
    assert measured["ttft_ms"] > 195
    assert 20 < measured["output_tokens_per_s_per_user"] < 40.5
    seen = httpx.get(f"{stack.state.simulators['bedrock']}/_sim/requests", params={"model": HAIKU}).json()
    assert [request["outcome"] for request in seen["requests"]] == ["completed", "completed"]


def test_workload_runs_on_bedrock(rune: RuneClient) -> None:
    workload = {
        "repetitions": 6,
        "min_waves": 0,
        "concurrency": [3],
        "output_tokens": 16,
        "warmup_requests": 1,
    }

    job = rune.wait_for_end(rune.post_benchmark({**BEDROCK, "workload": workload}))

    assert (job.status, job.error) == ("succeeded", None)
    report = BenchmarkResult.model_validate_json(json.dumps(job.result)).report
    assert report
    (run,) = report.runs
    assert (run.completed, run.failed, run.token_count_source) == (6, 0, "usage")
    assert report.server.name == "bedrock"


def test_benchmark_runs_on_a_server_behind_a_key(rune: RuneClient, stack: Stack, keyed: KeyedServer) -> None:
    asked = {
        "question": "What is unhealthy?",
        "model": "llama3.1:8b",
        "backend_url": keyed.url,
        "backend_type": "openai",
    }

    without = rune.wait_for_end(rune.post_benchmark(asked))
    refused_count = len(keyed.read_refused())
    job = rune.wait_for_end(rune.post_benchmark({**asked, "backend_credential": "lab"}))

    assert (without.status, without.error_code) == ("failed", "server_access_denied")
    assert (job.status, job.error) == ("succeeded", None)
    assert len(keyed.read_refused()) == refused_count > 0
    for text in (*read_logs(stack).values(), read_table(stack), json.dumps(job.model_dump(mode="json"))):
        assert keyed.api_key not in text


def test_models_of_what_is_lent_are_listed(rune: RuneClient, keyed: KeyedServer) -> None:
    lab = {"backend_url": keyed.url, "backend_type": "openai", "backend_credential": "lab"}
    answers = [rune.http.get("/v1/llm/models", params=query) for query in ({"backend_type": "bedrock"}, lab)]

    assert [answer.status_code for answer in answers] == [200, 200]
    of_bedrock, of_lab = (answer.json()["models"] for answer in answers)
    assert HAIKU in of_bedrock
    assert all(model.startswith("anthropic.") for model in of_bedrock)
    assert "llama3.1:8b" in of_lab


def test_nothing_is_lent_to_the_neighbour(stack: Stack, tokens: dict[str, str], keyed: KeyedServer) -> None:
    asked = [
        BEDROCK,
        {**BEDROCK, "backend_type": "openai", "backend_url": keyed.url, "backend_credential": "lab"},
    ]
    with RuneClient(stack.state.base_url, bearer(tokens[OTHER_TENANT], OTHER_TENANT)) as neighbour:
        answers = [neighbour.http.post("/v1/jobs/benchmark", json=body) for body in asked]

    codes = [answer.json()["code"] for answer in answers]
    assert codes == ["bedrock_not_allowed", "credential_unknown"]
