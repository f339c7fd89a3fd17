"""Two hundred jobs at once: the burst that the gateway lets through, and far more than the lanes run."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from local.simulators.ollama import ModelCard, OllamaSettings
from rune.contracts import JobRecord
from tests.e2e.client import ENDED, RuneClient
from tests.e2e.model_server import CHAT, ModelServer, model_server
from tests.e2e.queues import Queues
from tests.e2e.waiting import wait_until

JOB_COUNT = 200
# A model for each job, so that the server's own log tells which job asked.
MODELS = [f"many-{number:03}:latest" for number in range(JOB_COUNT)]
UNDISTURBED = (
    "job.accepted",
    "job.running",
    "backend.list_models",
    "benchmark.point",
    "benchmark.measure",
    "job.succeeded",
)
INSTANT = OllamaSettings(
    models=tuple(ModelCard.named(name, size_bytes=1_000_000) for name in MODELS),
    load_seconds=0.0,
    prompt_tokens_per_second=1e6,
    output_tokens_per_second=1e4,
    answer_tokens=5,
    loaded_limit_count=JOB_COUNT,
    context_tokens=64,
    vram_bytes=80 * 1024**3,
)


@pytest.fixture
def instant() -> Iterator[ModelServer]:
    with model_server(INSTANT) as running:
        yield running


def wait_for_all(rune: RuneClient, job_ids: list[str], *, limit_seconds: float) -> list[JobRecord]:
    """Return all jobs once they have ended; each is asked for in turn, an ended one never again."""
    jobs: dict[str, JobRecord] = {}

    def all_ended() -> bool:
        for job_id in job_ids:
            if job_id in jobs:
                continue
            job = rune.get_job(job_id)
            if job.status not in ENDED:
                return False
            jobs[job_id] = job
        return True

    wait_until(all_ended, f"{len(job_ids)} jobs have ended", limit_seconds=limit_seconds, poll_seconds=1.0)
    return [jobs[job_id] for job_id in job_ids]


@pytest.mark.timeout(400)
def test_every_job_succeeds_exactly_once_when_two_hundred_are_posted_at_once(
    rune: RuneClient, queues: Queues, instant: ModelServer
) -> None:
    def post(model: str) -> str:
        body = {"question": f"Who is {model}?", "model": model, "backend_url": instant.url}
        return rune.post_benchmark({**body, "backend_warmup": False})

    started = time.monotonic()
    with ThreadPoolExecutor(max_workers=50) as pool:
        job_ids = list(pool.map(post, MODELS))
    posted_seconds = time.monotonic() - started
    jobs = wait_for_all(rune, job_ids, limit_seconds=300.0)
    ended_seconds = time.monotonic() - started

    # Shown by pytest -s; a figure to report, not to judge.
    print(f"\n{JOB_COUNT} jobs: posted after {posted_seconds:.1f} s, ended after {ended_seconds:.1f} s")  # noqa: T201
    assert Counter(job.status for job in jobs) == {"succeeded": JOB_COUNT}
    assert [job.result["model_name"] for job in jobs if job.result] == MODELS
    assert Counter(request.model for request in instant.requests(CHAT)) == Counter(MODELS)
    with ThreadPoolExecutor(max_workers=8) as pool:
        histories = list(pool.map(rune.get_events, job_ids))
    assert Counter(tuple(event.event for event in history) for history in histories) == {
        UNDISTURBED: JOB_COUNT
    }
    queues.wait_until_empty(*job_ids)
    assert queues.wrongly_dead() == []
