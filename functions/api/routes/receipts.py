"""What a job has cost."""

from typing import Any

from fastapi import APIRouter, Request, Response

from api.auth import caller_of
from api.media_types import prefers
from api.problems import responses
from api.queries import StrictRoute
from api.services import services_of
from rune.contracts.receipts import JobReceipt
from rune.services.receipts import to_document, to_markdown

MARKDOWN = "text/markdown"

_AS_MARKDOWN: dict[int | str, dict[str, Any]] = {200: {"content": {MARKDOWN: {"schema": {"type": "string"}}}}}

router = APIRouter(
    route_class=StrictRoute, prefix="/v1/jobs", tags=["money"], responses=responses(401, 403, 422, 503)
)


@router.get("/{job_id}/receipt", response_model=JobReceipt, responses=responses(404, 409) | _AS_MARKDOWN)
async def get_job_receipt(request: Request, job_id: str) -> Response:
    """Return what a job that has ended has cost, line by line; `Accept: text/markdown` for people."""
    services = services_of(request)
    job, receipt = services.jobs.find_receipt(caller_of(request), job_id)
    document = to_document(job, services.rentals().add_late_costs(job, receipt) if job.rents else receipt)
    headers = {"Cache-Control": "private, no-cache", "Vary": "Accept"}
    if prefers(request.headers.get("accept"), MARKDOWN, over="application/json"):
        return Response(to_markdown(document), media_type=f"{MARKDOWN}; charset=utf-8", headers=headers)
    return Response(document.model_dump_json(), media_type="application/json", headers=headers)
