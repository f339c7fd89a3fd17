"""The simulated Ollama server of a test, through its own control routes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import httpx
from pydantic import BaseModel, ConfigDict

from local.simulators.ollama import OllamaSettings, SimulatedOllama, create_app
from local.simulators.serving import running_server

CHAT = "/api/chat"


class SeenRequest(BaseModel):
    """One request as the server saw it; see `RequestRecord` of the simulator."""

    model_config = ConfigDict(extra="ignore")

    model: str | None
    status: int | None
    chunk_count: int
    outcome: str


class OwnCounts(BaseModel):
    """What the server says of an answer to whoever asks it directly."""

    model_config = ConfigDict(extra="ignore")

    answer: str
    prompt_tokens: int
    output_tokens: int


class ModelServer:
    """A running simulator."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, timeout=60.0, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def add_faults(self, faults: Sequence[dict[str, object]]) -> None:
        """Let these things go wrong, first come first served."""
        self._http.post("/_sim/faults", json=list(faults)).raise_for_status()

    def requests(self, path: str, *, model: str | None = None) -> list[SeenRequest]:
        """Return what was asked on a path, oldest first."""
        query = {"path": path} | ({"model": model} if model else {})
        listed = self._http.get("/_sim/requests", params=query).raise_for_status().json()["requests"]
        return [SeenRequest.model_validate(item) for item in listed]

    def ask(self, model: str, question: str) -> OwnCounts:
        """Return the server's own numbers: the same model and question give the same answer."""
        body = {"model": model, "messages": [{"role": "user", "content": question}], "stream": False}
        answered = self._http.post(CHAT, json=body).raise_for_status().json()
        return OwnCounts(
            answer=answered["message"]["content"],
            prompt_tokens=answered["prompt_eval_count"],
            output_tokens=answered["eval_count"],
        )


@contextmanager
def model_server(settings: OllamaSettings) -> Iterator[ModelServer]:
    """Run a simulator of our own beside the stack's while the block runs."""
    with running_server(create_app(SimulatedOllama(settings))) as url:
        server = ModelServer(url)
        try:
            yield server
        finally:
            server.close()
