"""Jobs that a model server fails: each ends with a code that programs compare and a sentence that people read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from local.simulators.ollama import ModelCard, OllamaSettings
from tests.e2e.client import RuneClient
from tests.e2e.model_server import CHAT, ModelServer, model_server


@dataclass(frozen=True, slots=True)
class Trouble:
    """What goes wrong, and how the job is to end.

    Attributes
    ----------
    fault
        What the server does to the chat, if anything.
    code
        The job's error code; None where it succeeds after all.
    tries
        What becomes of each try of the question: an error code, or None where it went well.
    """

    name: str
    fault: dict[str, object] | None
    code: str | None
    tries: tuple[str | None, ...] = ()


MISSING = Trouble("missing", None, "model_not_found")
TROUBLES = [
    Trouble("memory", {"kind": "out_of_memory"}, "out_of_memory", ("out_of_memory",)),
    Trouble("errorline", {"kind": "stream_error", "after_chunks": 3}, "stream_failed", ("stream_failed",)),
    Trouble("overloaded", {"kind": "overloaded"}, None, ("server_overloaded", None)),
    Trouble("cut", {"kind": "truncated", "after_chunks": 3}, None, ("stream_truncated", None)),
    Trouble("broken", {"kind": "disconnected", "after_chunks": 3}, None, ("stream_truncated", None)),
    Trouble(
        "alwayscut",
        {"kind": "truncated", "after_chunks": 3, "times": None},
        "stream_truncated",
        ("stream_truncated", "stream_truncated", "stream_truncated"),
    ),
]
FAST = OllamaSettings(
    models=tuple(ModelCard.named(trouble.name, size_bytes=1_000_000) for trouble in TROUBLES),
    load_seconds=0.0,
    output_tokens_per_second=500.0,
    loaded_limit_count=len(TROUBLES),
    # The model's default context would fill the memory with one model.
    context_tokens=512,
)


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with model_server(FAST) as running:
        yield running


@pytest.fixture(scope="module")
def job_ids(rune: RuneClient, server: ModelServer) -> dict[str, str]:
    """Post one job for each trouble, all at once: a second try waits five seconds, a third twenty."""
    server.add_faults(
        [{**trouble.fault, "path": CHAT, "model": trouble.name} for trouble in TROUBLES if trouble.fault]
    )
    return {
        trouble.name: rune.post_benchmark(
            {
                "question": "Why?",
                "model": trouble.name,
                "backend_url": server.url,
                "backend_warmup": False,
            }
        )
        for trouble in [MISSING, *TROUBLES]
    }


def test_job_fails_before_it_asks_when_the_server_lacks_the_model(
    rune: RuneClient, server: ModelServer, job_ids: dict[str, str]
) -> None:
    job = rune.wait_for_end(job_ids[MISSING.name])

    assert (job.status, job.error_code, job.error_stage) == ("failed", "model_not_found", "check")
    assert job.error == "The server does not have the model 'missing'."
    assert job.message == job.error
    assert (job.result, job.error_retryable) == (None, False)
    assert server.requests(CHAT, model=MISSING.name) == []


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.name)
def test_job_ends_as_the_trouble_deserves(
    rune: RuneClient, server: ModelServer, job_ids: dict[str, str], trouble: Trouble
) -> None:
    job = rune.wait_for_end(job_ids[trouble.name], limit_seconds=120.0)

    # A try that goes well commits its point; the turn after it makes the report of all points.
    tries = [
        event
        for event in rune.get_events(job.job_id)
        if event.event == ("benchmark.measure" if event.error_type else "benchmark.point")
    ]
    assert (job.status, job.error_code) == ("failed" if trouble.code else "succeeded", trouble.code)
    assert tuple(event.error_type for event in tries) == trouble.tries
    failed = [event.labels["try"] for event in tries if event.error_type]
    assert failed == [str(number + 1) for number in range(len(failed))]
    assert bool(job.error) == bool(trouble.code)
    assert len(server.requests(CHAT, model=trouble.name)) == len(trouble.tries)
