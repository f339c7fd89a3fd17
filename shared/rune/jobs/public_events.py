"""Which events of a job's history others are told, and what they are told."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict

from rune.amounts import MICRO_USD_PER_USD
from rune.contracts.events import (
    EventDocument,
    JobAcceptedData,
    JobCancelledData,
    JobFailedData,
    JobRunningData,
    JobStepData,
    JobSucceededData,
)
from rune.events.catalog import make_event
from rune.events.record import PublicEvent
from rune.jobs import plan
from rune.jobs.particulars import NOTHING_KNOWN, Particulars
from rune.jobs.record import LATER_WARNINGS, Event, Job, Kind

_STEP_EVENTS = frozenset(step.event for step in plan.STEPS.values())


def public_event(job: Job, event: Event, particulars: Particulars = NOTHING_KNOWN) -> PublicEvent | None:
    """Return an event of the job's history as others see it; None for one that is not published.

    It is the same whenever it is asked for: all but the end follows from what never changes of a job, and from the
    event itself.

    Parameters
    ----------
    job
        As it is, for the event of its end; as it is or was, for any other.
    particulars
        Of the job; they never change.
    """
    found = _tell(_Told(job, particulars), event)
    if found is None:
        return None
    name, data = found
    return make_event(
        name,
        data,
        tenant=job.tenant,
        subject_id=job.job_id,
        sequence=event.number,
        occurred_at=event.recorded_at,
    )


@dataclass(frozen=True, slots=True)
class _Told:
    """What events tell of."""

    job: Job
    particulars: Particulars


def _tell(told: _Told, event: Event) -> tuple[str, EventDocument] | None:
    if tell := _BY_NAME.get(event.name):
        name, make = tell
        return name, make(told, event)
    # Other events may have the name of a step's event; only the end of a step has both labels.
    if event.name in _STEP_EVENTS and {"step", "try"} <= event.labels.keys():
        return "rune.job.step", _step(told, event)
    return None


class _OfJob(TypedDict):
    job_id: str
    kind: str
    created_at: datetime
    job_url: str
    name: str | None
    metadata: dict[str, str] | None


class _OfEnd(TypedDict):
    started_at: datetime | None
    finished_at: datetime
    cost_usd: float | None
    rental_id: str | None
    rentals_url: str | None


def _of_job(told: _Told) -> _OfJob:
    job, particulars = told.job, told.particulars
    return {
        "job_id": job.job_id,
        "kind": job.kind.value,
        "created_at": job.created_at,
        "job_url": f"/v1/jobs/{job.job_id}",
        "name": particulars.name,
        "metadata": None if particulars.metadata is None else dict(particulars.metadata),
    }


def _of_end(job: Job, event: Event) -> _OfEnd:
    return {
        "started_at": job.started_at,
        "finished_at": event.recorded_at,
        "cost_usd": job.cost_micro_usd / MICRO_USD_PER_USD if job.is_billed else None,
        "rental_id": job.rental_id,
        "rentals_url": f"/v1/rentals?job_id={job.job_id}" if job.rents else None,
    }


def _accepted(told: _Told, _: Event) -> EventDocument:
    job = told.job
    # The one that comes later is left out: an event is the same each time that it is told.
    warnings = [name for name in job.warnings or () if name not in LATER_WARNINGS]
    return JobAcceptedData(**_of_job(told), rents=job.rents, warnings=warnings)


def _running(told: _Told, event: Event) -> EventDocument:
    return JobRunningData(**_of_job(told), started_at=event.recorded_at)


def _step(told: _Told, event: Event) -> EventDocument:
    return JobStepData(
        **_of_job(told),
        step=event.labels["step"],
        try_number=int(event.labels["try"]),
        event=event.name,
        duration_ms=event.duration_ms,
        error_type=event.error_type,
    )


def _succeeded(told: _Told, event: Event) -> EventDocument:
    job = told.job
    report_url = f"/v1/benchmarks/{job.job_id}" if job.kind is Kind.BENCHMARK else None
    return JobSucceededData(**_of_job(told), **_of_end(job, event), report_url=report_url)


def _failed(told: _Told, event: Event) -> EventDocument:
    job, failure = told.job, told.job.failure
    return JobFailedData(
        **_of_job(told),
        **_of_end(job, event),
        error=failure.sentence if failure else "Failed.",
        error_code=failure.code if failure else str(event.error_type),
        error_stage=failure.stage.value if failure else job.step.value,
        error_retryable=failure.retryable if failure else False,
    )


def _cancelled(told: _Told, event: Event) -> EventDocument:
    return JobCancelledData(**_of_job(told), **_of_end(told.job, event))


_BY_NAME: dict[str, tuple[str, Callable[[_Told, Event], EventDocument]]] = {
    "job.accepted": ("rune.job.accepted", _accepted),
    "job.running": ("rune.job.running", _running),
    "job.succeeded": ("rune.job.succeeded", _succeeded),
    "job.failed": ("rune.job.failed", _failed),
    "job.cancelled": ("rune.job.cancelled", _cancelled),
}
