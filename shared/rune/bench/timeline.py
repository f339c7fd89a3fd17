"""What happened when at one point: tokens and requests on its common time line.

All times are monotonic nanoseconds since the point began. The tokens of a request lie evenly on its chunks with
content, as only their sum is known; a chunk may hold several tokens or a part of one.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate

from rune.bench.records import RequestRecord

_NS_PER_SECOND = 1_000_000_000
WINDOW_COUNT = 10

FEW_WAVES = 5
"""Requests for each slot of a closed load: with fewer, ramp and drain are a large share of it."""

type TokenArrival = tuple[int, float]
"""When some output came, and how many tokens it is."""


def token_arrivals(record: RequestRecord) -> Iterator[TokenArrival]:
    """Yield the output of a completed request; that of one without a chunk comes at its end."""
    generation = record.generation
    if generation is None or not generation.tokens.output_count:
        return
    token_count = generation.tokens.output_count
    arrivals_ns = generation.chunk_arrivals_ns
    if not arrivals_ns or record.sent_ns is None:
        yield record.ended_ns, float(token_count)
        return
    offset_ns = record.sent_ns - generation.stamps.sent_ns
    for arrived_ns in arrivals_ns:
        yield arrived_ns + offset_ns, token_count / len(arrivals_ns)


def partial_arrivals(record: RequestRecord, tokens_per_chunk: float) -> Iterator[TokenArrival]:
    """Yield what had come of a request when it was cut off, with as many tokens a chunk as those of others have."""
    for arrived_ns in record.partial_arrivals_ns:
        yield arrived_ns, tokens_per_chunk


def window_rates_per_s(
    arrivals: Sequence[TokenArrival], begin_ns: int, end_ns: int, count: int = WINDOW_COUNT
) -> list[float]:
    """Return the tokens per second in each of so many equal parts of the time; empty where there is no time."""
    length_ns = end_ns - begin_ns
    if length_ns <= 0:
        return []
    parts: list[list[float]] = [[] for _ in range(count)]
    for arrived_ns, token_count in arrivals:
        index = (arrived_ns - begin_ns) * count // length_ns
        parts[min(max(index, 0), count - 1)].append(token_count)
    return [math.fsum(part) * count * _NS_PER_SECOND / length_ns for part in parts]


def busiest_second_tokens(arrivals: Sequence[TokenArrival], begin_ns: int) -> float | None:
    """Return the most tokens in one of the whole seconds since `begin_ns`; None without a token.

    The seconds of vLLM's bench (`max_output_tokens_per_s`), which counts chunks in them.
    """
    seconds: Counter[int] = Counter()
    for arrived_ns, token_count in arrivals:
        seconds[(arrived_ns - begin_ns) // _NS_PER_SECOND] += token_count  # type: ignore[assignment]  # floats add up as well
    return max(seconds.values(), default=None)


def tokens_between(arrivals: Sequence[TokenArrival], begin_ns: int, end_ns: int) -> float:
    """Return the tokens that came from `begin_ns` to `end_ns`, both included."""
    return math.fsum(token_count for arrived_ns, token_count in arrivals if begin_ns <= arrived_ns <= end_ns)


def max_concurrent(records: Sequence[RequestRecord]) -> int:
    """Return the most requests that were under way at one instant, those that failed or were cut off included.

    Exact, while vLLM's bench counts all that were under way at any time within a second.
    """
    return max((count for _, count in _under_way(records)), default=0)


def steady_window_ns(records: Sequence[RequestRecord], concurrency: int) -> tuple[int, int] | None:
    """Return when all slots of a closed load were first busy, and when fewer were for good; None if never.

    Between an answer and the next request of its slot one fewer is under way for a moment, which does not count.
    The first requests of all slots begin together, and wait for their first tokens together. Where there are enough
    others, the window begins when as many requests have ended as there are slots: by then they are out of step.
    """
    curve = list(_under_way(records))
    full = [index for index, (_, count) in enumerate(curve) if count >= concurrency]
    if not full:
        return None
    begin_ns, end_ns = curve[full[0]][0], curve[full[-1] + 1][0]
    ended_ns = sorted(record.ended_ns for record in records if record.status == "completed")
    if concurrency > 1 and len(ended_ns) >= FEW_WAVES * concurrency:
        begin_ns = max(begin_ns, ended_ns[concurrency - 1])
    return (begin_ns, end_ns) if end_ns > begin_ns else None


def _under_way(records: Sequence[RequestRecord]) -> Iterator[tuple[int, int]]:
    """Yield how many requests are under way from each instant on; one that ends makes room at that instant."""
    changes: Counter[int] = Counter()
    for record in records:
        if record.sent_ns is not None:
            changes[record.sent_ns] += 1
            changes[record.ended_ns] -= 1
    moments = sorted(changes)
    yield from zip(moments, accumulate(changes[moment] for moment in moments), strict=True)
