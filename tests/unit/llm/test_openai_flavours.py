"""Telling the servers with OpenAI's API apart, what they say, and what a chat to each may carry."""

import asyncio
from dataclasses import replace

import pytest

from rune.errors import (
    ModelServerError,
    ModelUnsupportedError,
    ServerAccessError,
    ServerOverloadedError,
)
from rune.llm.flavours.llamacpp import format_parameters
from rune.llm.protocol import (
    Capabilities,
    ChatRequest,
    ModelFacts,
    ModelServer,
    ServerFacts,
    ToolSpec,
)
from tests.unit.llm.asking import QUESTION, ask_routed, ask_routes
from tests.unit.llm.flavour_answers import (
    ANSWER,
    CHAT,
    LIST,
    LLAMA,
    LMDEPLOY,
    NO_LIST,
    OLD_LLAMA,
    OLD_STUDIO,
    OLLAMA,
    ROUTER,
    SGLANG,
    STUDIO,
    TGI,
    TRT,
    UNKNOWN,
    VLLM,
    Routes,
    router_listing,
)
from tests.unit.llm.scripted_server import Script, whole

TOOL = ToolSpec("look", "Looks.", {"type": "object"})


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        (VLLM, ServerFacts("vllm", "0.16.0", None)),
        (SGLANG, ServerFacts("sglang", None, None)),
        (TRT, ServerFacts("tensorrt-llm", None, None)),
        (LMDEPLOY, ServerFacts("lmdeploy", None, None)),
        (LLAMA, ServerFacts("llama.cpp", "b8000-abcdef", 4)),
        (OLD_LLAMA, ServerFacts("llama.cpp", None, None)),
        (ROUTER, ServerFacts("llama.cpp", "b8000-abcdef", 4)),
        (TGI, ServerFacts("tgi", "3.2.1", 16)),
        (STUDIO, ServerFacts("lmstudio", None, 4)),
        (OLD_STUDIO, ServerFacts("lmstudio", None, None)),
        (OLLAMA, ServerFacts("ollama", "0.33.0", None)),
        (UNKNOWN, ServerFacts()),
        (NO_LIST, ServerFacts()),
    ],
)
def test_server_is_recognised_by_what_it_says(routes: Routes, expected: ServerFacts) -> None:
    assert ask_routes("openai", routes, lambda server: server.describe_server())[0] == expected


@pytest.mark.parametrize(
    ("routes", "model", "expected"),
    [
        (VLLM, "m", ModelFacts(context_tokens_loaded=8192)),
        (
            LLAMA,
            "m",
            ModelFacts(None, "Q4_K - Medium", "8.0B", None, 131_072, 4096, 4_912_898_304, None),
        ),
        (
            ROUTER,
            "n",
            ModelFacts(None, "Q4_K - Medium", "8.0B", None, 131_072, 4096, 4_912_898_304, None),
        ),
        (ROUTER, "o", ModelFacts()),
        (TGI, "org/m", ModelFacts("4847e87", "float16", None, None, None, 32_768, None, None)),
        (STUDIO, "m", ModelFacts(None, "Q4_0", "270M", "gemma3", 32_768, 4096, 241_410_208, None)),
        (STUDIO, "m:2", ModelFacts(None, "Q4_0", "270M", "gemma3", 32_768, 4096, 241_410_208, None)),
        (STUDIO, "e", ModelFacts(context_tokens_trained=2048)),
        (OLD_STUDIO, "m", ModelFacts(None, "4bit", None, "qwen2_vl", 32_768, 4096, None, None)),
        *[(routes, "nobody", ModelFacts()) for routes in (VLLM, LLAMA, ROUTER, TGI, STUDIO, OLD_STUDIO)],
        (OLLAMA, "m", ModelFacts()),
        (UNKNOWN, "m", ModelFacts()),
    ],
)
def test_model_is_described_by_what_its_server_says(routes: Routes, model: str, expected: ModelFacts) -> None:
    assert ask_routes("openai", routes, lambda server: server.describe_model(model))[0] == expected


@pytest.mark.parametrize(
    ("routes", "model", "expected"),
    [
        (VLLM, "m", Capabilities(ignores_eos=True)),
        (LLAMA, "m", Capabilities(calls_tools=True, ignores_eos=True)),
        (OLD_LLAMA, "m", Capabilities(ignores_eos=True)),
        (ROUTER, "m", Capabilities(calls_tools=True, ignores_eos=True)),
        (ROUTER, "o", Capabilities(ignores_eos=True)),
        (TGI, "org/m", Capabilities()),
        (STUDIO, "m", Capabilities(chats=True, calls_tools=False)),
        (STUDIO, "e", Capabilities(chats=False)),
        (OLD_STUDIO, "m", Capabilities(chats=True, calls_tools=True)),
        (OLLAMA, "m", Capabilities()),
        (UNKNOWN, "m", Capabilities()),
        (NO_LIST, "m", Capabilities()),
    ],
)
def test_capabilities_are_what_the_server_has(routes: Routes, model: str, expected: Capabilities) -> None:
    assert ask_routes("openai", routes, lambda server: server.capabilities(model))[0] == expected


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        (VLLM, ("m",)),
        (LLAMA, ("m",)),
        (ROUTER, ("m",)),
        ({LIST: router_listing("loading")}, ()),
        ({LIST: router_listing("sleeping")}, ()),
        (TGI, ("org/m",)),
        (STUDIO, ("m",)),
        (OLD_STUDIO, ("m",)),
        (OLLAMA, ()),
        (UNKNOWN, ()),
    ],
)
def test_running_are_the_models_in_memory(routes: Routes, expected: tuple[str, ...]) -> None:
    assert ask_routes("openai", routes, lambda server: server.list_running())[0] == expected


