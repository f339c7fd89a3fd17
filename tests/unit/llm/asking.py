"""Builders and one-line questions for the tests of model servers."""

import asyncio
from collections.abc import Awaitable, Callable

from rune.llm.protocol import ChatRequest, Generation, Message, ModelServer, Role
from rune.llm.servers import open_server
from rune.net.addresses import AddressPolicy
from tests.unit.llm.scripted_server import Script, ScriptedServer, Step, serve

LOOPBACK = AddressPolicy.parse("127.0.0.0/8")
QUESTION = ChatRequest(
    model="m", messages=(Message(Role.USER, "Why?"),), timeout_seconds=5.0, idle_timeout_seconds=5.0
)


def ask[T](
    kind: str, scripts: list[Script], question: Callable[[ModelServer], Awaitable[T]], *, path: str = ""
) -> tuple[T, ScriptedServer]:
    """Return what the question gives, and the server that was asked."""

    async def go() -> tuple[T, ScriptedServer]:
        async with serve(*scripts) as scripted:
            server = open_server(kind, scripted.url + path, LOOPBACK)
            try:
                return await question(server), scripted
            finally:
                await server.aclose()

    return asyncio.run(go())


def chat(kind: str, *script: Step, request: ChatRequest = QUESTION) -> Generation:
    """Return the answer that a script gives to the question."""
    return ask(kind, [script], lambda server: server.chat(request, lambda _: None))[0]
