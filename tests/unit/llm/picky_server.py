"""A server with OpenAI's API that takes only some fields, paths and headers, as real ones do."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from rune.llm.opener import ServerOpener
from rune.llm.protocol import ModelServer
from tests.unit.llm.asking import LOOPBACK
from tests.unit.llm.scripted_server import Request, Script, ScriptedServer, head, listening, sse, whole

PLAIN = [
    head(200, "text/event-stream")
    + sse(
        {"choices": [{"delta": {"content": "Paris"}, "finish_reason": None}]},
        {"choices": [{"delta": {}, "finish_reason": "stop"}]},
        {"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 1, "total_tokens": 13}},
    )
]
"""An ordinary answer."""


@dataclass
class PickyServer(ScriptedServer):
    """Refuses a chat with any of some fields, at another path, or with its key in another header.

    Attributes
    ----------
    refusals
        By field: the body of its refusal. The most picky servers name one field at a time.
    status
        Of refusals.
    chat_path
        Where chats are answered; anything else is 404.
    key_header
        In which the key must come; empty for a server that asks for none.
    page
        What comes with 200 instead of a 404.
    """

    refusals: Mapping[str, object] = field(default_factory=dict)
    status: int = 400
    chat_path: str = "/v1/chat/completions"
    key_header: str = ""
    page: bytes = b""

    @property
    def chats(self) -> list[Request]:
        """Chats that came to the right path."""
        return [request for request in self.requests if request.path == self.chat_path]

    def _next_script(self, request: Request) -> Script:
        if request.path != self.chat_path:
            return (
                [head(200, "text/html") + self.page] if self.page else [whole(404, {"detail": "Not Found"})]
            )
        if self.key_header and self.key_header not in request.headers:
            return [whole(401, {"message": f"Access denied: no key in the header {self.key_header}."})]
        for name, refusal in self.refusals.items():
            if name in request.body:
                return [whole(self.status, refusal)]
        return PLAIN


def ask_picky[T](
    picky: PickyServer,
    question: Callable[[ModelServer], Awaitable[T]],
    *,
    path: str = "",
    api_key: str | None = None,
) -> tuple[T, PickyServer]:
    """Return what the question gives, and the server that was asked."""

    async def go() -> tuple[T, PickyServer]:
        async with listening(picky) as server:
            client = ServerOpener(LOOPBACK)("openai", server.url + path, api_key)
            try:
                return await question(client), server
            finally:
                await client.aclose()

    return asyncio.run(go())
