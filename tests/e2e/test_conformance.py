"""The deployed stack against the OpenAPI document that it serves."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import requests

from local.stack import Stack
from tests.conformance.contract import DOCUMENT, OPERATIONS, Conformance, open_document
from tests.e2e.client import RuneClient, bearer
from tests.e2e.conftest import TENANT
from tests.e2e.model_server import ModelServer
from tests.e2e.queues import Queues

# Each takes 50 ms and more here; in this process there are ten times as many (tests/conformance).
EXAMPLES = 16
BOUNDARIES = 20
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
            base_url=stack.state.base_url,
            session=session,
        )
        checked.job_id = checked.post_job()
        yield checked


def test_document_is_the_one_of_this_code(rune: RuneClient) -> None:
    assert rune.http.get("/openapi.json").json() == DOCUMENT


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_answer_is_as_the_document_says(conformance: Conformance, method: str, path: str) -> None:
    assert conformance.run(method, path, examples=EXAMPLES, boundaries=BOUNDARIES) == {}


def test_cases_are_a_few_hundred(
    conformance: Conformance, queues: Queues, record_property: RecordProperty
) -> None:
    record_property("figures", "\n".join(conformance.table("through the deployed stack")))

    assert len(conformance.statuses) == len(OPERATIONS)
    assert conformance.case_count >= 200
    assert queues.bodies()["dead_letter"] == []
