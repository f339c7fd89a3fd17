from rune.bench.token_estimates import with_estimates
from rune.llm.protocol import Generation, TokenCountSource
from tests.measured_builders import a_generation

CHUNKS = TokenCountSource.CHUNKS


def uncounted(chunk_count: int, text: str) -> Generation:
    return a_generation(gaps_ms=[10] * (chunk_count - 1), output_tokens=chunk_count, text=text, source=CHUNKS)


def counts(*generations: Generation) -> list[tuple[int, str]]:
    return [(each.tokens.output_count, each.tokens.source.value) for each in with_estimates(generations)]


def test_pieces_of_about_a_token_are_counted() -> None:
    assert counts(uncounted(100, " tok" * 100)) == [(100, "chunks")]


def test_characters_count_where_pieces_hold_many_tokens_or_parts_of_one() -> None:
    assert counts(uncounted(10, " tok" * 100)) == [(100, "characters")]
    assert counts(uncounted(400, " tok" * 100)) == [(100, "characters")]


def test_characters_of_a_token_are_learnt_from_answers_that_were_counted() -> None:
    """Two a token, as in a language that the tokenizer does not know well."""
    known = a_generation(output_tokens=200, text=" tok" * 100)

    assert counts(known, uncounted(10, " tok" * 100)) == [(200, "usage"), (200, "characters")]


def test_answer_without_content_has_the_tokens_that_it_had() -> None:
    assert counts(uncounted(1, "")) == [(1, "chunks")]
    assert counts() == []
