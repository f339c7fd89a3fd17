"""A sweep over the deployed template: measured point by point, also when its worker is killed in the middle."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping

from local.emulator import find_function_pids
from local.simulators.ollama import OllamaSettings
from local.stack import Stack
from rune.contracts import BenchmarkReport, BenchmarkResult, JobRecord
from tests.e2e.client import RuneClient
from tests.e2e.model_server import CHAT, ModelServer, model_server
from tests.e2e.queues import Queues
from tests.e2e.waiting import wait_until

RECOVERY_LIMIT_SECONDS = 200.0

# An answer takes two seconds: a point is met in its middle, whatever else the machine does.
PACED = OllamaSettings(
    load_seconds=0.0, output_tokens_per_second=20.0, answer_tokens=40, parallel_count=4, tokens_per_chunk=2
)
REQUESTS = 4


def a_sweep(server: ModelServer, **workload: object) -> dict[str, object]:
    """Return a request for three points of four requests each."""
    points = {"repetitions": REQUESTS, "concurrency": [1, 2, 4], "warmup_requests": 0, **workload}
    return {
        "question": "Who measures twice?",
        "model": "llama3.1:8b",
        "backend_url": server.url,
        "backend_warmup": False,
        "workload": points,
    }


def report_of(job: JobRecord) -> tuple[BenchmarkReport, list[str]]:
    """Return the report of a job that went well, and the names of its records' files."""
    assert job.status == "succeeded", job
    document = job.result if isinstance(job.result, Mapping) else json.loads(job.model_dump_json())["result"]
    result = BenchmarkResult.model_validate_json(json.dumps(document))
    assert result.report is not None
    return result.report, json.loads(result.metadata["records"])


def test_sweep_measures_every_point(rune: RuneClient, quick: ModelServer) -> None:
    job = rune.wait_for_end(rune.post_benchmark(a_sweep(quick, output_tokens=32)))

    report, keys = report_of(job)
    assert [(run.max_concurrency, run.completed, run.failed) for run in report.runs] == [
        (1, REQUESTS, 0),
        (2, REQUESTS, 0),
        (4, REQUESTS, 0),
    ]
    assert (report.ended_by, report.model.id, len(keys)) == ("all_measured", "llama3.1:8b", 3)
    assert all(run.output_tokens and run.output_tokens.max <= 32 for run in report.runs)


def test_sweep_goes_on_with_every_point_measured_once_when_its_worker_is_killed_in_the_middle(
    rune: RuneClient, stack: Stack, queues: Queues
) -> None:
    with model_server(PACED) as server:
        job_id = rune.post_benchmark(a_sweep(server))
        _wait_for_second_point(rune, job_id)
        workers = find_function_pids(stack.state.pids["emulator"], stack.state.functions["worker-inference"])
        assert workers
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        job = rune.wait_for_end(job_id, limit_seconds=RECOVERY_LIMIT_SECONDS)
        asked = server.requests(CHAT)

    report, keys = report_of(job)
    assert [(run.index, run.completed) for run in report.runs] == [
        (0, REQUESTS),
        (1, REQUESTS),
        (2, REQUESTS),
    ]
    assert len(set(keys)) == 3
    events = rune.get_events(job_id)
    assert [event.labels["point"] for event in events if event.event == "benchmark.point"] == ["0", "1", "2"]
    assert "worker.lost" in [event.event for event in events]
    # What the dead worker asked of the second point is in nobody's numbers.
    assert len([request for request in asked if request.outcome == "cancelled"]) >= 1
    assert len(asked) > 3 * REQUESTS
    assert queues.bodies()["dead_letter"] == []


def _wait_for_second_point(rune: RuneClient, job_id: str) -> JobRecord:
    """Return the job once answers of its second point arrive."""

    def measuring() -> JobRecord | None:
        job = rune.get_job(job_id)
        progress = job.progress
        return job if progress.get("point") == 2 and int(progress.get("tokens", 0)) > 0 else None

    return wait_until(measuring, f"job {job_id} is in its second point", limit_seconds=90.0)
