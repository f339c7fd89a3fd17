from dataclasses import replace

import pytest

from rune.errors import ModelUnsupportedError
from rune.llm.protocol import ChatRequest, FinishReason, Message, Role, ToolCall, ToolSpec
from tests.unit.llm.asking import QUESTION, ask, chat
from tests.unit.llm.scripted_server import ndjson, whole
from tests.unit.llm.test_ollama import FINAL, HEAD, chunk

TOOL = ToolSpec("look", "Looks.", {"type": "object", "properties": {"where": {"type": "string"}}})
CALL = ToolCall("a", "look", {"where": "pods"}, '{"where": "pods"}')
SENT_CALL = {"id": "a", "function": {"index": 0, "name": "look", "arguments": {"where": "pods"}}}
OTHER_CALL = {"id": "b", "function": {"index": 1, "name": "look", "arguments": {}}}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([chunk(tool_calls=[SENT_CALL]), FINAL], [CALL]),
        # The native path: on the line that says done, beside words.
        ([chunk("a"), FINAL | {"message": {"content": "", "tool_calls": [SENT_CALL]}}], [CALL]),
        (
            [chunk(tool_calls=[SENT_CALL]), chunk(tool_calls=[OTHER_CALL]), FINAL],
            [CALL, ToolCall("b", "look", {}, "{}")],
        ),
        ([chunk(tool_calls=[SENT_CALL, OTHER_CALL]), FINAL], [CALL, ToolCall("b", "look", {}, "{}")]),
    ],
)
def test_chat_returns_the_calls_that_the_model_wants(
    lines: list[dict[str, object]], expected: list[ToolCall]
) -> None:
    answer = chat("ollama", HEAD + ndjson(*lines))

    assert (list(answer.tool_calls), answer.finish_reason) == (expected, FinishReason.TOOL_CALLS)


def test_chat_gives_a_call_an_id_when_an_older_server_does_not() -> None:
    call = {"function": {"name": "look", "arguments": {}}}

    one, other = chat("ollama", HEAD + ndjson(chunk(tool_calls=[call, call]), FINAL)).tool_calls

    assert one.id
    assert one.id != other.id


def sent(request: ChatRequest) -> dict[str, object]:
    script = [HEAD + ndjson(FINAL)]
    return ask("ollama", [script], lambda s: s.chat(request, lambda _: None))[1].requests[0].body


def test_chat_declares_its_tools() -> None:
    function = {"name": "look", "description": "Looks.", "parameters": TOOL.parameters}

    assert sent(replace(QUESTION, tools=(TOOL,)))["tools"] == [{"type": "function", "function": function}]


def test_chat_declares_no_tool_when_none_may_be_called() -> None:
    assert "tools" not in sent(replace(QUESTION, tools=(TOOL,), tool_choice="none"))


def test_chat_is_not_sent_when_a_tool_must_be_called() -> None:
    request = replace(QUESTION, tools=(TOOL,), tool_choice="required")

    # The server has no script: a request would fail.
    with pytest.raises(ModelUnsupportedError):
        ask("ollama", [], lambda server: server.chat(request, lambda _: None))


def test_chat_replays_calls_before_their_results() -> None:
    turns = (
        *QUESTION.messages,
        Message(Role.ASSISTANT, "", tool_calls=(CALL, ToolCall("b", "look", None, "{"))),
        Message(Role.TOOL, "none", tool_call_id="a", tool_name="look"),
        Message(Role.TOOL, "no JSON", tool_call_id="b", tool_name="look"),
    )

    assert sent(replace(QUESTION, messages=turns))["messages"] == [
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": "", "tool_calls": [SENT_CALL, OTHER_CALL]},
        {"role": "tool", "content": "none", "tool_name": "look", "tool_call_id": "a"},
        {"role": "tool", "content": "no JSON", "tool_name": "look", "tool_call_id": "b"},
    ]


def test_chat_sends_its_seed_and_nothing_of_what_ollama_does_not_know() -> None:
    body = sent(replace(QUESTION, seed=7, ignore_eos=True, max_output_tokens=5))

    assert body["options"] == {"num_predict": 5, "seed": 7}
    assert "ignore_eos" not in body


def test_chat_says_that_the_model_calls_no_tools_when_its_template_has_none() -> None:
    refusal = whole(400, {"error": "registry.ollama.ai/library/m does not support tools"})

    with pytest.raises(ModelUnsupportedError):
        chat("ollama", refusal, request=replace(QUESTION, tools=(TOOL,)))
