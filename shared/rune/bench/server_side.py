"""What a server says of its own times, kept apart from what RUNE measured."""

import math
from collections.abc import Iterable, Sequence

from rune.bench.rounding import rounded
from rune.bench.token_bounds import CHAT_FRAME_TOKENS
from rune.contracts import ServerSide, Workload
from rune.llm.protocol import Generation

_FRAMES = 20
"""Of so many times what a chat template puts around it, a prompt's cached beginning is at most 5 %."""


def server_side_of(generations: Sequence[Generation]) -> ServerSide:
    """Return the server's own view of completed requests.

    `prompt_tokens_per_s` believes a server that does not tell of its cache, of long prompts; see
    `without_doubtful_prefill`. Short ones are left out: Ollama keeps the chat template's beginning in its cache,
    counts its tokens, and leaves the time for them out, which made 1867 tokens per second of 1000.
    """
    timings = [generation.server_timings for generation in generations]
    evaluated = [
        (max(0, g.tokens.prompt_count - (g.tokens.cached_count or 0)), g.server_timings.prompt_eval_ms)
        for g in generations
        if g.tokens.prompt_count is not None
        and (g.tokens.cached_count is not None or g.tokens.prompt_count >= _FRAMES * CHAT_FRAME_TOKENS)
    ]
    generated = [(g.tokens.output_count, g.server_timings.eval_ms) for g in generations]
    return ServerSide(
        total_ms=_mean(timing.total_ms for timing in timings),
        load_ms=_mean(timing.load_ms for timing in timings),
        prompt_eval_ms=_mean(timing.prompt_eval_ms for timing in timings),
        eval_ms=_mean(timing.eval_ms for timing in timings),
        prompt_tokens_per_s=_rate_per_s(evaluated),
        output_tokens_per_s=_rate_per_s(generated),
    )


def cached_ratio_of(generations: Sequence[Generation]) -> float | None:
    """Return the share of prompts' tokens that came from a cache, of answers that tell both; None for none."""
    told = [
        (each.tokens.cached_count, each.tokens.prompt_count)
        for each in generations
        if each.tokens.cached_count is not None and each.tokens.prompt_count
    ]
    if not told:
        return None
    return rounded(sum(cached for cached, _ in told) / sum(prompt or 0 for _, prompt in told))


def without_doubtful_prefill(
    server_side: ServerSide, workload: Workload, *, cached_tokens: int | None
) -> ServerSide:
    """Return the server's view without its prefill speed where its cache may have made it wrong.

    Ollama counts a prompt's cached tokens among those of the prompt, leaves the time for them out, and does not
    tell how many there were. Prompts that begin with a number of their own hit nothing, but for the later turns of
    a conversation.

    Parameters
    ----------
    cached_tokens
        None where the server does not tell.
    """
    hits_nothing = workload.prefix_cache == "busted" and not workload.has_conversations
    if hits_nothing or cached_tokens is not None:
        return server_side
    return server_side.model_copy(update={"prompt_tokens_per_s": None})


def _rate_per_s(tokens_and_ms: Sequence[tuple[int, float | None]]) -> float | None:
    """Return tokens per second, sums over sums; requests of which the server tells no time are left out."""
    known = [(count, ms) for count, ms in tokens_and_ms if ms]
    if not known:
        return None
    return rounded(sum(count for count, _ in known) * 1000 / math.fsum(ms for _, ms in known))


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return rounded(math.fsum(known) / len(known)) if known else None
