"""A point of several runs: requests are counted together, and no window goes from one run into the next."""

from __future__ import annotations

import pytest

from rune.bench.blocks import window_rates_per_s
from rune.bench.records import MeasuredPoint, Point, RequestRecord
from rune.bench.runs import fold_blocks, fold_run
from rune.contracts import GoodputLimits, RunReport
from tests.measured_builders import a_completed, a_cut_off, a_failed, a_measured_point

SECOND_MS = 1000


def an_answer(number: int, *, sent_s: float, gap_ms: float = 100, count: int = 10) -> RequestRecord:
    """Return an answer of a token a chunk, whose first chunk comes with the first gap."""
    return a_completed(
        number,
        sent_ms=sent_s * SECOND_MS,
        ttft_ms=gap_ms,
        gaps_ms=[gap_ms] * (count - 1),
        output_tokens=count,
    )


def a_block(*records: RequestRecord, concurrency: int = 1, **overrides: object) -> MeasuredPoint:
    return a_measured_point(*records, point=Point(0, concurrency), **overrides)


def fold(*blocks: MeasuredPoint) -> RunReport:
    return fold_blocks(blocks, None, None)


def test_one_block_is_the_run_itself() -> None:
    block = a_block(*(an_answer(n, sent_s=n) for n in range(12)), a_failed(12), a_cut_off(13))

    assert fold(block) == fold_run(block, None, None)


def test_requests_of_all_blocks_are_counted_together() -> None:
    whole = [an_answer(n, sent_s=n, gap_ms=90 + n) for n in range(20)]

    parts = fold(a_block(*whole[:12]), a_block(*whole[12:], warmup_count=3))

    at_once = fold(a_block(*whole))
    for name in ("ttft_ms", "tpot_ms", "itl_ms", "e2el_ms", "output_tokens", "output_tokens_per_s_per_user"):
        assert getattr(parts, name) == getattr(at_once, name), name
    assert (parts.completed, parts.total_output_tokens, parts.num_warmups) == (20, 200, 5)


def test_time_between_blocks_is_in_no_number() -> None:
    """The second block's clock began an hour later, as of another process; both make ten tokens a second."""
    first = [an_answer(n, sent_s=n) for n in range(5)]
    second = [an_answer(5 + n, sent_s=3600 + n) for n in range(5)]

    report = fold(a_block(*first), a_block(*second))

    assert report.duration_s == 10
    assert report.output_throughput_tokens_per_s == report.steady_output_throughput_tokens_per_s == 10
    windows = report.output_throughput_windows_tokens_per_s
    assert windows is not None
    assert (windows.count, windows.mean) == (10, 10)
    assert report.max_output_tokens_per_s is not None
    assert report.max_output_tokens_per_s <= 11


def test_steady_throughput_is_weighted_by_the_time_of_each_block() -> None:
    """Six seconds at 10 tokens a second, and two at 5."""
    slow = [an_answer(6 + n, sent_s=n * 2, gap_ms=200) for n in range(1)]

    report = fold(a_block(*(an_answer(n, sent_s=n) for n in range(6))), a_block(*slow))

    blocks = report.blocks
    assert blocks is not None
    told = [(each.steady_s, each.steady_output_throughput_tokens_per_s) for each in blocks]
    assert told == [(6, 10), (2, 5)]
    assert report.steady_output_throughput_tokens_per_s == (6 * 10 + 2 * 5) / 8
    assert report.output_throughput_tokens_per_s == 70 / 8


def test_ramps_and_drains_of_blocks_are_in_no_steady_figure() -> None:
    """Two slots; the second one is empty in half of each block. While both were busy 20 tokens came a second."""
    blocks = [
        a_block(
            an_answer(10 * n, sent_s=0, count=20), an_answer(10 * n + 1, sent_s=0, count=10), concurrency=2
        )
        for n in range(2)
    ]

    report = fold(*blocks)

    assert report.steady_output_throughput_tokens_per_s == 20
    assert report.output_throughput_tokens_per_s == 15
    assert "few_waves" in report.warnings


def test_blocks_with_short_steady_times_have_few_waves_however_many_requests_they_have() -> None:
    busy = [an_answer(n, sent_s=n // 2) for n in range(20)]
    half_empty = [*busy, an_answer(20, sent_s=10, count=110)]

    assert "few_waves" not in fold(a_block(*busy, concurrency=2), a_block(*busy, concurrency=2)).warnings
    assert (
        "few_waves" in fold(a_block(*half_empty, concurrency=2), a_block(*half_empty, concurrency=2)).warnings
    )


@pytest.mark.parametrize("last_is_cut", [True, False])
def test_point_is_cut_short_by_its_last_block_alone(*, last_is_cut: bool) -> None:
    """What an earlier block leaves, the next one asks."""
    cut = a_block(an_answer(0, sent_s=0), a_cut_off(1), unsent_count=3)
    whole = a_block(an_answer(2, sent_s=0))

    report = fold(whole, cut) if last_is_cut else fold(cut, whole)

    assert ("cut_short" in report.warnings) is last_is_cut
    assert (report.cut_off, report.num_prompts) == (1, 3)


def test_block_in_which_nothing_ended_takes_no_time() -> None:
    report = fold(a_block(an_answer(0, sent_s=0)), a_block(a_cut_off(1, ended_ms=9000, arrivals_ms=[1, 2])))

    assert (report.duration_s, report.output_throughput_tokens_per_s) == (1, 10)


def test_extremes_of_blocks_are_the_points() -> None:
    report = fold(
        a_block(an_answer(0, sent_s=0), rtt_ms=1.0, loop_lag_p99_ms=7.0),
        a_block(
            an_answer(1, sent_s=0), an_answer(2, sent_s=0), rtt_ms=3.0, loop_lag_p99_ms=None, concurrency=2
        ),
    )

    assert (report.rtt_ms, report.loop_lag_p99_ms, report.max_concurrent_requests) == (2.0, 7.0, 2)
    assert "client_overloaded" in report.warnings


def test_rate_that_was_reached_is_that_of_all_blocks() -> None:
    """Two requests in two seconds, and four in two."""
    point = Point(0, 4, 1.0)
    slow = [a_completed(n, sent_ms=2000 * n) for n in range(2)]
    fast = [a_completed(2 + n, sent_ms=500 + 500 * n) for n in range(4)]

    report = fold(a_measured_point(*slow, point=point), a_measured_point(*fast, point=point))

    assert report.achieved_request_rate_per_s == 6 / 4


def test_goodput_counts_requests_of_all_blocks() -> None:
    blocks = [a_block(an_answer(n, sent_s=0, gap_ms=gap_ms)) for n, gap_ms in enumerate((100, 300))]

    report = fold_blocks(blocks, GoodputLimits(ttft_ms=200), None)

    assert (report.good_count, report.bad_count, report.good_ratio) == (1, 1, 0.5)
    assert report.goodput_requests_per_s == 0.25


def test_windows_are_nearly_equal_and_none_lies_in_two_blocks() -> None:
    second = 1_000_000_000
    fast = [(n * second, 10.0) for n in range(9)]

    rates = window_rates_per_s([(fast, 0, 9 * second), ([], 0, 0), ([(0, 1.0)], 0, second)])

    assert rates == [10.0] * 9 + [1.0]
