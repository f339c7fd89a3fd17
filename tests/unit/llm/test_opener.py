import asyncio
from typing import get_args

import pytest

from rune.contracts import BackendType
from rune.errors import AddressRefusedError, InvalidRequestError
from rune.llm.bedrock import BedrockServer
from rune.llm.bedrock_address import bedrock_url
from rune.llm.ollama import OllamaServer
from rune.llm.openai import OpenAiServer
from rune.llm.opener import SERVER_KINDS, ServerOpener
from rune.llm.protocol import ModelServer
from rune.net.addresses import AddressPolicy

OPENER = ServerOpener(AddressPolicy())


EXPECTED = [
    ("ollama", "https://llm.example", OllamaServer),
    ("openai", "https://llm.example/v1", OpenAiServer),
    ("bedrock", bedrock_url("us-east-1"), BedrockServer),
]


def test_kinds_are_those_of_the_contract() -> None:
    assert SERVER_KINDS == tuple(kind for kind, _, _ in EXPECTED) == get_args(BackendType.__value__)


@pytest.mark.parametrize(("kind", "url", "expected"), EXPECTED)
def test_each_kind_is_opened_by_its_own(kind: str, url: str, expected: type[ModelServer]) -> None:
    server = OPENER(kind, url)

    assert type(server) is expected
    asyncio.run(server.aclose())


@pytest.mark.parametrize("kind", ["", "Ollama", "vllm", "sagemaker"])
def test_unknown_kind_is_refused(kind: str) -> None:
    with pytest.raises(InvalidRequestError, match="ollama, openai, bedrock") as caught:
        OPENER(kind, "https://llm.example")

    assert caught.value.pointer == "/backend_type"


def test_bedrock_is_opened_at_an_address_of_its_own_alone() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        OPENER("bedrock", "https://llm.example")

    assert (caught.value.specific_code, caught.value.pointer) == ("bedrock_url_invalid", "/backend_url")


def test_address_is_judged_under_the_policy() -> None:
    with pytest.raises(AddressRefusedError):
        OPENER("ollama", "http://127.0.0.1:11434")
