"""The deployed stack against the OpenAPI document that it serves."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest
import requests
from hypothesis import strategies as st

from local.stack import Stack
from tests import request_strategies
from tests.conformance.contract import DOCUMENT, OPERATIONS, Bodies, Conformance, open_document
from tests.e2e.client import RuneClient, bearer
from tests.e2e.environment import TENANT
from tests.e2e.model_server import ModelServer
from tests.e2e.queues import Queues

# Each takes 50 ms and more here; in this process there are ten times as many (tests/conformance).
EXAMPLES = 10
TAKEN = 20
BOUNDARIES = 12
# The other would cancel the jobs of all tests of this tenant.
OPERATIONS_HERE = [each for each in OPERATIONS if each != ("post", "/v1/stop")]
type RecordProperty = Callable[[str, object], None]


@pytest.fixture(scope="module")
def conformance(stack: Stack, quick: ModelServer, tokens: dict[str, str]) -> Iterator[Conformance]:
    with requests.Session() as session:
        session.trust_env = False
        checked = Conformance(
            open_document(),
            headers=bearer(tokens[TENANT]),
            job_id="",
            backend_url=quick.url,
            bodies=bodies_for(quick.url),
            base_url=stack.state.base_url,
            session=session,
        )
        checked.job_id = checked.post_job()
        yield checked


def bodies_for(url: str) -> Bodies:
    """Return bodies of jobs that are carried out within moments: none rents, none measures for long."""
    server = st.fixed_dictionaries(
        {"backend_url": st.just(url), "backend_warmup_timeout": st.integers(30, 900)},
        optional={"backend_type": st.sampled_from(("ollama", "openai"))},
    )
    asked = server.map(lambda body: {"question": "Why?", "model": "llama3.1:8b", **body})
    return {
        "/v1/jobs/benchmark": asked,
        "/v1/jobs/agentic-agent": asked,
        "/v1/jobs/llm-instance": server,
        "/v1/jobs/ollama-instance": server,
        "/v1/estimates": request_strategies.estimates,
        "/v1/schedules": asked.map(
            lambda body: {
                "name": uuid.uuid4().hex,
                "rate": "1 day",
                "paused": True,
                "kind": "benchmark",
                "request": body,
            }
        ),
    }


def test_document_is_the_one_of_this_code(rune: RuneClient) -> None:
    assert rune.http.get("/openapi.json").json() == DOCUMENT


@pytest.mark.parametrize(("method", "path"), OPERATIONS_HERE)
def test_every_answer_is_as_the_document_says(conformance: Conformance, method: str, path: str) -> None:
    if "{schedule_id}" in path:
        conformance.schedule_id = conformance.post_schedule()

    assert conformance.run(method, path, examples=EXAMPLES, taken=TAKEN, boundaries=BOUNDARIES) == {}


def test_cases_are_a_few_hundred_and_a_third_of_them_succeeds(
    conformance: Conformance, queues: Queues, record_property: RecordProperty
) -> None:
    record_property("figures", "\n".join(conformance.table("through the deployed stack")))

    assert len(conformance.statuses) == len(OPERATIONS_HERE)
    assert conformance.case_count >= 200
    assert conformance.success_ratio >= 1 / 3
    assert queues.wrongly_dead() == []
