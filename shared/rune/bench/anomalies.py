"""Signs in the measured data that something between RUNE and the model spoils it."""

from collections.abc import Sequence

from rune.bench.formulas import count_bursts, is_too_fast
from rune.bench.token_bounds import PROSE_BYTES_PER_TOKEN

_BUFFERED_WITHIN_NS = 5_000_000
_BUFFERED_RATIO = 0.9
_MIN_CHUNKS = 8
_MIN_IN_BURST = 2

LONG_PROMPT_BYTES = 2000
"""From which length on a prompt is looked at for truncation: no server in use has so small a context."""

_TRUNCATED_RATIO = 0.5


def is_buffered(arrivals_ns: Sequence[int], token_count: int = 0) -> bool:
    """Return whether something on the way held the stream back and let much of it go at once.

    So it is when nine of ten chunks come together with the one before, in one burst or in several: ITL is then
    about 0, and TPOT is one between bursts, or none. Also when over 90 % of eight chunks or more come within 5 ms
    after the first, and when its tokens came faster than any model writes.
    """
    if len(arrivals_ns) < _MIN_IN_BURST:
        return False
    if is_too_fast(arrivals_ns[-1] - arrivals_ns[0], token_count):
        return True
    if len(arrivals_ns) - count_bursts(arrivals_ns) >= _BUFFERED_RATIO * (len(arrivals_ns) - 1):
        return True
    burst_ends_ns = arrivals_ns[0] + _BUFFERED_WITHIN_NS
    together_count = sum(arrival_ns <= burst_ends_ns for arrival_ns in arrivals_ns)
    return len(arrivals_ns) >= _MIN_CHUNKS and together_count > _BUFFERED_RATIO * len(arrivals_ns)


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
