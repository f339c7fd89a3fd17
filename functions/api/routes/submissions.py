"""Jobs are handed in."""

from fastapi import APIRouter, Request, Response

from api.auth import caller_of, tenant_settings_of
from api.deprecation import deprecated_alias_of
from api.idempotency import KEY_PARAMETER, accepted, key_of
from api.problems import responses
from api.services import services_of
from rune.contracts import AgenticAgentRequest, BenchmarkRequest, JobAccepted, LlmInstanceRequest
from rune.services.admission.requests import admit
from rune.workflows.graph import Request as JobRequest

router = APIRouter(
    prefix="/v1/jobs", tags=["jobs"], responses=responses(400, 401, 403, 413, 415, 422, 429, 503)
)


@router.post("/benchmark", status_code=202, openapi_extra=KEY_PARAMETER)
async def post_benchmark(
    request: Request,
    body: BenchmarkRequest,
    response: Response,
) -> JobAccepted:
    """Ask a model one question and measure the answer."""
    return _submit(request, body, response)


@router.post("/agentic-agent", status_code=202, openapi_extra=KEY_PARAMETER)
async def post_agentic_agent(
    request: Request,
    body: AgenticAgentRequest,
    response: Response,
) -> JobAccepted:
    """Let an agent answer a question."""
    return _submit(request, body, response)


@router.post("/llm-instance", status_code=202, openapi_extra=KEY_PARAMETER)
async def post_llm_instance(
    request: Request,
    body: LlmInstanceRequest,
    response: Response,
) -> JobAccepted:
    """Get the address of a model server that answers."""
    return _submit(request, body, response)


@router.post(
    "/ollama-instance",
    status_code=202,
    deprecated=True,
    openapi_extra=KEY_PARAMETER,
    dependencies=[deprecated_alias_of("/v1/jobs/llm-instance")],
)
async def post_ollama_instance(
    request: Request,
    body: LlmInstanceRequest,
    response: Response,
) -> JobAccepted:
    """Do the same as `llm-instance`, under its old name."""
    return await post_llm_instance(request, body, response)


def _submit(request: Request, body: JobRequest, response: Response) -> JobAccepted:
    services, tenant = services_of(request), tenant_settings_of(request)
    admitted = admit(body, tenant, services.address_policy, has_provider=services.can_rent)
    return accepted(services.jobs.submit(caller_of(request), admitted, key_of(request)), response)
