import pytest

from rune.errors import BadResponseError, StreamTruncatedError
from rune.llm.answers import AnswerInProgress
from rune.llm.protocol import (
    FinishReason,
    Generation,
    ServerTimings,
    Stamps,
    TokenCounts,
    TokenCountSource,
)

TOKENS = TokenCounts(None, 3, None, None, TokenCountSource.USAGE)
TIMINGS = ServerTimings()


def begin() -> AnswerInProgress:
    return AnswerInProgress(sent_ns=1, headers_ns=2, on_chunk=lambda _: None)


def test_answer_is_whole_when_all_kinds_of_chunks_have_come() -> None:
    answer = begin()
    answer.add_chunk(3)
    answer.add_content(3, text="", reasoning="", has_tool_call=False)
    answer.add_chunk(4)
    answer.add_content(4, text="", reasoning="hm", has_tool_call=False)
    answer.add_content(5, text="a", reasoning="", has_tool_call=False)
    answer.add_content(6, text="b", reasoning="", has_tool_call=False)
    answer.finish("stop")

    assert answer.complete(9, TOKENS, TIMINGS) == Generation(
        text="ab",
        reasoning="hm",
        finish_reason=FinishReason.STOP,
        tokens=TOKENS,
        stamps=Stamps(1, 2, 3, 4, 5, 6, 9),
        chunk_arrivals_ns=(4, 5, 6),
        server_timings=TIMINGS,
        chunk_chars=(2, 1, 1),
    )


def test_visible_answer_begins_after_what_the_model_thought_aloud() -> None:
    answer = begin()
    answer.add_chunk(3)
    for at_ns, text in ((4, "<thi"), (5, "nk>Hm, 42?"), (6, "</think>"), (7, "\n\n"), (8, "Seven"), (9, ".")):
        answer.add_content(at_ns, text=text, reasoning="", has_tool_call=False)
    answer.finish("stop")

    generation = answer.complete(10, TOKENS, TIMINGS)

    assert (generation.text, generation.reasoning) == ("Seven.", "<think>Hm, 42?</think>\n\n")
    assert (generation.stamps.first_content_ns, generation.stamps.first_visible_ns) == (4, 8)


def test_thought_without_an_end_leaves_no_visible_answer() -> None:
    answer = begin()
    answer.add_chunk(3)
    answer.add_content(4, text="<think>The answer is 42", reasoning="", has_tool_call=False)
    answer.finish("length")

    generation = answer.complete(10, TOKENS, TIMINGS)

    assert (generation.text, generation.stamps.first_visible_ns) == ("", None)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("stop", FinishReason.STOP),
        ("eos", FinishReason.STOP),
        ("eos_token", FinishReason.STOP),
        ("end_turn", FinishReason.STOP),
        ("stop_sequence", FinishReason.STOP),
        ("length", FinishReason.LENGTH),
        ("max_tokens", FinishReason.LENGTH),
        ("tool_calls", FinishReason.TOOL_CALLS),
        ("function_call", FinishReason.TOOL_CALLS),
        ("content_filter", FinishReason.CONTENT_FILTER),
        ("STOP", FinishReason.STOP),
        ("model_length", FinishReason.LENGTH),
        ("MAX_TOKENS", FinishReason.LENGTH),
        ("SAFETY", FinishReason.CONTENT_FILTER),
        ("sensitive", FinishReason.CONTENT_FILTER),
        ("novel", FinishReason.OTHER),
    ],
)
def test_answer_knows_why_it_ended_in_any_server_s_word(word: str, expected: FinishReason) -> None:
    answer = begin()
    answer.add_chunk(3)
    answer.add_content(3, text="a", reasoning="", has_tool_call=False)
    answer.finish(word)
    answer.finish("null")

    assert answer.complete(9, TOKENS, TIMINGS).finish_reason is expected


def test_answer_has_an_unknown_end_when_the_server_does_not_say_why() -> None:
    answer = begin()
    answer.add_chunk(3)
    answer.add_content(3, text="a", reasoning="", has_tool_call=False)
    answer.end_unexplained()

    assert answer.complete(9, TOKENS, TIMINGS).finish_reason is FinishReason.OTHER


@pytest.mark.parametrize(
    ("word", "is_unread", "sentence"),
    [
        ("novel", False, "The server ended an empty answer (novel)."),
        ("\x1b[31m" * 9, False, "The server ended an empty answer."),
        ("stop", True, "The server sent an answer in a shape that RUNE cannot read."),
    ],
)
def test_answer_is_no_success_when_it_is_empty_for_an_unknown_reason(
    word: str, is_unread: bool, sentence: str
) -> None:
    answer = begin()
    answer.add_chunk(3)
    answer.finish(word)
    if is_unread:
        answer.miss_content()

    with pytest.raises(BadResponseError) as raised:
        answer.complete(9, TOKENS, TIMINGS)

    assert raised.value.sentence == sentence


def test_answer_counts_chunks_when_the_server_s_count_cannot_be() -> None:
    answer = begin()
    for at_ns in range(60):
        answer.add_content(at_ns, text="", reasoning="a long piece", has_tool_call=False)

    assert answer.count_tokens(prompt_count=12, usage_count=2).output_count == 60
    assert answer.count_tokens(prompt_count=12, usage_count=30).output_count == 30


@pytest.mark.parametrize(
    "word",
    [
        *("abort", "error", "load", "unload", "insufficient_system_resource", "network_error", "ABORTED"),
        *("timeout", "cancelled", "failed", "null", "none", "", None),
    ],
)
def test_answer_is_truncated_when_the_server_gave_up_or_said_nothing(word: str | None) -> None:
    answer = begin()
    answer.add_chunk(3)
    if word is not None:
        answer.finish(word)

    with pytest.raises(StreamTruncatedError):
        answer.complete(9, TOKENS, TIMINGS)
