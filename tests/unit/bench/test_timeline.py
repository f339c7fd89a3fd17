import pytest

from rune.bench.records import RequestRecord
from rune.bench.timeline import (
    busiest_second_tokens,
    max_concurrent,
    steady_window_ns,
    token_arrivals,
    tokens_between,
    window_rates_per_s,
)
from tests.measured_builders import MS, a_completed, a_cut_off, a_failed

SECOND = 1000 * MS


def lasting(number: int, begin_ms: float, end_ms: float) -> RequestRecord:
    return a_completed(number, sent_ms=begin_ms, ttft_ms=end_ms - begin_ms, gaps_ms=(), output_tokens=1)


def test_tokens_lie_evenly_on_the_chunks_of_their_request() -> None:
    record = a_completed(sent_ms=1000, ttft_ms=100, gaps_ms=[50, 0], output_tokens=6)

    assert list(token_arrivals(record)) == [(1100 * MS, 2.0), (1150 * MS, 2.0), (1150 * MS, 2.0)]


def test_a_request_without_an_answer_brings_no_tokens() -> None:
    assert [*token_arrivals(a_failed()), *token_arrivals(a_cut_off())] == []


def test_windows_divide_the_time_in_ten() -> None:
    # 2 s in ten parts of 0.2 s: the last instant belongs to the last part.
    arrivals = [(SECOND, 1.0), (SECOND + 199 * MS, 1.0), (SECOND + 200 * MS, 4.0), (3 * SECOND, 8.0)]

    assert window_rates_per_s(arrivals, SECOND, 3 * SECOND) == [10, 20, 0, 0, 0, 0, 0, 0, 0, 40]


def test_no_time_has_no_windows() -> None:
    assert window_rates_per_s([(5, 1.0)], 5, 5) == []


def test_busiest_second_counts_from_the_first_sending() -> None:
    arrivals = [(1500 * MS, 3.0), (2400 * MS, 4.0), (2600 * MS, 5.0)]

    assert busiest_second_tokens(arrivals, 600 * MS) == 5.0
    assert busiest_second_tokens(arrivals, 1500 * MS) == 7.0
    assert busiest_second_tokens([], 0) is None


def test_tokens_between_takes_both_ends_in() -> None:
    assert tokens_between([(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0)], 2, 3) == 6.0


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([], 0),
        ([lasting(0, 0, 10), lasting(1, 10, 20)], 1),
        ([lasting(0, 0, 11), lasting(1, 10, 20)], 2),
        ([lasting(0, 0, 30), a_failed(1, sent_ms=5, ended_ms=6), a_cut_off(2, sent_ms=5)], 3),
        ([lasting(0, 0, 30), a_failed(1, sent_ms=None, ended_ms=6)], 1),
    ],
)
def test_most_under_way_counts_all_that_was_sent(records: list[RequestRecord], expected: int) -> None:
    assert max_concurrent(records) == expected


@pytest.mark.parametrize(
    ("concurrency", "records", "expected_ms"),
    [
        pytest.param(1, [lasting(0, 5, 100), lasting(1, 120, 200)], (5, 200), id="one slot, with a gap"),
        pytest.param(
            2, [lasting(0, 0, 100), lasting(1, 10, 60), lasting(2, 70, 90)], (10, 90), id="two slots"
        ),
        pytest.param(2, [lasting(0, 0, 100), lasting(1, 100, 200)], None, id="never full"),
        pytest.param(
            2, [lasting(0, 0, 90), lasting(1, 0, 50), lasting(2, 50, 80)], (0, 80), id="handed over"
        ),
        pytest.param(
            1, [lasting(0, 0, 100), a_cut_off(1, sent_ms=110)], (0, 10_000), id="until requests are cut off"
        ),
        pytest.param(
            2, [lasting(0, 10, 100), a_cut_off(1, sent_ms=5)], (10, 100), id="beside one that is cut off"
        ),
        pytest.param(
            2,
            [lasting(n, n // 2 * 100 + n % 2, n // 2 * 100 + 90 + n % 2) for n in range(10)],
            (91, 490),
            id="out of step after the first of five",
        ),
        pytest.param(1, [a_failed(sent_ms=None)], None, id="never sent"),
    ],
)
def test_steady_window_is_while_all_slots_are_busy(
    concurrency: int, records: list[RequestRecord], expected_ms: tuple[int, int] | None
) -> None:
    expected = None if expected_ms is None else (expected_ms[0] * MS, expected_ms[1] * MS)

    assert steady_window_ns(records, concurrency) == expected
