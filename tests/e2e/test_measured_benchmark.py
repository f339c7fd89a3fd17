"""A sweep over the deployed template, measured point by point."""

from __future__ import annotations

from tests.e2e.client import RuneClient
from tests.e2e.model_server import ModelServer
from tests.e2e.sweeps import REQUESTS, a_sweep, report_of


def test_sweep_measures_every_point(rune: RuneClient, quick: ModelServer) -> None:
    job = rune.wait_for_end(rune.post_benchmark(a_sweep(quick, output_tokens=32)))

    report, keys = report_of(rune, job)
    assert [(run.max_concurrency, run.completed, run.failed) for run in report.runs] == [
        (1, REQUESTS, 0),
        (2, REQUESTS, 0),
        (4, REQUESTS, 0),
    ]
    assert (report.ended_by, report.model.id, len(keys)) == ("all_measured", "llama3.1:8b", 3)
    assert all(run.output_tokens and run.output_tokens.max <= 32 for run in report.runs)
