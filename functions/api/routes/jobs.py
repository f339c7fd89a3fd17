"""Jobs are asked for, and taken back."""

import logging
import re
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response

from api import documents, event_streams
from api.auth import admitted_caller_of, caller_of
from api.etags import matches
from api.job_filters import MetadataQuery, NameQuery, live_costs_micro_usd, wanted_of
from api.problems import responses
from api.queries import StrictRoute
from api.services import services_of
from rune.contracts import JobEvents, JobList, JobRecord
from rune.errors import RuneError
from rune.jobs.places import QueuePlace
from rune.jobs.record import Job, Kind, Status
from rune.jobs.store import StoredJob

log = logging.getLogger(__name__)

_EVENTS_TAG = re.compile(r'(?:W/)?"e([0-9]{1,8})"')

_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {event_streams.MEDIA_TYPE: {"schema": {"type": "string"}}}},
    204: {"description": "As a stream: the job has ended, and you have seen its end."},
    304: {"description": "As JSON: nothing has changed."},
}

_STREAM_PARAMETERS: dict[str, Any] = {
    "parameters": [
        {
            "name": "Last-Event-ID",
            "in": "header",
            "required": False,
            "description": "As a stream: only events with a higher id. It counts more than `after`, as EventSource "
            "repeats its address.",
            "schema": {"type": "string", "pattern": "^[0-9]{0,8}$"},
        },
        {
            "name": "If-None-Match",
            "in": "header",
            "required": False,
            "description": "As JSON: the `ETag` of the last answer.",
            "schema": {"type": "string"},
        },
    ]
}
"""Documented here and read from the request: resolving a parameter takes FastAPI longer than all that RUNE does."""

router = APIRouter(
    route_class=StrictRoute, prefix="/v1/jobs", tags=["jobs"], responses=responses(401, 403, 422, 503)
)


@router.get("")
async def list_jobs(  # noqa: PLR0917  # the query, one parameter each
    request: Request,
    status: Annotated[Status | None, Query(description="Only jobs with this status.")] = None,
    kind: Annotated[Kind | None, Query(description="Only jobs of this kind.")] = None,
    name: NameQuery = None,
    metadata: MetadataQuery = None,
    limit: Annotated[int, Query(ge=1, le=100, description="Longest page.")] = 20,
    cursor: Annotated[
        str | None, Query(max_length=128, description="`next_cursor` of the page before.")
    ] = None,
) -> JobList:
    """Return own jobs, newest first. A page may be short and not the last: `next_cursor` tells."""
    before = None if cursor is None else documents.from_cursor(cursor)
    wanted = wanted_of(name, metadata)
    services, tenant = services_of(request), admitted_caller_of(request).tenant
    page = services.jobs.list_jobs(
        tenant, before=before, limit=limit, status=status, kind=kind, wanted=wanted
    )
    return documents.job_list(page, live_costs_micro_usd(services, tenant, page.jobs))


@router.get("/{job_id}", responses=responses(404) | {304: {"description": "Nothing has changed."}})
async def get_job(
    request: Request,
    job_id: str,
    response: Response,
    if_none_match: Annotated[str | None, Header(description="The `ETag` of the last answer.")] = None,
) -> JobRecord:
    """Return where a job stands, and its result or error once it has ended."""
    jobs = services_of(request).jobs

    def is_new(job: Job) -> bool:
        return not matches(if_none_match, _tag(job, None, None))

    stored = jobs.find(caller_of(request), job_id, is_new, wants_request=is_new)
    place, moment = jobs.find_place(stored.job), jobs.cost_moment(stored.job)
    headers = _polling_headers(_tag(stored.job, place, moment), jobs.seconds_until_news(stored.job))
    if matches(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)  # type: ignore[return-value]  # no document
    response.headers.update(headers)
    hindrance, cost_micro_usd = jobs.find_hindrance(stored.job), _cost_micro_usd(request, stored.job, moment)
    return documents.job_record(stored, place, hindrance, cost_micro_usd=cost_micro_usd)


