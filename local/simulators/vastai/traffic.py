"""The traffic of a rented machine's Ollama, in both directions."""

import json
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from local.simulators.ollama import SimulatedOllama
from local.simulators.vastai.machines import Traffic


@dataclass(slots=True)
class TrafficMeter:
    """An ASGI app around Ollama's that counts the bodies of all requests and answers, whoever sends them.

    Models are counted by the progress that pulls report.

    Attributes
    ----------
    state
        Its finished models count too: a pull that is not streamed reports no progress.
    """

    app: ASGIApp
    state: SimulatedOllama
    _asked_bytes: int = 0
    _answered_bytes: int = 0
    _arrived_bytes: dict[str, int] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward one request."""
        is_pull = scope.get("path") == "/api/pull"

        async def count_asked() -> MutableMapping[str, Any]:
            message = await receive()
            self._asked_bytes += len(message.get("body", b""))
            return message

        async def count_answered(message: MutableMapping[str, Any]) -> None:
            body = message.get("body", b"") if message["type"] == "http.response.body" else b""
            self._answered_bytes += len(body)
            if is_pull:
                self._read(body)
            await send(message)

        await self.app(scope, count_asked, count_answered)

    def total(self) -> Traffic:
        """Return all bytes so far; of models, those of all layers that have arrived."""
        for model in self.state.store.listed():
            for layer in model.card.layers:
                self._arrived_bytes[layer.digest] = layer.size_bytes
        return Traffic(self._asked_bytes + sum(self._arrived_bytes.values()), self._answered_bytes)

    def _read(self, data: bytes) -> None:
        for line in data.splitlines():
            try:
                progress = json.loads(line)
            except ValueError:
                continue
            if isinstance(progress, dict) and isinstance(completed := progress.get("completed"), int):
                digest = str(progress.get("digest"))
                self._arrived_bytes[digest] = max(completed, self._arrived_bytes.get(digest, 0))
