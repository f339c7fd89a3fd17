from __future__ import annotations

import json
from importlib import import_module

import pytest
from pydantic import BaseModel, ValidationError

from rune import contracts
from rune.contracts import (
    AgenticAgentRequest,
    BenchmarkRequest,
    BenchmarkResult,
    Document,
    JudgeModel,
    LlmInstanceRequest,
    StoredBenchmarkResult,
)
from rune.contracts.estimates import CostEstimationRequest
from rune.contracts.faults import describe_fault
from rune.contracts.records import BOOKKEEPING
from rune.contracts.workloads import CapacitySearch
from tests.builders import a_benchmark_request

type JobRequest = BenchmarkRequest | AgenticAgentRequest | LlmInstanceRequest

LEAST = {"question": "q", "model": "m"}


def read(**fields: object) -> BenchmarkRequest:
    return BenchmarkRequest.model_validate({**LEAST, **fields})


def test_request_has_the_defaults_that_clients_count_on() -> None:
    assert read().model_dump() == {
        "question": "q",
        "model": "m",
        "backend_url": None,
        "backend_type": "ollama",
        "backend_warmup": True,
        "backend_warmup_timeout": 300,
        "timeout_seconds": 600,
        "vastai": False,
        "template_hash": None,
        "min_dph": None,
        "max_dph": None,
        "reliability": None,
        "vastai_stop_instance": True,
        "provisioning": None,
        "min_vram_mb": None,
        "boot_timeout_seconds": 360,
        "max_cost_usd": None,
        "keep_seconds": 3600,
        "kubeconfig": None,
        "attestation_required": False,
        "backend_credential": None,
        "context_tokens": None,
        "workload": None,
        "expected": None,
        "suite": None,
        "suite_version": None,
        "cases": None,
        "runs": None,
        "max_turns": None,
        "max_tool_calls": None,
        "max_tokens": None,
        "queue_timeout_seconds": None,
        "max_runtime_seconds": None,
        "name": None,
        "metadata": None,
        "callback_url": None,
        "dry_run": None,
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"question": "q" * 100_000},
        {"question": "漢" * 100_000},
        {"model": "/models/" + "m" * 248},
        {"model": "漢" * 170},
        {"backend_url": "u" * 2048},
        {"backend_warmup_timeout": 30},
        {"backend_warmup_timeout": 900},
        {"timeout_seconds": 10},
        {"timeout_seconds": 840},
        {"template_hash": "h" * 256},
        {"min_dph": 0, "max_dph": 1000},
        {"min_dph": 3.0, "max_dph": 3.0},
        {"max_dph": 0.1},
        {"reliability": 0},
        {"reliability": 1.0},
        {"kubeconfig": "k" * 4096},
        {"provisioning": {}},
        {"provisioning": {"vastai": None}, "min_dph": 2.3},
        {"provisioning": {"vastai": {}}},
        {"provisioning": {"vastai": {"min_dph": 3.0, "max_dph": 3.0}}},
        {"provisioning": {"vastai": {}}, "min_dph": None, "template_hash": None},
    ],
)
def test_request_is_taken_when_every_field_is_within_its_bounds(fields: dict[str, object]) -> None:
    assert read(**fields).model_fields_set == {*LEAST, *fields}


