"""The formulas of every published number, for one request each.

Tools use the same names for different things: TPOT of vLLM leaves the first token out, that of guidellm
takes it in. So each docstring is the definition, and is published with the number.

t0 is the sending of the request; c_first and c_last are the arrivals of the first and the last chunk with
content (text, reasoning or tool call; a chunk that only names the role is none); N is the number of output
tokens, which is not the number of chunks.
Every result is in the unit of its name, and None where the formula is not defined.
"""

from collections.abc import Sequence
from itertools import pairwise

from rune.bench.reasoning import is_reasoning_hidden
from rune.llm.protocol import Generation, Stamps, TokenCounts

_NS_PER_MS = 1_000_000
_MS_PER_SECOND = 1000
_MIN_TOKENS_BETWEEN = 2
_ABOUT_ONE = 1.3
"""Tokens a chunk of a server that sends them one by one: a character may take two."""

LEAST_TOKEN_NS = 100_000
"""Of a token: 10,000 a second. The fastest hardware in use makes 3,000 for one user (Cerebras, 2026)."""

BURST_NS = 500_000
"""Between chunks that came together: faster than that no model writes for one user."""


def time_to_first_token_ms(stamps: Stamps) -> float | None:
    """Return TTFT: c_first - t0.

    Reasoning counts. As in guidellm, aiperf and llmperf; vLLM's bench also counts an empty first chunk, which
    can precede the first token by far (vllm-project/vllm#15106). None for an answer without content.
    """
    return _elapsed_ms(stamps.sent_ns, stamps.first_content_ns)


def time_to_first_visible_token_ms(stamps: Stamps) -> float | None:
    """Return TTFO: first chunk with text - t0; what a reader of a reasoning model waits.

    As guidellm's time_to_first_output_token. None for an answer without text.
    """
    return _elapsed_ms(stamps.sent_ns, stamps.first_visible_ns)


def end_to_end_latency_ms(stamps: Stamps) -> float | None:
    """Return E2EL: c_last - t0.

    As vLLM's bench and aiperf: the usage chunk and the end marker come later and are not waited for by a
    reader. None for an answer without content.
    """
    return _elapsed_ms(stamps.sent_ns, stamps.last_content_ns)


def time_per_output_token_ms(generation: Generation) -> float | None:
    """Return TPOT: (E2EL - TTFT) / (N - tokens that came first).

    As aiperf's inter-token latency. vLLM's bench divides by N - 1, which is the same where one token comes first;
    guidellm's TPOT is E2EL / N. What came first is all chunks until the stream paused for the first time, with the
    share of the tokens that they have of the characters. None for N < 2, for an answer that came at one instant
    or faster than any model writes, and where the server counts tokens that it did not send: then nobody knows the
    time between tokens.
    """
    arrivals_ns, token_count = generation.chunk_arrivals_ns, generation.tokens.output_count
    first_count = _chunks_in_first_burst(arrivals_ns)
    if (
        token_count < _MIN_TOKENS_BETWEEN
        or first_count == len(arrivals_ns)
        or is_reasoning_hidden(generation)
    ):
        return None
    later_count = token_count * (1 - _share_of_first(generation, first_count))
    between_ns = arrivals_ns[-1] - arrivals_ns[0]
    if later_count <= 0 or is_too_fast(between_ns, later_count):
        return None
    return between_ns / _NS_PER_MS / later_count


def is_too_fast(between_ns: int, token_count: float) -> bool:
    """Return whether so many tokens came in less time than any model takes for one user: they were held back."""
    return between_ns < LEAST_TOKEN_NS * token_count


def count_bursts(arrivals_ns: Sequence[int]) -> int:
    """Return at how many instants chunks came: those within half a millisecond of the one before came together."""
    if not arrivals_ns:
        return 0
    return 1 + sum(later - earlier > BURST_NS for earlier, later in pairwise(arrivals_ns))


def _chunks_in_first_burst(arrivals_ns: Sequence[int]) -> int:
    gaps = enumerate(pairwise(arrivals_ns), start=1)
    return next((count for count, (earlier, later) in gaps if later - earlier > BURST_NS), len(arrivals_ns))


def _share_of_first(generation: Generation, first_count: int) -> float:
    chars, chunk_count = generation.chunk_chars, len(generation.chunk_arrivals_ns)
    # A token a chunk needs no estimate by characters, of which tokens have more and less.
    is_estimated = generation.tokens.output_count > _ABOUT_ONE * chunk_count and sum(chars) > 0
    return sum(chars[:first_count]) / sum(chars) if is_estimated else first_count / chunk_count


def output_throughput_tokens_per_s(stamps: Stamps, tokens: TokenCounts) -> float | None:
    """Return N / (end - t0) of one request, the wait for the first token included.

    The throughput of a run that has this one request. The mean over requests is not the throughput of a system,
    which is the sum of N over wall time. None without time.
    """
    duration_ms = _elapsed_ms(stamps.sent_ns, stamps.ended_ns)
    return tokens.output_count / duration_ms * _MS_PER_SECOND if duration_ms else None


def output_tokens_per_s_per_user(generation: Generation) -> float | None:
    """Return 1 / TPOT: how fast the text runs once it has begun.

    As aiperf's output_token_throughput_per_user. None where TPOT is.
    """
    per_token_ms = time_per_output_token_ms(generation)
    return _MS_PER_SECOND / per_token_ms if per_token_ms else None


def inter_chunk_latencies_ms(chunk_arrivals_ns: tuple[int, ...]) -> tuple[float, ...]:
    """Return the gaps between neighbouring chunks with content.

    What vLLM's bench calls ITL and aiperf inter_chunk_latency: not divided by the tokens in a chunk, which
    may be several or a fraction of one. Empty for fewer than two chunks.
    """
    return tuple((later - earlier) / _NS_PER_MS for earlier, later in pairwise(chunk_arrivals_ns))


def _elapsed_ms(from_ns: int | None, to_ns: int | None) -> float | None:
    return None if from_ns is None or to_ns is None else (to_ns - from_ns) / _NS_PER_MS
