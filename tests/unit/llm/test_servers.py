import asyncio

import pytest

from rune.errors import AddressRefusedError, InvalidRequestError
from rune.llm.ollama import OllamaServer
from rune.llm.openai import OpenAiServer
from rune.llm.servers import SERVER_KINDS, open_server
from rune.net.addresses import AddressPolicy


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