REFUSED: list[tuple[dict[str, object], str]] = [
    ({"question": ""}, "question"),
    ({"question": "q" * 100_001}, "question"),
    ({"question": None}, "question"),
    ({"model": ""}, "model"),
    ({"model": "m" * 257}, "model"),
    ({"model": "漢" * 171}, "model"),
    ({"backend_url": "u" * 2049}, "backend_url"),
    ({"backend_type": "OLLAMA"}, "backend_type"),
    ({"backend_type": None}, "backend_type"),
    ({"backend_warmup": "true"}, "backend_warmup"),
    ({"backend_warmup": 1}, "backend_warmup"),
    ({"backend_warmup_timeout": -1}, "backend_warmup_timeout"),
    ({"backend_warmup_timeout": 901}, "backend_warmup_timeout"),
    ({"backend_warmup_timeout": 90.5}, "backend_warmup_timeout"),
    ({"backend_warmup_timeout": "90"}, "backend_warmup_timeout"),
    ({"backend_warmup_timeout": True}, "backend_warmup_timeout"),
    ({"timeout_seconds": 9}, "timeout_seconds"),
    ({"timeout_seconds": 841}, "timeout_seconds"),
    ({"template_hash": "h" * 257}, "template_hash"),
    ({"min_dph": -0.1}, "min_dph"),
    ({"max_dph": 1000.1}, "max_dph"),
    ({"min_dph": float("nan")}, "min_dph"),
    ({"max_dph": float("inf")}, "max_dph"),
    ({"reliability": 1.1}, "reliability"),
    ({"kubeconfig": "k" * 4097}, "kubeconfig"),
    ({"kubeconfig": {}}, "kubeconfig"),
    ({"provisioning": []}, "provisioning"),
    ({"provisioning": {"aws": {}}}, "provisioning.aws"),
    ({"provisioning": {"vastai": {"price": 1}}}, "provisioning.vastai.price"),
    ({"provisioning": {"vastai": {"stop_instance": "no"}}}, "provisioning.vastai.stop_instance"),
    ({"Question": "q"}, "Question"),
    ({"min_dph": 3.1, "max_dph": 3.0}, ""),
    ({"provisioning": {"vastai": {"min_dph": 3.1, "max_dph": 3.0}}}, "provisioning.vastai"),
    # Above the default of the other.
    ({"provisioning": {"vastai": {"min_dph": 3.1}}}, "provisioning.vastai"),
]


@pytest.mark.parametrize(("fields", "place"), REFUSED)
def test_request_is_refused_at_the_field_that_is_wrong(fields: dict[str, object], place: str) -> None:
    with pytest.raises(ValidationError) as caught:
        read(**fields)

    assert [".".join(map(str, error["loc"])) for error in caught.value.errors()] == [place]


@pytest.mark.parametrize(
    "flat",
    [
        {"template_hash": "h"},
        {"min_dph": 1.0},
        {"max_dph": 1.0},
        {"reliability": 0.9},
        {"vastai_stop_instance": True},
    ],
)
def test_request_is_refused_when_the_terms_are_given_twice(flat: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="given twice"):
        read(provisioning={"vastai": {}}, **flat)


@pytest.mark.parametrize("terms", [{}, {"max_dph": 1.0}])
def test_request_is_refused_when_one_form_says_no_and_the_other_asks_for_a_machine(
    terms: dict[str, object],
) -> None:
    with pytest.raises(
        ValidationError, match=r"vastai is false, and provisioning\.vastai asks for a machine"
    ):
        read(vastai=False, provisioning={"vastai": terms})


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, False),
        ({"vastai": True}, True),
        ({"vastai": False, "provisioning": None}, False),
        ({"vastai": True, "provisioning": {"vastai": {}}}, True),
        ({"provisioning": None}, False),
        ({"provisioning": {}}, False),
        ({"provisioning": {"vastai": None}}, False),
        ({"provisioning": {"vastai": {}}}, True),
    ],
)
def test_request_wants_a_rental_when_it_says_so_in_either_form(
    fields: dict[str, object], *, expected: bool
) -> None:
    assert read(**fields).wants_rental is expected


def test_request_is_the_same_when_it_is_written_and_read_again() -> None:
    request = BenchmarkRequest.model_validate(a_benchmark_request(min_dph=2.3))

    again = BenchmarkRequest.model_validate_json(request.model_dump_json(exclude_none=True))

    assert again.model_dump() == request.model_dump()


DOCUMENTS = [
    document
    for document in (getattr(contracts, name) for name in contracts.__all__)
    if isinstance(document, type) and issubclass(document, Document) and document is not Document
]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.__name__)
def test_document_takes_no_unknown_field_and_no_other_type(document: type[BaseModel]) -> None:
    config = document.model_config

    assert (config["extra"], config["strict"], config["allow_inf_nan"], config["frozen"]) == (
        "forbid",
        True,
        False,
        True,
    )


REQUESTS = (BenchmarkRequest, AgenticAgentRequest, LlmInstanceRequest)


@pytest.mark.parametrize(
    ("request_type", "name"), [(each, name) for each in REQUESTS for name in each.model_fields]
)
def test_request_describes_every_field(request_type: type[Document], name: str) -> None:
    schema = json.loads(json.dumps(request_type.model_json_schema()))

    assert schema["properties"][name]["description"]


