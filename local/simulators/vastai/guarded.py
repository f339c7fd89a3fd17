"""What the proxy of `rune.rentals.guard` does in front of a machine's server; its own tests run the real one."""

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from local.simulators.vastai.machines import finds_key

_NOT_PASSED_ON = {b"authorization", b"connection", b"host"}


@dataclass(frozen=True, slots=True)
class GuardedServer:
    """An ASGI app that forwards requests which have the key, one a connection, and refuses all others."""

    app: ASGIApp
    key_digest: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward or refuse one request."""
        keys = Headers(scope=scope).getlist("authorization")
        scheme, _, key = (keys[0] if len(keys) == 1 else "").partition(" ")

        async def send_closing(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
            await send(message)

        if scheme.lower() != "bearer" or not finds_key(self.key_digest, key):
            refusal = JSONResponse({"error": "guard: 401"}, 401, {"WWW-Authenticate": "Bearer"})
            await refusal(scope, receive, send_closing)
            return
        headers = [(name, value) for name, value in scope["headers"] if name not in _NOT_PASSED_ON]
        inner = {**scope, "headers": [*headers, (b"host", b"127.0.0.1:11435")]}
        await self.app(inner, receive, send_closing)
