"""llama.cpp's router, which lists, loads and unloads models."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from rune.errors import ModelNotFoundError
from rune.llm.protocol import ModelServer, WarmUpRequest
from tests.real.asking import QUESTION, ask, chat
from tests.real.llama_server import LlamaServer


@pytest.fixture(autouse=True)
def _empty_memory(router: LlamaServer) -> Iterator[None]:
    yield

    async def unload_all(client: ModelServer) -> None:
        for model in await client.list_running():
            await client.unload(model)

    ask(router, unload_all)


def warm_up(model: str) -> WarmUpRequest:
    return WarmUpRequest(model, timeout_seconds=60)


def test_router_lists_models_that_are_not_loaded(router: LlamaServer) -> None:
    async def look(client: ModelServer) -> tuple[object, ...]:
        return await client.list_models(), await client.list_running(), await client.has_model("owl")

    assert ask(router, look) == (("cloud", "fox"), (), False)


def test_warm_up_loads_the_model_and_unload_takes_it_out(router: LlamaServer) -> None:
    async def come_and_go(client: ModelServer) -> tuple[object, ...]:
        loaded = await client.warm_up(warm_up("fox"))
        assert loaded.load_ms > 0
        running = await client.list_running()
        await client.unload("fox")
        return running, await client.list_running()

    assert ask(router, come_and_go) == (("fox",), ())


def test_warm_up_leaves_other_models_alone(router: LlamaServer) -> None:
    async def load_both(client: ModelServer) -> tuple[str, ...]:
        await client.warm_up(warm_up("fox"))
        await client.warm_up(warm_up("cloud"))
        return await client.list_running()

    assert ask(router, load_both) == ("cloud", "fox")


def test_router_says_that_it_loads(router: LlamaServer) -> None:
    able = ask(router, lambda client: client.capabilities("fox"))

    assert (able.loads, able.unloads, able.pulls, able.ignores_eos) == (True, True, False, True)


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
