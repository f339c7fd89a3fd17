import asyncio
from contextlib import suppress

import pytest

from rune.errors import InvalidRequestError, ModelServerError
from rune.llm.opener import ServerOpener
from rune.llm.protocol import PullRequest, WarmUpRequest
from rune.net.addresses import AddressPolicy
from tests.unit.llm.asking import LOOPBACK, QUESTION
from tests.unit.llm.scripted_server import (
    RoutedServer,
    Script,
    head,
    listening,
    ndjson,
    serve,
    sse,
    whole,
)

KINDS = ["ollama", "openai"]
"""Servers that take a key."""


@pytest.mark.parametrize("kind", KINDS)
def test_server_is_not_opened_when_its_key_cannot_be_sent(kind: str) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        ServerOpener(AddressPolicy())(kind, "http://example.com", "two\r\nlines")

    assert raised.value.pointer == "/backend_credential"


@pytest.mark.parametrize("kind", KINDS)
def test_every_question_carries_the_key(kind: str) -> None:
    async def go() -> set[str]:
        async with listening(RoutedServer([], routes={})) as routed:
            server = ServerOpener(LOOPBACK)(kind, routed.url, "sk-1")
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


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "script",
    [
        [whole(400, {"error": "strange: Bearer sk-hidden"})],
        [head(200, "text/event-stream") + sse({"error": "strange: Bearer sk-hidden"})],
        [head(200) + ndjson({"error": "strange: Bearer sk-hidden"})],
    ],
)
def test_no_error_repeats_the_key_when_the_server_does(kind: str, script: Script) -> None:
    async def go() -> list[str]:
        async with serve(script, script) as server:
            client = ServerOpener(LOOPBACK)(kind, server.url, "sk-hidden")
            sentences: list[str] = []
            for question in (
                client.chat(QUESTION, lambda _: None),
                client.pull(PullRequest("m", slice_seconds=5), lambda _: None),
            ):
                with pytest.raises(ModelServerError) as raised:
                    await question
                sentences.append(raised.value.sentence)
            await client.aclose()
            return sentences

    assert not [sentence for sentence in asyncio.run(go()) if "hidden" in sentence]
