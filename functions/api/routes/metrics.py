"""Metrics of the tenant's jobs."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from api.auth import admitted_caller_of
from api.problems import responses
from api.queries import StrictRoute
from api.services import services_of
from rune.contracts import EventMetrics, MetricsSummary
from rune.jobs.metrics import Tallies

router = APIRouter(
    route_class=StrictRoute,
    prefix="/v1/metrics",
    tags=["metrics"],
    responses=responses(401, 403, 404, 422, 503),
)


@router.get("/summary")
async def get_metrics_summary(
    request: Request,
    job_id: Annotated[
        str | None, Query(max_length=64, description="Only this job, even while it runs.")
    ] = None,
) -> MetricsSummary:
    """Return counts and durations of the events of your tenant's ended jobs."""
    tenant = admitted_caller_of(request).tenant
    return _summary(services_of(request).jobs.summarize(tenant, job_id))


def _summary(tallies: Tallies) -> MetricsSummary:
    """Return tallies sorted by event name."""
    return MetricsSummary(
        events=[
            EventMetrics(
                event=name,
                total=each.total_count,
                ok=each.ok_count,
                error=each.error_count,
                avg_ms=round(each.sum_ms / each.total_count, 3),
                min_ms=each.min_ms,
                max_ms=each.max_ms,
            )
            for name, each in sorted(tallies.items())
        ]
    )
