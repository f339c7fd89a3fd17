"""Files of a job's result."""

from fastapi import APIRouter, Request

from api.auth import caller_of
from api.problems import responses
from api.queries import StrictRoute
from api.services import services_of
from rune.contracts import ArtifactLinks

router = APIRouter(
    route_class=StrictRoute, prefix="/v1/jobs", tags=["jobs"], responses=responses(401, 403, 404, 422, 503)
)


@router.get("/{job_id}/artifacts")
async def get_job_artifacts(request: Request, job_id: str) -> ArtifactLinks:
    """Return links to the files of an own job's result, such as the transcript of an investigation."""
    links = services_of(request).reports().link_artifacts(caller_of(request), job_id)
    return ArtifactLinks(job_id=job_id, artifacts=links)
