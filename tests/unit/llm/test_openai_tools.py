from dataclasses import replace
from typing import Literal

import pytest

from rune.errors import ModelUnsupportedError
from rune.llm.protocol import ChatRequest, FinishReason, Message, Role, ToolCall, ToolSpec
from tests.unit.llm.asking import QUESTION, ask, ask_routed, chat
from tests.unit.llm.scripted_server import Pause, sse, whole
from tests.unit.llm.test_openai import HEAD, ROLE, STOP, event

TOOL = ToolSpec("look", "Looks.", {"type": "object", "properties": {"where": {"type": "string"}}})
CALL = ToolCall("a", "look", {"where": "pods"}, '{"where":"pods"}')


def called(arguments: str, **more: object) -> dict[str, object]:
    return event(tool_calls=[{"index": 0, "function": {"arguments": arguments}, **more}])


@pytest.mark.parametrize(
    ("body", "expected", "finish_reason"),
    [
        (
            sse(
                ROLE,
                event(tool_calls=[{"index": 0, "id": "a", "function": {"name": "look", "arguments": ""}}]),
                called('{"where":'),
                called('"pods"}'),
                event("tool_calls"),
            ),
            (CALL,),
            FinishReason.TOOL_CALLS,
        ),
        (
            sse(
                event(tool_calls={"index": 0, "id": "a", "function": {"name": "look", "arguments": "{}"}}),
                STOP,
            ),
            (ToolCall("a", "look", {}, "{}"),),
            FinishReason.TOOL_CALLS,
        ),
        (
            sse(
                event(tool_calls=[{"id": "a", "function": {"name": "look", "arguments": "{"}}]),
                event("length"),
            ),
            (ToolCall("a", "look", None, "{"),),
            FinishReason.LENGTH,
        ),
        (sse(event(content="a", tool_calls=[]), STOP), (), FinishReason.STOP),
    ],
)
def test_chat_returns_the_calls_that_the_model_wants(
    body: bytes, expected: tuple[ToolCall, ...], finish_reason: FinishReason
) -> None:
    answer = chat("openai", HEAD + body)

    assert (answer.tool_calls, answer.finish_reason) == (expected, finish_reason)


def test_chat_stamps_the_first_fragment_of_a_call_as_content() -> None:
    stamps = chat(
        "openai", HEAD + sse(ROLE, called("{"), done=False), Pause(0.1), sse(called("}"), STOP)
    ).stamps

    assert (stamps.first_visible_ns, stamps.first_content_ns) == (None, stamps.first_chunk_ns)
    assert stamps.last_content_ns is not None
    assert stamps.last_content_ns - stamps.first_chunk_ns > 20_000_000


def sent(request: ChatRequest) -> dict[str, object]:
    return ask("openai", [[HEAD + sse(STOP)]], lambda s: s.chat(request, lambda _: None))[1].requests[0].body


@pytest.mark.parametrize(
    ("choice", "expected"),
    [("auto", {}), ("none", {"tool_choice": "none"})],
)
def test_chat_declares_its_tools(choice: Literal["auto", "none"], expected: dict[str, object]) -> None:
    body = sent(replace(QUESTION, tools=(TOOL,), tool_choice=choice))

    assert {name: body[name] for name in body if name.startswith("tool")} == {
        "tools": [
            {
                "type": "function",
                "function": {"name": "look", "description": "Looks.", "parameters": TOOL.parameters},
            }
        ],
        **expected,
    }


def test_chat_demands_a_call_of_a_server_that_is_not_known_to_ignore_it() -> None:
    routes: dict[str, object] = {"POST /v1/chat/completions": [[HEAD + sse(STOP)]]}
    request = replace(QUESTION, tools=(TOOL,), tool_choice="required")

    _, server = ask_routed("openai", routes, lambda s: s.chat(request, lambda _: None))

    assert server.requests[-1].body["tool_choice"] == "required"


def test_chat_sends_a_seed_and_no_choice_when_there_is_no_tool() -> None:
    body = sent(replace(QUESTION, seed=7, tool_choice="required"))

    assert (body["seed"], {"tools", "tool_choice"} & set(body)) == (7, set())


def test_chat_replays_calls_before_their_results() -> None:
    turns = (
        *QUESTION.messages,
        Message(Role.ASSISTANT, "", tool_calls=(CALL,)),
        Message(Role.TOOL, "none", tool_call_id="a", tool_name="look"),
    )

    assert sent(replace(QUESTION, messages=turns))["messages"] == [
        {"role": "user", "content": "Why?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "a",
                    "type": "function",
                    "function": {"name": "look", "arguments": '{"where":"pods"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "none"},
    ]


def test_chat_says_that_the_model_calls_no_tools_when_the_server_has_no_parser_for_them() -> None:
    told = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
    refusal = whole(400, {"error": {"message": told, "type": "BadRequestError", "code": 400}})

    with pytest.raises(ModelUnsupportedError):
        chat("openai", refusal, request=replace(QUESTION, tools=(TOOL,)))