def test_agents_request_has_the_defaults_that_clients_count_on() -> None:
    assert AgenticAgentRequest.model_validate(LEAST).model_dump() == {
        "question": "q",
        "model": "m",
        "backend_url": None,
        "backend_type": "ollama",
        "backend_warmup": True,
        "backend_warmup_timeout": 300,
        "timeout_seconds": 600,
        "kubeconfig": None,
        "backend_credential": None,
        "agent": "ask",
        "cluster": None,
        "max_turns": 20,
        "max_tool_calls": 60,
        "max_tokens": 500_000,
        "queue_timeout_seconds": None,
        "max_runtime_seconds": None,
        "name": None,
        "metadata": None,
        "callback_url": None,
        "dry_run": None,
        "max_cost_usd": None,
    }


def test_instances_request_has_the_defaults_that_clients_count_on() -> None:
    assert LlmInstanceRequest.model_validate({}).model_dump() == {
        "backend_url": None,
        "backend_type": "ollama",
        "vastai": False,
        "template_hash": None,
        "min_dph": None,
        "max_dph": None,
        "reliability": None,
        "vastai_stop_instance": True,
        "provisioning": None,
        "min_vram_mb": None,
        "boot_timeout_seconds": 360,
        "max_cost_usd": None,
        "keep_seconds": 3600,
        "model": None,
        "backend_credential": None,
        "backend_warmup_timeout": 300,
        "queue_timeout_seconds": None,
        "max_runtime_seconds": None,
        "name": None,
        "metadata": None,
        "callback_url": None,
        "dry_run": None,
    }


TIMES: list[tuple[str, int, bool]] = [
    ("queue_timeout_seconds", 0, False),
    ("queue_timeout_seconds", 1, True),
    ("queue_timeout_seconds", 604_800, True),
    ("queue_timeout_seconds", 604_801, False),
    ("max_runtime_seconds", 59, False),
    ("max_runtime_seconds", 60, True),
    ("max_runtime_seconds", 86_400, True),
    ("max_runtime_seconds", 86_401, False),
]


@pytest.mark.parametrize(("field", "seconds", "is_allowed"), TIMES)
@pytest.mark.parametrize(
    ("request_type", "least"),
    [(BenchmarkRequest, LEAST), (AgenticAgentRequest, LEAST), (LlmInstanceRequest, {})],
)
def test_request_may_say_how_long_its_job_waits_and_runs(
    request_type: type[JobRequest], least: dict[str, object], field: str, seconds: int, *, is_allowed: bool
) -> None:
    document = {**least, field: seconds}

    if is_allowed:
        assert getattr(request_type.model_validate(document), field) == seconds
    else:
        with pytest.raises(ValidationError, match=field):
            request_type.model_validate(document)


OTHERS_FIELDS: list[tuple[type[Document], dict[str, object], str]] = [
    (AgenticAgentRequest, {**LEAST, "attestation_required": True}, "attestation_required"),
    (AgenticAgentRequest, {**LEAST, "agent": "a" * 65}, "agent"),
    (AgenticAgentRequest, {**LEAST, "agent": None}, "agent"),
    (BenchmarkRequest, {**LEAST, "agent": "ask"}, "agent"),
    (LlmInstanceRequest, {"workload": {}}, "workload"),
    (LlmInstanceRequest, {"min_dph": 3.1}, ""),
    (LlmInstanceRequest, {"min_vram_mb": 999}, "min_vram_mb"),
    (LlmInstanceRequest, {"boot_timeout_seconds": 59}, "boot_timeout_seconds"),
    (LlmInstanceRequest, {"keep_seconds": 59}, "keep_seconds"),
    (LlmInstanceRequest, {"min_dph": 3.1, "max_dph": 3.0}, ""),
    (LlmInstanceRequest, {"provisioning": {"vastai": {"min_dph": 3.1}}}, "provisioning.vastai"),
]


