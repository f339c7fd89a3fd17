"""A sweep over the deployed template, and one whose worker is killed in its middle."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from local.simulators.ollama import OllamaSettings
from rune.contracts import BenchmarkReport, BenchmarkResult, JobRecord, RecordsLinks
from tests.e2e.client import RuneClient, read_result
from tests.e2e.model_server import ModelServer, model_server
from tests.e2e.waiting import wait_until
from tests.e2e.worker_loss import LostWorker

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


def report_of(rune: RuneClient, job: JobRecord) -> tuple[BenchmarkReport, list[str]]:
    """Return the report of a job that went well, and the paths of its records' files in the bucket."""
    assert job.status == "succeeded", job
    result = read_result(BenchmarkResult, job)
    assert result.report is not None
    links = RecordsLinks.model_validate_json(rune.http.get(f"/v1/benchmarks/{job.job_id}/records").content)
    return result.report, [urlsplit(link.url).path for link in links.records]


@contextmanager
def lose_the_worker_of_a_sweep(
    rune: RuneClient, find_workers: Callable[[], list[int]]
) -> Iterator[LostWorker]:
    """Post a sweep, wait until its second point is under way, and kill -9 every process of the inference lane.

    Nothing else may run in that lane. The model server lives as long as the block.
    """
    with model_server(PACED) as server:
        job_id = rune.post_benchmark(a_sweep(server))

        def measuring() -> JobRecord | None:
            job = rune.get_job(job_id)
            is_there = job.progress.get("point") == 2 and int(job.progress.get("chunks", 0)) > 0
            return job if is_there else None

        wait_until(measuring, f"job {job_id} is in its second point", limit_seconds=90.0)
        for worker in wait_until(find_workers, "a worker of the inference lane runs", limit_seconds=10.0):
            os.kill(worker, signal.SIGKILL)
        yield LostWorker(job_id, server, time.monotonic())
