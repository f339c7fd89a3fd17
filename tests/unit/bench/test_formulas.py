import pytest

from rune.bench.formulas import (
    end_to_end_latency_ms,
    inter_chunk_latencies_ms,
    output_throughput_tokens_per_s,
    output_tokens_per_s_per_user,
    time_per_output_token_ms,
    time_to_first_token_ms,
    time_to_first_visible_token_ms,
)
from rune.llm.protocol import Stamps, TokenCounts, TokenCountSource

MS = 1_000_000


def stamps(first_ms: int | None = 200, visible_ms: int | None = 300, last_ms: int | None = 1000) -> Stamps:
    """Return stamps of a request sent at 5 ms; content is given in milliseconds after that."""

    def at(ms: int | None) -> int | None:
        return None if ms is None else (5 + ms) * MS

    return Stamps(5 * MS, 6 * MS, 7 * MS, at(first_ms), at(visible_ms), at(last_ms), 2005 * MS)


def counts(output_count: int) -> TokenCounts:
    return TokenCounts(None, output_count, None, None, TokenCountSource.USAGE)


NOTHING = stamps(None, None, None)
AT_ONCE = stamps(200, 200, 200)
INSTANT = Stamps(MS, MS, MS, MS, MS, MS, MS)


@pytest.mark.parametrize(("given", "expected"), [(stamps(), 200), (stamps(0), 0), (NOTHING, None)])
def test_time_to_first_token_is_from_sending_to_first_content(given: Stamps, expected: float | None) -> None:
    assert time_to_first_token_ms(given) == expected


@pytest.mark.parametrize(("given", "expected"), [(stamps(), 300), (stamps(200, None), None)])
def test_time_to_first_visible_token_passes_over_reasoning(given: Stamps, expected: float | None) -> None:
    assert time_to_first_visible_token_ms(given) == expected


@pytest.mark.parametrize(("given", "expected"), [(stamps(), 1000), (NOTHING, None)])
def test_latency_ends_with_the_last_content(given: Stamps, expected: float | None) -> None:
    assert end_to_end_latency_ms(given) == expected


@pytest.mark.parametrize(
    ("given", "count", "expected"),
    [(stamps(), 9, 100), (stamps(), 2, 800), (stamps(), 1, None), (stamps(), 0, None), (NOTHING, 9, None)],
)
def test_time_per_output_token_leaves_the_first_token_out(
    given: Stamps, count: int, expected: float | None
) -> None:
    assert time_per_output_token_ms(given, counts(count)) == expected


@pytest.mark.parametrize(
    ("given", "count", "expected"),
    [(stamps(), 10, 5), (stamps(), 0, 0), (NOTHING, 1, 0.5), (INSTANT, 9, None)],
)
def test_output_throughput_takes_all_of_the_requests_time_in(
    given: Stamps, count: int, expected: float | None
) -> None:
    assert output_throughput_tokens_per_s(given, counts(count)) == expected


@pytest.mark.parametrize(
    ("given", "count", "expected"),
    [(stamps(), 9, 10), (stamps(), 1, None), (AT_ONCE, 9, None), (NOTHING, 9, None)],
)
def test_decode_rate_is_the_inverse_of_the_time_per_token(
    given: Stamps, count: int, expected: float | None
) -> None:
    assert output_tokens_per_s_per_user(given, counts(count)) == expected


@pytest.mark.parametrize(("arrivals_ms", "expected"), [((), ()), ((1,), ()), ((1, 3, 3, 7), (2, 0, 4))])
def test_chunk_gaps_are_between_neighbours(arrivals_ms: tuple[int, ...], expected: tuple[float, ...]) -> None:
    assert inter_chunk_latencies_ms(tuple(arrival * MS for arrival in arrivals_ms)) == expected
