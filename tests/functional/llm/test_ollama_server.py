"""RUNE's own clients against the simulated Ollama, whose behaviour the official client confirms."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace

import pytest

from local.simulators.ollama import OllamaSettings, SimulatedOllama, create_app
from local.simulators.serving import running_server
from rune.errors import ModelUnsupportedError
from rune.llm.opener import ServerOpener
from rune.llm.protocol import (
    Capabilities,
    ChatRequest,
    FinishReason,
    Message,
    ModelFacts,
    ModelServer,
    PullRequest,
    Role,
    ServerFacts,
    ToolSpec,
    WarmUpRequest,
)
from rune.net.addresses import AddressPolicy
from tests.functional.simulators.ollama_harness import FAST, TINY

LOOPBACK = AddressPolicy.parse("127.0.0.0/8")
QUESTION = ChatRequest(
    model="llama3.1:8b", messages=(Message(Role.USER, "What is unhealthy?"),), timeout_seconds=10
)
LOOK = ToolSpec(
    "look",
    "Looks.",
    {"type": "object", "required": ["where"], "properties": {"where": {"type": "string"}}},
)


@pytest.fixture(scope="module", params=[False, True], ids=["call-before-done", "call-with-done"])
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    settings: OllamaSettings = replace(FAST, calls_on_last_line=request.param)
    with running_server(create_app(SimulatedOllama(settings))) as started:
        yield started


def ask[T](address: str, question: Callable[[ModelServer], Awaitable[T]], kind: str = "ollama") -> T:
    async def go() -> T:
        server = ServerOpener(LOOPBACK)(kind, address)
        try:
            return await question(server)
        finally:
            await server.aclose()

    return asyncio.run(go())


@pytest.mark.parametrize("kind", ["ollama", "openai"])
def test_model_calls_a_tool_and_then_answers_in_words(address: str, kind: str) -> None:
    async def loop(server: ModelServer) -> tuple[FinishReason, str]:
        asked = replace(QUESTION, tools=(LOOK,))
        called = await server.chat(asked, lambda _: None)
        (call,) = called.tool_calls
        assert (called.finish_reason, call.name) == (FinishReason.TOOL_CALLS, "look")
        assert call.arguments == {"where": "simulated"}
        turns = (
            *QUESTION.messages,
            Message(Role.ASSISTANT, called.text, tool_calls=called.tool_calls),
            Message(Role.TOOL, "ok", tool_call_id=call.id, tool_name=call.name),
        )
        told = await server.chat(replace(asked, messages=turns), lambda _: None)
        return told.finish_reason, told.text[:17]

    assert ask(address, loop, kind) == (FinishReason.STOP, "Simulated answer:")


@pytest.mark.parametrize("kind", ["ollama", "openai"])
def test_same_seed_gives_the_same_answer(address: str, kind: str) -> None:
    async def twice(server: ModelServer) -> list[str]:
        seeds = (7, 7, 8)
        return [(await server.chat(replace(QUESTION, seed=seed), lambda _: None)).text for seed in seeds]

    first, again, other = ask(address, twice, kind)

    assert first == again != other


@pytest.mark.parametrize("kind", ["ollama", "openai"])
def test_server_says_that_it_is_ollama_on_both_its_routes(address: str, kind: str) -> None:
    assert ask(address, lambda server: server.describe_server(), kind) == ServerFacts("ollama", "0.33.0")


@pytest.mark.parametrize("kind", ["ollama", "openai"])
def test_required_tool_is_refused_on_both_routes(address: str, kind: str) -> None:
    request = replace(QUESTION, tools=(LOOK,), tool_choice="required")

    with pytest.raises(ModelUnsupportedError):
        ask(address, lambda server: server.chat(request, lambda _: None), kind)


def test_model_is_loaded_beside_another_and_says_so(address: str) -> None:
    async def live(server: ModelServer) -> tuple[ModelFacts, ModelFacts, ModelFacts, tuple[str, ...]]:
        await server.warm_up(WarmUpRequest("llama3.1:8b", 10))
        before = await server.describe_model("llama3.2")
        await server.warm_up(WarmUpRequest("llama3.2", 10, context_tokens=2048))
        loaded = await server.describe_model("llama3.2")
        await server.chat(replace(QUESTION, model="llama3.2", context_tokens=2048), lambda _: None)
        after = await server.describe_model("llama3.2")
        return before, loaded, after, await server.list_running()

    before, loaded, after, running = ask(address, live)

    assert (before.quantization, before.context_tokens_trained) == ("Q4_K_M", 131_072)
    assert len(before.digest or "") == 64
    assert loaded == after
    assert loaded == replace(
        before,
        context_tokens_loaded=2048,
        size_bytes=loaded.size_bytes,
        size_vram_bytes=loaded.size_bytes,
    )
    assert loaded.size_bytes
    assert running == ("llama3.1:8b", "llama3.2:latest")


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("llama3.1:8b", Capabilities(chats=True, calls_tools=True)),
        ("qwen3:8b", Capabilities(chats=True, calls_tools=True)),
        ("nomic-embed-text", Capabilities(chats=False, calls_tools=False)),
    ],
)
def test_capabilities_follow_the_model(address: str, model: str, expected: Capabilities) -> None:
    assert ask(address, lambda server: server.capabilities(model)) == expected


def test_pulled_model_is_there(address: str) -> None:
    async def pull(server: ModelServer) -> tuple[bool, bool | None]:
        is_whole = await server.pull(PullRequest(TINY.name, slice_seconds=10), lambda _: None)
        return is_whole, await server.has_model(TINY.name)

    assert ask(address, pull) == (True, True)
