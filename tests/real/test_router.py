"""llama.cpp's router, which lists, loads and unloads models."""

import time
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from rune.errors import ModelNotFoundError
from rune.llm.protocol import Capabilities, ModelServer, WarmUpRequest
from tests.real.asking import QUESTION, ask, chat
from tests.real.llama_server import LlamaServer


@pytest.fixture(autouse=True)
def _empty_memory(router: LlamaServer) -> Iterator[None]:
    yield

    for model in running(router):
        unload(router, model)
    while running(router):
        time.sleep(0.05)


def running(router: LlamaServer) -> tuple[str, ...]:
    return ask(router, lambda client: client.list_running())


def unload(router: LlamaServer, model: str) -> None:
    """Take a model out of memory; RUNE itself never does."""
    httpx.post(
        f"{router.url}/models/unload", json={"model": model}, timeout=10, trust_env=False
    ).raise_for_status()


def warm_up(model: str) -> WarmUpRequest:
    return WarmUpRequest(model, timeout_seconds=60)


def test_router_lists_models_that_are_not_loaded(router: LlamaServer) -> None:
    async def look(client: ModelServer) -> tuple[object, ...]:
        return await client.list_models(), await client.list_running(), await client.has_model("owl")

    assert ask(router, look) == (("cloud", "fox"), (), False)


def test_warm_up_loads_the_model(router: LlamaServer) -> None:
    loaded = ask(router, lambda client: client.warm_up(warm_up("fox")))

    assert loaded.load_ms > 0
    assert running(router) == ("fox",)


def test_warm_up_leaves_other_models_alone(router: LlamaServer) -> None:
    async def load_both(client: ModelServer) -> tuple[str, ...]:
        await client.warm_up(warm_up("fox"))
        await client.warm_up(warm_up("cloud"))
        return await client.list_running()

    assert ask(router, load_both) == ("cloud", "fox")


def test_router_goes_on_past_the_end_of_a_text(router: LlamaServer) -> None:
    assert ask(router, lambda client: client.capabilities("fox")) == Capabilities(ignores_eos=True)


def test_facts_of_a_model_come_with_loading(router: LlamaServer) -> None:
    async def look(client: ModelServer) -> tuple[int | None, int | None]:
        before = await client.describe_model("fox")
        await client.warm_up(warm_up("fox"))
        after = await client.describe_model("fox")
        return before.context_tokens_loaded, after.context_tokens_loaded

    assert ask(router, look) == (None, 2048)


def test_chat_loads_the_model_by_itself(router: LlamaServer) -> None:
    answer = chat(router, replace(QUESTION, model="cloud"))

    assert answer.tokens.output_count == 48


def test_unknown_model_is_that_error(router: LlamaServer) -> None:
    with pytest.raises(ModelNotFoundError):
        chat(router, replace(QUESTION, model="owl"))
    with pytest.raises(ModelNotFoundError):
        ask(router, lambda client: client.warm_up(warm_up("owl")))
