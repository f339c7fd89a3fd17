"""Another version is deployed, forward and back, while jobs are in flight; in a stack of its own."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from local.settings import StackSettings
from local.stack import Stack, running_stack
from tests.e2e.client import ENDED, RuneClient, bearer
from tests.e2e.deployed_versions import NEXT_VERSION, THIS_VERSION, deploy, deploy_first
from tests.e2e.market import Market
from tests.e2e.model_server import ModelServer, model_server
from tests.e2e.queues import Queues
from tests.e2e.sweeps import PACED, a_sweep
from tests.e2e.waiting import wait_until

MEMBER = "of_next_version"
"""As in `tests.e2e.next_version`, which must not be imported here: it changes the process that imports it."""


if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

    type Row = dict[str, AttributeValueTypeDef]

pytestmark = pytest.mark.timeout(600)

TENANT = "default"
TOKEN = secrets.token_urlsafe(32)
KEY = {"Idempotency-Key": "over three deployments"}
POINTS = 3
RENTED: Mapping[str, object] = {"question": "Which version?", "model": "llama3.1:8b", "vastai": True}
UNKNOWN_ID = "e" * 32
OF_THE_JANITOR = {"due_at", "due_bucket", "updated_at", "version"}
"""What it writes where it sets a job aside."""


@dataclass(frozen=True, slots=True)
class Rolled:
    """What was under way while the next version came and went.

    Attributes
    ----------
    by_this, by_next
        Jobs by what they are, as the version that took them was.
    keyed_again
        The ids that the job with a key got when it was posted to the next version, and to this one after that.
    unknown
        The row of a job of a kind and step that neither version knows, as it was written.
    """

    by_this: Mapping[str, str]
    by_next: Mapping[str, str]
    keyed_again: tuple[str, str]
    unknown: Row
    took_seconds: float


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Run a stack whose functions the tests may exchange."""
    state_path = tmp_path_factory.mktemp("versions") / "stack.json"
    with running_stack(
        StackSettings(port=0, api_tokens=f"{TENANT}:{TOKEN}", state_path=state_path)
    ) as running:
        deploy_first(running)
        yield running


@pytest.fixture(scope="module")
def rune(stack: Stack) -> Iterator[RuneClient]:
    with RuneClient(stack.state.base_url, bearer(TOKEN, TENANT)) as client:
        yield client


@pytest.fixture(scope="module")
def paced() -> Iterator[ModelServer]:
    with model_server(replace(PACED, output_tokens_per_second=40.0)) as server:
        yield server


@pytest.fixture(scope="module")
def rolled(stack: Stack, rune: RuneClient, paced: ModelServer) -> Rolled:
    """Post jobs to this version, then to the next one, and let this one end all of them."""
    began_seconds = time.monotonic()
    sweep = a_sweep(paced, repetitions=2, concurrency=[*range(1, POINTS + 1)])

    by_this = {"sweep": post_with_key(rune, sweep), "rented": rune.post_benchmark(RENTED)}
    unknown = put_job_of_unknown_kind(stack, like=by_this["sweep"])
    wait_for_a_point(rune, by_this["sweep"])
    deploy(stack, NEXT_VERSION)

    by_next = {"sweep": rune.post_benchmark(sweep), "rented": rune.post_benchmark(RENTED)}
    keyed_next = post_with_key(rune, sweep)
    Queues(stack).send("money", json.dumps({"job_id": UNKNOWN_ID, "seq": 2, MEMBER: {"since": 2}}))
    wait_for_a_point(rune, by_next["sweep"])
    deploy(stack, THIS_VERSION)

    for job_id in (*by_this.values(), *by_next.values()):
        wait_for_end(rune, job_id)
    keyed_again = (keyed_next, post_with_key(rune, sweep))
    return Rolled(by_this, by_next, keyed_again, unknown, time.monotonic() - began_seconds)


