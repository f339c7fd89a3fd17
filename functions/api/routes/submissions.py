"""Jobs are handed in."""

import re
from typing import Any

from fastapi import APIRouter, Request, Response

from api.auth import caller_of, tenant_settings_of
from api.deprecation import deprecated_alias_of
from api.problems import responses
from api.services import services_of
from rune.contracts import AgenticAgentRequest, BenchmarkRequest, JobAccepted, LlmInstanceRequest
from rune.errors import InvalidRequestError
from rune.services.admission.requests import admit
from rune.workflows.graph import Request as JobRequest

router = APIRouter(
    prefix="/v1/jobs", tags=["jobs"], responses=responses(400, 401, 403, 413, 415, 422, 429, 503)
)

_KEY = re.compile(
    r'"([\x21\x23-\x7e][\x20\x21\x23-\x7e]{0,254})"|([\x21\x23-\x7e][\x20\x21\x23-\x7e]{0,254})'
)

_KEY_PARAMETER: dict[str, Any] = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "Your own name for this request, up to 255 printable characters, bare or quoted. The "
            "same key with the same request is the same job, for as long as the job is kept and a day more.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 257},
        }
    ]
}
"""Documented here and read from the request: resolving a parameter takes FastAPI longer than all that RUNE does."""


@router.post("/benchmark", status_code=202, openapi_extra=_KEY_PARAMETER)
async def post_benchmark(
    request: Request,
    body: BenchmarkRequest,
    response: Response,
) -> JobAccepted:
    """Ask a model one question and measure the answer."""
    return _submit(request, body, response)


@router.post("/agentic-agent", status_code=202, openapi_extra=_KEY_PARAMETER)
async def post_agentic_agent(
    request: Request,
    body: AgenticAgentRequest,
    response: Response,
) -> JobAccepted:
    """Let an agent answer a question."""
    return _submit(request, body, response)


@router.post("/llm-instance", status_code=202, openapi_extra=_KEY_PARAMETER)
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
    openapi_extra=_KEY_PARAMETER,
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
    offered = request.headers.get("idempotency-key")
    key = None if offered is None else _bare(offered)
    submitted = services.jobs.submit(caller_of(request), admitted, key)
    response.headers["Location"] = f"/v1/jobs/{submitted.job_id}"
    if submitted.is_replay:
        response.headers["Idempotency-Replayed"] = "true"
    return JobAccepted(job_id=submitted.job_id)


def _bare(key: str) -> str:
    """Return the key without the quotes that the IETF's draft asks for and most clients leave out."""
    match = _KEY.fullmatch(key.strip())
    if match is None:
        raise InvalidRequestError(
            "Idempotency-Key must be 1 to 255 printable ASCII characters.",
            pointer="/header/Idempotency-Key",
            code="invalid_idempotency_key",
        )
    return match[1] or match[2]
