"""Servers that a tenant uses in the operator's name: credentials and Bedrock, from its document through the API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from rune.llm.bedrock_address import bedrock_url
from rune.llm.opener import ServerOpener
from rune.llm.protocol import ModelServer
from rune.net.addresses import AddressPolicy
from tests.fake_model_server import FakeModelServer
from tests.functional.functions.asking import (
    ACMES_TOKEN,
    OF_ACME,
    Response,
    a_refusal,
    assert_problem,
    get,
    post,
)
from tests.functional.functions.loading import loaded
from tests.parameters import Ssm

if TYPE_CHECKING:
    from tests.cloud import Cloud

PATH = "/rune/backends/tenants"
KEY = "sk-lab-0123456789abcdef"
LAB = "https://llm.example"
HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
LENT = {
    "credentials": {"lab": {"api_key": KEY, "url": LAB}},
    "bedrock": {"regions": ["eu-central-1"], "models": ["anthropic.claude-*"]},
}
QUESTION: dict[str, object] = {"question": "q", "model": HAIKU}


@pytest.fixture(scope="module")
def api(shared_cloud: Cloud) -> Iterator[ModuleType]:
    Ssm.write(f"{PATH}/default", LENT)
    lending = {
        "RUNE_TENANTS_PATH": PATH,
        "RUNE_BEDROCK_ACCESS": "true",
        "RUNE_BEDROCK_URL": "http://127.0.0.1:4577",
    }
    with loaded("api.handler", {**shared_cloud.environment, **lending}) as handler:
        yield handler


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FakeModelServer:
    """Whatever is opened; Bedrock's operator's address stands where others have a key."""
    fake = FakeModelServer(models=("amazon.nova", HAIKU))

    def open_fake(self: ServerOpener, kind: str, url: str, api_key: str | None = None) -> ModelServer:
        assert self.policy == AddressPolicy.parse("127.0.0.0/8")
        return fake.open(kind, url, self.bedrock_endpoint_url if kind == "bedrock" else api_key)

    monkeypatch.setattr(ServerOpener, "__call__", open_fake)
    return fake


def models(api: ModuleType, query: str, **options: Any) -> Response:  # noqa: ANN401  # of an_http_event
    return get(api, f"/v1/llm/models?{query}", **options)


def kept_request(cloud: Cloud, response: Response) -> dict[str, Any]:
    assert response.status == 202, response.document
    job = cloud.store.read(response.document["job_id"])
    assert job
    kept: dict[str, Any] = json.loads(cloud.store.read_request(job))
    return kept


def test_key_of_the_credential_goes_to_its_server(
    api: ModuleType, cloud: Cloud, server: FakeModelServer
) -> None:
    response = models(api, f"backend_url={LAB}/v1&backend_type=openai&backend_credential=lab")

    assert (response.status, response.document["models"]) == (200, ["amazon.nova", HAIKU])
    assert (server.opened, server.api_keys) == ([("openai", f"{LAB}/v1")], [KEY])
    assert KEY not in json.dumps(response.document)


def test_models_of_bedrock_are_those_that_the_tenant_may_use(
    api: ModuleType, cloud: Cloud, server: FakeModelServer
) -> None:
    response = models(api, "backend_type=bedrock")

    assert (response.status, response.document) == (
        200,
        {
            "backend_url": bedrock_url("eu-central-1"),
            "backend_type": "bedrock",
            "models": [HAIKU],
            "running_models": [],
        },
    )
    assert (server.opened, server.api_keys) == (
        [("bedrock", bedrock_url("eu-central-1"))],
        ["http://127.0.0.1:4577"],
    )


def test_job_keeps_the_name_of_the_credential_and_never_the_key(api: ModuleType, cloud: Cloud) -> None:
    asked = {**QUESTION, "backend_type": "openai", "backend_url": f"{LAB}/", "backend_credential": "lab"}

    kept = kept_request(cloud, post(api, asked))

    assert (kept["backend_url"], kept["backend_credential"]) == (LAB, "lab")
    assert KEY not in json.dumps(cloud.rows(), default=str)


def test_job_on_bedrock_keeps_the_address_of_the_deployments_region(api: ModuleType, cloud: Cloud) -> None:
    kept = kept_request(cloud, post(api, {**QUESTION, "backend_type": "bedrock"}))

    assert (kept["backend_url"], kept["backend_type"]) == (bedrock_url("eu-central-1"), "bedrock")


REFUSED: dict[str, tuple[dict[str, object], str, str, str]] = {
    "another's server": (
        {"backend_url": "https://evil.example", "backend_credential": "lab"},
        "credential_wrong_server",
        "/backend_credential",
        "The credential 'lab' belongs to another server than the one in backend_url.",
    ),
    "unknown": (
        {"backend_url": LAB, "backend_credential": "own"},
        "credential_unknown",
        "/backend_credential",
        "Your tenant has no credential of this name.",
    ),
    "region": (
        {"backend_type": "bedrock", "backend_url": bedrock_url("us-east-1")},
        "bedrock_region_not_allowed",
        "/backend_url",
        "Your tenant may not use Amazon Bedrock in us-east-1.",
    ),
    "model": (
        {"backend_type": "bedrock", "model": "amazon.nova"},
        "bedrock_model_not_allowed",
        "/model",
        "Your tenant may not use the model 'amazon.nova' on Amazon Bedrock.",
    ),
}
KINDS: dict[str, dict[str, object]] = {"/v1/jobs/benchmark": {}, "/v1/jobs/agentic-agent": {"agent": "ask"}}


@pytest.mark.parametrize("path", KINDS)
@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED.keys())
def test_job_is_refused_before_anything_is_written(
    refused: tuple[dict[str, object], str, str, str], path: str, api: ModuleType, cloud: Cloud
) -> None:
    changes, code, pointer, sentence = refused

    response = post(api, {**QUESTION, **KINDS[path], **changes}, path=path)

    assert_problem(response, a_refusal(code, pointer, sentence))
    assert cloud.received("inference") == []


def test_nothing_of_one_tenant_serves_another(api: ModuleType, cloud: Cloud, server: FakeModelServer) -> None:
    answers = [
        models(api, query, headers=OF_ACME, token=ACMES_TOKEN)
        for query in (f"backend_url={LAB}&backend_credential=lab", "backend_type=bedrock")
    ]

    codes = [answer.document["code"] for answer in answers]
    assert (codes, server.opened) == (["credential_unknown", "bedrock_not_allowed"], [])
