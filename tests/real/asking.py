"""What real servers are asked, and by whom."""

import asyncio
from collections.abc import Awaitable, Callable

from rune.llm.opener import ServerOpener
from rune.llm.protocol import ChatRequest, Generation, Message, ModelServer, Role
from rune.net.addresses import AddressPolicy
from tests.real.llama_server import MODEL, LlamaServer

LOOPBACK = AddressPolicy.parse("127.0.0.0/8")
QUESTION = ChatRequest(
    model=MODEL,
    messages=(Message(Role.USER, "Why?"),),
    timeout_seconds=30.0,
    max_output_tokens=48,
    temperature=0.0,
)


def ask[T](
    server: LlamaServer, question: Callable[[ModelServer], Awaitable[T]], *, api_key: str | None = None
) -> T:
    """Return what the question gives, asked through RUNE's client."""

    async def go() -> T:
        client = ServerOpener(LOOPBACK)("openai", server.url, api_key)
        try:
            return await question(client)
        finally:
            await client.aclose()

    return asyncio.run(go())


def chat(server: LlamaServer, request: ChatRequest = QUESTION, *, api_key: str | None = None) -> Generation:
    """Return the server's answer."""
    return ask(server, lambda client: client.chat(request, ignore_chunk), api_key=api_key)


def ignore_chunk(_count: int) -> None:
    """Take note of nothing."""
