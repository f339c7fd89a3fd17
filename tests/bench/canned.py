"""What AWS answers where the network is replaced."""

from __future__ import annotations

import json
from datetime import timedelta

from rune.aws.job_rows import REQUEST_KEY, RESULT_KEY, hot_item, job_key
from rune.clock import SystemClock
from rune.contracts import BenchmarkResult
from rune.jobs.record import Status
from tests.bench.artifacts import ENVIRONMENT
from tests.bench.wire import Answers
from tests.builders import JOB_ID, a_benchmark_request, a_claimed_job, an_ended_job

_WRITTEN: Answers = {
    "TransactWriteItems": {},
    "SendMessage": {"MessageId": "1", "MD5OfMessageBody": "0" * 32},
}

_TOKEN_USED: Answers = {"UpdateItem": {"Attributes": {}}}
"""The first request with a token writes its day of use."""

_FOUND_NOTHING = {"Items": [], "Count": 0, "ScannedCount": 0}


def answers_to_post() -> Answers:
    """Return what the API is answered that takes a job in: every slot is free."""
    return {**_WRITTEN, **_TOKEN_USED, "Query": _FOUND_NOTHING}


def answers_to_get() -> Answers:
    """Return what the API is answered that is asked for a job, which has succeeded."""
    job = an_ended_job(Status.SUCCEEDED, expires_at=SystemClock().now() + timedelta(days=1))
    result = {**job_key(JOB_ID, RESULT_KEY), "body": {"S": a_result().model_dump_json()}}
    return {**_TOKEN_USED, "BatchGetItem": _found(hot_item(job), result)}


def answers_to_turn(model_server: str) -> Answers:
    """Return what a worker is answered that takes a benchmark's first turn: the claim and every write succeed."""
    now = SystemClock().now()
    body = a_benchmark_request(backend_url=model_server)
    job = a_claimed_job(
        created_at=now, deadline_at=now + timedelta(hours=1), expires_at=now + timedelta(days=1)
    )
    request = {
        **job_key(JOB_ID, REQUEST_KEY),
        "body": {"S": json.dumps(body)},
        # For the empty worker, which reads no body.
        "url": {"S": model_server},
        "model": {"S": body["model"]},
    }
    return {
        **_WRITTEN,
        "UpdateItem": {"Attributes": hot_item(job)},
        "BatchGetItem": _found(hot_item(job), request),
    }


def answers_to_tick() -> Answers:
    """Return what the janitor is answered: no turn is late, and no job runs or waits."""
    return {"Query": _FOUND_NOTHING}


def _found(*rows: object) -> object:
    return {"Responses": {ENVIRONMENT["RUNE_TABLE"]: rows}, "UnprocessedKeys": {}}


def a_result() -> BenchmarkResult:
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
                "latency": [
                    {"phase": phase, "ms": 100} for phase in ("check", "load", "first_token", "measure")
                ],
                "cost_estimate_usd": None,
            },
            "model_name": "llama3.1:8b",
            "backend_url": "http://127.0.0.1:11434",
            "measurements": {
                "ttft_ms": 107.0,
                "ttfo_ms": 107.0,
                "tpot_ms": 25.0,
                "output_throughput_tokens_per_s": 38.9,
                "output_tokens_per_s_per_user": 40.0,
                "e2el_ms": 3084.0,
                "input_tokens": 8,
                "output_tokens": 120,
                "cached_tokens": None,
                "reasoning_tokens": None,
                "token_count_source": "usage",
                "finish_reason": "stop",
                "server_side": {
                    "total_ms": 3008.9,
                    "load_ms": 0.8,
                    "prompt_eval_ms": 2.0,
                    "eval_ms": 3000.0,
                    "prompt_tokens_per_s": None,
                    "output_tokens_per_s": 40.0,
                },
            },
        }
    )
