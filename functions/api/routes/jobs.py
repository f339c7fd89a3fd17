"""Jobs: hand in, ask for, take back."""

import json
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from api.auth import Tenant
from rune.contracts import BenchmarkRequest, JobAccepted, JobEvent, JobEvents, JobRecord
from rune.jobs import plan
from rune.jobs.admission import admit_benchmark
from rune.jobs.desk import Desk
from rune.jobs.record import Event, Job, Kind
from rune.jobs.store import StoredJob

router = APIRouter(prefix="/v1/jobs")


async def get_desk(request: Request) -> Desk:
    """Return the desk that the app was made with."""
    desk: Desk = request.app.state.desk
    return desk


DeskOfApp = Annotated[Desk, Depends(get_desk)]


@router.post("/benchmark", status_code=202)
async def post_benchmark(
    tenant: Tenant, body: BenchmarkRequest, desk: DeskOfApp, request: Request, response: Response
) -> JobAccepted:
    """Accept a benchmark; the answer's Location is where to ask for it."""
    request_json = admit_benchmark(body, request.app.state.address_policy)
    job = desk.submit(tenant, Kind.BENCHMARK, request_json)
    response.headers["Location"] = f"/v1/jobs/{job.job_id}"
    return JobAccepted(job_id=job.job_id)


@router.get("/{job_id}")
async def get_job(tenant: Tenant, job_id: str, desk: DeskOfApp) -> JobRecord:
    """Return where a job stands, and its result or error once it has ended."""
    return _record(desk.find(tenant, job_id))


@router.delete("/{job_id}", status_code=202)
async def cancel_job(tenant: Tenant, job_id: str, desk: DeskOfApp) -> JobRecord:
    """Cancel a job: at once if nobody has begun it, else as soon as its worker notices, within seconds."""
    return _record(StoredJob(desk.cancel(tenant, job_id), None))


@router.get("/{job_id}/events")
async def get_events(tenant: Tenant, job_id: str, desk: DeskOfApp) -> JobEvents:
    """Return a job's history, oldest first."""
    history = desk.find_events(tenant, job_id)
    return JobEvents(job_id=job_id, events=[_event(event) for event in history.events])


def _record(stored: StoredJob) -> JobRecord:
    job = stored.job
    failure = job.failure
    return JobRecord(
        job_id=job.job_id,
        kind=job.kind.value,
        status=job.status.value,
        message=plan.describe(job),
        progress=_progress(job),
        created_at=job.created_at,
        updated_at=job.updated_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        result=None if stored.result_json is None else json.loads(stored.result_json),
        error=failure.sentence if failure else None,
        error_code=failure.code if failure else None,
        error_stage=failure.stage.value if failure else None,
        error_retryable=failure.retryable if failure else None,
    )


def _progress(job: Job) -> dict[str, str | int]:
    return {"step": job.step.value, "try": job.failures + 1, **job.progress}


def _event(event: Event) -> JobEvent:
    return JobEvent(
        id=event.number,
        event=event.name,
        status=event.status,
        duration_ms=event.duration_ms,
        error_type=event.error_type,
        labels=dict(event.labels),
        recorded_at=event.recorded_at.timestamp(),
    )