@router.delete("/{job_id}", status_code=202, responses=responses(404, 409))
async def cancel_job(request: Request, job_id: str) -> JobRecord:
    """Cancel a job: at once if no worker has begun it, else as soon as its worker notices, within seconds."""
    jobs, caller = services_of(request).jobs, admitted_caller_of(request)
    job = jobs.cancel(caller.tenant, job_id, caller.actor)
    cost_micro_usd = _cost_micro_usd(request, job, jobs.cost_moment(job))
    return documents.job_record(StoredJob(job, None), cost_micro_usd=cost_micro_usd)


@router.get("/{job_id}/events", responses=responses(404) | _STREAM, openapi_extra=_STREAM_PARAMETERS)
async def get_job_events(
    request: Request,
    job_id: str,
    response: Response,
    after: Annotated[int, Query(ge=0, le=99_999_999, description="Only events with a higher id.")] = 0,
) -> JobEvents:
    """Return a job's history, oldest first; with `Accept: text/event-stream` as a stream for EventSource."""
    if event_streams.is_asked_for(request):
        return _stream_events(request, job_id, after)  # type: ignore[return-value]  # no document
    tenant, jobs = admitted_caller_of(request).tenant, services_of(request).jobs
    if_none_match = request.headers.get("if-none-match")
    # One whose tag still is the right one costs a read of the job's row alone.
    known = _events_known(if_none_match)
    history = jobs.find_events(tenant, job_id, max(after, known))
    headers = _polling_headers(_events_tag(history.job), jobs.seconds_until_news(history.job))
    headers["Vary"] = "Accept"
    if matches(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)  # type: ignore[return-value]  # no document
    if known > after:
        history = jobs.find_events(tenant, job_id, after)
        headers["ETag"] = _events_tag(history.job)
    response.headers.update(headers)
    return JobEvents(job_id=job_id, events=[documents.job_event(event) for event in history.events])


def _stream_events(request: Request, job_id: str, after: int) -> Response:
    """Return what is new as a stream. What passes by itself is a pause, as an error would end an EventSource."""
    jobs, position = services_of(request).jobs, event_streams.position_of(request, after)
    try:
        history = jobs.find_events(admitted_caller_of(request).tenant, job_id, position)
        job = history.job
        cost_micro_usd = _cost_micro_usd(request, job, jobs.cost_moment(job))
        place, hindrance = jobs.find_place(job), jobs.find_hindrance(job)
        progress = documents.job_progress(job, place, hindrance, cost_micro_usd=cost_micro_usd)
    except RuneError as error:
        paused = event_streams.pause(error)
        if paused is None:
            raise
        log.warning("stream.paused", extra={"code": error.code})
        return paused
    return event_streams.answer(
        [documents.job_event(event) for event in history.events],
        progress,
        position=position,
        next_seconds=jobs.seconds_until_news(job),
    )


def _events_tag(job: Job) -> str:
    """Return the `ETag` of a job's history, which only ever gets longer."""
    return f'"e{job.event_count}"'


def _events_known(if_none_match: str | None) -> int:
    """Return how long a history the caller has, by a single tag of ours; 0 where its header says anything else."""
    found = _EVENTS_TAG.fullmatch(if_none_match.strip()) if if_none_match else None
    return int(found[1]) if found else 0


def _cost_micro_usd(request: Request, job: Job, moment: datetime | None) -> int | None:
    """Return what a job with a machine has cost up to a moment; None for any other job."""
    if moment is None:
        return None
    return services_of(request).rentals().live_cost_micro_usd(job, moment)


def _tag(job: Job, place: QueuePlace | None, moment: datetime | None) -> str:
    """Return the job's `ETag`. A job that has ended has no place.

    Parameters
    ----------
    moment
        Up to which its cost is shown, where its machine bills: so the tag changes when the cost that is shown does.
    """
    # The version rises with every write, and the document is a function of the row and its place in the queue.
    version = f"j{job.version}"
    if place is not None:
        wait = "" if place.wait_seconds is None else place.wait_seconds
        version += f".{place.position}.{wait}"
    if moment is not None:
        version += f".c{int(moment.timestamp())}"
    return f'"{version}"'


def _polling_headers(tag: str, seconds_until_news: int | None) -> dict[str, str]:
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if seconds_until_news is not None:
        headers["Retry-After"] = str(seconds_until_news)
    return headers
