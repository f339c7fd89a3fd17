"""Jobs are handed in."""

from typing import Any

from fastapi import APIRouter, Request, Response

from api.auth import admitted_caller_of, caller_of, tenant_settings_of
from api.deprecation import deprecated_alias_of
from api.idempotency import KEY_PARAMETER, accepted, key_of
from api.problems import responses
from api.queries import StrictRoute
from api.request_lines import changes_nothing
from api.scopes import require_submit
from api.services import services_of
from rune.contracts import AgenticAgentRequest, BenchmarkRequest, JobAccepted, LlmInstanceRequest
from rune.services.admission.requests import admit
from rune.services.admission.suites import FindSuite
from rune.workflows.graph import Request as JobRequest

router = APIRouter(
    route_class=StrictRoute,
    prefix="/v1/jobs",
    tags=["jobs"],
    responses=responses(400, 401, 403, 413, 415, 422, 429, 503),
)

PLANNED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "With `dry_run`: what would follow (docs/api.md, A plan). No job is made.",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}
"""Without its document, which few requests need: it takes each cold start longer than all else of this route."""


@router.post("/benchmark", status_code=202, responses=PLANNED, openapi_extra=KEY_PARAMETER)
async def submit_benchmark(
    request: Request,
    body: BenchmarkRequest,
    response: Response,
) -> JobAccepted:
    """Ask a model one question and measure the answer."""
    return _submit(request, body, response)


@router.post("/agentic-agent", status_code=202, responses=PLANNED, openapi_extra=KEY_PARAMETER)
async def submit_agentic_agent(
    request: Request,
    body: AgenticAgentRequest,
    response: Response,
) -> JobAccepted:
    """Let an agent answer a question."""
    return _submit(request, body, response)


@router.post("/llm-instance", status_code=202, responses=PLANNED, openapi_extra=KEY_PARAMETER)
async def submit_llm_instance(
    request: Request,
    body: LlmInstanceRequest,
    response: Response,
) -> JobAccepted:
    """Get the address of a model server that answers."""
    return _submit(request, body, response)


@router.post(
    "/ollama-instance",
    status_code=202,
    responses=PLANNED,
    deprecated=True,
    openapi_extra=KEY_PARAMETER,
    dependencies=[deprecated_alias_of("/v1/jobs/llm-instance")],
)
async def submit_ollama_instance(
    request: Request,
    body: LlmInstanceRequest,
    response: Response,
) -> JobAccepted:
    """Do the same as `llm-instance`, under its old name."""
    return await submit_llm_instance(request, body, response)


def _plan(request: Request, body: JobRequest) -> Response:
    """Answer with what would follow; all is refused that would be refused of the job."""
    services, tenant, caller = services_of(request), tenant_settings_of(request), admitted_caller_of(request)
    changes_nothing(request)
    key_of(request)
    wanted = body.model_copy(update={"dry_run": False})
    admitted = admit(
        wanted,
        tenant,
        services.address_policy,
        has_provider=services.can_rent,
        most_concurrency=services.most_concurrency,
        find_suite=_finder_of(request),
    )
    plan = services.estimates().plan(caller, admitted)
    return Response(plan.model_dump_json(), media_type="application/json")


def _finder_of(request: Request) -> FindSuite:
    """Return what finds suites for the caller's tenant; few jobs ask for one."""
    return lambda name: services_of(request).suites().outline(admitted_caller_of(request).tenant, name)


def _submit(request: Request, body: JobRequest, response: Response) -> JobAccepted:
    services, tenant = services_of(request), tenant_settings_of(request)
    if body.dry_run:
        return _plan(request, body)  # type: ignore[return-value]  # another document
    require_submit(request)
    admitted = admit(
        body,
        tenant,
        services.address_policy,
        has_provider=services.can_rent,
        most_concurrency=services.most_concurrency,
        find_suite=_finder_of(request),
    )
    submitted = services.jobs.submit(caller_of(request), admitted, key_of(request))
    return accepted(submitted, response, admitted.warnings)
