"""A model server behind a key: the simulated one, which lets nobody in without it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from local.simulators.ollama import OllamaSettings, SimulatedOllama, create_app
from local.simulators.serving import running_server


@dataclass
class KeyedServer:
    """An OpenAI-compatible server.

    Attributes
    ----------
    refused
        Paths that were asked for without the key.
    """

    app: ASGIApp
    url: str = ""
    api_key: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    refused: list[str] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what brings the key."""
        if dict(scope["headers"]).get(b"authorization") == f"Bearer {self.api_key}".encode():
            await self.app(scope, receive, send)
            return
        self.refused.append(scope["path"])
        await JSONResponse({"error": {"message": "Incorrect API key"}}, 401)(scope, receive, send)


@contextmanager
def keyed_server() -> Iterator[KeyedServer]:
    """Run the server while the block runs."""
    settings = OllamaSettings(load_seconds=0.0, output_tokens_per_second=1000.0)
    server = KeyedServer(create_app(SimulatedOllama(settings)))
    with running_server(server) as server.url:
        yield server
