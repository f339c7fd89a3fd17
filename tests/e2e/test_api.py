"""The edge, through the gateway: who may call, and what a refusal looks like on the wire."""

import uuid
from collections.abc import Iterator, Mapping

import httpx
import pytest

from local.stack import Stack
from tests.e2e.client import RuneClient, bearer
from tests.e2e.environment import OTHER_TENANT, TENANT

UNKNOWN_JOB = f"/v1/jobs/{uuid.UUID(int=0).hex}"


@pytest.fixture(scope="module")
def anyone(stack: Stack) -> Iterator[RuneClient]:
    with RuneClient(stack.state.base_url, {}) as client:
        yield client


def code_of(response: httpx.Response, status: int) -> str:
    """Return a problem's code; a body that came in base64 would be no JSON."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem.keys() >= {"type", "title", "status", "code", "detail", "error"}
    assert problem["status"] == status
    assert problem["error"] == problem["detail"]
    return str(problem["code"])


def test_health_is_answered_without_a_token(anyone: RuneClient) -> None:
    response = anyone.http.get("/healthz")

    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def headers_of(token: str, kind: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {token}"} if kind == "bearer" else {"X-API-Key": token}


@pytest.mark.parametrize("kind", ["bearer", "api key"])
def test_either_header_opens_the_door(anyone: RuneClient, tokens: dict[str, str], kind: str) -> None:
    response = anyone.http.get(UNKNOWN_JOB, headers=headers_of(tokens[TENANT], kind))

    assert code_of(response, 404) == "job_not_found"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer no-token-that-anybody-was-ever-given"},
        {"X-API-Key": "no-token-that-anybody-was-ever-given"},
    ],
    ids=["no token", "wrong bearer", "wrong api key"],
)
def test_caller_is_refused_without_a_valid_token(anyone: RuneClient, headers: dict[str, str]) -> None:
    response = anyone.http.get(UNKNOWN_JOB, headers=headers)

    assert code_of(response, 401) == "unauthorized"
    assert response.headers["www-authenticate"] == 'Bearer realm="rune"'


def test_token_opens_its_own_tenant_only(anyone: RuneClient, tokens: dict[str, str]) -> None:
    response = anyone.http.get(UNKNOWN_JOB, headers=bearer(tokens[TENANT], OTHER_TENANT))

    assert code_of(response, 401) == "unauthorized"


def test_path_that_is_none_of_ours_is_a_problem_too(rune: RuneClient) -> None:
    assert code_of(rune.http.get("/v1/nothing"), 404) == "not_found"


BODY = {"question": "Why?", "model": "llama3.1:8b", "backend_url": "http://127.0.0.1:1"}


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        ({**BODY, "vastai": True}, "backend_url_and_vastai", "/backend_url"),
        ({**BODY, "backend_url": None, "vastai": True, "model": "phi"}, "model_size_unknown", "/min_vram_mb"),
        ({**BODY, "backend_url": "http://169.254.169.254/"}, "address_refused", "/backend_url"),
        ({**BODY, "modle": "llama3.1:8b"}, "invalid_request", "/modle"),
        ({**BODY, "question": ""}, "invalid_request", "/question"),
    ],
    ids=[
        "renting beside a server",
        "size unknown",
        "address of the cloud's own",
        "unknown field",
        "no question",
    ],
)
def test_job_is_refused_at_the_door(
    rune: RuneClient, body: dict[str, object], code: str, pointer: str
) -> None:
    response = rune.http.post("/v1/jobs/benchmark", json=body)

    assert code_of(response, 422) == code
    assert [error["pointer"] for error in response.json()["errors"]] == [pointer]


def test_body_that_is_no_json_is_refused(rune: RuneClient) -> None:
    response = rune.http.post(
        "/v1/jobs/benchmark", content=b"{", headers={"content-type": "application/json"}
    )

    assert code_of(response, 400) == "invalid_json"
