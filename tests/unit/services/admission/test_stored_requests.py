"""What is admitted is stored so that it reads back equal: a worker has nothing but the stored document."""

from __future__ import annotations

import json
from datetime import timedelta

from hypothesis import given, settings

from rune.bench.prompts import make_prompts
from rune.contracts import AgenticAgentRequest, BenchmarkRequest, LlmInstanceRequest, Workload, read_stored
from rune.net.addresses import AddressPolicy
from rune.services.admission.requests import (
    Admitted,
    Renting,
    admit_agentic_agent,
    admit_benchmark,
    admit_llm_instance,
    normalize_sent,
)
from rune.tenants.document import TenantAgents
from tests import request_strategies as requests
from tests.request_strategies import Body

LOOPBACK = AddressPolicy.parse("127.0.0.0/8")
RENTING = Renting(is_possible=True, longest_keep=timedelta(hours=2), templates=frozenset(requests.TEMPLATES))
EXAMPLES = 300
"""Of each kind; every form, and every default given or left out, is among them many times."""

CHANGED_AT_THE_DOOR = {"kubeconfig", "backend_url", "expected", "model", "workload"}
"""What is dropped, chosen where it was not named, or kept in its one spelling."""

FORMS_OF_TERMS = {
    "vastai",
    "provisioning",
    "template_hash",
    "min_dph",
    "max_dph",
    "reliability",
    "vastai_stop_instance",
}


def assert_reads_back(
    sent: BenchmarkRequest | AgenticAgentRequest | LlmInstanceRequest, admitted: Admitted
) -> None:
    """Assert that the stored document is valid, says what the caller said, and is the same when stored again."""
    stored_json = admitted.request_json
    assert admitted.sent_json == normalize_sent(sent)
    again = read_stored(type(sent), stored_json)

    assert again.model_dump_json(exclude_none=True, exclude={"dry_run"}) == stored_json
    unchanged = set(type(sent).model_fields) - CHANGED_AT_THE_DOOR - FORMS_OF_TERMS
    assert {name: getattr(again, name) for name in unchanged} == {
        name: getattr(sent, name) for name in unchanged
    }
    is_to_choose = isinstance(sent, LlmInstanceRequest) and sent.wants_rental and sent.model is None
    assert again.model == ("llama3.1:8b" if is_to_choose else sent.model)
    if isinstance(sent, BenchmarkRequest) and sent.expected is not None and sent.expected.judge is None:
        assert isinstance(again, BenchmarkRequest)
        assert again.expected == sent.expected
    if isinstance(sent, BenchmarkRequest) and sent.workload is not None:
        assert isinstance(again, BenchmarkRequest)
        assert again.workload is not None
        assert meaning_of(again.workload) == meaning_of(sent.workload)
    if not isinstance(sent, AgenticAgentRequest) and not isinstance(again, AgenticAgentRequest):
        assert (again.wants_rental, again.rental_terms) == (sent.wants_rental, sent.rental_terms)


def meaning_of(workload: Workload) -> tuple[object, ...]:
    """Return what a workload asks for, in whichever spelling."""
    others = workload.model_copy(update={"concurrency": None, "prompts": None})
    prompts = [
        [("user", prompt)]
        if isinstance(prompt, str)
        else [(each.role, each.content) for each in prompt.turns]
        for prompt in make_prompts("", workload)
    ]
    return others, workload.levels, prompts


@settings(max_examples=EXAMPLES)
@given(requests.benchmarks)
def test_stored_benchmark_reads_back_equal(body: Body) -> None:
    sent = BenchmarkRequest.model_validate_json(json.dumps(body))

    assert_reads_back(sent, admit_benchmark(sent, LOOPBACK, RENTING))


@settings(max_examples=EXAMPLES)
@given(requests.agentic_agents)
def test_stored_agent_request_reads_back_equal(body: Body) -> None:
    sent = AgenticAgentRequest.model_validate_json(json.dumps(body))

    assert_reads_back(sent, admit_agentic_agent(sent, LOOPBACK, TenantAgents()))


@settings(max_examples=EXAMPLES)
@given(requests.llm_instances)
def test_stored_instance_request_reads_back_equal(body: Body) -> None:
    sent = LlmInstanceRequest.model_validate_json(json.dumps(body))

    assert_reads_back(sent, admit_llm_instance(sent, LOOPBACK, RENTING))
