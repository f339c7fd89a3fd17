import json

import pytest

from rune.agents.holmes import HINT
from rune.contracts import AgenticAgentRequest, BenchmarkRequest, LlmInstanceRequest
from rune.errors import InvalidRequestError
from rune.jobs.record import Kind, StepName
from rune.net.addresses import AddressPolicy
from rune.services.admission.requests import (
    Admitted,
    admit_agentic_agent,
    admit_benchmark,
    admit_llm_instance,
    normalize_sent,
)
from rune.tenants.document import HolmesSettings, TenantAgents
from tests.builders import a_benchmark_request

LOOPBACK = AddressPolicy.parse("127.0.0.0/8")


def admitted(**overrides: object) -> dict[str, object]:
    request = BenchmarkRequest.model_validate(a_benchmark_request(**overrides))
    kept: dict[str, object] = json.loads(admit_benchmark(request, LOOPBACK).request_json)
    return kept


def test_admit_keeps_the_request_with_its_defaults() -> None:
    assert admitted() == {
        "question": "What is unhealthy in this Kubernetes cluster?",
        "model": "llama3.1:8b",
        "backend_url": "http://127.0.0.1:11434",
        "backend_type": "ollama",
        "backend_warmup": True,
        "backend_warmup_timeout": 300,
        "timeout_seconds": 600,
        "vastai": False,
        "vastai_stop_instance": True,
        "boot_timeout_seconds": 360,
        "keep_seconds": 3600,
        "attestation_required": False,
    }


def test_admit_forgets_the_callers_kubeconfig() -> None:
    assert admitted(kubeconfig="/home/x/.kube/config") == admitted()


@pytest.mark.parametrize("provisioning", [None, {}, {"vastai": None}])
def test_admitted_request_can_be_read_again(provisioning: object) -> None:
    kept = admitted(provisioning=provisioning, min_dph=2.3, max_dph=3.0)

    again = BenchmarkRequest.model_validate_json(json.dumps(kept))

    assert (again.min_dph, again.max_dph, again.wants_rental) == (2.3, 3.0, False)


RENTAL_ALONE = {
    "max_cost_usd": 0.5,
    "keep_seconds": 600,
    "boot_timeout_seconds": 600,
    "min_vram_mb": 8000,
}


@pytest.mark.parametrize(
    ("given", "warnings"),
    [
        (RENTAL_ALONE, tuple(f"{name}_ignored" for name in RENTAL_ALONE)),
        ({"max_cost_usd": 0.5}, ("max_cost_usd_ignored",)),
        # A stored request has every default in it, and clients send Vast.ai's terms unasked.
        ({"keep_seconds": 3600, "boot_timeout_seconds": 360, "min_vram_mb": None}, ()),
        ({"min_dph": 0.5, "max_dph": 2.0, "reliability": 0.9, "template_hash": "t"}, ()),
    ],
)
def test_terms_of_a_rental_are_warned_of_where_nothing_is_rented(
    given: dict[str, object], warnings: tuple[str, ...]
) -> None:
    request = BenchmarkRequest.model_validate(a_benchmark_request(**given))

    assert admit_benchmark(request, LOOPBACK).warnings == warnings


def test_cap_of_an_agents_job_that_buys_nothing_is_warned_of() -> None:
    request = AgenticAgentRequest.model_validate(
        {
            "agent": "ask",
            "question": "q",
            "model": "m",
            "backend_url": "http://127.0.0.1:1",
            "max_cost_usd": 1.0,
        }
    )

    assert admit_agentic_agent(request, LOOPBACK, TenantAgents()).warnings == ("max_cost_usd_ignored",)


REFUSALS: list[tuple[dict[str, object], str, str]] = [
    ({"vastai": True}, "/vastai", "vastai_not_available"),
    ({"vastai": True, "backend_url": None}, "/vastai", "vastai_not_available"),
    ({"provisioning": {"vastai": {}}}, "/provisioning/vastai", "vastai_not_available"),
    ({"attestation_required": True}, "/attestation_required", "attestation_not_available"),
    ({"backend_url": None}, "/backend_url", "backend_url_missing"),
    ({"backend_url": "http://10.0.0.1:11434"}, "/backend_url", "address_refused"),
    ({"backend_url": "http://169.254.169.254/latest"}, "/backend_url", "address_refused"),
    ({"backend_url": "http://[::1]:11434"}, "/backend_url", "address_refused"),
    ({"backend_url": "ftp://127.0.0.1"}, "/backend_url", "address_refused"),
    ({"backend_url": "llama"}, "/backend_url", "address_refused"),
]


