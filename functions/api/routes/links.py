"""Links to documents of a job for who can send no token, such as a browser's EventSource."""

from datetime import timedelta

from fastapi import APIRouter, Request

from api.auth import caller_of, token_digest_of
from api.problems import responses
from api.queries import StrictRoute
from api.services import services_of
from rune.contracts import JobLink, LinkRequest
from rune.errors import NotABenchmarkError
from rune.services.links import KINDS, PATHS

router = APIRouter(
    route_class=StrictRoute,
    prefix="/v1/jobs",
    tags=["jobs"],
    responses=responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
)


@router.post("/{job_id}/links")
async def create_job_link(request: Request, job_id: str, body: LinkRequest) -> JobLink:
    """Return a link that opens one document of an own job without a token, with GET, for a short time."""
    caller, services = caller_of(request), services_of(request)
    job = services.jobs.find(caller, job_id, is_wanted=lambda _job: False).job
    if job.kind not in KINDS.get(body.what, (job.kind,)):
        raise NotABenchmarkError(job_id)
    link = services.links().make(
        PATHS[body.what].format(job_id=job.job_id),
        timedelta(seconds=body.lifetime_seconds),
        tenant=caller.tenant,
        token_digest=token_digest_of(request),
    )
    return JobLink(job_id=job.job_id, what=body.what, url=link.url, expires_at=link.expires_at)
