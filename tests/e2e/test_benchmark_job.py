"""A benchmark job that goes well: from the request to numbers that the model server itself confirms."""

import time

import pytest

from local.stack import Stack
from rune.contracts import BenchmarkResult, JobEvent
from tests.e2e.client import RuneClient, bearer, read_result
from tests.e2e.environment import OTHER_TENANT
from tests.e2e.model_server import ModelServer

QUESTION = "What is unhealthy in this Kubernetes cluster?"
MODEL = "llama3.1:8b"


@pytest.fixture(scope="module")
def job_id(rune: RuneClient, ollama: ModelServer) -> str:
    """Return a job in the flat form, with every field that clients send; it has ended."""
    posted = rune.post_benchmark(
        {
            "vastai": False,
            "template_hash": None,
            "min_dph": 2.3,
            "max_dph": 3.0,
            "reliability": 0.99,
            "question": QUESTION,
            "model": MODEL,
            "backend_url": ollama.url,
            "backend_type": "ollama",
            "backend_warmup": True,
            "backend_warmup_timeout": 90,
            "kubeconfig": "/home/somebody/.kube/config",
            "vastai_stop_instance": True,
            "attestation_required": False,
        }
    )
    rune.wait_for_end(posted)
    return posted


def steps_of(events: list[JobEvent]) -> list[tuple[int, str, str]]:
    return [(event.id, event.event, event.status) for event in events]


def test_job_succeeds_with_the_counts_that_the_server_itself_gives(
    rune: RuneClient, ollama: ModelServer, job_id: str
) -> None:
    job = rune.get_job(job_id)
    own = ollama.ask(MODEL, QUESTION)

    assert (job.status, job.error, job.error_code) == ("succeeded", None, None)
    # The contract refuses unknown and missing fields, so this is the whole shape.
    result = read_result(BenchmarkResult, job)
    numbers = result.measurements
    assert numbers is not None
    assert result.answer == own.answer
    assert (numbers.input_tokens, numbers.output_tokens) == (own.prompt_tokens, own.output_tokens)
    assert (numbers.token_count_source, numbers.finish_reason) == ("usage", "stop")
    assert result.telemetry.tokens.model_dump() == {
        "system_prompt": 0,
        "tool_calls": 0,
        "agent_reasoning": 0,
        "output": own.output_tokens,
        "total": own.prompt_tokens + own.output_tokens,
    }
    assert (result.model_name, result.backend_url) == (MODEL, ollama.url)
    assert result.metadata == {"backend_type": "ollama", "question": QUESTION}


def test_numbers_fit_each_other_and_the_speed_of_the_server(rune: RuneClient, job_id: str) -> None:
    result = read_result(BenchmarkResult, rune.get_job(job_id))

    numbers = result.measurements
    assert numbers is not None
    assert numbers.ttft_ms
    assert numbers.e2el_ms
    assert numbers.output_throughput_tokens_per_s
    assert numbers.ttft_ms < numbers.e2el_ms
    # The simulator writes exactly 40 tokens a second; a busy machine can only make the client see fewer.
    assert numbers.server_side.output_tokens_per_s == pytest.approx(40.0, rel=0.01)
    assert numbers.output_throughput_tokens_per_s < 40.5
    assert numbers.output_throughput_tokens_per_s == pytest.approx(
        numbers.output_tokens / numbers.e2el_ms * 1000, rel=0.01
    )
    phases = [latency.phase for latency in result.telemetry.latency]
    assert phases == ["check", "load", "first_token", "measure"]


def test_events_tell_the_job_in_order(rune: RuneClient, job_id: str) -> None:
    events = rune.get_events(job_id)

    assert steps_of(events) == [
        (1, "job.accepted", "ok"),
        (2, "job.running", "ok"),
        (3, "backend.list_models", "ok"),
        (4, "backend.warmup", "ok"),
        (5, "benchmark.point", "ok"),
        (6, "benchmark.measure", "ok"),
        (7, "job.succeeded", "ok"),
    ]
    assert [event.recorded_at for event in events] == sorted(event.recorded_at for event in events)
    assert time.time() - events[0].recorded_at < 3600


def test_job_of_another_tenant_does_not_exist(stack: Stack, tokens: dict[str, str], job_id: str) -> None:
    with RuneClient(stack.state.base_url, bearer(tokens[OTHER_TENANT], OTHER_TENANT)) as neighbour:
        answers = [
            neighbour.http.get(f"/v1/jobs/{job_id}"),
            neighbour.http.get(f"/v1/jobs/{job_id}/events"),
            neighbour.http.delete(f"/v1/jobs/{job_id}"),
        ]

    assert [answer.status_code for answer in answers] == [404, 404, 404]


def test_job_that_has_ended_cannot_be_cancelled(rune: RuneClient, job_id: str) -> None:
    response = rune.http.delete(f"/v1/jobs/{job_id}")

    assert (response.status_code, response.json()["code"]) == (409, "job_finished")


@pytest.mark.parametrize("backend_type", ["ollama", "openai"])
def test_nested_form_and_both_kinds_of_server_give_the_servers_own_counts(
    rune: RuneClient, quick: ModelServer, backend_type: str
) -> None:
    job = rune.wait_for_end(
        rune.post_benchmark(
            {
                "provisioning": None,
                "question": QUESTION,
                "model": MODEL,
                "backend_url": quick.url,
                "backend_type": backend_type,
                "backend_warmup": True,
            }
        )
    )

    own = quick.ask(MODEL, QUESTION)
    result = read_result(BenchmarkResult, job)
    numbers = result.measurements
    assert numbers is not None
    assert (numbers.input_tokens, numbers.output_tokens) == (own.prompt_tokens, own.output_tokens)
    assert (result.answer, result.metadata["backend_type"]) == (own.answer, backend_type)


def test_cold_model_is_loaded_within_the_answer_when_no_warm_up_is_asked(
    rune: RuneClient, quick: ModelServer
) -> None:
    body = {"question": QUESTION, "model": MODEL, "backend_url": quick.url, "backend_warmup": False}
    job_id = rune.post_benchmark(body)

    rune.wait_for_end(job_id)

    assert [event.event for event in rune.get_events(job_id)] == [
        "job.accepted",
        "job.running",
        "backend.list_models",
        "benchmark.point",
        "benchmark.measure",
        "job.succeeded",
    ]