@pytest.mark.parametrize(("model", "expected"), [("m", True), ("n", True), ("other", False)])
def test_server_has_model_only_when_its_list_says_so_although_it_answers_to_every_name(
    model: str, expected: bool
) -> None:
    assert ask_routes("openai", LLAMA, lambda server: server.has_model(model))[0] is expected


@pytest.mark.parametrize("routes", [SGLANG, TRT, LMDEPLOY])
def test_server_that_names_itself_can_be_told_to_ignore_the_end_of_text(routes: Routes) -> None:
    facts, _ = ask_routes("openai", routes, lambda server: server.capabilities("m"))

    assert facts.ignores_eos


def test_server_is_recognised_once_and_only_when_that_is_needed() -> None:
    async def question(server: ModelServer) -> None:
        await server.chat(QUESTION, lambda _: None)
        for _ in range(2):
            await server.chat(replace(QUESTION, ignore_eos=True), lambda _: None)

    _, asked = ask_routes("openai", {**VLLM, CHAT: ANSWER}, question)

    assert asked == [CHAT, LIST, CHAT, CHAT]


def test_server_is_recognised_once_when_many_chats_begin_together() -> None:
    async def question(server: ModelServer) -> None:
        asked = replace(QUESTION, ignore_eos=True)
        await asyncio.gather(*(server.chat(asked, lambda _: None) for _ in range(8)))

    _, asked = ask_routes("openai", {**VLLM, CHAT: ANSWER}, question)

    assert asked == [LIST] + [CHAT] * 8


def test_unknown_server_is_asked_a_few_bounded_questions_that_it_may_leave_open() -> None:
    routes = {**UNKNOWN, "GET /info": [[whole(500, {})]], "GET /api/v1/models": {"models": [{"name": "m"}]}}

    facts, asked = ask_routes("openai", routes, lambda server: server.describe_server(), path="/proxy/v1")

    assert facts == ServerFacts()
    assert asked == [
        "GET /proxy/v1/models",
        "GET /proxy/info",
        "GET /proxy/api/v1/models",
        "GET /proxy/api/v0/models",
        "GET /proxy/api/version",
    ]


@pytest.mark.parametrize(
    ("answer", "error_type"),
    [
        ([whole(401, {"error": {"message": "Invalid API Key"}})], ServerAccessError),
        ([whole(503, {"error": {"message": "Loading model"}})], ServerOverloadedError),
    ],
)
def test_server_that_cannot_answer_now_is_not_taken_for_unknown(
    answer: Script, error_type: type[ModelServerError]
) -> None:
    async def question(server: ModelServer) -> ServerFacts:
        with pytest.raises(error_type):
            await server.describe_server()
        return await server.describe_server()

    routes = {**VLLM, LIST: [answer, [whole(200, VLLM[LIST])]]}

    assert ask_routes("openai", routes, question)[0].name == "vllm"


# ---------------------------------------------------------------- what a chat may carry


def sent_by_chat(routes: Routes, request: ChatRequest) -> dict[str, object]:
    """Return the body of the chat."""
    _, server = ask_routed("openai", {**routes, CHAT: ANSWER}, lambda one: one.chat(request, lambda _: None))
    return server.requests[-1].body


@pytest.mark.parametrize(
    ("routes", "is_sent"),
    [
        (VLLM, True),
        (LLAMA, True),
        (ROUTER, True),
        (TGI, False),
        (STUDIO, False),
        (OLD_STUDIO, False),
        (OLLAMA, False),
        (UNKNOWN, False),
        (NO_LIST, False),
    ],
)
def test_ignore_eos_is_sent_only_where_it_is_known(routes: Routes, is_sent: bool) -> None:
    asked = replace(QUESTION, ignore_eos=True, max_output_tokens=64)

    assert ("ignore_eos" in sent_by_chat(routes, asked)) is is_sent


def test_required_tool_is_refused_unsent_where_the_server_would_ignore_it() -> None:
    with pytest.raises(ModelUnsupportedError):
        sent_by_chat(OLLAMA, replace(QUESTION, tools=(TOOL,), tool_choice="required"))


@pytest.mark.parametrize(
    ("count", "expected"),
    [(None, None), (999, "999"), (500_000, "500.0K"), (270_000_000, "270.0M"), (8_030_261_248, "8.0B")],
)
def test_parameters_are_written_as_people_write_them(count: int | None, expected: str | None) -> None:
    assert format_parameters(count) == expected
