"""Metrics of the tenant's jobs."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from api import documents
from api.auth import admitted_caller_of
from api.problems import responses
from api.services import services_of
from rune.contracts import MetricsSummary

router = APIRouter(prefix="/v1/metrics", tags=["metrics"], responses=responses(401, 403, 404, 422, 503))


@router.get("/summary")
async def get_summary(
    request: Request,
    job_id: Annotated[
        str | None, Query(max_length=64, description="Only this job, even while it runs.")
    ] = None,
) -> MetricsSummary:
    """Return counts and durations of the events of your tenant's ended jobs."""
    tenant = admitted_caller_of(request).tenant
    return documents.metrics_summary(services_of(request).jobs.summarize(tenant, job_id))
