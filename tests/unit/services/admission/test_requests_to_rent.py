"""What is refused of jobs for which a machine is to be rented, and what is kept of the others."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rune.contracts import BenchmarkRequest, LlmInstanceRequest
from rune.errors import InvalidRequestError
from rune.jobs.record import Kind, StepName
from rune.net.addresses import AddressPolicy
from rune.services.admission.requests import (
    NO_RENTING,
    Admitted,
    Renting,
    admit_benchmark,
    admit_llm_instance,
)

type Admit = Callable[..., Admitted]

POLICY = AddressPolicy.parse("127.0.0.0/8")
RENTING = Renting(is_possible=True, longest_keep=timedelta(hours=2))
SERVER = "http://127.0.0.1:11434"
KNOWN, SIZED, UNKNOWN = "llama3.1:8b", "some-model:14b", "a-name-without-a-size"


def asks_for_a_machine(overrides: dict[str, object]) -> dict[str, object]:
    return {} if "provisioning" in overrides else {"vastai": True}


def benchmark(renting: Renting = RENTING, **overrides: object) -> Admitted:
    body = {"question": "q", "model": KNOWN, **asks_for_a_machine(overrides), **overrides}
    return admit_benchmark(BenchmarkRequest.model_validate(body), POLICY, renting)


def instance(renting: Renting = RENTING, **overrides: object) -> Admitted:
    body = {**asks_for_a_machine(overrides), **overrides}
    return admit_llm_instance(LlmInstanceRequest.model_validate(body), POLICY, renting)


KINDS = [(benchmark, Kind.BENCHMARK), (instance, Kind.LLM_INSTANCE)]
both = pytest.mark.parametrize("admit", [benchmark, instance], ids=["benchmark", "llm-instance"])


@pytest.mark.parametrize(("admit", "kind"), KINDS)
@pytest.mark.parametrize(
    "terms",
    [{}, {"min_dph": 0.2, "max_dph": 1.0}, {"provisioning": {"vastai": {"max_dph": 1.0}}}],
    ids=["flat", "flat with prices", "nested"],
)
def test_admitted_job_begins_by_renting(admit: Admit, kind: Kind, terms: dict[str, object]) -> None:
    admitted = admit(**terms)

    assert (admitted.kind, admitted.first_step, admitted.rents) == (kind, StepName.RENT, True)


@pytest.mark.parametrize(
    "model",
    [
        "llama3.1:8b",
        "library/llama3.1:8b",
        "qwen3:14b-q8_0",
        "hf.co/bartowski/Llama-3.2-3B-Instruct-GGUF:Q4_K_M",
        "registry.example:5000/ns/model:8b",
    ],
)
def test_name_that_ollama_may_have_is_rented_for(model: str) -> None:
    admitted = benchmark(model=model, min_vram_mb=8_000)

    assert json.loads(admitted.request_json)["model"] == model


def test_job_on_a_server_that_runs_rents_nothing_where_renting_is_possible() -> None:
    admitted = benchmark(vastai=False, backend_url=SERVER)

    assert (admitted.first_step, admitted.rents) == (StepName.CHECK, False)


def test_admit_keeps_the_request_to_rent_with_its_defaults() -> None:
    assert json.loads(benchmark(kubeconfig="/home/x/.kube/config").request_json) == {
        "question": "q",
        "model": KNOWN,
        "backend_type": "ollama",
        "backend_warmup": True,
        "backend_warmup_timeout": 300,
        "timeout_seconds": 600,
        "vastai": True,
        "min_dph": 0.0,
        "max_dph": 3.0,
        "reliability": 0.99,
        "vastai_stop_instance": True,
        "boot_timeout_seconds": 360,
        "keep_seconds": 3600,
        "attestation_required": False,
    }


def test_admitted_request_to_rent_can_be_read_again() -> None:
    kept = instance(model=KNOWN, max_dph=1.5, vastai_stop_instance=False).request_json

    again = LlmInstanceRequest.model_validate_json(kept)

    assert (again.wants_rental, again.model, again.backend_url) == (True, KNOWN, None)
    assert (again.rental_terms.max_dph, again.rental_terms.stop_instance) == (1.5, False)


def test_instance_that_names_no_model_gets_the_cheapest_one() -> None:
    nested: dict[str, Any] = {"provisioning": {"vastai": {}}}

    admitted = [instance(), instance(model=None), instance(**nested), instance(min_vram_mb=40_000)]

    assert {json.loads(each.request_json)["model"] for each in admitted} == {"llama3.1:8b"}
    # The caller's own words are kept apart: a repeated request is the same whatever the default is by then.
    assert json.loads(admitted[0].sent_json or "") == {"vastai": True}


TEMPLATE = "c166c11f035d3a97871a23bd32ca6aba"
NAMED: tuple[dict[str, object], ...] = (
    {"template_hash": TEMPLATE},
    {"provisioning": {"vastai": {"template_hash": TEMPLATE}}},
)


@both
@pytest.mark.parametrize("named", NAMED, ids=["flat", "nested"])
@pytest.mark.parametrize("allowed", [frozenset(), frozenset({"another"})], ids=["none", "another"])
def test_template_is_left_out_with_a_warning_unless_the_tenant_may_name_it(
    allowed: frozenset[str], named: dict[str, object], admit: Admit
) -> None:
    admitted = admit(replace(RENTING, templates=allowed), **named)

    assert admitted.warnings == ("template_not_allowed",)
    assert "template_hash" not in json.loads(admitted.request_json)


@both
@pytest.mark.parametrize("named", NAMED, ids=["flat", "nested"])
def test_template_that_the_tenant_may_name_is_kept(named: dict[str, object], admit: Admit) -> None:
    admitted = admit(replace(RENTING, templates=frozenset({TEMPLATE})), **named)

    assert (json.loads(admitted.request_json)["template_hash"], admitted.warnings) == (TEMPLATE, ())


SHORT = Renting(is_possible=True, longest_keep=timedelta(minutes=20))


@both
@pytest.mark.parametrize(
    ("renting", "given", "kept"),
    [
        (RENTING, {}, 3600),
        (RENTING, {"keep_seconds": 60}, 60),
        (RENTING, {"keep_seconds": 7200}, 7200),
        # The default is a wish of nobody's, so it bends to the tenant's limit.
        (SHORT, {}, 1200),
        (SHORT, {"keep_seconds": 1200}, 1200),
    ],
)
def test_machine_is_kept_as_long_as_asked_or_as_the_tenant_may(
    renting: Renting, given: dict[str, object], kept: int, admit: Admit
) -> None:
    admitted = admit(renting, **given)

    assert json.loads(admitted.request_json)["keep_seconds"] == kept


REFUSALS: dict[str, tuple[Renting, dict[str, object], str, str]] = {
    "no account": (NO_RENTING, {}, "/vastai", "vastai_not_available"),
    "no account, nested": (
        NO_RENTING,
        {"provisioning": {"vastai": {}}},
        "/provisioning/vastai",
        "vastai_not_available",
    ),
    "a server too": (RENTING, {"backend_url": SERVER}, "/backend_url", "backend_url_and_vastai"),
    "another kind of server": (RENTING, {"backend_type": "openai"}, "/backend_type", "rental_backend_type"),
    "shell in the model's name": (
        RENTING,
        {"model": "llama3.1:8b; rm -rf /"},
        "/model",
        "rental_model_name",
    ),
    # A pattern that tries every way to part it would take longer than anybody waits.
    "a long name": (RENTING, {"model": "a" * 127 + "!"}, "/model", "rental_model_name"),
    "address for a model": (RENTING, {"model": "http://evil:8b"}, "/model", "rental_model_name"),
    "model of no known size": (RENTING, {"model": UNKNOWN}, "/min_vram_mb", "model_size_unknown"),
    "for nothing": (RENTING, {"max_dph": 0.0}, "/max_dph", "max_dph_zero"),
    "for nothing, nested": (
        RENTING,
        {"provisioning": {"vastai": {"max_dph": 0.0}}},
        "/provisioning/vastai/max_dph",
        "max_dph_zero",
    ),
    "impossible size": (RENTING, {"model": "x:0b"}, "/min_vram_mb", "model_size_unknown"),
    "kept too long": (RENTING, {"keep_seconds": 7201}, "/keep_seconds", "keep_seconds_too_long"),
    "the default, said": (SHORT, {"keep_seconds": 3600}, "/keep_seconds", "keep_seconds_too_long"),
}


@both
@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
def test_admit_refuses_to_rent_what_could_only_fail(
    refusal: tuple[Renting, dict[str, object], str, str], admit: Admit
) -> None:
    renting, overrides, pointer, code = refusal

    with pytest.raises(InvalidRequestError) as caught:
        admit(renting, **overrides)

    assert (caught.value.pointer, caught.value.specific_code) == (pointer, code)
    assert caught.value.sentence


@both
@pytest.mark.parametrize(
    "known", [{"model": KNOWN}, {"model": SIZED}, {"model": UNKNOWN, "min_vram_mb": 8000}]
)
def test_model_is_admitted_when_its_size_is_known_from_anywhere(
    known: dict[str, object], admit: Admit
) -> None:
    assert admit(**known).rents


@pytest.mark.parametrize("first", [{}, {"keep_seconds": 3600}, {"vastai_stop_instance": True}])
def test_requests_to_rent_that_mean_the_same_are_kept_the_same(first: dict[str, Any]) -> None:
    again = benchmark(min_dph=None, kubeconfig="/home/x")

    assert benchmark(**first).request_json == again.request_json


def test_terms_of_a_rental_are_not_warned_of_where_a_machine_is_rented() -> None:
    terms: dict[str, Any] = {
        "max_cost_usd": 0.5,
        "keep_seconds": 600,
        "boot_timeout_seconds": 600,
        "min_vram_mb": 8000,
    }

    assert benchmark(**terms).warnings == ()
