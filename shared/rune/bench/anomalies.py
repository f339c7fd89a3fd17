"""Signs in the measured data that something between RUNE and the model spoils it."""

from collections.abc import Sequence

from rune.bench.token_bounds import PROSE_BYTES_PER_TOKEN

_BUFFERED_WITHIN_NS = 5_000_000
_BUFFERED_RATIO = 0.9
_MIN_CHUNKS = 8

LONG_PROMPT_BYTES = 2000
"""From which length on a prompt is looked at for truncation: no server in use has so small a context."""

_TRUNCATED_RATIO = 0.5


def is_buffered(arrivals_ns: Sequence[int]) -> bool:
    """Return whether something on the way held the stream back and let it go at once.

    So it is when over 90 % of the chunks come within 5 ms after the first. TTFT is then the whole answer's time and
    ITL about 0, which says nothing of the model. False for fewer than 8 chunks, which may come together by chance.
    """
    if len(arrivals_ns) < _MIN_CHUNKS:
        return False
    burst_ends_ns = arrivals_ns[0] + _BUFFERED_WITHIN_NS
    together_count = sum(arrival_ns <= burst_ends_ns for arrival_ns in arrivals_ns)
    return together_count > _BUFFERED_RATIO * len(arrivals_ns)


def is_truncated(prompt_tokens: int | None, prompt_bytes: int, bytes_per_token: float | None) -> bool:
    """Return whether the server must have dropped a part of the prompt without a word.

    So it is when it counted fewer than half of the tokens that the prompt's bytes stand for. Text differs in its
    bytes per token by less than that (`rune.bench.token_bounds`), and what was learnt counts as 4 at the least, so
    that prose beside denser text is not called truncated. A cut that leaves more than half is missed: a false
    warning would be worse.

    Parameters
    ----------
    prompt_tokens
        As the server counted; None proves nothing.
    prompt_bytes
        In UTF-8; `LONG_PROMPT_BYTES` and fewer are never called truncated.
    bytes_per_token
        Learnt from the same server; None proves nothing.
    """
    if prompt_tokens is None or bytes_per_token is None or prompt_bytes <= LONG_PROMPT_BYTES:
        return False
    expected_tokens = prompt_bytes / max(bytes_per_token, PROSE_BYTES_PER_TOKEN)
    return prompt_tokens < _TRUNCATED_RATIO * expected_tokens
