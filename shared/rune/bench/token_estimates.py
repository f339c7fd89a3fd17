"""How many tokens answers have that no server counted."""

from collections.abc import Sequence
from dataclasses import replace

from rune.bench.token_bounds import PROSE_BYTES_PER_TOKEN
from rune.llm.protocol import Generation, TokenCountSource

_MOST_CHARS_OF_A_TOKEN = 8.0
"""On average: longer chunks hold several tokens."""
_LEAST_CHARS_OF_A_TOKEN = 1.5
"""On average: shorter chunks are parts of tokens."""


def with_estimates(generations: Sequence[Generation]) -> list[Generation]:
    """Return the answers, those without a count with an estimate of theirs.

    A server that sends a token in each chunk is counted by its chunks. Where chunks are longer or shorter than
    tokens are, the characters count: as many a token as answers of the same server have that it counted, else 4.
    """
    counted = [each for each in generations if each.tokens.source is not TokenCountSource.CHUNKS]
    tokens = sum(each.tokens.output_count for each in counted)
    chars = sum(map(_char_count, counted))
    chars_per_token = chars / tokens if chars and tokens else PROSE_BYTES_PER_TOKEN
    return [
        each if each.tokens.source is not TokenCountSource.CHUNKS else _estimated(each, chars_per_token)
        for each in generations
    ]


def _estimated(generation: Generation, chars_per_token: float) -> Generation:
    chunk_count, chars = len(generation.chunk_arrivals_ns), _char_count(generation)
    if not chunk_count or not chars:
        return generation
    if _LEAST_CHARS_OF_A_TOKEN <= chars / chunk_count <= _MOST_CHARS_OF_A_TOKEN:
        return generation
    tokens = replace(
        generation.tokens,
        output_count=max(1, round(chars / chars_per_token)),
        source=TokenCountSource.CHARACTERS,
    )
    return replace(generation, tokens=tokens)


def _char_count(generation: Generation) -> int:
    return len(generation.text) + len(generation.reasoning)
