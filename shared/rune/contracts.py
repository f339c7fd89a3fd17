"""What callers send and what they get: the API's documents.

Shapes follow the API specification and what clients in the field send and read. A field that is not named here is
refused by name, so that a misspelt option never passes for a default.
"""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

type BackendType = Literal["ollama", "openai"]

type Url = Annotated[str, Field(min_length=1, max_length=2048)]


class Document(BaseModel):
    """Base of all documents: no conversions between types, no NaN, no unknown fields."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class VastaiProvisioning(Document):
    """The Vast.ai fields in the nested form."""

    template_hash: str | None = Field(None, max_length=256)
    """Hash of the Vast.ai template to boot."""
    min_dph: float = Field(0.0, ge=0, le=1000)
    """Lowest price of an offer, in USD per hour."""
    max_dph: float = Field(3.0, ge=0, le=1000)
    """Highest price of an offer, in USD per hour."""
    reliability: float = Field(0.99, ge=0, le=1)
    """Lowest reliability of the host, as a ratio."""
    stop_instance: bool = True
    """Whether to give the machine back when the job ends."""


class Provisioning(Document):
    """Where the machine comes from, in the nested form."""

    vastai: VastaiProvisioning | None = None
    """Rent on Vast.ai under these terms."""


class BenchmarkRequest(Document):
    """Ask a model one question and measure the answer.

    Vast.ai's terms may be given flat, as in the specification, or nested under `provisioning`; not both.
    """

    question: str = Field(min_length=1, max_length=100_000)
    """What to ask."""
    model: str = Field(min_length=1, max_length=128)
    """Name of the model on its server."""
    backend_url: Url | None = None
    """Address of a model server that runs already, such as `http://host:11434`."""
    backend_type: BackendType = "ollama"
    """What kind of server that is: `ollama`, or any OpenAI-compatible one as `openai`."""
    backend_warmup: bool = True
    """Whether to load the model before the question is asked, outside the measurement."""
    backend_warmup_timeout: int = Field(300, ge=30, le=900)
    """Longest time that loading may take, in seconds."""
    timeout_seconds: int = Field(600, ge=10, le=840)
    """Longest time that the answer may take, in seconds, counted from the question."""
    vastai: bool = False
    """Rent a GPU on Vast.ai for the job."""
    template_hash: str | None = Field(None, max_length=256)
    """Hash of the Vast.ai template to boot."""
    min_dph: float | None = Field(None, ge=0, le=1000)
    """Lowest price of an offer, in USD per hour."""
    max_dph: float | None = Field(None, ge=0, le=1000)
    """Highest price of an offer, in USD per hour."""
    reliability: float | None = Field(None, ge=0, le=1)
    """Lowest reliability of the host, as a ratio."""
    vastai_stop_instance: bool = True
    """Whether to give the machine back when the job ends."""
    provisioning: Provisioning | None = None
    """Vast.ai's terms in the nested form."""
    kubeconfig: str | None = Field(None, max_length=4096)
    """Ignored: a path on the caller's machine, which means nothing here. Accepted because clients send it."""
    attestation_required: bool = False
    """Whether the machine must prove what it is. Not offered, so true is refused."""

    @property
    def wants_rental(self) -> bool:
        """Whether a GPU is to be rented, in whichever form the caller said so."""
        return self.vastai or (self.provisioning is not None and self.provisioning.vastai is not None)

    @model_validator(mode="after")
    def _refuse_both_forms(self) -> Self:
        nested = self.provisioning is not None and self.provisioning.vastai is not None
        flat = {"template_hash", "min_dph", "max_dph", "reliability", "vastai_stop_instance"}
        given = {name for name in flat & self.model_fields_set if getattr(self, name) is not None}
        if nested and given:
            raise ValueError("Vast.ai's terms are given twice: flat and under provisioning.")
        if self.min_dph is not None and self.max_dph is not None and self.min_dph > self.max_dph:
            raise ValueError("min_dph is above max_dph.")
        return self


class JobAccepted(Document):
    """A job was taken on and will end."""

    job_id: str
    status: Literal["accepted"] = "accepted"


class JobRecord(Document):
    """Where a job stands."""

    job_id: str
    kind: Literal["benchmark"]
    status: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    message: str
    """One sentence for a person who waits."""
    progress: dict[str, str | int]
    """`step` and its `try`, and the step's counts: `tokens` is the number of pieces of the answer so far."""
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    result: dict[str, object] | None
    error: str | None
    """Why the job failed, as one sentence."""
    error_code: str | None
    """The same as a stable name."""
    error_stage: str | None
    """The step in which it failed."""
    error_retryable: bool | None
    """Whether the same job may succeed if it is posted again later."""


class JobEvent(Document):
    """One line of a job's history."""

    id: int
    """Rises by one from 1."""
    event: str
    status: Literal["ok", "error"]
    duration_ms: int | None
    error_type: str | None
    labels: dict[str, str]
    recorded_at: float
    """Seconds since 1970-01-01 UTC."""


class JobEvents(Document):
    """A job's history, oldest first."""

    job_id: str
    events: list[JobEvent]


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


class ServerMeasurements(Document):
    """The server's own view; null where it does not say."""

    total_ms: float | None
    load_ms: float | None
    prompt_eval_ms: float | None
    eval_ms: float | None
    output_tokens_per_second: float | None


class Measurements(Document):
    """Numbers of one answer, by the formulas of `rune.bench.formulas`; null where undefined."""

    time_to_first_token_ms: float | None
    """Request sent to first piece with content: text, reasoning or a tool call."""
    time_to_first_visible_token_ms: float | None
    """Request sent to first piece with text: what a reader of a reasoning model waits."""
    time_per_output_token_ms: float | None
    """(end-to-end latency - time to first token) / (output tokens - 1)."""
    output_tokens_per_second: float | None
    """Output tokens / end-to-end latency, the wait for the first token included."""
    decode_tokens_per_second: float | None
    """1 / time per output token: how fast the text runs once it has begun."""
    end_to_end_latency_ms: float | None
    """Request sent to last piece with content."""
    prompt_tokens: int | None
    output_tokens: int
    cached_tokens: int | None
    reasoning_tokens: int | None
    token_count_source: Literal["usage", "server", "chunks"]
    """Who counted: the server's usage field, its timings, or RUNE by pieces, which is an estimate."""
    finish_reason: Literal["stop", "length", "tool_calls", "content_filter", "other"]
    server: ServerMeasurements


class BenchmarkResult(Document):
    """The answer with its numbers."""

    answer: str
    result_type: Literal["text"] = "text"
    artifacts: None = None
    metadata: dict[str, str]
    telemetry: Telemetry
    model_name: str
    backend_url: str
    contract_id: None = None
    """Id of the rental; null where none was made."""
    measurements: Measurements
