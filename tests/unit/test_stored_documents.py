"""A stored document is read by the versions beside the one that wrote it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from rune.aws.dynamodb_rows import from_row, to_row
from rune.aws.sqs import decode
from rune.contracts import (
    AgenticAgentRequest,
    AgenticAgentResult,
    BenchmarkRequest,
    Document,
    LlmInstanceRequest,
    LlmInstanceResult,
    StoredBenchmarkResult,
    Workload,
    read_stored,
)
from rune.errors import UnreadableRowError
from rune.jobs.record import Event, Job, StepMessage
from rune.rentals.record import Rental
from rune.workflows.agent_state import AgentState
from rune.workflows.benchmark.state import JudgingState, MeasuringState
from rune.workflows.benchmark.suite_state import SuiteState
from tests import request_strategies as requests
from tests.document_strategies import as_later_version_wrote_it, documents_of, later_members

EXAMPLES = 100

REQUESTS: dict[type[Document], st.SearchStrategy[dict[str, Any]]] = {
    BenchmarkRequest: requests.benchmarks,
    AgenticAgentRequest: requests.agentic_agents,
    LlmInstanceRequest: requests.llm_instances,
}
KEPT = (
    MeasuringState,
    JudgingState,
    StoredBenchmarkResult,
    LlmInstanceResult,
    AgenticAgentResult,
    AgentState,
    SuiteState,
)


def named(kind: type[Document]) -> str:
    return kind.__name__


@pytest.mark.parametrize("kind", KEPT, ids=named)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_stored_document_reads_equal_when_a_later_version_has_more_members(
    kind: type[Document], data: st.DataObject
) -> None:
    document = data.draw(documents_of(kind))
    text = document.model_dump_json()

    assert read_stored(kind, text) == document
    assert read_stored(kind, as_later_version_wrote_it(document, text, data.draw(later_members))) == document


@pytest.mark.parametrize("kind", REQUESTS, ids=named)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_stored_request_reads_equal_when_a_later_version_has_more_members(
    kind: type[Document], data: st.DataObject
) -> None:
    request = kind.model_validate_json(json.dumps(data.draw(REQUESTS[kind])))
    text = request.model_dump_json(exclude_none=True)

    assert read_stored(kind, text) == request
    assert read_stored(kind, as_later_version_wrote_it(request, text, data.draw(later_members))) == request


IN_FORMAT_1: dict[str, Any] = json.loads((Path(__file__).parent / "stored_in_format_1.json").read_text())
"""One of each that is stored, as the version of 29 November 2026 wrote it. Entries are added and never changed."""

ASKED = {"question": "What?", "model": "m"}

BY_NO_CALLER = {
    "terms in both forms": {**ASKED, "min_dph": 1.0, "provisioning": {"vastai": {"max_dph": 2.0}}},
    "reversed prices": {**ASKED, "min_dph": 2.0, "max_dph": 1.0},
    "reversed prices within": {**ASKED, "provisioning": {"vastai": {"min_dph": 2.0, "max_dph": 1.0}}},
    "long prompts": {**ASKED, "workload": {"prompts": ["x" * 100_000] * 11}},
    "falling concurrency": {**ASKED, "workload": {"concurrency": [2, 1]}},
}


@pytest.mark.parametrize("plain", BY_NO_CALLER.values(), ids=BY_NO_CALLER.keys())
def test_rule_for_callers_is_not_applied_again_when_a_stored_request_is_read(plain: dict[str, Any]) -> None:
    text = json.dumps(plain)

    with pytest.raises(ValidationError):
        BenchmarkRequest.model_validate_json(text)
    request = read_stored(BenchmarkRequest, text)

    assert request.model_dump(exclude_unset=True) == plain


def test_terms_of_a_stored_request_are_taken_as_they_are() -> None:
    terms = read_stored(LlmInstanceRequest, '{"vastai": true, "min_dph": 2.0, "max_dph": 1.0}').rental_terms

    assert (terms.min_dph, terms.max_dph, terms.reliability) == (2.0, 1.0, 0.99)


NOT_UNDERSTOOD = {
    "no JSON": "{",
    "a member is missing": json.dumps({"model": "m"}),
    "a value of a later version": json.dumps({**ASKED, "backend_type": "triton"}),
    "another type": json.dumps({**ASKED, "timeout_seconds": "600"}),
    "out of bounds": json.dumps({**ASKED, "timeout_seconds": 86_400}),
    "a method of a later version": json.dumps({**ASKED, "expected": {"similarity": {"text": "a"}}}),
    "a limit of a later version": json.dumps({**ASKED, "workload": {"goodput": {"itl_ms": 5.0}}}),
    "two loads at once": json.dumps({**ASKED, "workload": {"sweep": True, "concurrency": [1]}}),
}


@pytest.mark.parametrize("text", NOT_UNDERSTOOD.values(), ids=NOT_UNDERSTOOD.keys())
def test_stored_request_is_not_understood_when_it_has_no_one_meaning(text: str) -> None:
    with pytest.raises(UnreadableRowError, match="BenchmarkRequest") as caught:
        read_stored(BenchmarkRequest, text)

    assert "What?" not in caught.value.sentence


def test_caller_is_refused_what_a_stored_document_may_have() -> None:
    with pytest.raises(ValidationError, match="later"):
        Workload.model_validate_json('{"later": 1}')

    assert read_stored(Workload, '{"later": 1}') == Workload()


def as_text(kind: type) -> str:
    return json.dumps(IN_FORMAT_1[kind.__name__])


@pytest.mark.parametrize("kind", [*REQUESTS, *KEPT[:4]], ids=named)
def test_document_in_the_first_format_keeps_its_meaning(kind: type[Document]) -> None:
    # A member that was renamed would be ignored, and a new one without a default would be missed.
    document = read_stored(kind, as_text(kind))

    assert document.model_dump(mode="json", exclude_unset=True) == IN_FORMAT_1[kind.__name__]


@pytest.mark.parametrize("kind", [Job, Rental, Event], ids=lambda kind: kind.__name__)
def test_row_in_the_first_format_keeps_its_meaning(kind: type[Job | Rental | Event]) -> None:
    row = IN_FORMAT_1[kind.__name__]

    assert row.items() <= to_row(from_row(kind, row)).items()


def test_message_in_the_first_format_keeps_its_meaning() -> None:
    message = IN_FORMAT_1["message"]

    assert decode(json.dumps(message)) == StepMessage(message["job_id"], message["seq"])


def test_nothing_stored_is_read_in_another_way() -> None:
    shared = Path(__file__).parents[2] / "shared" / "rune"
    readers = [file for file in shared.rglob("*.py") if "validate_json(" in file.read_text()]

    # The price lists and the catalog in `money`, and recorded clusters, come with the version that reads them.
    others = [file for file in readers if file.parent.name not in {"money", "recorded"}]
    assert [file.relative_to(shared).as_posix() for file in others] == ["contracts/document.py"]
