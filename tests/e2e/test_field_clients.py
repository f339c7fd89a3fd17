"""RUNE's clients in the field work unchanged: their requests, and every field that they read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from local.stack import Stack
from local.tenants import read_document, write_documents
from tests.e2e.environment import FIELD_KEEPING_TENANT, FIELD_TENANT, OTHER_TENANT
from tests.e2e.field_client import FieldClient, ShownError
from tests.e2e.market import Market
from tests.e2e.model_server import ModelServer, model_server
from tests.e2e.worker_loss import SLOW

QUESTION = "What is unhealthy in this cluster?"
MODEL = "llama3.1:8b"
TERMS = {
    "template_hash": "c166c11f035d3a97871a23bd32ca6aba",
    "min_dph": 2.3,
    "max_dph": 3.0,
    "reliability": 0.99,
}
FLAT: dict[str, Any] = {"vastai": False, **TERMS, "vastai_stop_instance": True}
RENTED_FLAT: dict[str, Any] = {**FLAT, "vastai": True}
RENTED_NESTED: dict[str, Any] = {"provisioning": {"vastai": {**TERMS, "stop_instance": True}}}
ASKED: dict[str, Any] = {
    "question": QUESTION,
    "model": MODEL,
    "backend_type": "ollama",
    "backend_warmup": True,
    "backend_warmup_timeout": 90,
    "kubeconfig": "/home/x/.kube/config",
}
AGENT: dict[str, Any] = {**ASKED, "kubeconfig": None, "backend_warmup_timeout": 300, "agent": "ask"}
FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "benchmark, flat": ("benchmark", {**FLAT, **ASKED, "attestation_required": False}),
    "benchmark, nested": ("benchmark", {"provisioning": None, **ASKED, "attestation_required": False}),
    "agent": ("agentic-agent", AGENT),
    "instance, flat": ("llm-instance", {**FLAT, "backend_type": "ollama"}),
    "instance, nested": ("llm-instance", {"provisioning": None, "backend_type": "ollama"}),
    "instance, old name": ("ollama-instance", {"provisioning": None, "backend_type": "ollama"}),
}
# What a person who rents sends: no server's address.
RENTED: dict[str, tuple[str, dict[str, Any]]] = {
    "benchmark, rented flat": ("benchmark", {**RENTED_FLAT, **ASKED, "attestation_required": False}),
    "benchmark, rented nested": ("benchmark", {**RENTED_NESTED, **ASKED, "attestation_required": False}),
    "instance, rented nested": ("llm-instance", {**RENTED_NESTED, "backend_type": "ollama"}),
}
RESULT_FIELDS = {
    "benchmark": {
        "answer",
        "result_type",
        "artifacts",
        "metadata",
        "telemetry",
        "model_name",
        "backend_url",
        "contract_id",
    },
    "agentic-agent": {"answer", "result_type", "artifacts", "metadata", "telemetry"},
    "llm-instance": {"mode", "backend_url"},
}


@pytest.fixture(scope="module")
def client(stack: Stack, tokens: dict[str, str]) -> Iterator[FieldClient]:
    with FieldClient(stack.state.base_url, FIELD_TENANT, tokens[FIELD_TENANT]) as client:
        yield client


@pytest.fixture(scope="module")
def job_ids(client: FieldClient, quick: ModelServer) -> dict[str, str]:
    """Post every form before any is waited for: their clients are not alone either."""
    return {
        name: client.submit(kind, {**body, "backend_url": quick.url}, f"field-{number}")
        for number, (name, (kind, body)) in enumerate(FORMS.items())
    }


@pytest.mark.parametrize("form", FORMS)
def test_job_ends_with_every_field_that_clients_read(
    client: FieldClient, quick: ModelServer, job_ids: dict[str, str], form: str
) -> None:
    ended = client.wait(job_ids[form])

    kind = FORMS[form][0].replace("ollama", "llm")
    result = ended.result
    assert result.keys() >= RESULT_FIELDS[kind]
    assert all(ended.shown)
    if kind == "llm-instance":
        assert (result["mode"], result["backend_url"]) == ("existing", quick.url)
        return
    assert isinstance(result["answer"], str)
    assert result["answer"]
    assert result["result_type"] in {"text", "image", "structured", "report"}
    assert result["artifacts"] is None or isinstance(result["artifacts"], list)
    assert isinstance(result["metadata"], dict)
    telemetry = result["telemetry"]
    assert telemetry["tokens"].keys() == {
        "system_prompt",
        "tool_calls",
        "agent_reasoning",
        "output",
        "total",
    }
    assert all(isinstance(count, int) for count in telemetry["tokens"].values())
    assert all(row.keys() == {"phase", "ms"} for row in telemetry["latency"])
    assert "cost_estimate_usd" in telemetry


@pytest.fixture(scope="module")
def renters(stack: Stack, tokens: dict[str, str], client: FieldClient) -> Iterator[dict[str, FieldClient]]:
    """Give a client for each kind of job: a benchmark of the same tenant could use the machine that is kept."""
    tenant = FIELD_KEEPING_TENANT
    with FieldClient(stack.state.base_url, tenant, tokens[tenant]) as keeping:
        yield {"benchmark": client, "llm-instance": keeping}


@pytest.fixture(scope="module")
def rented_job_ids(renters: dict[str, FieldClient]) -> dict[str, str]:
    """Post every form before any is waited for, as above."""
    return {
        # A key without quotes has no comma.
        name: renters[kind].submit(kind, {**body, "backend_url": None}, f"field-rented-{number}")
        for number, (name, (kind, body)) in enumerate(RENTED.items())
    }


@pytest.mark.parametrize("form", RENTED)
def test_job_in_either_form_rents(
    renters: dict[str, FieldClient], market: Market, rented_job_ids: dict[str, str], form: str
) -> None:
    kind, job_id = RENTED[form][0], rented_job_ids[form]
    client = renters[kind]

    result = client.wait(job_id, limit_seconds=150.0).result

    assert result.keys() >= RESULT_FIELDS[kind]
    made = market.contracts_of(job_id)
    assert [contract.contract_id for contract in made] == [result["contract_id"]]
    if kind == "llm-instance":
        assert result["mode"] == "vastai"
        client.end_rental(job_id)
    market.wait_until_gone(job_id, limit_seconds=150.0)


def test_key_that_is_sent_again_is_the_same_job(
    client: FieldClient, quick: ModelServer, job_ids: dict[str, str]
) -> None:
    kind, body = FORMS["benchmark, flat"]

    assert client.submit(kind, {**body, "backend_url": quick.url}, "field-0") == job_ids["benchmark, flat"]


def test_events_have_every_field_that_clients_read(client: FieldClient, job_ids: dict[str, str]) -> None:
    client.wait(job_ids["benchmark, flat"])

    document = client.get(f"/v1/jobs/{job_ids['benchmark, flat']}/events")

    events = document["events"]
    assert document["job_id"] == job_ids["benchmark, flat"]
    assert [event["id"] for event in events] == sorted({event["id"] for event in events})
    for event in events:
        assert isinstance(event["event"], str)
        assert event["status"] in {"ok", "error"}
        assert event.keys() >= {"duration_ms", "error_type"}
        assert isinstance(event["labels"], dict)
        assert isinstance(event["recorded_at"], float)


@pytest.mark.parametrize("query", [{}, {"job_id": "benchmark, flat"}], ids=["all", "one job"])
def test_metrics_have_every_field_that_clients_read(
    client: FieldClient, job_ids: dict[str, str], query: dict[str, str]
) -> None:
    client.wait(job_ids["benchmark, flat"])

    rows = client.get("/v1/metrics/summary", {name: job_ids[form] for name, form in query.items()})["events"]

    assert rows
    assert [row["event"] for row in rows] == sorted(row["event"] for row in rows)
    assert all(row.keys() >= {"event", "total", "ok", "error", "avg_ms", "min_ms", "max_ms"} for row in rows)


NOTHING_CHOSEN: dict[str, Any] = {
    **dict.fromkeys(("vastai", "aws", "gcp", "azure", "local_hardware"), False),
    "min_dph": 2.3,
    "max_dph": 3.0,
    "model": MODEL,
    "estimated_duration_seconds": 3600,
    "local_tdp_watts": 0.0,
    "local_energy_rate_kwh": 0.0,
    "local_hardware_purchase_price": 0.0,
    "local_hardware_lifespan_years": 0.0,
}
OWN_MACHINE = {
    "local_hardware": True,
    "local_tdp_watts": 350.0,
    "local_energy_rate_kwh": 0.3,
    "local_hardware_purchase_price": 2000.0,
    "local_hardware_lifespan_years": 4.0,
}


@pytest.mark.parametrize(
    ("chosen", "driver", "most_usd"),
    [({"vastai": True}, "vastai", 5.0), (OWN_MACHINE, "local", 0.1621)],
    ids=["vastai", "local"],
)
def test_estimate_has_every_field_that_clients_read(
    client: FieldClient, chosen: dict[str, Any], driver: str, most_usd: float
) -> None:
    estimate = client.post("/v1/estimates", {**NOTHING_CHOSEN, **chosen})

    # Above five dollars they ask a person.
    assert 0 < estimate["projected_cost_usd"] <= most_usd
    assert estimate["cost_driver"] == driver
    assert estimate["resource_impact"] in {"low", "medium", "high"}
    assert estimate["local_energy_kwh"] == (0.35 if driver == "local" else 0.0)
    # Below 0.95 they stop.
    assert 0.95 <= estimate["confidence_score"] <= 1
    assert estimate["warning"] is None or isinstance(estimate["warning"], str)


def test_estimate_fails_closed(client: FieldClient) -> None:
    with pytest.raises(ShownError):
        client.post("/v1/estimates", NOTHING_CHOSEN)


@pytest.mark.parametrize("cloud", ["aws", "gcp", "azure"])
def test_estimate_of_a_cloud_is_a_list_price_and_stops_clients_that_want_a_bound(
    client: FieldClient, cloud: str
) -> None:
    estimate = client.post("/v1/estimates", {**NOTHING_CHOSEN, cloud: True, "region": "eu-central-1"})

    assert (estimate["cost_driver"], estimate["confidence_score"]) == (cloud, 0.8)
    assert estimate["projected_cost_usd"] > 0
    assert "list price" in estimate["warning"]


def test_catalog_is_the_one_in_use(client: FieldClient) -> None:
    models = client.get("/v1/catalog/vastai-models")["models"]

    assert {model["name"]: (model["vram_mb"], model["required_disk_gb"]) for model in models} == {
        # Disk: VRAM in GiB, times 1.15, rounded up, and 32.
        "llama3.1:405b": (260000, 324),
        "mixtral:8x22b": (95000, 139),
        "command-r-plus:104b": (75000, 117),
        "qwen2.5-coder:72b": (55000, 94),
        "llama3.1:70b": (50000, 89),
        "mixtral:8x7b": (32000, 68),
        "command-r:35b": (28000, 64),
        "llama3.1:8b": (8000, 41),
    }


@pytest.mark.parametrize("path", ["/v1/llm/models", "/v1/ollama/models"])
def test_models_have_every_field_that_clients_read(
    client: FieldClient, quick: ModelServer, path: str
) -> None:
    offered = client.get(path, {"backend_url": quick.url, "backend_type": "ollama"})

    assert (offered["backend_url"], offered["backend_type"]) == (quick.url, "ollama")
    assert MODEL in offered["models"]
    assert offered["models"] == sorted(offered["models"])
    assert isinstance(offered["running_models"], list)


def test_cancelled_job_ends_badly_with_something_to_show(client: FieldClient) -> None:
    kind, body = FORMS["benchmark, nested"]
    with model_server(SLOW) as slow:
        job_id = client.submit(kind, {**body, "backend_url": slow.url})
        client.cancel(job_id)

        with pytest.raises(ShownError, match="Cancelled"):
            client.wait(job_id, limit_seconds=30.0)


def test_failed_job_shows_its_error(client: FieldClient, quick: ModelServer) -> None:
    kind, body = FORMS["benchmark, flat"]
    job_id = client.submit(kind, {**body, "backend_url": quick.url, "model": "missing"})

    with pytest.raises(ShownError, match="does not have the model 'missing'"):
        client.wait(job_id)


@pytest.mark.parametrize(
    ("kind", "body", "shown"),
    [
        # With the address of a server too, and no price: which of the two is meant, nobody knows.
        ("benchmark", {"vastai": True, **ASKED}, "or rent one, but not both"),
        ("llm-instance", {"vastai": True}, "or rent one, but not both"),
        ("llm-instance", {"provisioning": None, "backend_url": None}, "backend_url"),
        ("agentic-agent", {**AGENT, "backend_url": None}, "backend_url"),
        # Their default agent: its server is a setting of the tenant, and this tenant has none.
        ("agentic-agent", {**AGENT, "agent": "holmes"}, "holmes"),
        ("agentic-agent", {**AGENT, "agent": "unheard-of"}, "unheard-of"),
    ],
    ids=["rented", "instance", "no url", "agent", "holmes", "unknown"],
)
def test_request_that_could_only_fail_later_is_refused_with_a_sentence(
    client: FieldClient, quick: ModelServer, kind: str, body: dict[str, Any], shown: str
) -> None:
    with pytest.raises(ShownError) as refused:
        client.submit(kind, {"backend_url": quick.url, **body})

    assert shown.lower() in str(refused.value).lower()
    assert "{" not in str(refused.value)


def test_agent_of_the_command_line_answers_once_the_operator_names_its_server(
    stack: Stack, tokens: dict[str, str]
) -> None:
    # Its tenant, as the other's agent is refused above.
    tenant = FIELD_KEEPING_TENANT
    agents = {"holmes": {"base_url": stack.state.simulators["holmes"]}}
    write_documents(stack.aws, {tenant: {**read_document(stack.aws, tenant), "agents": agents}})
    with FieldClient(stack.state.base_url, tenant, tokens[tenant]) as client:
        job_id = submit_once_configured(client, {**AGENT, "agent": "holmes", "backend_url": None})

        result = client.wait(job_id).result

    assert result.keys() >= RESULT_FIELDS["agentic-agent"]
    assert result["answer"]


def submit_once_configured(client: FieldClient, body: dict[str, Any]) -> str:
    """Return the id of a job of the agent; a change of a tenant's document holds within 30 seconds."""
    deadline = time.monotonic() + 60.0
    while True:
        try:
            return client.submit("agentic-agent", body)
        except ShownError as refused:
            if "HolmesGPT" not in str(refused) or time.monotonic() > deadline:
                raise
        time.sleep(1.0)


def test_other_tenants_job_is_shown_as_missing(
    stack: Stack, tokens: dict[str, str], job_ids: dict[str, str]
) -> None:
    with (
        FieldClient(stack.state.base_url, OTHER_TENANT, tokens[OTHER_TENANT]) as neighbour,
        pytest.raises(ShownError, match="There is no job"),
    ):
        neighbour.get(f"/v1/jobs/{job_ids['agent']}")
