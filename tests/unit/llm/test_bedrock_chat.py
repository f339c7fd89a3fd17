from typing import Any

import pytest

from rune.errors import ContextOverflowError, StreamFailedError, StreamTruncatedError
from rune.llm.answers import AnswerInProgress
from rune.llm.bedrock_chat import NO_OUTPUT, ConverseAnswer, converse_arguments
from rune.llm.protocol import (
    ChatRequest,
    FinishReason,
    Generation,
    Message,
    Role,
    ServerTimings,
    Stamps,
    TokenCounts,
    TokenCountSource,
    ToolCall,
    ToolSpec,
)

PODS = ToolSpec("list_pods", "Lists pods.", {"type": "object"})
CALL = ToolCall("t1", "list_pods", {"namespace": "a"}, '{"namespace":"a"}')
CUT = ToolCall("t2", "now", None, "{")
USER = Message(Role.USER, "Why?")
ASKED: dict[str, Any] = {"role": "user", "content": [{"text": "Why?"}]}


def arguments(*messages: Message, **options: Any) -> dict[str, Any]:  # noqa: ANN401  # of a ChatRequest
    return converse_arguments(ChatRequest("m", messages, timeout_seconds=1.0, **options))


def test_question_is_sent_with_its_limits_and_nothing_that_bedrock_does_not_know() -> None:
    sent = arguments(
        Message(Role.SYSTEM, "Be brief."),
        USER,
        max_output_tokens=5,
        temperature=0.0,
        seed=7,
        ignore_eos=True,
        context_tokens=4096,
    )

    assert sent == {
        "modelId": "m",
        "system": [{"text": "Be brief."}],
        "messages": [ASKED],
        "inferenceConfig": {"maxTokens": 5, "temperature": 0.0},
    }


def test_results_of_one_turn_and_what_follows_are_one_message() -> None:
    sent = arguments(
        USER,
        Message(Role.ASSISTANT, " ", (CALL, CUT)),
        Message(Role.TOOL, "two pods", tool_call_id="t1", tool_name="list_pods"),
        Message(Role.TOOL, "", tool_call_id="t2", tool_name="now"),
        Message(Role.USER, "And?"),
        tools=(PODS,),
    )

    assert sent["messages"] == [
        ASKED,
        {
            "role": "assistant",
            "content": [
                {"toolUse": {"toolUseId": "t1", "name": "list_pods", "input": {"namespace": "a"}}},
                {"toolUse": {"toolUseId": "t2", "name": "now", "input": {}}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "t1", "content": [{"text": "two pods"}]}},
                {"toolResult": {"toolUseId": "t2", "content": [{"text": NO_OUTPUT}]}},
                {"text": "And?"},
            ],
        },
    ]
    assert [tool["toolSpec"]["name"] for tool in sent["toolConfig"]["tools"]] == ["list_pods", "now"]


@pytest.mark.parametrize(
    ("messages", "options", "config"),
    [
        ((USER,), {}, None),
        ((USER,), {"tools": (PODS,), "tool_choice": "none"}, None),
        ((USER,), {"tool_choice": "required"}, None),
        ((USER,), {"tools": (PODS,)}, {}),
        ((USER,), {"tools": (PODS,), "tool_choice": "required"}, {"toolChoice": {"any": {}}}),
        ((USER, Message(Role.ASSISTANT, "", (CALL,))), {"tools": (PODS,), "tool_choice": "none"}, {}),
    ],
)
def test_choice_of_tools_is_sent_as_far_as_there_are_words_for_it(
    messages: tuple[Message, ...], options: dict[str, Any], config: dict[str, Any] | None
) -> None:
    sent = arguments(*messages, **options)

    tool = {"name": "list_pods", "description": "Lists pods.", "inputSchema": {"json": {"type": "object"}}}
    expected = None if config is None else {"tools": [{"toolSpec": tool}], **config}
    assert sent.get("toolConfig") == expected


def test_blank_turns_are_left_out_and_equal_roles_joined() -> None:
    sent = arguments(Message(Role.SYSTEM, ""), USER, Message(Role.ASSISTANT, "\n"), Message(Role.USER, "So?"))

    assert sent == {
        "modelId": "m",
        "messages": [{"role": "user", "content": [{"text": "Why?"}, {"text": "So?"}]}],
    }


# ---------------------------------------------------------------- what comes


