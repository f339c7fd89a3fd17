"""How long the API takes for a request once it is warm, beside an app that does nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from fastapi import FastAPI
from mangum import Mangum

from rune.contracts import BenchmarkResult
from rune.jobs.dynamodb_items import RESULT_KEY, hot_item, job_key
from rune.jobs.record import Status
from tests.bench.artifacts import ENVIRONMENT
from tests.bench.handlers import Context, Handle, loaded
from tests.bench.wire import Answers, answering
from tests.builders import JOB_ID, a_sample_event, an_ended_job, an_http_event

REQUESTS = {
    "GET /healthz": an_http_event("GET", "/healthz", token=None),
    "POST job": a_sample_event("api-post-benchmark"),
    "GET job": a_sample_event("api-get-job"),
}
WARM_UP_COUNT = 20


@dataclass(frozen=True, slots=True)
class WarmRequest:
    """Medians of one request; no network is in them, AWS's clients are."""

    request: str
    request_ms: float
    empty_ms: float

    @property
    def ratio(self) -> float:
        """Times the same request to an empty app."""
        return self.request_ms / self.empty_ms


def measure_warm_requests(runs: int) -> list[WarmRequest]:
    """Return each request's time; ours and the empty app's are asked in turn."""
    with answering(_canned()), loaded("api", ENVIRONMENT) as handle:
        empty = _empty_app()
        return [_measure(name, event, handle, empty, runs) for name, event in REQUESTS.items()]


def _measure(name: str, event: Mapping[str, object], ours: Handle, empty: Handle, runs: int) -> WarmRequest:
    ours_ms: list[float] = []
    empty_ms: list[float] = []
    for number in range(-min(runs, WARM_UP_COUNT), runs):
        for handle, spent_ms in ((ours, ours_ms), (empty, empty_ms)):
            started = time.perf_counter()
            response = handle(event, Context())
            elapsed_ms = (time.perf_counter() - started) * 1000
            if response["statusCode"] >= 400:
                raise RuntimeError(f"{name} was answered {response['statusCode']}: {response['body']}")
            if number >= 0:
                spent_ms.append(elapsed_ms)
    return WarmRequest(name, median(ours_ms), median(empty_ms))


def _empty_app() -> Handle:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    @app.api_route("/{path:path}", methods=["GET", "POST"])
    async def do_nothing() -> dict[str, str]:
        return {"status": "ok"}

    return Mangum(app, lifespan="off")


def _canned() -> Answers:
    """Return what AWS answers: it takes every write, and the job that is asked for has succeeded."""
    job = an_ended_job(Status.SUCCEEDED)
    result = {**job_key(JOB_ID, RESULT_KEY), "body": {"S": _result().model_dump_json()}}
    return {
        "TransactWriteItems": dict,
        "SendMessage": lambda: {"MessageId": "1", "MD5OfMessageBody": "0" * 32},
        "Query": lambda: {"Items": [hot_item(job), result], "Count": 2, "ScannedCount": 2},
    }


def _result() -> BenchmarkResult:
    return BenchmarkResult.model_validate(
        {
            "answer": "Two pods crash. " * 30,
            "metadata": {"backend_type": "ollama", "question": "What is unhealthy?"},
            "telemetry": {
                "tokens": {
                    "system_prompt": 0,
                    "tool_calls": 0,
                    "agent_reasoning": 0,
                    "output": 120,
                    "total": 128,
                },
                "latency": [{"phase": phase, "ms": 100} for phase in ("check", "load", "first_token", "ask")],
                "cost_estimate_usd": None,
            },
            "model_name": "llama3.1:8b",
            "backend_url": "http://127.0.0.1:11434",
            "measurements": {
                "time_to_first_token_ms": 107.0,
                "time_to_first_visible_token_ms": 107.0,
                "time_per_output_token_ms": 25.0,
                "output_tokens_per_second": 38.9,
                "decode_tokens_per_second": 40.0,
                "end_to_end_latency_ms": 3084.0,
                "prompt_tokens": 8,
                "output_tokens": 120,
                "cached_tokens": None,
                "reasoning_tokens": None,
                "token_count_source": "usage",
                "finish_reason": "stop",
                "server": {
                    "total_ms": 3008.9,
                    "load_ms": 0.8,
                    "prompt_eval_ms": 2.0,
                    "eval_ms": 3000.0,
                    "output_tokens_per_second": 40.0,
                },
            },
        }
    )
