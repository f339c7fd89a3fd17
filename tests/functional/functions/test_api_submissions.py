"""Jobs beside benchmarks, which `test_api.py` is about."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from rune.agents.holmes import HINT
from rune.jobs.record import Kind, StepName
from tests.builders import a_job
from tests.functional.functions.asking import (
    ACMES_TOKEN,
    NO_VASTAI,
    OF_ACME,
    SERVER,
    a_posted_job,
    a_refusal,
    a_wrong_field,
    assert_problem,
    post,
)
from tests.functional.functions.loading import loaded
from tests.parameters import Ssm

if TYPE_CHECKING:
    from tests.cloud import Cloud

AGENT = "/v1/jobs/agentic-agent"
INSTANCE = "/v1/jobs/llm-instance"
ALIAS = "/v1/jobs/ollama-instance"
OF_DEPRECATION = {"deprecation", "sunset", "link"}

AS_CLIENTS_SEND_IT: dict[str, object] = {
    "question": "What is unhealthy?",
    "model": "llama3.1:8b",
    "backend_url": "http://127.0.0.1:11434",
    "backend_warmup": True,
    "backend_warmup_timeout": 90,
    "backend_type": "ollama",
    "kubeconfig": None,
    "agent": "ask",
}
KEPT = {
    **{key: value for key, value in AS_CLIENTS_SEND_IT.items() if value is not None},
    "timeout_seconds": 600,
    "max_turns": 20,
    "max_tool_calls": 60,
    "max_tokens": 500_000,
}
LEAST = {"question": "What is unhealthy?", "model": "llama3.1:8b"}


@pytest.fixture(scope="module")
def with_holmes(shared_cloud: Cloud) -> Iterator[ModuleType]:
    """An API whose tenant `default` has a HolmesGPT server."""
    holmes = {"base_url": "https://holmes.example", "api_key": "key-of-holmes"}
    Ssm.write("/rune/agents/tenants/default", {"agents": {"holmes": holmes}})
    environment = {**shared_cloud.environment, "RUNE_TENANTS_PATH": "/rune/agents/tenants"}
    with loaded("api.handler", environment) as handler:
        yield handler


def kept(cloud: Cloud, job_id: str) -> object:
    return json.loads(cloud.store.read_request(a_job(job_id=job_id)))


# ---------------------------------------------------------------- agentic-agent


def test_agent_is_set_to_work_in_four_calls(api: ModuleType, cloud: Cloud) -> None:
    response = post(api, AS_CLIENTS_SEND_IT, path=AGENT)

    job_id = response.document["job_id"]
    assert (response.status, response.document) == (202, {"job_id": job_id, "status": "accepted"})
    assert response.headers["location"] == f"/v1/jobs/{job_id}"
    assert not OF_DEPRECATION & response.headers.keys()
    assert cloud.operations == ["Query", "TransactWriteItems", "SendMessage", "SendMessage"]
    assert cloud.store.read(job_id) == a_posted_job(
        job_id=job_id, kind=Kind.AGENTIC_AGENT, step=StepName.CHECK_AGENT
    )
    assert [json.loads(body) for body in cloud.received("inference")] == [{"job_id": job_id, "seq": 1}]


KEPT_OF_AGENTS: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "as clients send it": (AS_CLIENTS_SEND_IT, KEPT),
    "no agent named": ({**LEAST, **SERVER}, {**KEPT, "backend_warmup_timeout": 300}),
    "a path on the caller's machine": (
        {**AS_CLIENTS_SEND_IT, "kubeconfig": "/home/x/.kube/config"},
        KEPT,
    ),
}


@pytest.mark.parametrize(("body", "document"), KEPT_OF_AGENTS.values(), ids=KEPT_OF_AGENTS.keys())
def test_agents_request_is_kept_as_it_was_understood(
    body: dict[str, object], document: dict[str, object], api: ModuleType, cloud: Cloud
) -> None:
    response = post(api, body, path=AGENT)

    assert kept(cloud, response.document["job_id"]) == document


NO_SERVER = "Name a running model server in backend_url."
REFUSED_AGENTS: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "unknown agent": (
        {**AS_CLIENTS_SEND_IT, "agent": "k8sgpt"},
        a_refusal(
            "agent_unknown",
            "/agent",
            "'k8sgpt' is not an agent that RUNE knows; it knows ask, kubernetes, holmes, driver, a2a.",
        ),
    ),
    "an agent without its setting": (
        {**AS_CLIENTS_SEND_IT, "agent": "holmes"},
        a_refusal("agent_not_configured", "/agent", HINT),
    ),
    "no server": (
        {**AS_CLIENTS_SEND_IT, "backend_url": None},
        a_refusal("backend_url_missing", "/backend_url", NO_SERVER),
    ),
    "private server": (
        {**AS_CLIENTS_SEND_IT, "backend_url": "http://192.168.0.9:11434"},
        a_refusal(
            "address_refused",
            "/backend_url",
            "'192.168.0.9' is in a network to which RUNE does not connect.",
        ),
    ),
    "workload": (
        {**AS_CLIENTS_SEND_IT, "workload": {}},
        a_wrong_field("/workload", "There is no such field. The API's page, /docs, lists the fields."),
    ),
    "long name": (
        {**AS_CLIENTS_SEND_IT, "agent": "a" * 65},
        a_wrong_field("/agent", "String should have at most 64 characters."),
    ),
    "long question": (
        {**AS_CLIENTS_SEND_IT, "question": "q" * 100_001},
        a_wrong_field("/question", "String should have at most 100000 characters."),
    ),
}


@pytest.mark.parametrize(("body", "problem"), REFUSED_AGENTS.values(), ids=REFUSED_AGENTS.keys())
def test_agent_is_refused_at_the_door(
    body: dict[str, object], problem: dict[str, object], api: ModuleType, cloud: Cloud
) -> None:
    assert_problem(post(api, body, path=AGENT), problem)
    assert cloud.calls == []


def test_holmes_is_set_to_work_without_a_model_server(with_holmes: ModuleType, cloud: Cloud) -> None:
    response = post(with_holmes, {**AS_CLIENTS_SEND_IT, "agent": "holmes"}, path=AGENT)

    assert response.status == 202
    document = {key: value for key, value in KEPT.items() if key != "backend_url"}
    assert kept(cloud, response.document["job_id"]) == {**document, "agent": "holmes"}
    assert "key-of-holmes" not in str(cloud.rows())


def test_holmes_of_one_tenant_does_not_serve_another(with_holmes: ModuleType, cloud: Cloud) -> None:
    body = {**AS_CLIENTS_SEND_IT, "agent": "holmes"}

    response = post(with_holmes, body, OF_ACME, AGENT, token=ACMES_TOKEN)

    assert_problem(response, a_refusal("agent_not_configured", "/agent", HINT))


# ---------------------------------------------------------------- llm-instance


@pytest.mark.parametrize("path", [INSTANCE, ALIAS])
def test_instance_is_looked_for_in_four_calls(path: str, api: ModuleType, cloud: Cloud) -> None:
    response = post(api, {"provisioning": None, **SERVER, "backend_type": "openai"}, path=path)

    job_id = response.document["job_id"]
    assert (response.status, response.document) == (202, {"job_id": job_id, "status": "accepted"})
    assert response.headers["location"] == f"/v1/jobs/{job_id}"
    assert cloud.operations == ["Query", "TransactWriteItems", "SendMessage", "SendMessage"]
    assert cloud.store.read(job_id) == a_posted_job(
        job_id=job_id, kind=Kind.LLM_INSTANCE, step=StepName.VERIFY
    )
    assert kept(cloud, job_id) == {
        **SERVER,
        "backend_type": "openai",
        "vastai": False,
        "vastai_stop_instance": True,
        "boot_timeout_seconds": 360,
        "keep_seconds": 3600,
        "backend_warmup_timeout": 300,
    }


def test_old_name_says_that_it_will_go_and_what_to_call_instead(api: ModuleType, cloud: Cloud) -> None:
    old, new = post(api, SERVER, path=ALIAS), post(api, SERVER, path=INSTANCE)

    assert {name: old.headers[name] for name in OF_DEPRECATION} == {
        "deprecation": "@1795392000",
        "sunset": "Tue, 23 Nov 2027 00:00:00 GMT",
        "link": '</v1/jobs/llm-instance>; rel="successor-version"',
    }
    assert not OF_DEPRECATION & new.headers.keys()


REFUSED_INSTANCES: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "nothing": ({}, a_refusal("backend_url_missing", "/backend_url", NO_SERVER)),
    "nested null": ({"provisioning": None}, a_refusal("backend_url_missing", "/backend_url", NO_SERVER)),
    "rental, flat": (
        {"vastai": True, "min_dph": 2.3},
        a_refusal("vastai_not_available", "/vastai", NO_VASTAI),
    ),
    "rental, nested": (
        {"provisioning": {"vastai": {"max_dph": 3.0}}},
        a_refusal("vastai_not_available", "/provisioning/vastai", NO_VASTAI),
    ),
    "private address, mapped": (
        {"backend_url": "http://[::ffff:10.0.0.1]:11434"},
        a_refusal(
            "address_refused",
            "/backend_url",
            "'::ffff:10.0.0.1' is in a network to which RUNE does not connect.",
        ),
    ),
    "workload": (
        {**SERVER, "workload": {}},
        a_wrong_field("/workload", "There is no such field. The API's page, /docs, lists the fields."),
    ),
    "long address": (
        {"backend_url": "http://a.example/" + "x" * 2048},
        a_wrong_field("/backend_url", "String should have at most 2048 characters."),
    ),
}


@pytest.mark.parametrize("path", [INSTANCE, ALIAS])
@pytest.mark.parametrize(("body", "problem"), REFUSED_INSTANCES.values(), ids=REFUSED_INSTANCES.keys())
def test_instance_is_refused_at_the_door(
    body: dict[str, object], problem: dict[str, object], path: str, api: ModuleType, cloud: Cloud
) -> None:
    assert_problem(post(api, body, path=path), problem)
    assert cloud.calls == []
