"""Settings of a simulated Ollama server."""

from dataclasses import dataclass

from local.simulators.ollama.faults import OllamaFault
from local.simulators.ollama.models import GIB, KNOWN_CARDS, ModelCard, card_for

PRESENT_NAMES = ("llama3.1:8b", "llama3.2:latest", "nomic-embed-text:latest", "qwen3:8b")

# Ollama's default context, by total VRAM: server/routes.go, read at 0.33.
LARGE_VRAM_BYTES = 47 * GIB
MEDIUM_VRAM_BYTES = 23 * GIB
LARGE_CONTEXT_TOKENS = 262_144
MEDIUM_CONTEXT_TOKENS = 32_768
SMALL_CONTEXT_TOKENS = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class OllamaSettings:
    """Settings of one server.

    Attributes
    ----------
    models
        Present from the start.
    pullable
        Models of its registry, besides those present.
    prompt_tokens_per_second, output_tokens_per_second
        Exact: reported durations are counts divided by these, and chunks are sent at their due times.
    load_seconds, unload_seconds
        Time of a load, and from an eviction until `/api/ps` omits the model.
    answer_tokens
        Length of an answer without a limit; structured answers and tool calls have their own length.
    thinking_tokens
        Length of the reasoning before it, for models that think.
    tokens_per_chunk
        Tokens that arrive in one chunk.
    calls_on_last_line
        Whether a tool call comes on the line with `done: true`, as of models whose calls Ollama parses itself, or
        on a line before it.
    parallel_count
        Requests that one model answers at a time (OLLAMA_NUM_PARALLEL).
    queue_limit_count
        Requests that may wait; further ones get 503 (OLLAMA_MAX_QUEUE).
    loaded_limit_count
        Models in memory at a time (OLLAMA_MAX_LOADED_MODELS).
    context_tokens
        Default context; None chooses by `vram_bytes` as Ollama does.
    progress_interval_seconds
        Between two lines of a pull.
    """

    models: tuple[ModelCard, ...] = tuple(card_for(name) for name in PRESENT_NAMES)
    pullable: tuple[ModelCard, ...] = tuple(KNOWN_CARDS.values())
    version: str = "0.33.0"
    prompt_tokens_per_second: float = 2_000.0
    output_tokens_per_second: float = 40.0
    load_seconds: float = 1.5
    unload_seconds: float = 0.05
    answer_tokens: int = 120
    thinking_tokens: int = 24
    tokens_per_chunk: int = 1
    calls_on_last_line: bool = False
    pull_bytes_per_second: float = 200e6
    progress_interval_seconds: float = 0.06
    parallel_count: int = 1
    queue_limit_count: int = 512
    loaded_limit_count: int = 3
    vram_bytes: int = 16 * GIB
    context_tokens: int | None = None
    faults: tuple[OllamaFault, ...] = ()

    @property
    def default_context_tokens(self) -> int:
        """The context of a request without `num_ctx`."""
        if self.context_tokens is not None:
            return self.context_tokens
        if self.vram_bytes >= LARGE_VRAM_BYTES:
            return LARGE_CONTEXT_TOKENS
        return MEDIUM_CONTEXT_TOKENS if self.vram_bytes >= MEDIUM_VRAM_BYTES else SMALL_CONTEXT_TOKENS
