"""A model server in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import override

from rune.errors import RuneError, ServerAccessError
from rune.llm.protocol import (
    Capabilities,
    ChatRequest,
    FinishReason,
    Generation,
    ModelFacts,
    ModelServer,
    OnChunk,
    OnPull,
    PullProgress,
    PullRequest,
    ServerFacts,
    ServerTimings,
    Stamps,
    TokenCounts,
    TokenCountSource,
    WarmUp,
    WarmUpRequest,
)

MS = 1_000_000

GENERATION = Generation(
    text="Two pods crash.",
    reasoning="Let me see.",
    finish_reason=FinishReason.STOP,
    tokens=TokenCounts(12, 21, 4, 6, TokenCountSource.USAGE),
    stamps=Stamps(0, 50 * MS, 80 * MS, 100 * MS, 300 * MS, 1100 * MS, 1150 * MS),
    chunk_arrivals_ns=(100 * MS, 300 * MS, 1100 * MS),
    chunk_chars=(1, 10, 10),
    server_timings=ServerTimings(1200.0, 150.0, 90.0, 840.0),
)
"""21 tokens in three chunks, the first after 100 ms, the last after 1100 ms."""

CAPABILITIES = Capabilities(chats=True, calls_tools=True)
SERVER_FACTS = ServerFacts(name="ollama", version="0.33.0")
MODEL_FACTS = ModelFacts(
    digest="sha256:46e0c10c039e",
    quantization="Q4_K_M",
    parameter_size="8.0B",
    family="llama",
    context_tokens_trained=131_072,
    context_tokens_loaded=8_192,
    size_bytes=6_000_000_000,
    size_vram_bytes=6_000_000_000,
)


@dataclass
class FakeModelServer(ModelServer):
    """Answers at once or raises `error`, and records its requests; all models have the same facts.

    Attributes
    ----------
    opened, api_keys
        Kind and URL, and the key, of each `open`.
    key
        What a list of models and a pull ask for; None for a server that is open.
    """

    models: tuple[str, ...] = ("llama3.1:8b",)
    generation: Generation = GENERATION
    error: RuneError | None = None
    capable: Capabilities = CAPABILITIES
    server_facts: ServerFacts = SERVER_FACTS
    model_facts: ModelFacts = MODEL_FACTS
    round_trip: float | None = 12.5
    opened: list[tuple[str, str]] = field(default_factory=list)
    api_keys: list[str | None] = field(default_factory=list)
    pulls: list[PullRequest] = field(default_factory=list)
    warm_ups: list[WarmUpRequest] = field(default_factory=list)
    chats: list[ChatRequest] = field(default_factory=list)
    close_count: int = 0
    key: str | None = None

    def open(self, kind: str, url: str, api_key: str | None = None) -> ModelServer:
        """Return itself, as `rune.llm.opener.OpenServer` returns a server."""
        self.opened.append((kind, url))
        self.api_keys.append(api_key)
        return self

    def _require_key(self) -> None:
        if self.key is not None and self.api_keys[-1] != self.key:
            raise ServerAccessError("The server wants a credential.")

    @override
    async def list_models(self) -> tuple[str, ...]:
        self._require_key()
        return self.models

    @override
    async def list_running(self) -> tuple[str, ...]:
        return ()

    @override
    async def has_model(self, model: str) -> bool | None:
        self._fail()
        return model in self.models

    @override
    async def capabilities(self, model: str) -> Capabilities:
        self._fail()
        return self.capable

    @override
    async def describe_server(self) -> ServerFacts:
        self._fail()
        return self.server_facts

    @override
    async def describe_model(self, model: str) -> ModelFacts:
        self._fail()
        return self.model_facts

    @override
    async def round_trip_ms(self) -> float | None:
        return self.round_trip

    @override
    async def pull(self, request: PullRequest, on_progress: OnPull) -> bool:
        self._fail()
        self.pulls.append(request)
        on_progress(PullProgress(4_900_000_000, 4_900_000_000))
        self.models = (*self.models, request.model)
        return True

    @override
    async def warm_up(self, request: WarmUpRequest) -> WarmUp:
        self._fail()
        self.warm_ups.append(request)
        return WarmUp(load_ms=899.6, first_token_ms=30.4)

    @override
    async def chat(self, request: ChatRequest, on_chunk: OnChunk) -> Generation:
        self._fail()
        self.chats.append(request)
        for count in range(1, len(self.generation.chunk_arrivals_ns) + 1):
            on_chunk(count)
        return self.generation

    @override
    async def aclose(self) -> None:
        self.close_count += 1

    def _fail(self) -> None:
        self._require_key()
        if self.error:
            raise self.error
