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
from rune.services.admission.requests import (
    Admitted,
    admit_agentic_agent,
    admit_benchmark,
    admit_llm_instance,
)

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
    services, tenant = services_of(request), tenant_settings_of(request)
    admitted = admit_benchmark(body, services.address_policy, services.renting_of(tenant), tenant.backends)
    return _submit(request, admitted, response)


@router.post("/agentic-agent", status_code=202, openapi_extra=_KEY_PARAMETER)
async def post_agentic_agent(
    request: Request,
    body: AgenticAgentRequest,
    response: Response,
) -> JobAccepted:
    """Let an agent answer a question."""
    services, tenant = services_of(request), tenant_settings_of(request)
    admitted = admit_agentic_agent(body, services.address_policy, tenant.agents, tenant.backends)
    return _submit(request, admitted, response)


@router.post("/llm-instance", status_code=202, openapi_extra=_KEY_PARAMETER)
async def post_llm_instance(
    request: Request,
    body: LlmInstanceRequest,
    response: Response,
) -> JobAccepted:
    """Get the address of a model server that answers."""
    services, tenant = services_of(request), tenant_settings_of(request)
    admitted = admit_llm_instance(body, services.address_policy, services.renting_of(tenant), tenant.backends)
    return _submit(request, admitted, response)


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


def _submit(request: Request, admitted: Admitted, response: Response) -> JobAccepted:
    offered = request.headers.get("idempotency-key")
    key = None if offered is None else _bare(offered)
    submitted = services_of(request).jobs.submit(caller_of(request), admitted, key)
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
