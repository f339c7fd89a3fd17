"""What events say: the data of each type, and their envelopes.

Whoever reads them must bear more members and more words later, so unlike other documents these forbid none. What a
type says is only ever added to; anything else is a new type.
"""

from datetime import datetime
from typing import Literal

from pydantic import ConfigDict, JsonValue

from rune.contracts.document import Document

SCHEMA_VERSION = "1.1"
"""Of the envelopes and of all types. The second number rises where members are added."""


class EventDocument(Document):
    """Base of what is published."""

    model_config = ConfigDict(extra="ignore", json_schema_serialization_defaults_required=True)


class EventMetadata(EventDocument):
    """What is said of each event, whatever its type."""

    event_id: str
    """The same each time this event comes, and of no other event: keep it, to know an event that comes again."""
    schema_version: str = SCHEMA_VERSION
    """Its second number rises where members are added."""
    tenant: str
    """Whose event it is; empty where it is no tenant's."""
    subject: str
    """What it is about: `job:<id>`, `rental:<id>`, `machine:<contract>`, `schedule:<id>` or `webhook:<id>`."""
    sequence: int
    """Rises with the events of one subject, not always by one."""
    occurred_at: datetime


class BusDetail(EventDocument):
    """The `detail` of an event on the bus; `source` is `rune`, and `detail-type` the event's type."""

    metadata: EventMetadata
    data: dict[str, JsonValue]


class WebhookBody(EventDocument):
    """What is posted to a webhook."""

    type: str
    timestamp: datetime
    """When it happened, and not when it was sent."""
    data: dict[str, JsonValue]
    metadata: EventMetadata


class JobEventData(EventDocument):
    """Which job an event is about."""

    job_id: str
    kind: str
    """`benchmark`, `agentic-agent` or `llm-instance`; others may come."""
    created_at: datetime
    job_url: str
    """Path of the API where the job stands, with its result."""
    name: str | None
    """The caller's own for the job; null where its request has none."""
    metadata: dict[str, str] | None
    """The caller's own texts for it, by their keys; null where its request has none."""


class JobAcceptedData(JobEventData):
    """A job was taken on."""

    status: Literal["queued"] = "queued"
    rents: bool
    """Whether machines may be rented for it."""
    warnings: list[str]
    """What is done otherwise than asked, by name."""


class JobRunningData(JobEventData):
    """A worker took the job's first turn."""

    status: Literal["running"] = "running"
    started_at: datetime


class JobStepData(JobEventData):
    """A step of the job ended, or a try of it."""

    step: str
    """Such as `boot` or `measure` (docs/job-graph.md); others may come."""
    try_number: int
    """1 for the first try of the step."""
    event: str
    """Name of the same event in the job's history."""
    duration_ms: int | None
    error_type: str | None
    """Code of what went wrong; null where nothing did."""


class JobEndData(JobEventData):
    """A job ended."""

    started_at: datetime | None
    """Null for a job that no worker took."""
    finished_at: datetime
    cost_usd: float | None
    """What rented machines have cost; null for a job that rents none."""
    rental_id: str | None
    """The rental that the job used last."""
    rentals_url: str | None
    """Path of the API where all that it has rented is listed; null for a job that rents none."""


class JobSucceededData(JobEndData):
    """A job has its result."""

    status: Literal["succeeded"] = "succeeded"
    report_url: str | None
    """Path of the API where a benchmark's report is; null for other kinds."""


class JobFailedData(JobEndData):
    """A job failed; the members of the error are those of `GET /v1/jobs/{job_id}`."""

    status: Literal["failed"] = "failed"
    error: str
    error_code: str
    error_stage: str
    error_retryable: bool
    """Whether the same job may succeed if it is posted again later."""


class JobCancelledData(JobEndData):
    """A job was cancelled, as was asked."""

    status: Literal["cancelled"] = "cancelled"


class RentalEventData(EventDocument):
    """Which rented machine an event is about. Its address is not told: the API tells it to its tenant."""

    rental_id: str
    job_id: str
    """The job that rented it."""
    contract_id: int
    """The provider's number of the machine."""
    gpu_name: str
    gpu_count: int
    vram_mb: int
    place: str
    price_usd_per_hour: float
    rented_at: datetime
    rental_url: str
    """Path of the API where the rental stands."""


class RentalRentedData(RentalEventData):
    """The provider named the contract: the machine exists and bills."""

    ceiling_at: datetime
    """The latest moment at which it may be alive."""


class RentalRunningData(RentalEventData):
    """A job uses the machine."""

    used_by_job_id: str
    is_open_to_the_world: bool
    """Whether anybody who finds the address can use the server: it asks for no credential."""


class RentalKeptData(RentalEventData):
    """The machine is alive without a job, on purpose."""

    kept_until: datetime
    """When RUNE destroys it by itself."""
    is_open_to_the_world: bool
    """As in `rune.rental.running`."""


class RentalGoneData(RentalEventData):
    """The machine is proven gone."""

    released_at: datetime
    """When it was proven gone."""
    end_reason: str
    """Why it ended, as a stable name such as `expired`."""
    cost_usd: float
    """The whole bill."""


class MachineDestroyedData(EventDocument):
    """A machine with this deployment's label and without a rental of its own was found, and is destroyed."""

    contract_id: int
    """The provider's number of the machine."""
    rental_id: str
    """The rental that its label names."""
    reason: str
    """`second_machine`: the rental has another one; `no_rental`: there is no such rental."""
    found_at: datetime


class ScheduleEventData(EventDocument):
    """Which schedule an event is about."""

    schedule_id: str
    name: str
    schedule_url: str
    """Path of the API where the schedule stands."""


class ScheduleFiredData(ScheduleEventData):
    """A schedule posted a job."""

    due_at: datetime
    """The moment that its rule names."""
    job_id: str
    kind: str
    """Of the job."""


class ScheduleSkippedData(ScheduleEventData):
    """A schedule was due and posted no job."""

    due_at: datetime
    reason: str
    """A stable name, such as `overlap`: its last job had not ended."""


class SchedulePausedData(ScheduleEventData):
    """A schedule stopped posting jobs."""

    reason: str
    """`asked`: a caller wanted it; `failures`: its jobs failed one after another."""
    failure_count: int
    """Jobs in a row that failed; 0 where a caller wanted it."""


class ScheduleResumedData(ScheduleEventData):
    """A schedule posts jobs again."""

    next_due_at: datetime | None
    """Null where its rule names no moment any more."""


class WebhookDisabledData(EventDocument):
    """A webhook gets no more events until it is enabled again."""

    webhook_id: str
    webhook_url: str
    """Path of the API where the webhook stands; not where it posts to."""
    reason: str
    """`gone`: its receiver answered 410; `failures`: nothing but failures for days."""
    failing_since: datetime | None
    """Since when nothing was delivered; null where that is not why."""


class PingData(EventDocument):
    """A test event, which a caller asked for."""

    webhook_id: str