def post_with_key(rune: RuneClient, body: Mapping[str, object]) -> str:
    response = rune.http.post("/v1/jobs/benchmark", json=body, headers=KEY)
    assert response.status_code == 202, response.text
    job_id: str = response.json()["job_id"]
    return job_id


def put_job_of_unknown_kind(stack: Stack, like: str) -> Row:
    """Write the row of a job of a later version, which is late; return it."""
    row = {
        **row_of(stack, like),
        "pk": {"S": f"JOB#{UNKNOWN_ID}"},
        "job_id": {"S": UNKNOWN_ID},
        "kind": {"S": "translation"},
        "step": {"S": "translate"},
        "seq": {"N": "2"},
        "due_at": {"N": str(round(time.time() * 1000))},
    }
    for name in ("lease_owner", "lease_until", "slot"):
        row.pop(name, None)
    stack.aws.client("dynamodb").put_item(TableName=stack.state.table, Item=row)
    return row


def row_of(stack: Stack, job_id: str, sort_key: str = "JOB") -> dict[str, Any]:
    key = {"pk": {"S": f"JOB#{job_id}"}, "sk": {"S": sort_key}}
    found: dict[str, Any] = stack.aws.client("dynamodb").get_item(TableName=stack.state.table, Key=key)[
        "Item"
    ]
    return found


def points_of(rune: RuneClient, job_id: str) -> int:
    return sum(event.event == "benchmark.point" for event in rune.get_events(job_id))


def wait_for_a_point(rune: RuneClient, job_id: str) -> None:
    wait_until(lambda: points_of(rune, job_id), "a point is measured", limit_seconds=90.0, poll_seconds=0.2)


def wait_for_end(rune: RuneClient, job_id: str) -> None:
    # Seldom: each look is an invocation, and the machine has enough to do.
    wait_until(
        lambda: rune.get_job(job_id).status in ENDED, "it has ended", limit_seconds=240.0, poll_seconds=2.0
    )


def test_next_version_takes_part_and_stores_more_than_this_one_knows(stack: Stack, rolled: Rolled) -> None:
    sweep, rented = rolled.by_next["sweep"], rolled.by_next["rented"]

    assert {MEMBER} <= row_of(stack, sweep).keys() & row_of(stack, rented, "RENTAL#0001").keys()
    assert MEMBER in json.loads(row_of(stack, sweep, "REQUEST")["body"]["S"])["workload"]


def test_jobs_of_either_version_succeed(
    rune: RuneClient, rolled: Rolled, record_property: Callable[[str, object], None]
) -> None:
    jobs = [rune.get_job(job_id) for job_id in (*rolled.by_this.values(), *rolled.by_next.values())]

    assert [(job.status, job.error) for job in jobs] == [("succeeded", None)] * 4
    assert [points_of(rune, each["sweep"]) for each in (rolled.by_this, rolled.by_next)] == [POINTS] * 2
    record_property(
        "figures",
        f"forward and back with four jobs in flight: {rolled.took_seconds:.1f} s until all had ended",
    )


def test_key_stands_for_its_job_in_both_versions(rolled: Rolled) -> None:
    assert rolled.keyed_again == (rolled.by_this["sweep"],) * 2


def test_no_machine_is_left_of_a_job_that_two_versions_worked_on(stack: Stack, rolled: Rolled) -> None:
    with Market(stack.state.simulators["vastai"]) as market:
        contracts = [market.contracts_of(jobs["rented"]) for jobs in (rolled.by_this, rolled.by_next)]

    assert [[each.exists for each in found] for found in contracts] == [[False], [False]]


def test_job_of_an_unknown_kind_is_left_alone(stack: Stack, rolled: Rolled) -> None:
    left = row_of(stack, UNKNOWN_ID)

    changed = {name for name, stored in left.items() if stored != rolled.unknown.get(name)}
    assert changed <= {*OF_THE_JANITOR, MEMBER}


@pytest.mark.usefixtures("rolled")
def test_no_message_of_either_version_is_dead_lettered(stack: Stack) -> None:
    assert Queues(stack).bodies()["dead_letter"] == []
