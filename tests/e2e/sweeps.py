"""A sweep over the deployed template."""

from __future__ import annotations

from urllib.parse import urlsplit

from local.simulators.ollama import OllamaSettings
from rune.contracts import BenchmarkReport, BenchmarkResult, JobRecord, RecordsLinks
from tests.e2e.client import RuneClient, read_result
from tests.e2e.model_server import ModelServer

# An answer takes two seconds: a point is met in its middle, whatever else the machine does.
PACED = OllamaSettings(
    load_seconds=0.0, output_tokens_per_second=20.0, answer_tokens=40, parallel_count=4, tokens_per_chunk=2
)
REQUESTS = 4


def a_sweep(server: ModelServer, **workload: object) -> dict[str, object]:
    """Return a request for three points of four requests each."""
    points = {
        "repetitions": REQUESTS,
        "min_waves": 0,
        "concurrency": [1, 2, 4],
        "warmup_requests": 0,
        **workload,
    }
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
