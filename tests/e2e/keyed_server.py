"""A model server behind a key: the simulated one, which lets nobody in without it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from local.simulators.ollama import OllamaSettings, SimulatedOllama, create_app
from local.simulators.serving import running_server

REFUSED_PATH = "/_sim/refused"
KEY_PATH = "/_sim/key"


@dataclass(slots=True)
class KeyedServer:
    """A running OpenAI-compatible server, in this process or in another."""

    url: str
    api_key: str = field(repr=False)

    def read_refused(self) -> list[str]:
        """Return the paths that were asked for without the key."""
        answer = httpx.get(f"{self.url}{REFUSED_PATH}", trust_env=False).raise_for_status()
        paths: list[str] = answer.json()
        return paths

    def change_key(self) -> None:
        """Let the server want another key from now on."""
        self.api_key = secrets.token_urlsafe(32)
        url = f"{self.url}{KEY_PATH}"
        httpx.put(url, content=self.api_key, trust_env=False).raise_for_status()


class _KeyedApp:
    """Passes on what brings the key."""

    def __init__(self, app: ASGIApp, api_key: str) -> None:
        self._app = app
        self._authorization = f"Bearer {api_key}".encode()
        self._refused: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == REFUSED_PATH:
            await JSONResponse(self._refused)(scope, receive, send)
            return
        if scope["path"] == KEY_PATH:
            self._authorization = b"Bearer " + await Request(scope, receive).body()
            await JSONResponse({})(scope, receive, send)
            return
        if dict(scope["headers"]).get(b"authorization") == self._authorization:
            await self._app(scope, receive, send)
            return
        self._refused.append(scope["path"])
        await JSONResponse({"error": {"message": "Incorrect API key"}}, 401)(scope, receive, send)


@contextmanager
def keyed_server() -> Iterator[KeyedServer]:
    """Run the server while the block runs."""
    settings = OllamaSettings(load_seconds=0.0, output_tokens_per_second=1000.0)
    api_key = secrets.token_urlsafe(32)
    with running_server(_KeyedApp(create_app(SimulatedOllama(settings)), api_key)) as url:
        yield KeyedServer(url, api_key)
