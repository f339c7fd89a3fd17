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


def test_point_with_more_load_than_one_process_puts_is_measured_in_a_lane_of_its_own(
    rune: RuneClient, quick: ModelServer
) -> None:
    wide = a_sweep(quick, output_tokens=8, repetitions=1, min_waves=1, concurrency=[1, 66])

    job = rune.wait_for_end(rune.post_benchmark(wide))

    report, keys = report_of(rune, job)
    assert [
        (run.max_concurrency, run.completed, run.failed, run.client_process_count) for run in report.runs
    ] == [(1, 1, 0, 1), (66, 66, 0, 2)]
    assert (report.ended_by, report.client_memory_mb, len(keys)) == ("all_measured", 3538, 2)


def test_more_load_than_the_deployment_has_processes_for_is_refused(
    rune: RuneClient, quick: ModelServer
) -> None:
    response = rune.http.post("/v1/jobs/benchmark", json=a_sweep(quick, concurrency=[129]))

    assert (response.status_code, response.json()["code"]) == (422, "concurrency_too_high")
