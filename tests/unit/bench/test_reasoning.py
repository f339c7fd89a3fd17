from dataclasses import replace

import pytest

from rune.bench.reasoning import is_reasoning_hidden
from rune.llm.protocol import Generation, TokenCounts, TokenCountSource
from tests.measured_builders import a_generation

PROSE = "It is the kubelet that ends a container which does not answer. "


def counted(
    output_count: int,
    reasoning_count: int | None = None,
    *,
    text: str = PROSE,
    reasoning: str = "",
    chunk_count: int = 16,
    source: TokenCountSource = TokenCountSource.USAGE,
) -> Generation:
    made = a_generation(gaps_ms=[10] * (chunk_count - 1), text=text)
    return replace(
        made, reasoning=reasoning, tokens=TokenCounts(9, output_count, None, reasoning_count, source)
    )


CASES: dict[str, tuple[Generation, bool]] = {
    "as many tokens as prose has": (counted(16), False),
    "as many as any text has": (counted(48), False),
    "ten times as many": (counted(160), True),
    "in one piece": (counted(16, chunk_count=1), False),
    "told, and nothing sent": (counted(160, 144), True),
    "told, and all of it sent": (counted(160, 144, reasoning=PROSE * 9, chunk_count=160), False),
    "told, and a summary sent": (counted(1600, 1500, reasoning=PROSE, chunk_count=1600), True),
    "sent, and not told apart": (counted(160, reasoning=PROSE * 9), False),
    "each token in a chunk, of which some have no text": (counted(160, chunk_count=100), False),
    "counted by nobody": (counted(160, source=TokenCountSource.CHUNKS), False),
    "said by the server": (replace(counted(16), has_hidden_reasoning=True), True),
}


@pytest.mark.parametrize(("generation", "is_hidden"), CASES.values(), ids=CASES.keys())
def test_reasoning_is_hidden_when_there_are_more_tokens_than_the_characters_allow(
    generation: Generation, is_hidden: bool
) -> None:
    assert is_reasoning_hidden(generation) is is_hidden