@pytest.mark.parametrize(("request_type", "fields", "place"), OTHERS_FIELDS)
def test_other_requests_are_refused_at_the_field_that_is_wrong(
    request_type: type[Document], fields: dict[str, object], place: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        request_type.model_validate(fields)

    assert [".".join(map(str, error["loc"])) for error in caught.value.errors()] == [place]


BLANK, CONTROL = "The model's name is blank.", "The model's name holds a control character or a line break."
UNSEEN = "The model's name holds a character that cannot be seen."
NO_MODELS: dict[str, str] = {
    " ": BLANK,
    "\t\n": BLANK,
    "\u00a0\u3000": BLANK,
    "llama3.1:8b\n": CONTROL,
    "../../etc/\0\n": CONTROL,
    "a\x7fb": CONTROL,
    "a\x85b": CONTROL,
    "a\u2028b": CONTROL,
    "llama3.1\u200b:8b": UNSEEN,
    "\u202eb8:1.3amall": UNSEEN,
    "a\u2066b": UNSEEN,
    "\ufeffa": UNSEEN,
}
WITH_A_MODEL: list[tuple[type[Document], dict[str, object]]] = [
    (BenchmarkRequest, {"question": "q"}),
    (AgenticAgentRequest, {"question": "q"}),
    (LlmInstanceRequest, {}),
    (JudgeModel, {"rubric": "r"}),
]
of_each_kind = pytest.mark.parametrize(("kind", "others"), WITH_A_MODEL)


@of_each_kind
@pytest.mark.parametrize(("name", "sentence"), NO_MODELS.items(), ids=map(repr, NO_MODELS))
def test_name_that_no_model_has_is_refused(
    name: str, sentence: str, kind: type[Document], others: dict[str, object]
) -> None:
    with pytest.raises(ValidationError) as caught:
        kind.model_validate({**others, "model": name})

    (error,) = caught.value.errors()
    assert (error["loc"], error["msg"]) == (("model",), f"Value error, {sentence}")


@of_each_kind
@pytest.mark.parametrize("name", ["my model", "hf.co/a/b:Q8_0", "модель", "../model", "千问"])
def test_name_that_a_model_may_have_is_taken(
    name: str, kind: type[Document], others: dict[str, object]
) -> None:
    assert kind.model_validate({**others, "model": name}).model_dump()["model"] == name


def test_every_name_of_the_package_is_in_its_module() -> None:
    assert set(contracts._MODULE_OF) == set(contracts.__all__)
    for name, module in contracts._MODULE_OF.items():
        assert getattr(contracts, name) is getattr(import_module(f"rune.contracts.{module}"), name)


def test_package_has_no_other_names() -> None:
    with pytest.raises(AttributeError, match="'Misspelt'"):
        _ = contracts.Misspelt  # type: ignore[attr-defined]  # that is the test


def test_stored_result_is_the_public_one_and_what_the_api_takes_off() -> None:
    added = StoredBenchmarkResult.model_fields.keys() - BenchmarkResult.model_fields.keys()

    assert added == {BOOKKEEPING}


CROSSED = {"min_dph": 4.0, "max_dph": 3.0}
LIMITS = {"ttft_ms": 500}


@pytest.mark.parametrize(
    ("kind", "given", "sentence"),
    [
        (BenchmarkRequest, {**LEAST, **CROSSED}, "min_dph (4) is above max_dph (3)."),
        (BenchmarkRequest, {**LEAST, "min_dph": 4.0}, "min_dph (4) is above max_dph (3)."),
        (
            BenchmarkRequest,
            {**LEAST, "provisioning": {"vastai": CROSSED}},
            "min_dph (4) is above max_dph (3).",
        ),
        (CostEstimationRequest, {"vastai": True, **CROSSED}, "min_dph (4) is above max_dph (3)."),
        (
            CapacitySearch,
            {"limits": LIMITS, "load": "request_rate", "first_request_rate": 9.0, "max_request_rate": 2.5},
            "first_request_rate (9) is above max_request_rate (2.5).",
        ),
    ],
)
def test_reversed_range_is_refused_in_one_way(
    kind: type[Document], given: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        kind.model_validate(given)

    (fault,) = caught.value.errors()
    assert (fault["type"], describe_fault(fault)) == ("value_error", sentence)


def test_estimate_that_rents_nothing_has_no_range() -> None:
    assert CostEstimationRequest.model_validate({"aws": True, **CROSSED}).min_dph == 4.0