@pytest.mark.parametrize(("overrides", "pointer", "code"), REFUSALS)
def test_admit_refuses_when_the_job_could_only_fail(
    overrides: dict[str, object], pointer: str, code: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        admitted(**overrides)

    assert (caught.value.pointer, caught.value.specific_code) == (pointer, code)
    assert caught.value.sentence


def test_admit_refuses_loopback_when_the_operator_does_not_allow_it() -> None:
    request = BenchmarkRequest.model_validate(a_benchmark_request())

    with pytest.raises(InvalidRequestError) as caught:
        admit_benchmark(request, AddressPolicy())

    assert caught.value.specific_code == "address_refused"


def test_admit_names_the_kind_and_its_first_step() -> None:
    benchmark = admit_benchmark(BenchmarkRequest.model_validate(a_benchmark_request()), LOOPBACK)
    agent, instance = admitted_agent(), admitted_instance()

    assert [(each.kind, each.first_step) for each in (benchmark, agent, instance)] == [
        (Kind.BENCHMARK, StepName.CHECK),
        (Kind.AGENTIC_AGENT, StepName.CHECK_AGENT),
        (Kind.LLM_INSTANCE, StepName.VERIFY),
    ]


SAME = [
    {},
    {"backend_type": "ollama", "timeout_seconds": 600, "vastai": False},
    {"backend_url": "http://127.0.0.1:11434/"},
    {"backend_url": "HTTP://127.0.0.1:11434"},
    {"template_hash": None, "provisioning": None},
    {"kubeconfig": "/home/x/.kube/config"},
]


@pytest.mark.parametrize("overrides", SAME)
def test_admit_keeps_the_same_document_of_requests_that_mean_the_same(overrides: dict[str, object]) -> None:
    request = BenchmarkRequest.model_validate(a_benchmark_request(**overrides))
    plain = BenchmarkRequest.model_validate(a_benchmark_request())

    kept, kept_plain = (admit_benchmark(each, LOOPBACK).request_json for each in (request, plain))
    assert kept == kept_plain


# An agent's job.

NO_AGENTS = TenantAgents()
HOLMES = TenantAgents(holmes=HolmesSettings(base_url="https://holmes.example"))


def admitted_agent(agents: TenantAgents = NO_AGENTS, **overrides: object) -> Admitted:
    request = AgenticAgentRequest.model_validate(a_benchmark_request(**overrides))
    return admit_agentic_agent(request, LOOPBACK, agents)


AGENTS_REQUEST = {
    "question": "What is unhealthy in this Kubernetes cluster?",
    "model": "llama3.1:8b",
    "backend_url": "http://127.0.0.1:11434",
    "backend_type": "ollama",
    "backend_warmup": True,
    "backend_warmup_timeout": 300,
    "timeout_seconds": 600,
    "agent": "ask",
    "max_turns": 20,
    "max_tool_calls": 60,
    "max_tokens": 500_000,
}


@pytest.mark.parametrize("agents", [NO_AGENTS, HOLMES], ids=["no holmes", "holmes"])
@pytest.mark.parametrize("overrides", [{}, {"agent": "ask"}, {"kubeconfig": "/home/x/.kube/config"}])
def test_admit_keeps_the_agents_request_with_its_defaults(
    overrides: dict[str, object], agents: TenantAgents
) -> None:
    assert json.loads(admitted_agent(agents, **overrides).request_json) == AGENTS_REQUEST


def test_agents_kubeconfig_is_told_to_be_of_no_use() -> None:
    assert admitted_agent(kubeconfig="/home/x/.kube/config").warnings == ("kubeconfig_ignored",)
    assert admitted_agent().warnings == ()


@pytest.mark.parametrize(
    ("sent", "warnings"),
    [
        ({"max_turns": 3, "max_tokens": 9_000}, ("max_turns_ignored", "max_tokens_ignored")),
        ({"max_turns": 20}, ()),
        ({"agent": "holmes"}, ("backend_url_ignored",)),
        ({"agent": "holmes", "backend_url": None, "max_tool_calls": 3}, ("max_tool_calls_ignored",)),
    ],
)
def test_fields_that_an_agent_does_not_use_are_told(
    sent: dict[str, object], warnings: tuple[str, ...]
) -> None:
    assert admitted_agent(HOLMES, **sent).warnings == warnings


def test_bounds_of_an_agent_that_asks_often_are_used() -> None:
    request = AgenticAgentRequest.model_validate(
        a_benchmark_request(agent="kubernetes", cluster="prod", max_turns=3, max_tokens=9_000)
    )

    assert admit_agentic_agent(request, LOOPBACK, NO_AGENTS, clusters=("prod",)).warnings == ()


# A server that is not used is not judged either.
UNUSED_URLS = [None, "http://127.0.0.1:11434", "http://169.254.169.254/latest", "llama"]


@pytest.mark.parametrize("url", UNUSED_URLS)
def test_admit_forgets_the_model_server_when_the_agent_has_its_own(url: str | None) -> None:
    kept = json.loads(admitted_agent(HOLMES, agent="holmes", backend_url=url).request_json)

    assert kept == {
        name: value for name, value in {**AGENTS_REQUEST, "agent": "holmes"}.items() if name != "backend_url"
    }


def test_admitted_agents_request_can_be_read_again() -> None:
    kept = admitted_agent(HOLMES, agent="holmes", model="fast").request_json

    again = AgenticAgentRequest.model_validate_json(kept)

    assert (again.agent, again.model, again.backend_url, again.kubeconfig) == ("holmes", "fast", None, None)


AGENT_REFUSALS: list[tuple[dict[str, object], TenantAgents, str, str, str]] = [
    ({"agent": "k8sgpt"}, HOLMES, "/agent", "agent_unknown", "it knows ask, kubernetes, holmes, driver, a2a"),
    ({"agent": "Ask"}, HOLMES, "/agent", "agent_unknown", "it knows ask, kubernetes, holmes, driver, a2a"),
    ({"agent": "holmes"}, NO_AGENTS, "/agent", "agent_not_configured", HINT),
    ({"agent": "ask", "backend_url": None}, HOLMES, "/backend_url", "backend_url_missing", "backend_url"),
    ({"agent": "kubernetes"}, NO_AGENTS, "/cluster", "cluster_missing", "name one of your tenant's"),
    ({"agent": "kubernetes", "cluster": "x"}, NO_AGENTS, "/cluster", "cluster_unknown", "it has: none"),
    ({"backend_url": "http://10.0.0.1:11434"}, NO_AGENTS, "/backend_url", "address_refused", ""),
    ({"backend_url": "ftp://127.0.0.1"}, NO_AGENTS, "/backend_url", "address_refused", ""),
    # The agent comes first: what else is wrong may depend on it.
    ({"agent": "holmes", "backend_url": None}, NO_AGENTS, "/agent", "agent_not_configured", HINT),
]


@pytest.mark.parametrize(("overrides", "agents", "pointer", "code", "words"), AGENT_REFUSALS)
def test_admit_refuses_an_agents_job_that_could_only_fail(
    overrides: dict[str, object], agents: TenantAgents, pointer: str, code: str, words: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        admitted_agent(agents, **overrides)

    assert (caught.value.pointer, caught.value.specific_code) == (pointer, code)
    assert caught.value.sentence
    assert words in caught.value.sentence


def test_admit_keeps_the_name_of_a_cluster_that_the_tenant_has() -> None:
    unnamed = {name: value for name, value in AGENTS_REQUEST.items() if name != "agent"}
    request = AgenticAgentRequest.model_validate({**unnamed, "cluster": "prod"})

    kept = admit_agentic_agent(request, LOOPBACK, TenantAgents(), clusters={"prod", "lab"}).request_json

    stored = AgenticAgentRequest.model_validate_json(kept)
    assert (stored.cluster, stored.agent) == ("prod", "kubernetes")


def test_admit_refuses_a_cluster_beside_an_agent_that_reads_none() -> None:
    request = AgenticAgentRequest.model_validate({**AGENTS_REQUEST, "cluster": "prod", "agent": "ask"})

    with pytest.raises(InvalidRequestError, match="'ask' reads no cluster") as caught:
        admit_agentic_agent(request, LOOPBACK, TenantAgents(), clusters={"prod"})

    assert caught.value.pointer == "/cluster"


@pytest.mark.parametrize(
    ("clusters", "words"), [(set(), "it has: none"), ({"prod", "lab"}, "it has: lab, prod")]
)
def test_admit_refuses_a_cluster_that_the_tenant_has_not(clusters: set[str], words: str) -> None:
    request = AgenticAgentRequest.model_validate({**AGENTS_REQUEST, "cluster": "other"})

    with pytest.raises(InvalidRequestError, match=words) as caught:
        admit_agentic_agent(request, LOOPBACK, TenantAgents(), clusters=clusters)

    assert (caught.value.pointer, caught.value.specific_code) == ("/cluster", "cluster_unknown")


# An instance.


def admitted_instance(**overrides: object) -> Admitted:
    request = LlmInstanceRequest.model_validate({"backend_url": "http://127.0.0.1:11434", **overrides})
    return admit_llm_instance(request, LOOPBACK)


@pytest.mark.parametrize(
    "overrides", [{}, {"provisioning": None}, {"backend_url": "http://127.0.0.1:11434/"}]
)
def test_admit_keeps_the_instances_request_with_its_defaults(overrides: dict[str, object]) -> None:
    assert json.loads(admitted_instance(**overrides).request_json) == {
        "backend_url": "http://127.0.0.1:11434",
        "backend_type": "ollama",
        "vastai": False,
        "vastai_stop_instance": True,
        "boot_timeout_seconds": 360,
        "keep_seconds": 3600,
        "backend_warmup_timeout": 300,
    }


INSTANCE_REFUSALS = [row for row in REFUSALS if "attestation_required" not in row[0]]


@pytest.mark.parametrize(("overrides", "pointer", "code"), INSTANCE_REFUSALS)
def test_admit_refuses_an_instance_that_could_only_fail(
    overrides: dict[str, object], pointer: str, code: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        admitted_instance(**overrides)

    assert (caught.value.pointer, caught.value.specific_code) == (pointer, code)
    assert caught.value.sentence


class LaterBenchmark(BenchmarkRequest):
    """A benchmark as a later version may define it: with another default and one more field."""

    timeout_seconds: int = 900
    retries: int = 3


SENT = {
    "question": "q",
    "model": "m",
    "backend_url": "http://8.8.8.8",
    "workload": {"goodput": {"ttft_ms": 5.0}},
}


@pytest.mark.parametrize(
    "again",
    [
        dict(reversed(SENT.items())),
        {**SENT, "workload": {"goodput": {"ttft_ms": 5}, "prompts": None}, "expected": None},
    ],
)
def test_sent_request_is_the_same_in_any_spelling_and_version(again: dict[str, object]) -> None:
    first = BenchmarkRequest.model_validate_json(json.dumps(SENT))
    later = LaterBenchmark.model_validate_json(json.dumps(again))

    assert normalize_sent(later) == normalize_sent(first)


@pytest.mark.parametrize(
    "other",
    [
        {**SENT, "timeout_seconds": 600},
        {**SENT, "workload": {"goodput": {"ttft_ms": 5.5}}},
        {**SENT, "expected": {"json_schema": {"const": None}}},
    ],
)
def test_sent_request_is_another_one_when_the_caller_sent_something_else(other: dict[str, object]) -> None:
    first = BenchmarkRequest.model_validate_json(json.dumps(SENT))

    assert normalize_sent(BenchmarkRequest.model_validate_json(json.dumps(other))) != normalize_sent(first)


def test_sent_schemas_differ_where_only_a_null_does() -> None:
    schemas: list[dict[str, object]] = [{"const": None}, {}]

    sent = {
        normalize_sent(
            BenchmarkRequest.model_validate_json(json.dumps({**SENT, "expected": {"json_schema": each}}))
        )
        for each in schemas
    }

    assert len(sent) == 2
