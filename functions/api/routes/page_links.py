"""Links to the pages of a benchmark, for a colleague without a token."""

from datetime import timedelta

from fastapi import APIRouter, Request

from api.auth import caller_of, token_digest_of
from api.problems import responses
from api.queries import StrictRoute
from api.services import services_of
from rune.contracts.links import PageLink, PageLinkRequest
from rune.errors import InvalidRequestError, NotABenchmarkError
from rune.jobs.record import Kind
from rune.services.jobs import Caller, JobService
from rune.services.links import comparison_page, report_page

router = APIRouter(
    route_class=StrictRoute,
    prefix="/v1/benchmarks",
    tags=["benchmarks"],
    responses=responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
)


@router.post("/{job_id}/links")
async def create_benchmark_link(
    request: Request, job_id: str, body: PageLinkRequest | None = None
) -> PageLink:
    """Return a link that opens the page of an own benchmark without a token, and one for a comparison with it.

    Every member of the body has a default, so it may be left out.
    """
    body = body or PageLinkRequest()
    caller, services = caller_of(request), services_of(request)
    compared = [job_id, *body.compared_with]
    if len(set(compared)) < len(compared):
        raise InvalidRequestError(
            "Name other benchmarks than this one, and each once.",
            pointer="/compared_with",
            code="jobs_to_compare",
        )
    for each in compared:
        _find_benchmark(services.jobs, caller, each)
    targets = [report_page(job_id)]
    if body.compared_with:
        targets.append(comparison_page(compared, body.threshold))
    lifetime, token_digest = timedelta(seconds=body.lifetime_seconds), token_digest_of(request)
    links = [
        services.links().make(target, lifetime, tenant=caller.tenant, token_digest=token_digest)
        for target in targets
    ]
    return PageLink(
        job_id=job_id,
        url=links[0].url,
        comparison_url=links[1].url if body.compared_with else None,
        expires_at=links[0].expires_at,
    )


def _find_benchmark(jobs: JobService, caller: Caller, job_id: str) -> None:
    """Raise JobNotFoundError or NotABenchmarkError unless the tenant has such a benchmark, ended or not."""
    if jobs.find(caller, job_id, is_wanted=lambda _job: False).job.kind is not Kind.BENCHMARK:
        raise NotABenchmarkError(job_id)
