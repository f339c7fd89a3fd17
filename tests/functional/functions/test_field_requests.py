"""Each call of each client in the field, as it is sent, and what the client reads of the answer.

Read in their sources in November 2026: the command line and its client class at b50251e and its releases a0 to a6,
the web UI at d81c8fd, the operator at 306e731 (the last that speaks HTTP) and its releases. Made by hand, from what
the sources send.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from local.simulators.ollama import SimulatedOllama, create_app
from local.simulators.serving import running_server
from tests.builders import JOB_ID, TOKEN, a_job, an_http_event
from tests.functional.functions.asking import Response, ask, put
from tests.functional.functions.loading import loaded
from tests.functional.simulators.ollama_harness import FAST
from tests.parameters import Ssm

if TYPE_CHECKING:
    from tests.cloud import Cloud

TENANTS = "/rune/field/tenants"
TEMPLATE = "c166c11f035d3a97871a23bd32ca6aba"
URL = "http://127.0.0.1:11434"
QUESTION = "What is unhealthy in this Kubernetes cluster?"
KUBECONFIG = "/home/x/.kube/config"

COMMAND_LINE = {
    "x-tenant-id": "default",
    "x-api-key": TOKEN,
    "connection": "close",
    "user-agent": "Python-urllib/3.12",
    "accept-encoding": "identity",
}
UI = {"x-tenant-id": "default", "accept": "*/*", "user-agent": "python-httpx/0.28.1"}
OPERATOR = {"user-agent": "Go-http-client/1.1", "accept-encoding": "gzip"}
OPERATOR_POSTS = {**OPERATOR, "idempotency-key": "bench/nightly/3/2026-11-29T02:00:00Z"}

TERMS: dict[str, Any] = {"template_hash": TEMPLATE, "min_dph": 2.3, "max_dph": 3.0, "reliability": 0.99}
NESTED: dict[str, Any] = {"vastai": {**TERMS, "stop_instance": True}}
ASKED: dict[str, Any] = {
    "question": QUESTION,
    "model": "llama3.1:8b",
    "backend_type": "ollama",
    "backend_warmup": True,
    "backend_warmup_timeout": 90,
    "kubeconfig": KUBECONFIG,
}
ESTIMATED: dict[str, Any] = {
    **dict.fromkeys(("aws", "gcp", "azure", "local_hardware"), False),
    **dict.fromkeys(
        (
            "local_tdp_watts",
            "local_energy_rate_kwh",
            "local_hardware_purchase_price",
            "local_hardware_lifespan_years",
        ),
        0.0,
    ),
    "vastai": True,
    "min_dph": 2.3,
    "max_dph": 3.0,
    "model": "",
    "estimated_duration_seconds": 3600,
}
WIZARD: dict[str, Any] = {
    "provisioning": None,
    "model": "llama3.1:8b",
    "region": "",
    "question": QUESTION,
    "backend_warmup": True,
    "backend_warmup_timeout": 300,
    "kubeconfig": "~/.kube/config",
    "backend_url": URL,
    "backend_type": "ollama",
    "aws": False,
    "gcp": False,
    "azure": False,
}
WIZARDS_ESTIMATE: dict[str, Any] = {
    "model": "llama3.1:8b",
    "region": "",
    "provisioning": None,
    **dict.fromkeys(("aws", "gcp", "azure", "local_hardware"), False),
    "local_tdp_watts": 0.0,
    "local_energy_rate_kwh": 0.15,
    "estimated_duration_seconds": 3600,
}
WIZARDS_TERMS = {"vastai": {"template_hash": TEMPLATE, "min_dph": 0.0, "max_dph": 2.5, "reliability": 0.99}}
# One body for all workflows; Go leaves nothing out.
RESOURCE: dict[str, Any] = {
    "question": QUESTION,
    "model": "llama3.1:8b",
    "backend_url": URL,
    "backend_type": "ollama",
    "region": "",
    "backend_warmup": False,
    "backend_warmup_timeout": 0,
    "kubeconfig": "",
    "vastai": False,
    "aws": False,
    "gcp": False,
    "azure": False,
}
RESOURCE_RENTS: dict[str, Any] = {
    **RESOURCE,
    **TERMS,
    "backend_url": "",
    "vastai": True,
    "vastai_stop_instance": True,
}
OLD: dict[str, Any] = {
    "vastai": False,
    **TERMS,
    "ollama_url": URL,
    "question": QUESTION,
    "model": "llama3.1:8b",
    "ollama_warmup": True,
    "ollama_warmup_timeout": 90,
    "kubeconfig": KUBECONFIG,
    "vastai_stop_instance": True,
    "attestation_required": False,
}
INSTANCE: dict[str, Any] = {"provisioning": None, "backend_url": URL, "backend_type": "ollama"}

JOB_ACCEPTED: dict[str, type | tuple[type, ...]] = {"job_id": str}
ESTIMATE: dict[str, type | tuple[type, ...]] = {
    "projected_cost_usd": float,
    "cost_driver": str,
    "resource_impact": str,
    "local_energy_kwh": float,
    "confidence_score": float,
    "warning": (str, type(None)),
}
SIMULATION: dict[str, type | tuple[type, ...]] = {
    "total_cost_usd": float,
    "gpu_cost_usd": float,
    "token_cost_usd": float,
    "historical_match": bool,
    "confidence": str,
}
JOB: dict[str, type | tuple[type, ...]] = {"status": str, "message": str, "job_id": str, "created_at": str}


@dataclass(frozen=True)
class Call:
    """One request of a client.

    Parameters
    ----------
    reads
        The members that the client reads of the answer, with their types.
    warnings
        What the job is warned of.
    code
        Of a refusal that its user is shown.
    """

    headers: Mapping[str, str]
    method: str
    path: str
    body: Mapping[str, Any] | None = None
    status: int = 200
    reads: Mapping[str, type | tuple[type, ...]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    code: str | None = None


def a_submission(headers: Mapping[str, str], kind: str, body: Mapping[str, Any], *warnings: str) -> Call:
    return Call(headers, "POST", f"/v1/jobs/{kind}", body, 202, JOB_ACCEPTED, warnings)


def an_estimate(headers: Mapping[str, str], body: Mapping[str, Any]) -> Call:
    return Call(headers, "POST", "/v1/estimates", body, 200, ESTIMATE)


def a_refusal(headers: Mapping[str, str], path: str, body: Mapping[str, Any], code: str) -> Call:
    return Call(headers, "POST", path, body, 422, {"error": str}, code=code)


KEYED = {**COMMAND_LINE, "idempotency-key": "nightly-7"}
CALLS: dict[str, Call] = {
    # The command line and its client class, newest.
    "run-benchmark": a_submission(
        COMMAND_LINE,
        "benchmark",
        {**ASKED, "provisioning": None, "backend_url": URL, "attestation_required": False},
    ),
    "run-benchmark without a scheme": a_submission(
        COMMAND_LINE,
        "benchmark",
        {**ASKED, "provisioning": None, "backend_url": "127.0.0.1:11434", "attestation_required": False},
        "scheme_assumed",
    ),
    "run-benchmark with LiteLLM's name and the shortest warm-up": a_submission(
        COMMAND_LINE,
        "benchmark",
        {
            **ASKED,
            "provisioning": None,
            "backend_url": URL,
            "model": "ollama_chat/m",
            "backend_warmup_timeout": 1,
        },
        "model_prefix_removed",
        "warmup_timeout_raised",
    ),
    "run-benchmark --vastai, estimate": an_estimate(COMMAND_LINE, ESTIMATED),
    "run-benchmark --vastai": a_submission(
        KEYED,
        "benchmark",
        {**ASKED, "provisioning": NESTED, "backend_url": None, "attestation_required": False},
    ),
    "run-benchmark --vastai beside an address": a_submission(
        COMMAND_LINE,
        "benchmark",
        {**ASKED, "provisioning": NESTED, "backend_url": URL, "attestation_required": False},
        "backend_url_ignored",
    ),
    "run-agentic-agent": a_submission(
        COMMAND_LINE,
        "agentic-agent",
        {**ASKED, "backend_url": URL, "agent": "holmes"},
        "kubeconfig_ignored",
        "backend_url_ignored",
    ),
    "run-llm-instance": a_submission(COMMAND_LINE, "llm-instance", INSTANCE),
    "run-llm-instance --vastai": a_submission(
        COMMAND_LINE,
        "llm-instance",
        {**INSTANCE, "provisioning": {"vastai": {**TERMS, "stop_instance": False}}, "backend_url": None},
    ),
    "get_job_status": Call(COMMAND_LINE, "GET", f"/v1/jobs/{JOB_ID}", reads=JOB),
    "get_vastai_models": Call(COMMAND_LINE, "GET", "/v1/catalog/vastai-models", reads={"models": list}),
    "get_llm_models": Call(
        COMMAND_LINE,
        "GET",
        "/v1/llm/models?backend_url={ollama}",
        reads={"models": list, "running_models": list},
    ),
    "get_llm_models without a scheme": Call(
        COMMAND_LINE,
        "GET",
        "/v1/llm/models?backend_url={host}",
        reads={"models": list, "running_models": list},
    ),
    "an address with a slash at its end": Call(COMMAND_LINE, "GET", f"//v1/jobs/{JOB_ID}", reads=JOB),
    # Its older releases.
    "a6, old name of the models": Call(
        COMMAND_LINE, "GET", "/v1/ollama/models?backend_url={ollama}", reads={"models": list}
    ),
    "a5, flat": a_submission(
        COMMAND_LINE,
        "benchmark",
        {**ASKED, **TERMS, "vastai": False, "vastai_stop_instance": True, "backend_url": URL},
    ),
    "a5, flat and rented": a_submission(
        COMMAND_LINE,
        "benchmark",
        {**ASKED, **TERMS, "vastai": True, "vastai_stop_instance": True, "backend_url": None},
    ),
    "a5, instance": a_submission(
        COMMAND_LINE,
        "ollama-instance",
        {**TERMS, "vastai": False, "backend_url": URL, "backend_type": "ollama"},
    ),
    "a3, benchmark": a_submission(COMMAND_LINE, "benchmark", OLD),
    "a3, agent": a_submission(
        COMMAND_LINE,
        "agentic-agent",
        {
            **{
                name: OLD[name] for name in ("question", "model", "ollama_url", "ollama_warmup", "kubeconfig")
            },
            "ollama_warmup_timeout": 90,
            "agent": "holmes",
        },
        "kubeconfig_ignored",
        "backend_url_ignored",
    ),
    "a3, instance": a_submission(
        COMMAND_LINE, "ollama-instance", {"vastai": False, **TERMS, "ollama_url": URL}
    ),
    "a3, models": Call(COMMAND_LINE, "GET", "/v1/ollama/models?ollama_url={ollama}", reads={"models": list}),
    # The web UI.
    "UI, health": Call({"accept": "*/*"}, "GET", "/healthz", reads={"status": str}),
    "UI, estimate of Vast.ai": an_estimate(UI, {**WIZARDS_ESTIMATE, "provisioning": WIZARDS_TERMS}),
    "UI, estimate of a cloud": an_estimate(UI, {**WIZARDS_ESTIMATE, "aws": True, "region": "us-east-1"}),
    "UI, estimate of an own machine": an_estimate(
        UI, {**WIZARDS_ESTIMATE, "local_hardware": True, "local_tdp_watts": 350.0}
    ),
    "UI, estimate of nothing": a_refusal(UI, "/v1/estimates", WIZARDS_ESTIMATE, "cost_driver_missing"),
    "UI, benchmark": a_submission(UI, "benchmark", WIZARD),
    "UI, rented": a_submission(
        UI,
        "benchmark",
        {
            **WIZARD,
            "provisioning": {"vastai": {**WIZARDS_TERMS["vastai"], "stop_instance": True}},
            "backend_url": None,
        },
    ),
    "UI, agent": a_submission(UI, "agentic-agent", {**WIZARD, "agent": "ask"}, "kubeconfig_ignored"),
    "UI, agent with a machine": a_submission(
        UI,
        "agentic-agent",
        {**WIZARD, "agent": "holmes", "provisioning": NESTED, "backend_url": None},
        "rental_ignored",
        "kubeconfig_ignored",
    ),
    "UI, its default agent": a_refusal(
        UI, "/v1/jobs/agentic-agent", {**WIZARD, "agent": "sre:k8sgpt"}, "agent_unknown"
    ),
    "UI, tracker": Call(UI, "GET", f"/v1/jobs/{JOB_ID}", reads=JOB),
    "UI, log": Call(UI, "GET", f"/v1/jobs/{JOB_ID}/events", reads={"events": list}),
    "UI, reports": Call(UI, "GET", "/v1/metrics/summary", reads={"events": list}),
    "UI, catalog": Call(UI, "GET", "/v1/catalog/vastai-models", reads={"models": list}),
    "UI, simulation": Call(
        UI, "GET", "/v1/finops/simulate?agent=holmes&model=llama3.1:8b&gpu=rtx4090", reads=SIMULATION
    ),
    # The operator, up to the last that speaks HTTP.
    "operator, estimate": an_estimate(
        OPERATOR,
        {
            **ESTIMATED,
            "template_hash": TEMPLATE,
            "reliability": 0.99,
            "model": "llama3.1:8b",
            "region": "",
            "estimated_duration_seconds": 0,
        },
    ),
    "operator, budget": Call(
        OPERATOR, "GET", "/v1/finops/simulate?agent=&model=llama3.1:8b&gpu=", reads={"total_cost_usd": float}
    ),
    "operator, benchmark": a_submission(
        OPERATOR_POSTS, "benchmark", {**RESOURCE, "attestation_required": False}
    ),
    "operator, rented": a_submission(
        OPERATOR_POSTS, "benchmark", {**RESOURCE_RENTS, "attestation_required": False}
    ),
    "operator, agent": a_submission(OPERATOR_POSTS, "agentic-agent", RESOURCE),
    "operator, instance": a_submission(OPERATOR_POSTS, "llm-instance", RESOURCE, "question_ignored"),
    "operator, rented instance": a_submission(
        OPERATOR_POSTS, "llm-instance", RESOURCE_RENTS, "question_ignored"
    ),
    "operator, a cloud": a_refusal(
        OPERATOR_POSTS, "/v1/jobs/benchmark", {**RESOURCE, "aws": True}, "invalid_request"
    ),
    "operator, attestation": a_refusal(
        OPERATOR_POSTS,
        "/v1/jobs/benchmark",
        {**RESOURCE, "attestation_required": True},
        "attestation_not_available",
    ),
    "operator, poll": Call(OPERATOR, "GET", f"/v1/jobs/{JOB_ID}", reads={"status": str, "message": str}),
    "operator a0, estimate of nothing": a_refusal(OPERATOR, "/v1/estimates", TERMS, "cost_driver_missing"),
}


@pytest.fixture(scope="module")
def of_field(shared_cloud: Cloud) -> Iterator[ModuleType]:
    """An API that may rent, with a HolmesGPT for its tenant, and the template that these clients name."""
    Ssm.write(
        f"{TENANTS}/default",
        {"templates": [TEMPLATE], "agents": {"holmes": {"base_url": "http://127.0.0.1:5050"}}},
    )
    settings = {"RUNE_CAN_RENT": "true", "RUNE_TENANTS_PATH": TENANTS}
    with loaded("api.handler", {**shared_cloud.environment, **settings}) as handler:
        yield handler


@pytest.fixture(scope="module")
def ollama() -> Iterator[str]:
    with running_server(create_app(SimulatedOllama(FAST))) as address:
        yield address


def send(api: ModuleType, call: Call, ollama: str) -> Response:
    path = call.path.format(ollama=ollama, host=ollama.removeprefix("http://"))
    is_open = call.path.endswith("healthz")
    return ask(
        api, an_http_event(call.method, path, call.body, call.headers, token=None if is_open else TOKEN)
    )


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_client_is_answered_with_what_it_reads(
    call: Call, of_field: ModuleType, cloud: Cloud, ollama: str
) -> None:
    put(cloud, a_job())

    response = send(of_field, call, ollama)

    assert response.status == call.status, response.document
    document = response.document
    assert {
        name: document[name] for name, kind in call.reads.items() if not isinstance(document[name], kind)
    } == {}
    assert document.get("code") == call.code
    if call.reads is JOB_ACCEPTED:
        assert document.get("warnings", []) == [*call.warnings]
        shown = ask(of_field, an_http_event("GET", f"/v1/jobs/{document['job_id']}")).document
        assert shown["warnings"] == [*call.warnings]


def test_operators_repetition_is_the_same_job_whatever_says_nothing(
    of_field: ModuleType, cloud: Cloud
) -> None:
    silent = ("backend_warmup_timeout", "region", "kubeconfig", "aws", "gcp", "azure")
    shortest = {name: value for name, value in RESOURCE.items() if name not in silent}
    bodies = [RESOURCE, shortest, {**RESOURCE, "region": "eu"}]

    answers = [
        ask(of_field, an_http_event("POST", "/v1/jobs/benchmark", body, OPERATOR_POSTS)).document
        for body in bodies
    ]

    assert len({answer["job_id"] for answer in answers}) == 1
    assert [answer.get("warnings") for answer in answers] == [None, None, ["region_ignored"]]
