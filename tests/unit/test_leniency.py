"""What clients in the field send beyond the documents, and what it is taken for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from rune.contracts import AgenticAgentRequest, BenchmarkRequest, LlmInstanceRequest, read_stored
from rune.contracts.estimates import CostEstimationRequest
from rune.contracts.leniency import take_address, take_model
from rune.contracts.problems import refuse_document
from rune.services.admission.requests import normalize_sent

type JobRequest = type[BenchmarkRequest | AgenticAgentRequest | LlmInstanceRequest]

B, A, L = BenchmarkRequest, AgenticAgentRequest, LlmInstanceRequest
ASKED: dict[str, Any] = {"question": "q", "model": "m"}
URL = "http://h:11434"
SERVED: dict[str, Any] = {**ASKED, "backend_url": URL}
TERMS = {"template_hash": "t", "min_dph": 2.3, "max_dph": 3.0, "reliability": 0.99}
NESTED = {"provisioning": {"vastai": {**TERMS, "stop_instance": True}}}

# The document, what is sent besides, what is understood besides, and the warnings.
TAKEN: dict[str, tuple[JobRequest, dict[str, Any], dict[str, Any], list[str]]] = {
    "old names": (
        B,
        {**ASKED, "ollama_url": URL, "ollama_warmup": False, "ollama_warmup_timeout": 90},
        {**SERVED, "backend_warmup": False, "backend_warmup_timeout": 90},
        [],
    ),
    "old names that say nothing": (B, {**SERVED, "ollama_url": None, "ollama_warmup_timeout": 0}, SERVED, []),
    "an old name beside its equal": (B, {**SERVED, "ollama_url": URL}, SERVED, []),
    "an old name of an instance": (
        L,
        {"ollama_url": URL, "ollama_warmup": True},
        {"backend_url": URL},
        ["backend_warmup_ignored"],
    ),
    "empty values": (
        B,
        {
            **ASKED,
            "vastai": True,
            **dict.fromkeys(("backend_url", "backend_type", "kubeconfig", "template_hash", "region"), ""),
            "backend_warmup_timeout": 0,
        },
        {**ASKED, "vastai": True},
        [],
    ),
    "empty values of an instance": (
        L,
        {
            **dict.fromkeys(("question", "model", "kubeconfig"), ""),
            "backend_warmup": False,
            "backend_url": URL,
        },
        {"backend_url": URL},
        [],
    ),
    "no agent": (A, {**SERVED, "agent": ""}, SERVED, []),
    "a question for an instance": (
        L,
        {**SERVED, "kubeconfig": "k"},
        {"model": "m", "backend_url": URL},
        ["question_ignored"],
    ),
    "a region": (B, {**SERVED, "region": "eu-west-1"}, SERVED, ["region_ignored"]),
    "clouds that are not wanted": (B, {**SERVED, "aws": False, "gcp": False, "azure": None}, SERVED, []),
    "no attestation": (A, {**SERVED, "attestation_required": False}, SERVED, []),
    "terms for an agent that rents nothing": (
        A,
        {**SERVED, **TERMS, "vastai": False, "vastai_stop_instance": True, "provisioning": None},
        SERVED,
        [],
    ),
    "a machine for an agent": (A, {**SERVED, **TERMS, "vastai": True}, SERVED, ["rental_ignored"]),
    "a machine for an agent, nested": (A, {**SERVED, **NESTED}, SERVED, ["rental_ignored"]),
    "a machine beside a server": (
        B,
        {**SERVED, **TERMS, "vastai": True},
        {**ASKED, **TERMS, "vastai": True},
        ["backend_url_ignored"],
    ),
    "a machine beside a server, nested": (L, {"backend_url": URL, **NESTED}, NESTED, ["backend_url_ignored"]),
    "a machine without a price beside a server": (
        B,
        {**SERVED, "vastai": True},
        {**SERVED, "vastai": True},
        [],
    ),
    "no scheme": (B, {**ASKED, "backend_url": "h:11434"}, SERVED, ["scheme_assumed"]),
    "a prefix": (B, {**SERVED, "model": "ollama_chat/m"}, SERVED, ["model_prefix_removed"]),
    "a prefix for another server": (
        B,
        {**SERVED, "model": "ollama/m", "backend_type": "openai"},
        {**SERVED, "model": "ollama/m", "backend_type": "openai"},
        [],
    ),
    "a prefix for an agent's own models": (
        A,
        {**SERVED, "model": "ollama/m", "agent": "holmes"},
        {**SERVED, "model": "ollama/m", "agent": "holmes"},
        [],
    ),
    "a short warm-up": (
        L,
        {"backend_url": URL, "backend_warmup_timeout": 1},
        {"backend_url": URL, "backend_warmup_timeout": 30},
        ["warmup_timeout_raised"],
    ),
}


@pytest.mark.parametrize(("kind", "sent", "understood", "warnings"), TAKEN.values(), ids=TAKEN.keys())
def test_request_is_taken_for_what_its_client_means(
    kind: JobRequest, sent: dict[str, Any], understood: dict[str, Any], warnings: list[str]
) -> None:
    request = kind.model_validate(sent)

    # So is the fingerprint of its idempotency key.
    assert json.loads(normalize_sent(request)) == understood
    assert [*request.leniences] == warnings


NO_CLOUD = "/aws: RUNE rents no machine of this cloud, so true cannot be honoured"
REFUSED: dict[str, tuple[JobRequest, dict[str, Any], str]] = {
    "a cloud": (B, {**SERVED, "aws": True}, NO_CLOUD),
    "a cloud for an agent": (A, {**SERVED, "aws": True}, NO_CLOUD),
    "attestation": (L, {"attestation_required": True}, "/attestation_required: No machine here can prove"),
    "two servers": (
        B,
        {**SERVED, "ollama_url": "http://other"},
        "/ollama_url: ollama_url is the old name of backend_url",
    ),
    "a misspelt field": (L, {"questoin": "q"}, "/questoin: There is no such field."),
    "an agent for a benchmark": (B, {**SERVED, "agent": "holmes"}, "/agent: There is no such field."),
    "another type": (B, {**SERVED, "region": 1}, "/region: The field belongs to another kind of job"),
    "a flag as a number": (
        A,
        {**SERVED, "min_dph": True},
        "/min_dph: The field belongs to another kind of job",
    ),
    "no question": (B, {**SERVED, "question": ""}, "/question: This field is needed."),
    "no model": (A, {**SERVED, "model": ""}, "/model: This field is needed."),
}


@pytest.mark.parametrize(("kind", "sent", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_request_is_refused_where_silence_would_do_harm(
    kind: JobRequest, sent: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        kind.model_validate(sent)

    assert refuse_document([dict(error) for error in caught.value.errors()]).sentence.startswith(sentence)


def test_stored_request_is_read_as_it_is() -> None:
    stored = BenchmarkRequest.model_validate({**SERVED, "model": "namespace/m"}).model_dump_json()

    assert read_stored(BenchmarkRequest, stored.replace("namespace/m", "ollama/m")).model == "ollama/m"


ESTIMATES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nested terms say Vast.ai": (
        {
            "model": "ollama/m",
            "region": "",
            "provisioning": {"vastai": {**TERMS, "min_dph": 0.0}},
            "aws": False,
        },
        {**TERMS, "min_dph": 0.0, "model": "m", "vastai": True, "aws": False},
    ),
    "none are none": ({"provisioning": None, "aws": True}, {"aws": True}),
    "none under a name": ({"provisioning": {"vastai": None}, "gcp": True}, {"gcp": True}),
    "empty values": (
        {"vastai": True, "model": "", "template_hash": "", "region": "", "estimated_duration_seconds": 0},
        {"vastai": True},
    ),
    "empty and nested": (
        {
            "vastai": True,
            "template_hash": "",
            "min_dph": 0,
            "provisioning": {"vastai": {"template_hash": "", "min_dph": 2.3}},
        },
        {"vastai": True, "min_dph": 2.3},
    ),
}


@pytest.mark.parametrize(("sent", "understood"), ESTIMATES.values(), ids=ESTIMATES.keys())
def test_estimate_is_taken_for_what_its_client_means(
    sent: dict[str, Any], understood: dict[str, Any]
) -> None:
    request = CostEstimationRequest.model_validate(sent)

    assert request.model_dump(exclude_unset=True) == understood


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        ({**NESTED, "max_dph": 2.0}, "/max_dph: Vast.ai's terms are given twice"),
        ({**NESTED, "vastai": False}, "/vastai: vastai is false, and provisioning.vastai asks"),
        ({"provisioning": {"vastai": {"price": 1}}}, "/provisioning/vastai/price: There is no such field."),
        ({"provisioning": {"aws": {}}}, "/provisioning: There is no such field."),
    ],
    ids=["twice", "contradiction", "no such term", "no such provider"],
)
def test_estimate_is_refused_for_terms_that_contradict(sent: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        CostEstimationRequest.model_validate(sent)

    assert refuse_document([dict(error) for error in caught.value.errors()]).sentence.startswith(sentence)


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("h:11434", "http://h:11434"),
        ("10.0.0.5:11434/v1", "http://10.0.0.5:11434/v1"),
        ("[::1]:11434", "http://[::1]:11434"),
        ("ollama.example", "http://ollama.example"),
        ("https://h", "https://h"),
        ("user:key@h:11434", "user:key@h:11434"),
        ("file:/etc/passwd", "file:/etc/passwd"),
        ("nonsense", "nonsense"),
    ],
)
def test_address_without_a_scheme_is_http(sent: str, meant: str) -> None:
    assert take_address(sent) == meant


@pytest.mark.parametrize(("sent", "meant"), [("ollama/m", "m"), ("ollama/", "ollama/"), ("ns/m", "ns/m")])
def test_model_is_named_without_its_prefix(sent: str, meant: str) -> None:
    assert take_model(sent) == meant