def read(*events: dict[str, Any]) -> Generation:
    """Return what the events add up to, one every millisecond."""
    answer = ConverseAnswer("m", AnswerInProgress(sent_ns=0, headers_ns=1, on_chunk=lambda _: None))
    for number, event in enumerate(events, start=2):
        answer.take(event, number)
    return answer.complete(99)


def delta(index: int = 0, **given: object) -> dict[str, Any]:
    return {"contentBlockDelta": {"contentBlockIndex": index, "delta": given}}


def tool(index: int, call_id: str, name: str) -> dict[str, Any]:
    return {
        "contentBlockStart": {
            "contentBlockIndex": index,
            "start": {"toolUse": {"toolUseId": call_id, "name": name}},
        }
    }


START: dict[str, Any] = {"messageStart": {"role": "assistant"}}
STOP: dict[str, Any] = {"messageStop": {"stopReason": "end_turn"}}
COUNTED: dict[str, Any] = {
    "metadata": {
        "usage": {
            "inputTokens": 5,
            "outputTokens": 9,
            "totalTokens": 26,
            "cacheReadInputTokens": 10,
            "cacheWriteInputTokens": 2,
        },
        "metrics": {"latencyMs": 321},
    }
}


def test_answer_is_added_up() -> None:
    generation = read(
        START,
        delta(reasoningContent={"text": "Hm."}),
        delta(reasoningContent={"signature": "c2ln"}),
        delta(1, text=""),
        delta(1, text="Two "),
        delta(1, text="pods."),
        {"contentBlockStop": {"contentBlockIndex": 1}},
        STOP,
        COUNTED,
    )

    assert generation == Generation(
        text="Two pods.",
        reasoning="Hm.",
        finish_reason=FinishReason.STOP,
        tokens=TokenCounts(17, 9, 10, None, TokenCountSource.USAGE),
        stamps=Stamps(0, 1, 2, 3, 6, 7, 99),
        chunk_arrivals_ns=(3, 6, 7),
        server_timings=ServerTimings(total_ms=321.0),
        chunk_chars=(3, 4, 5),
    )


def test_reasoning_that_bedrock_keeps_to_itself_is_noted() -> None:
    redacted = delta(reasoningContent={"redactedContent": b"..."})

    assert read(START, redacted, delta(1, text="Two."), STOP, COUNTED).has_hidden_reasoning
    assert not read(START, delta(1, text="Two."), STOP, COUNTED).has_hidden_reasoning


def test_calls_are_put_together_by_their_block() -> None:
    generation = read(
        START,
        tool(1, "t1", "list_pods"),
        delta(1, toolUse={"input": '{"name'}),
        tool(2, "t2", "now"),
        delta(1, toolUse={"input": 'space":"a"}'}),
        {"messageStop": {"stopReason": "tool_use"}},
    )

    assert generation.tool_calls == (CALL, ToolCall("t2", "now", {}, ""))
    assert generation.finish_reason is FinishReason.TOOL_CALLS
    # Without usage only the chunks can be counted.
    assert generation.tokens == TokenCounts(None, 4, None, None, TokenCountSource.CHUNKS)


@pytest.mark.parametrize(
    ("events", "error"),
    [
        ([], StreamTruncatedError),
        ([START, delta(text="Two")], StreamTruncatedError),
        ([START, delta(text="Two"), COUNTED], StreamTruncatedError),
        ([START, {"messageStop": {"stopReason": "malformed_tool_use"}}], StreamFailedError),
        ([START, {"messageStop": {"stopReason": "model_context_window_exceeded"}}], ContextOverflowError),
    ],
)
def test_answer_without_a_good_end_is_an_error(events: list[dict[str, Any]], error: type[Exception]) -> None:
    with pytest.raises(error):
        read(*events)


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"somethingNew": {"x": 1}},
        {"contentBlockDelta": None},
        {"contentBlockDelta": {"delta": {"text": 7}}},
        {"contentBlockDelta": {"delta": {"toolUse": {"input": {}}}}},
        {"metadata": {"usage": {"outputTokens": -1}, "metrics": {"latencyMs": "soon"}}},
    ],
    ids=str,
)
def test_event_that_is_odd_adds_nothing(odd: dict[str, Any]) -> None:
    assert read(START, delta(text="Two"), odd, STOP).text == "Two"
