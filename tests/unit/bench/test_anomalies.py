import pytest

from rune.bench.anomalies import is_buffered, is_truncated

MS = 1_000_000


def arrivals_ns(*times_ms: float) -> list[int]:
    return [round((100 + time_ms) * MS) for time_ms in times_ms]


@pytest.mark.parametrize(
    ("times_ms", "expected"),
    [
        ([0.0] * 8, True),
        ([0.0] * 5, True),
        ([0.0] * 2, True),
        ([0.0], False),  # nothing came together
        ([20.0 * (number // 20) for number in range(100)], True),  # let go twenty at a time
        ([20.0 * (number // 4) for number in range(16)], False),  # four in a segment
        ([2.0 * number for number in range(5)], False),
        ([], False),
        ([0.1 * number for number in range(40)], True),
        ([20.0 * number for number in range(40)], False),
        ([0.0] * 19 + [900.0], True),  # 95 % at once
        ([0.6 * number for number in range(8)] + [9.0, 14.0], False),  # fast, and not at once
        ([0.0] * 10 + [5.0], True),
        ([0.6 * number for number in range(9)] + [9.0, 14.0], False),
    ],
)
def test_stream_is_buffered_when_nine_tenths_come_together(times_ms: list[float], expected: bool) -> None:
    assert is_buffered(arrivals_ns(*times_ms)) is expected


@pytest.mark.parametrize(("token_count", "expected"), [(300, True), (60, True), (50, False), (5, False)])
def test_stream_is_buffered_when_tokens_come_faster_than_any_model_writes(
    token_count: int, expected: bool
) -> None:
    assert is_buffered(arrivals_ns(0.0, 1.4, 2.8, 4.2, 5.6), token_count) is expected


@pytest.mark.parametrize(
    ("prompt_tokens", "prompt_bytes", "bytes_per_token", "expected"),
    [
        (10_000, 40_000, 4.0, False),
        (4_096, 40_000, 4.0, True),
        (5_000, 40_000, 4.0, False),  # a half may be another kind of text
        (4_999, 40_000, 4.0, True),
        (4_096, 40_000, 8.0, False),
        (2_049, 40_000, 8.0, True),
        (9_000, 40_000, 1.0, False),  # learnt from denser text than this
        (4_096, 40_000, 1.0, True),
        (10, 2_000, 4.0, False),  # no context is so small
        (10, 2_001, 4.0, True),
        (None, 40_000, 4.0, False),
        (10, 40_000, None, False),
    ],
)
def test_prompt_is_truncated_when_more_than_half_of_its_tokens_are_missing(
    prompt_tokens: int | None, prompt_bytes: int, bytes_per_token: float | None, expected: bool
) -> None:
    assert is_truncated(prompt_tokens, prompt_bytes, bytes_per_token) is expected
