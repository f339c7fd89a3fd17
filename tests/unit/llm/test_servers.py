import asyncio
from contextlib import suppress

import pytest

from rune.errors import AddressRefusedError, InvalidRequestError, ModelServerError
from rune.llm.ollama import OllamaServer
from rune.llm.openai import OpenAiServer
from rune.llm.protocol import WarmUpRequest
from rune.llm.servers import SERVER_KINDS, open_server
from rune.net.addresses import AddressPolicy
from tests.unit.llm.asking import LOOPBACK, QUESTION
from tests.unit.llm.scripted_server import RoutedServer, listening


@pytest.mark.parametrize(("kind", "server_type"), [("ollama", OllamaServer), ("openai", OpenAiServer)])
def test_server_is_of_its_kind_when_the_kind_is_known(kind: str, server_type: type[object]) -> None:
    server = open_server(kind, "http://example.com", AddressPolicy())

    assert isinstance(server, server_type)
    assert kind in SERVER_KINDS
    asyncio.run(server.aclose())


@pytest.mark.parametrize("kind", ["", "Ollama", "bedrock", "vllm"])
def test_server_is_not_opened_when_the_kind_is_unknown(kind: str) -> None:
    with pytest.raises(InvalidRequestError, match="ollama, openai"):
        open_server(kind, "http://example.com", AddressPolicy())


def test_server_is_not_opened_when_its_address_is_refused() -> None:
    with pytest.raises(AddressRefusedError):
        open_server("ollama", "http://127.0.0.1:9001", AddressPolicy())


@pytest.mark.parametrize("kind", SERVER_KINDS)
def test_server_is_not_opened_when_its_key_cannot_be_sent(kind: str) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        open_server(kind, "http://example.com", AddressPolicy(), api_key="two\r\nlines")

    assert raised.value.pointer == "/backend_credential"


@pytest.mark.parametrize("kind", SERVER_KINDS)
def test_every_question_carries_the_key(kind: str) -> None:
    async def go() -> set[str]:
        async with listening(RoutedServer([], routes={})) as routed:
            server = open_server(kind, routed.url, LOOPBACK, api_key="sk-1")
            for question in (
                server.list_models(),
                server.describe_server(),
                server.capabilities("m"),
                server.warm_up(WarmUpRequest("m", 5)),
                server.chat(QUESTION, lambda _: None),
            ):
                with suppress(ModelServerError):
                    await question
            await server.aclose()
            return {request.headers.get("authorization", "") for request in routed.requests}

    assert asyncio.run(go()) == {"Bearer sk-1"}
