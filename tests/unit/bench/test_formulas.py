import pytest

from rune.bench.formulas import (
    count_bursts,
    end_to_end_latency_ms,
    inter_chunk_latencies_ms,
    output_throughput_tokens_per_s,
    output_tokens_per_s_per_user,
    time_per_output_token_ms,
    time_to_first_token_ms,
    time_to_first_visible_token_ms,
)
from rune.llm.protocol import Generation, Stamps, TokenCounts, TokenCountSource
from tests.measured_builders import a_generation, an_empty_generation

MS = 1_000_000


def stamps(first_ms: int | None = 200, visible_ms: int | None = 300, last_ms: int | None = 1000) -> Stamps:
    """Return stamps of a request sent at 5 ms; content is given in milliseconds after that."""

    def at(ms: int | None) -> int | None:
        return None if ms is None else (5 + ms) * MS

    return Stamps(5 * MS, 6 * MS, 7 * MS, at(first_ms), at(visible_ms), at(last_ms), 2005 * MS)


def counts(output_count: int) -> TokenCounts:
    return TokenCounts(None, output_count, None, None, TokenCountSource.USAGE)


NOTHING = stamps(None, None, None)
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


STEPS = [4.0] * 99
"""A true time per token of 4 ms."""

PACED: dict[str, tuple[Generation, float | None]] = {
    "a token a piece": (a_generation(gaps_ms=STEPS, output_tokens=100), 4),
    "half a token a piece": (a_generation(gaps_ms=[2.0] * 199, output_tokens=100), 4),
    "the whole answer in one piece": (a_generation(gaps_ms=[], output_tokens=100), None),
    "two pieces of 50 tokens": (a_generation(gaps_ms=[200.0], output_tokens=100), 4),
    "ten tokens a piece": (a_generation(gaps_ms=[40.0] * 9, output_tokens=100), 4),
    "twenty let go at a time": (
        a_generation(gaps_ms=[80.0 if n % 20 == 19 else 0.01 for n in range(99)], output_tokens=100),
        4,
    ),
    "a first piece of 60 tokens": (
        a_generation(gaps_ms=[4.0] * 40, output_tokens=100, chunk_chars=[240] + [4] * 40),
        4,
    ),
    "all pieces at one instant": (a_generation(gaps_ms=[0.1] * 99, output_tokens=100), None),
    "five pieces of sixty tokens within 6 ms": (a_generation(gaps_ms=[1.4] * 4, output_tokens=300), None),
    "one token": (a_generation(gaps_ms=[], output_tokens=1), None),
    "no content": (an_empty_generation(9), None),
    "1000 tokens that were not sent": (
        a_generation(gaps_ms=STEPS, output_tokens=1100, text="so " * 100),
        None,
    ),
}


@pytest.mark.parametrize(("given", "expected"), PACED.values(), ids=PACED.keys())
def test_time_per_output_token_is_that_of_the_tokens_after_the_first_piece(
    given: Generation, expected: float | None
) -> None:
    assert time_per_output_token_ms(given) == (
        None if expected is None else pytest.approx(expected, rel=0.01)
    )
    speed = None if expected is None else pytest.approx(1000 / expected, rel=0.01)
    assert output_tokens_per_s_per_user(given) == speed


@pytest.mark.parametrize(
    ("times_ms", "expected"), [((), 0), ((1,), 1), ((1, 1.4, 1.8), 1), ((1, 1.6, 9), 3), ((1, 1, 9, 9.1), 2)]
)
def test_bursts_are_chunks_that_came_together(times_ms: tuple[float, ...], expected: int) -> None:
    assert count_bursts([round(time_ms * MS) for time_ms in times_ms]) == expected


@pytest.mark.parametrize(
    ("given", "count", "expected"),
    [(stamps(), 10, 5), (stamps(), 0, 0), (NOTHING, 1, 0.5), (INSTANT, 9, None)],
)
def test_output_throughput_takes_all_of_the_requests_time_in(
    given: Stamps, count: int, expected: float | None
) -> None:
    assert output_throughput_tokens_per_s(given, counts(count)) == expected


@pytest.mark.parametrize(("arrivals_ms", "expected"), [((), ()), ((1,), ()), ((1, 3, 3, 7), (2, 0, 4))])
def test_chunk_gaps_are_between_neighbours(arrivals_ms: tuple[int, ...], expected: tuple[float, ...]) -> None:
    assert inter_chunk_latencies_ms(tuple(arrival * MS for arrival in arrivals_ms)) == expected
