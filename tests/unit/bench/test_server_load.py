"""What a server said of its load, as a report tells it."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest

from rune.bench.server_load import ServerReading, server_load_of, server_warnings
from rune.contracts import ServerLoad
from rune.llm.protocol import ServerMetrics
from tests.measured_builders import a_completed, a_run

IDLE = ServerMetrics("vllm", 0, 0, 0.0, 0, 1000, 0, 0, 0)


def readings(*metrics: ServerMetrics) -> list[ServerReading]:
    """Return readings of a point, the first before it and the last after it."""
    phases: list[Literal["before", "during", "after"]] = ["before", *["during"] * (len(metrics) - 2), "after"]  # type: ignore[list-item]  # the three
    return [
        ServerReading(at, phase, each) for at, (phase, each) in enumerate(zip(phases, metrics, strict=True))
    ]


def test_gauges_are_those_of_readings_under_load_and_counters_of_all() -> None:
    busy = replace(IDLE, running_count=4, waiting_count=2, kv_used_ratio=0.5, prompt_tokens=1500)
    busier = replace(busy, running_count=8, waiting_count=0, kv_used_ratio=0.25, cached_tokens=300)
    after = ServerMetrics("vllm", 0, 0, 0.0, 3, 2000, 400, 50, 30)

    assert server_load_of(readings(replace(IDLE, running_count=99), busy, busier, after)) == ServerLoad(
        source="vllm",
        reading_count=2,
        running_requests_max=8,
        running_requests_mean=6.0,
        waiting_requests_max=2,
        waiting_requests_mean=1.0,
        waiting_readings_ratio=0.5,
        kv_cache_used_ratio_max=0.5,
        preempted_count=3,
        prefix_cache_hit_tokens=400,
        prefix_cache_hit_ratio=0.4,
        draft_tokens=50,
        draft_accepted_ratio=0.6,
        reload_count=0,
    )


def test_server_that_says_nothing_has_no_load() -> None:
    assert server_load_of(()) is None
    assert server_warnings(None) == {}


def test_counter_that_fell_counts_what_came_since() -> None:
    counts = [(1000, 100), (1200, 150), (90, 30), (190, 40)]

    load = server_load_of(readings(*(replace(IDLE, prompt_tokens=p, cached_tokens=c) for p, c in counts)))

    assert load is not None
    assert (load.prefix_cache_hit_tokens, load.reload_count) == (50 + 30 + 10, 1)
    assert load.prefix_cache_hit_ratio == pytest.approx(90 / (200 + 90 + 100), abs=1e-6)


def test_counter_that_is_not_told_each_time_counts_where_it_is() -> None:
    counts = [1000, None, 1200, 1300]

    load = server_load_of(readings(*(replace(IDLE, preempted_count=count) for count in counts)))

    assert load is not None
    assert load.preempted_count == 100


def test_nothing_counts_from_one_block_to_the_next() -> None:
    first = readings(IDLE, replace(IDLE, prompt_tokens=1100))
    second = readings(replace(IDLE, prompt_tokens=5000), replace(IDLE, prompt_tokens=5200, cached_tokens=30))

    load = server_load_of([*first, *second])

    assert load is not None
    assert (load.prefix_cache_hit_ratio, load.reload_count) == (0.1, 0)


@pytest.mark.parametrize(
    ("loaded", "count"),
    [
        (("a", "a", "a"), 0),
        (("a", "b", "b"), 1),
        (("a", "", "a"), 1),
        (("", "a", "a"), 1),
        (("a", "a", ""), 0),
        ((None, "a", "a"), 0),
    ],
)
def test_model_that_was_loaded_meanwhile_is_seen(loaded: tuple[str | None, ...], count: int) -> None:
    load = server_load_of(readings(*(ServerMetrics("ollama", loaded=each) for each in loaded)))

    assert load is not None
    assert load.reload_count == count
    assert server_warnings(load) == ({"model_reloaded": 1} if count else {})


@pytest.mark.parametrize(
    ("waiting", "is_queued"),
    [
        ((0, 0, 0, 0, 0, 0, 0, 1), False),
        ((0, 0, 0, 0, 0, 0, 3, 1), True),
        ((0, 0, 0, 0, 0, 0, 0, 0, 3, 1), False),
        ((5,), False),
        ((5, 5), True),
    ],
)
def test_queue_is_told_where_requests_wait_again_and_again(waiting: tuple[int, ...], is_queued: bool) -> None:
    under_load = [replace(IDLE, waiting_count=count) for count in waiting]

    assert (
        "server_queued" in server_warnings(server_load_of(readings(IDLE, *under_load, IDLE)))
    ) == is_queued


def test_run_warns_with_the_numbers_that_its_server_told() -> None:
    full = replace(IDLE, waiting_count=7, kv_used_ratio=0.99, preempted_count=2)
    restarted = replace(IDLE, prompt_tokens=5, preempted_count=2)

    run = a_run(a_completed(), server_readings=tuple(readings(IDLE, full, full, restarted)))

    assert run.warning_evidence == {
        "server_queued": 7, "kv_cache_full": 0.99, "server_preempted": 2, "model_reloaded": 1,
    }  # fmt: skip
    assert set(run.warning_evidence) <= set(run.warnings)
    assert run.server is not None


@pytest.mark.parametrize(
    ("told", "cached_tokens", "warns"), [(200, None, True), (200, 0, False), (50, None, False)]
)
def test_metrics_tell_of_cache_hits_where_answers_do_not(
    told: int, cached_tokens: int | None, warns: bool
) -> None:
    after = replace(IDLE, prompt_tokens=2000, cached_tokens=told)

    run = a_run(a_completed(cached_tokens=cached_tokens), server_readings=tuple(readings(IDLE, IDLE, after)))

    assert ("prefix_cache_hits" in run.warnings) == warns
