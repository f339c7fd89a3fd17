"""What callers get about jobs."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from rune.contracts.document import BUILT_AT_IMPORT, Document

type KindName = Literal["benchmark", "agentic-agent", "llm-instance"]
type StatusName = Literal["queued", "running", "succeeded", "failed", "cancelled"]


BOOKKEEPING = "bookkeeping"
"""The member of a stored result that no caller gets; see `rune.contracts.results.StoredBenchmarkResult`."""


class JobAccepted(Document):
    """A job was taken on and will end."""

    model_config = BUILT_AT_IMPORT

    job_id: str
    status: Literal["accepted"] = "accepted"


class JobRecord(Document):
    """Where a job stands."""

    model_config = BUILT_AT_IMPORT

    job_id: str
    kind: KindName
    status: StatusName
    message: str
    """One sentence for a person who waits."""
    progress: dict[str, str | int]
    """`step` and its `try`, and the step's counts: `chunks` is the number of chunks of the answer so far."""
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    result: dict[str, object] | None
    cost_usd: float | None
    """What rented machines have cost so far; null for a job that rents none."""
    rental_id: str | None
    """The rental that the job uses, or used last."""
    error: str | None
    """Why the job failed, as one sentence."""
    error_code: str | None
    """The same as a stable name."""
    error_stage: str | None
    """The step in which it failed."""
    error_retryable: bool | None
    """Whether the same job may succeed if it is posted again later."""


class RentalRecord(Document):
    """A machine that RUNE rents for you now."""

    rental_id: str
    state: Literal["intended", "created", "running", "kept", "releasing"]
    """`running` is used by a job, `kept` by none; `releasing` is being destroyed."""
    job_id: str
    """The job that rented it."""
    used_by_job_id: str | None
    """The job that uses it now."""
    contract_id: int | None
    gpu_name: str
    gpu_count: int
    vram_mb: int
    place: str
    model: str | None
    backend_url: str | None
    price_usd_per_hour: float
    cost_usd: float
    """So far, in USD."""
    rented_at: datetime
    kept_until: datetime | None
    """When RUNE destroys it by itself; null while a job has it."""
    ceiling_at: datetime
    """The latest moment to which that can be put off."""
    is_open_to_the_world: bool
    """Whether anybody who finds the address can use the server: it asks for no credential."""
    destroys_itself: bool
    """Whether the machine would also end without RUNE."""


class RentalList(Document):
    """Your rented machines, oldest first."""

    rentals: list[RentalRecord]


class RentalExtension(Document):
    """How much longer a kept machine is to stay."""

    keep_seconds: int = Field(ge=60, le=604_800)
    """Seconds from now."""


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


class JobSummary(Document):
    """One line of a list of jobs."""

    job_id: str
    kind: KindName
    status: StatusName
    message: str
    """One sentence for a person who waits."""
    created_at: datetime
    finished_at: datetime | None


class JobList(Document):
    """Own jobs, newest first."""

    jobs: list[JobSummary]
    next_cursor: str | None
    """What to send as `cursor` for older ones; null where there are none."""


class EventMetrics(Document):
    """How often something happened, and how long it took."""

    event: str
    total: int
    ok: int
    error: int
    avg_ms: float
    min_ms: int
    max_ms: int


class MetricsSummary(Document):
    """Metrics by event name, sorted."""

    events: list[EventMetrics]


class CatalogModel(Document):
    """A model that fits on a rented GPU."""

    name: str
    vram_mb: int
    """Memory of the GPU that it needs, in MB."""
    required_disk_gb: int
    """Disk that it needs, in GB."""


class Catalog(Document):
    """Models that fit on rented GPUs."""

    models: list[CatalogModel]


class ServerModels(Document):
    """What a model server offers."""

    backend_url: str
    backend_type: str
    models: list[str]
    running_models: list[str]
    """Those in memory; empty where the server cannot tell."""
