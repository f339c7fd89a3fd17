"""The API in this process, with moto behind it, against its own OpenAPI document."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from local.simulators.ollama import OllamaSettings, SimulatedOllama, create_app
from local.simulators.serving import running_server
from rune.aws.rental_store import DynamoRentalStore
from rune.clock import SystemClock
from rune.jobs.outcomes import Done
from rune.jobs.record import StepName
from rune.jobs.store import Submission
from rune.jobs.transitions import make_transition
from tests import request_strategies
from tests.benchmark_builders import a_report, a_result_json
from tests.builders import TENANT, TOKEN, a_claimed_job, an_event
from tests.conformance.contract import OPERATIONS, Conformance, open_document
from tests.functional.functions.loading import loaded
from tests.parameters import Ssm
from tests.rental_builders import a_kept_rental_of
from tests.webhook_builders import MASTER_KEY

if TYPE_CHECKING:
    from tests.cloud import Cloud

type RecordProperty = Callable[[str, object], None]

ASKED = os.environ.get("RUNE_CONFORMANCE_EXAMPLES")
EXAMPLES = int(ASKED or 20)
"""Cases of each operation."""
BOUNDARIES = None if ASKED else 30
"""Most cases of an operation from the document's limits; all where somebody asks for more examples."""
TAKEN = max(EXAMPLES, 40)
"""Cases with bodies that are taken, where there are such: what is taken reaches further than what is refused."""
SIGNING_KEY = "/rune/test/signing-key"
A_CASE = {
    "id": "quiet",
    "base": "shop-3-nodes",
    "now": "2026-11-29T14:21:00Z",
    "ask": "Is it well?",
    "expect": {"status": "healthy"},
}
BODIES = {
    "/v1/jobs/benchmark": request_strategies.benchmarks,
    "/v1/jobs/agentic-agent": request_strategies.agentic_agents,
    "/v1/jobs/llm-instance": request_strategies.llm_instances,
    "/v1/jobs/ollama-instance": request_strategies.llm_instances,
    "/v1/estimates": request_strategies.estimates,
    "/v1/rentals/{rental_id}/extend": request_strategies.extensions,
    "/v1/jobs/{job_id}/links": request_strategies.links,
    "/v1/benchmarks/{job_id}/links": request_strategies.page_links,
    "/v1/suites/{name}": request_strategies.suites,
    "/v1/schedules": request_strategies.schedules,
    "/v1/schedules/{schedule_id}": request_strategies.schedule_changes,
    "/v1/webhooks": request_strategies.webhooks,
    "/v1/webhooks/{webhook_id}": request_strategies.webhook_revisions,
    "/v1/webhooks/{webhook_id}/rotate-secret": request_strategies.secret_rotations,
    "/v1/webhooks/callback-secret/rotate-secret": request_strategies.secret_rotations,
}


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    from tests.cloud import simulated_cloud  # noqa: PLC0415  # moto takes a second to load

    with simulated_cloud() as cloud:
        yield cloud


@pytest.fixture(scope="module")
def backend_url() -> Iterator[str]:
    with running_server(create_app(SimulatedOllama(OllamaSettings()))) as url:
        yield url


@pytest.fixture(scope="module")
def conformance(cloud: Cloud, backend_url: str) -> Iterator[Conformance]:
    Ssm().write(SIGNING_KEY, MASTER_KEY)
    more = {
        "RUNE_API_DOCS": "true",
        "RUNE_CAN_RENT": "true",
        "RUNE_SIGNING_KEY_PARAMETER": SIGNING_KEY,
    }
    with loaded("api.handler", {**cloud.environment, **more}) as handler:
        yield Conformance(
            open_document(handler.app),
            headers={"X-Tenant-ID": TENANT, "Authorization": f"Bearer {TOKEN}"},
            job_id="",
            backend_url=backend_url,
            bodies=BODIES,
        )


def put_benchmark(cloud: Cloud) -> str:
    """Store a benchmark that ended just now, and return its id."""
    now, job_id = SystemClock().now(), uuid.uuid4().hex
    job = a_claimed_job(job_id=job_id, step=StepName.MEASURE, expires_at=now + timedelta(days=1))
    cloud.store.submit(Submission(job, "{}", an_event()))
    keys = [f"results/{job_id}/records/00-1.jsonl"]
    assert cloud.store.commit(job, make_transition(job, Done(a_result_json(a_report(job_id), keys)), now, 5))
    return job_id


def put_kept_rental(cloud: Cloud) -> str:
    """Store a rental that is kept from now on, and return its id."""
    now = SystemClock().now()
    job_id = uuid.uuid4().hex
    rental = a_kept_rental_of(job_id, intended_at=now, ceiling_at=now + timedelta(hours=5), due_at=now)
    rental = replace(rental, is_guarded=True)
    assert DynamoRentalStore(cloud.dynamodb, cloud.environment["RUNE_TABLE"]).open(rental, key="a key")
    return rental.rental_id


@pytest.fixture
def _known_things(cloud: Cloud, conformance: Conformance) -> None:
    """Give each operation an empty table with what its cases can name: moto copies the table at every write."""
    cloud.empty()
    conformance.benchmark_ids = tuple(put_benchmark(cloud) for _ in range(3))
    conformance.put_baseline()
    conformance.put_suite({"cases": [A_CASE]})
    conformance.rental_id = put_kept_rental(cloud)
    conformance.schedule_id = conformance.post_schedule()
    conformance.job_id = conformance.post_job()


@pytest.mark.usefixtures("_known_things")
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_answer_is_as_the_document_says(conformance: Conformance, method: str, path: str) -> None:
    assert conformance.run(method, path, examples=EXAMPLES, taken=TAKEN, boundaries=BOUNDARIES) == {}


def test_cases_are_many_and_a_third_of_them_succeeds(
    conformance: Conformance, record_property: RecordProperty
) -> None:
    record_property("figures", "\n".join(conformance.table("in process")))

    assert len(conformance.statuses) == len(OPERATIONS)
    assert conformance.case_count >= 1000
    assert conformance.success_ratio >= 1 / 3
    assert conformance.always_refused == []
