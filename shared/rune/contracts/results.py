"""What finished jobs report."""

from datetime import datetime
from typing import Literal

from rune.contracts.benchmarks import BenchmarkReport, ServerSide
from rune.contracts.document import Document


class TokenTelemetry(Document):
    """Tokens by what they were spent on."""

    system_prompt: int
    tool_calls: int
    agent_reasoning: int
    output: int
    total: int


class PhaseLatency(Document):
    """Time spent in one phase, in milliseconds."""

    phase: str
    ms: int


class Telemetry(Document):
    """What a run took."""

    tokens: TokenTelemetry
    latency: list[PhaseLatency]
    cost_estimate_usd: float | None
    """What RUNE paid for the machine; null for a server that RUNE did not rent, whose cost it cannot know."""


class Measurements(Document):
    """Numbers of one answer, in the words of the report (`RunReport`); null where undefined."""

    ttft_ms: float | None
    """Request sent to first chunk with content: text, reasoning or a tool call."""
    ttfo_ms: float | None
    """Request sent to first chunk with text: what a reader of a reasoning model waits."""
    tpot_ms: float | None
    """(end-to-end latency - time to first token) / (output tokens - those that came first)."""
    e2el_ms: float | None
    """Request sent to last chunk with content."""
    output_throughput_tokens_per_s: float | None
    """Output tokens / time from the request's sending to its end, the wait for the first token included."""
    output_tokens_per_s_per_user: float | None
    """1 / TPOT: how fast the text runs once it has begun."""
    input_tokens: int | None
    output_tokens: int
    cached_tokens: int | None
    reasoning_tokens: int | None
    token_count_source: Literal["usage", "server", "chunks", "characters"]
    """Who counted: the server's usage field, its timings, or RUNE by chunks or characters, which are estimates."""
    finish_reason: Literal["stop", "length", "tool_calls", "content_filter", "other"]
    server_side: ServerSide


class RentalReceipt(Document):
    """What was rented for a job, what it cost, and where it is now."""

    rental_id: str
    provider: Literal["vastai"] = "vastai"
    contract_id: int
    """The provider's number."""
    machine_id: int
    """The host machine's number, which stays the same over rentals."""
    gpu_name: str
    gpu_count: int
    vram_mb: int
    """GPU memory, all GPUs together, in MB."""
    disk_gb: int
    place: str
    price_usd_per_hour: float
    """Running, with its disk."""
    cost_usd: float
    """All that the job's rentals cost, failed attempts included; up to now for a machine that is kept."""
    attempt_count: int
    """Offers that were ordered until one worked."""
    downloaded_bytes: int
    """What the job's download of the model took; 0 where the model was there."""
    is_reused: bool
    """Whether the machine was there already; then only this job's time and download are counted."""
    rented_at: datetime
    released_at: datetime | None
    """When the machine was proven gone; null for one that is kept."""
    kept_until: datetime | None
    """When RUNE destroys a kept machine by itself."""
    chosen_because: str | None = None
    """Why this machine was taken: what the job was expected to cost on it, and on the next one."""
    is_open_to_the_world: bool
    """Whether the server asks for no credential, so that anyone with the address can use it."""
    destroys_itself: bool | None
    """Whether the machine would also end without RUNE; null where that was not shown."""


class BenchmarkResult(Document):
    """The answer with its numbers."""

    answer: str
    result_type: Literal["text"] = "text"
    artifacts: None = None
    metadata: dict[str, str]
    telemetry: Telemetry
    model_name: str
    backend_url: str
    contract_id: int | None = None
    """The provider's number of what was rented; null where nothing was."""
    measurements: Measurements | None
    """Of that answer; null for a suite of cases, whose numbers are in `report.diagnosis`."""
    rental: RentalReceipt | None = None
    """The receipt; null where nothing was rented."""
    report: BenchmarkReport | None = None
    """The numbers of every point, with all that they depend on (docs/benchmarks.md)."""


class BenchmarkBookkeeping(Document):
    """What RUNE keeps with a benchmark's result for itself."""

    record_keys: tuple[str, ...] = ()
    """Names of the files with single requests, by run, and with a judge model's replies."""
    warmup_output_tokens: int = 0
    """Output tokens that were paid for and not measured."""


class StoredBenchmarkResult(BenchmarkResult):
    """A benchmark's result as it is stored. Callers get it without `bookkeeping` (`rune.contracts.records`)."""

    bookkeeping: BenchmarkBookkeeping


class AgenticAgentResult(Document):
    """What an agent answered."""

    answer: str
    result_type: Literal["text", "image", "structured", "report"]
    artifacts: list[dict[str, str]] | None
    metadata: dict[str, str]
    telemetry: Telemetry


class LlmInstanceResult(Document):
    """A model server that answered when it was asked."""

    mode: Literal["existing", "vastai"]
    """Whether it was there, or RUNE rented it."""
    backend_url: str
    model_name: str | None = None
    """The model that RUNE put on it; null where it was there."""
    contract_id: int | None = None
    """The provider's number of what was rented; null where nothing was."""
    rental: RentalReceipt | None = None
    """The receipt so far; null where nothing was rented."""
    warnings: tuple[str, ...] = ()
    """`open_to_the_world`: anyone who finds the address can use the machine that RUNE rented."""
