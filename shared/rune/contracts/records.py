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
    warnings: list[str] | None = Field(None, exclude_if=lambda warnings: warnings is None)
    """What is done otherwise than asked, by name, as in the job; left out where there is nothing."""


class JobRecord(Document):
    """Where a job stands."""

    model_config = BUILT_AT_IMPORT

    job_id: str
    kind: KindName
    status: StatusName
    message: str
    """One sentence for a person who waits."""
    queue_position: int | None
    """Of a job that waits to be begun: 1 for the next of your tenant's; null for other jobs."""
    queue_wait_seconds: int | None
    """About how long it still waits, in seconds; null where nothing is known."""
    progress: dict[str, str | int]
    """`step` and its `try`, and the step's counts: `chunks` is the number of chunks of the answer so far."""
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    result: dict[str, object] | None
    cost_usd: float | None
    """What rented machines have cost, up to a few seconds ago; it never falls. Null for a job that rents none."""
    max_cost_usd: float | None = None
    """What they may cost; then the job stops. Null for a job that rents none."""
    rental_id: str | None
    """The rental that the job uses, or used last."""
    rentals_url: str | None = None
    """Where all that the job has rented is listed, with its cost to the end; null for a job that rents none."""
    error: str | None
    """Why the job failed, as one sentence."""
    error_code: str | None
    """The same as a stable name."""
    error_stage: str | None
    """The step in which it failed."""
    error_retryable: bool | None
    """Whether the same job may succeed if it is posted again later."""
    warnings: list[str]
    """What is done otherwise than asked, by name: `template_not_allowed`; `renting_closed`; `max_cost_usd_ignored`
    and such for terms of a rental where nothing is rented; and what is taken from clients in the field in another
    way than they write it (docs/clients.md)."""
    display: str | None = None
    """How it ended and what it cost, as one sentence for people; null before its end."""
    name: str | None = None
    """Yours, from the request."""
    metadata: dict[str, str] | None = None
    """Yours, from the request; null where it has none."""
    request: dict[str, object] | None = None
    """The request as it was understood, with every default; null in the answer to a cancel, and where it cannot be
    read now."""
    request_cut: bool = False
    """Whether long texts and lists of the request are not shown whole."""
    submitted_by: str | None = None
    """`token:<name>`, `schedule:<id>` or `trigger:<way>`; null where `request` is."""
    cancelled_by: str | None = None
    """Who asked for its end, in the same words, or `operator`; null where nobody did."""


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
    timestamp: datetime
    """The same moment, as in all other documents."""


class JobEvents(Document):
    """A job's history, oldest first."""

    job_id: str
    events: list[JobEvent]


class JobProgress(Document):
    """Where a job stands, for a live view; `GET /v1/jobs/{job_id}` has the rest."""

    job_id: str
    status: StatusName
    message: str
    """One sentence for a person who waits."""
    queue_position: int | None
    """As in the job."""
    queue_wait_seconds: int | None
    """As in the job."""
    progress: dict[str, str | int]
    """As in the job."""
    cost_usd: float | None
    """As in the job."""
    updated_at: datetime


class JobSummary(Document):
    """One line of a list of jobs."""

    job_id: str
    kind: KindName
    status: StatusName
    message: str
    """One sentence for a person who waits."""
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    duration_ms: int | None
    """How long it ran, from when it was begun to its end; null for a job that has not ended, or was not begun."""
    name: str | None
    """Yours, from the request."""
    metadata: dict[str, str] | None
    """Yours, from the request; null where it has none."""
    model: str | None
    agent: str | None
    """Null for other kinds."""
    backend: str | None
    """`vastai` for a rented machine, else the kind of the model server; null for an agent with its own."""
    cost_usd: float | None
    """As in the job."""
    error_code: str | None
    """As in the job."""
    display: str | None
    """As in the job."""
    submitted_by: str | None
    """As in the job. Null, like all from the request, for jobs of earlier versions."""


class JobList(Document):
    """Own jobs, newest first."""

    jobs: list[JobSummary]
    next_cursor: str | None
    """What to send as `cursor` for older ones; null where there are none."""


class BenchmarkSummary(JobSummary):
    """One line of a list of benchmarks."""

    report_url: str | None
    """Where its report is; null before it has succeeded."""


class BenchmarkList(Document):
    """Own benchmarks, newest first."""

    benchmarks: list[BenchmarkSummary]
    next_cursor: str | None
    """As in a list of jobs."""
