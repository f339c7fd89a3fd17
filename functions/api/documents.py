"""Domain objects as the API's documents."""

import base64
import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from api.shown_requests import shown_request
from rune.amounts import MICRO_USD_PER_USD
from rune.contracts import (
    BenchmarkList,
    BenchmarkSummary,
    JobEvent,
    JobList,
    JobProgress,
    JobRecord,
    JobSummary,
)
from rune.contracts.records import BOOKKEEPING
from rune.errors import InvalidRequestError
from rune.jobs import plan
from rune.jobs.places import QueuePlace
from rune.jobs.record import Event, Job, Status
from rune.jobs.store import StoredJob
from rune.services.jobs import FoundJob, JobPage

_POSITION = re.compile(r"[0-9]{13}#[0-9a-f]{32}(-[0-9]{1,4})?")
"""A moment, and a job or a rental."""


def job_record(
    stored: StoredJob,
    place: QueuePlace | None = None,
    hindrance: str | None = None,
    *,
    cost_micro_usd: int | None = None,
) -> JobRecord:
    """Return where a job stands; `place` and `hindrance` are as in `plan.describe`.

    Parameters
    ----------
    cost_micro_usd
        What it has cost by now; None for what its row says.
    """
    job, failure = stored.job, stored.job.failure
    request, is_cut = (None, False) if stored.request_json is None else shown_request(stored.request_json)
    return JobRecord(
        job_id=job.job_id,
        kind=job.kind.value,
        status=job.status.value,
        message=plan.describe(job, place, hindrance),
        queue_position=place.position if place else None,
        queue_wait_seconds=place.wait_seconds if place else None,
        progress=_progress(job),
        created_at=job.created_at,
        updated_at=job.updated_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        # Before the end it is a draft without its receipt.
        result=_shown(stored.result_json) if stored.result_json and not job.is_active else None,
        cost_usd=_cost_usd(job, cost_micro_usd),
        max_cost_usd=None if job.cap_micro_usd is None else job.cap_micro_usd / MICRO_USD_PER_USD,
        rental_id=job.rental_id,
        rentals_url=f"/v1/rentals?job_id={job.job_id}" if job.rents else None,
        error=failure.sentence if failure else None,
        error_code=failure.code if failure else None,
        error_stage=failure.stage.value if failure else None,
        error_retryable=failure.retryable if failure else None,
        warnings=[*(job.warnings or ())],
        display=job.display,
        name=_text(request, "name"),
        metadata=None if request is None else request.get("metadata"),  # type: ignore[arg-type]  # as validated
        request=request,
        request_cut=is_cut,
        submitted_by=stored.submitted_by,
        cancelled_by=job.cancelled_by,
    )


def job_progress(
    job: Job,
    place: QueuePlace | None = None,
    hindrance: str | None = None,
    *,
    cost_micro_usd: int | None = None,
) -> JobProgress:
    """Return where a job stands, without its result; the parameters are as in `job_record`."""
    return JobProgress(
        job_id=job.job_id,
        status=job.status.value,
        message=plan.describe(job, place, hindrance),
        queue_position=place.position if place else None,
        queue_wait_seconds=place.wait_seconds if place else None,
        progress=_progress(job),
        cost_usd=_cost_usd(job, cost_micro_usd),
        updated_at=job.updated_at,
    )


def _progress(job: Job) -> dict[str, str | int]:
    return {"step": job.step.value, "try": job.failures + 1, **job.progress}


def _shown(result_json: str) -> dict[str, object]:
    """Return a stored result without what RUNE keeps with it for itself."""
    document: dict[str, object] = json.loads(result_json)
    document.pop(BOOKKEEPING, None)
    return document


def job_list(page: JobPage, costs_micro_usd: Mapping[str, int]) -> JobList:
    """Return a page of jobs.

    Parameters
    ----------
    costs_micro_usd
        What those have cost by now whose cost rises, by their ids.
    """
    return JobList(
        jobs=[JobSummary(**_summary(line, costs_micro_usd)) for line in page.lines],
        next_cursor=None if page.position is None else to_cursor(page.position),
    )


def benchmark_list(page: JobPage, costs_micro_usd: Mapping[str, int]) -> BenchmarkList:
    """Return a page of benchmarks; `costs_micro_usd` is as in `job_list`."""
    return BenchmarkList(
        benchmarks=[
            BenchmarkSummary(**_summary(line, costs_micro_usd), report_url=_report_url(line.job))
            for line in page.lines
        ],
        next_cursor=None if page.position is None else to_cursor(page.position),
    )


def job_event(event: Event) -> JobEvent:
    """Return one line of a job's history."""
    return JobEvent(
        id=event.number,
        event=event.name,
        status=event.status,
        duration_ms=event.duration_ms,
        error_type=event.error_type,
        labels=dict(event.labels),
        recorded_at=event.recorded_at.timestamp(),
        timestamp=event.recorded_at,
    )


def to_cursor(position: str) -> str:
    """Return a position as callers carry it; opaque to them."""
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def from_cursor(cursor: str) -> str:
    """Return the position in a cursor; raises InvalidRequestError for what `to_cursor` never made."""
    try:
        position = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except ValueError:
        position = ""
    if not _POSITION.fullmatch(position):
        raise InvalidRequestError("The cursor is not one that this API gave out.", pointer="/cursor")
    return position


def _cost_usd(job: Job, cost_micro_usd: int | None) -> float | None:
    if not job.is_billed:
        return None
    return (job.cost_micro_usd if cost_micro_usd is None else cost_micro_usd) / MICRO_USD_PER_USD


def _summary(line: FoundJob, costs_micro_usd: Mapping[str, int]) -> dict[str, Any]:
    """Return the members of a line of a list."""
    job, particulars = line.job, line.particulars
    return {
        "job_id": job.job_id,
        "kind": job.kind.value,
        "status": job.status.value,
        "message": plan.describe(job),
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "duration_ms": _ran_ms(job),
        "name": particulars.name,
        "metadata": None if particulars.metadata is None else dict(particulars.metadata),
        "model": particulars.model,
        "agent": particulars.agent,
        "backend": particulars.backend,
        "cost_usd": _cost_usd(job, costs_micro_usd.get(job.job_id)),
        "error_code": job.failure.code if job.failure else None,
        "display": job.display,
        "submitted_by": particulars.submitted_by,
    }


def _ran_ms(job: Job) -> int | None:
    if job.started_at is None or job.finished_at is None:
        return None
    return round((job.finished_at - job.started_at) / timedelta(milliseconds=1))


def _report_url(job: Job) -> str | None:
    return f"/v1/benchmarks/{job.job_id}" if job.status is Status.SUCCEEDED else None


def _text(document: Mapping[str, object] | None, name: str) -> str | None:
    found = None if document is None else document.get(name)
    return found if isinstance(found, str) else None
