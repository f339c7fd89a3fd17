"""Which snapshots and events of a job are news, and what their lines say."""

from __future__ import annotations

import pytest

from rune_client.cli.progress import Progress, bar, counts_of
from tests.client.cli.fake_api import a_job

BOOT = a_job(
    "running", progress={"step": "boot", "try": 1, "booting_seconds": 4}, cost_usd=0.004, message="It boots."
)
PULLED = {"pulled_bytes": 2_400_000_000, "total_bytes": 4_900_000_000, "pulled_percent": 48}
PULL = a_job("running", progress={"step": "pull", "try": 2, **PULLED}, cost_usd=0.012)

COUNTS = {
    "2.4 GB of 4.9 GB 48%": PULL,
    "4 s booting": BOOT,
    "point 2/3 5/12 answers": a_job(
        "running", progress={"step": "measure", "point": 2, "points": 3, "requests": 5, "requests_total": 12}
    ),
    "99 chunks": a_job("running", progress={"step": "measure", "chunks": 99}),
    "3 of 8 judged": a_job("running", progress={"step": "judge", "judged": 3, "answers": 8}),
    "place 2, about 3 min 00 s": a_job("queued", queue_position=2, queue_wait_seconds=180),
    "": a_job("running", progress={}),
}


@pytest.mark.parametrize("counts", COUNTS)
def test_counts_say_how_far_the_step_is(counts: str) -> None:
    assert counts_of(COUNTS[counts]) == counts


def test_pipe_has_a_line_where_a_stage_begins() -> None:
    progress = Progress(is_live=False, width=80)

    lines = [*progress.of_job(BOOT, 1.0), *progress.of_job(BOOT, 2.0), *progress.of_job(PULL, 9.0)]

    assert [" ".join(line.plain.split()) for line in lines] == [
        "1.0 s boot 4 s booting $0.0040 It boots.",
        "9.0 s download, try 2 2.4 GB of 4.9 GB 48% $0.0120 The model is being measured.",
    ]


def test_queue_is_told_without_what_the_job_has_cost_since() -> None:
    progress = Progress(is_live=True, width=80)
    progress.of_job(a_job("queued"), 1.0)

    (line,) = progress.of_job(BOOT, 4.0)

    assert line.plain.split() == ["4.0", "s", "queued", "took", "3.0", "s"]


def test_terminal_has_a_line_where_a_stage_ends() -> None:
    progress = Progress(is_live=True, width=80)

    lines = [
        *progress.of_job(BOOT, 1.0),
        *progress.of_job(PULL, 9.0),
        *progress.of_job(a_job("succeeded"), 12.0),
    ]

    assert [" ".join(line.plain.split()) for line in lines] == [
        "9.0 s boot took 8.0 s $0.0120",
        "12.0 s download, try 2 took 3.0 s",
    ]


@pytest.mark.parametrize("width", [60, 80])
def test_point_is_a_bar_with_its_numbers(width: int) -> None:
    progress = Progress(is_live=False, width=width)
    labels = {"concurrency": "4", "output_tokens_per_s": "38.2", "ttft_p50_ms": "39.9", "failed": "1"}

    (line,) = progress.of_event({"id": 3, "event": "benchmark.point", "status": "ok", "labels": labels}, 5.0)

    assert len(line.plain) <= width
    for part in ("4 at a time", "38.2 tokens/s", "39.9 ms", "1 failed", "####"):
        assert part in line.plain


def test_failed_attempt_and_lost_worker_are_news() -> None:
    progress = Progress(is_live=False, width=80)
    failed = {
        "id": 1,
        "event": "vastai.instance.wait_running",
        "status": "error",
        "labels": {"reason": "no boot"},
    }
    lost = {"id": 2, "event": "worker.lost", "status": "ok", "labels": {"lost": "2"}}

    lines = [*progress.of_event(failed, 1.0), *progress.of_event(lost, 2.0)]

    assert "failed: no boot" in lines[0].plain
    assert "a worker was lost (2)" in lines[1].plain


def test_last_event_of_a_failed_job_is_left_to_its_end() -> None:
    event = {"id": 1, "event": "job.failed", "status": "error", "labels": {}}

    assert Progress(is_live=False, width=80).of_event(event, 1.0) == []


@pytest.mark.parametrize(("value", "text"), [(0.0, "...."), (0.1, "#..."), (50.0, "##.."), (100.0, "####")])
def test_bar_is_never_empty_for_something(value: float, text: str) -> None:
    assert bar(value, 100.0, 4) == text
