"""The downloads of a rented machine's Ollama, counted from the progress that it reports."""

import json
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from local.simulators.ollama import SimulatedOllama


@dataclass(slots=True)
class DownloadMeter:
    """An ASGI app around Ollama's that reads the lines of its pulls.

    Attributes
    ----------
    state
        Its finished models count too: a pull that is not streamed reports no progress.
    """

    app: ASGIApp
    state: SimulatedOllama
    _arrived_bytes: dict[str, int] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward one request."""

        async def watch(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.body":
                self._read(message.get("body", b""))
            await send(message)

        await self.app(scope, receive, watch if scope.get("path") == "/api/pull" else send)

    def total_bytes(self) -> int:
        """Return the bytes of all layers that have arrived."""
        for model in self.state.store.listed():
            for layer in model.card.layers:
                self._arrived_bytes[layer.digest] = layer.size_bytes
        return sum(self._arrived_bytes.values())

    def _read(self, data: bytes) -> None:
        for line in data.splitlines():
            try:
                progress = json.loads(line)
            except ValueError:
                continue
            if isinstance(progress, dict) and isinstance(completed := progress.get("completed"), int):
                digest = str(progress.get("digest"))
                self._arrived_bytes[digest] = max(completed, self._arrived_bytes.get(digest, 0))
