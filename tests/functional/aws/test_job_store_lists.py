"""A tenant's list, its tallies, and many rows in one read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from rune.aws.dynamodb_table import MAX_TRIES
from rune.aws.job_rows import listed_from_item, listed_item
from rune.aws.job_store import DynamoJobStore, NoObjectStore
from rune.errors import StoreUnavailableError, UnreadableRowError
from rune.jobs.metrics import Tally
from rune.jobs.outcomes import Done
from rune.jobs.record import Job, Kind
from rune.jobs.store import JobStore, ListedJob, Submission
from rune.jobs.transitions import make_transition
from tests.builders import JOB_ID, NOW, a_claimed_job, a_job, after, an_event
from tests.memory_job_store import MemoryJobStore

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from tests.cloud import Cloud

POSITION = f"1795435200000#{JOB_ID}"
TALLIES = {"agent.ask": Tally(1, 0, 120, 120, 120), "backend.warmup": Tally(0, 2, 30, 10, 20)}


@pytest.fixture(params=["dynamodb", "memory"])
def store(request: pytest.FixtureRequest) -> JobStore:
    if request.param == "memory":
        return MemoryJobStore()
    cloud: Cloud = request.getfixturevalue("cloud")
    return cloud.store


def put(store: JobStore, *jobs: Job) -> None:
    for job in jobs:
        store.submit(Submission(job, "{}", an_event()))


def ids(lines: tuple[ListedJob, ...]) -> list[str]:
    return [line.job_id for line in lines]


# ---------------------------------------------------------------- list


def test_line_of_the_list_says_where_it_is(store: JobStore) -> None:
    put(store, a_job(kind=Kind.LLM_INSTANCE))

    assert store.list_jobs("default", None, 10) == (ListedJob(JOB_ID, Kind.LLM_INSTANCE, POSITION),)


def test_list_is_of_one_tenant_newest_first(store: JobStore) -> None:
    put(store, a_job(job_id="b", created_at=after(2)), a_job(job_id="a", created_at=after(3)))
    put(store, a_job(job_id="c", created_at=after(-1)), a_job(job_id="d", tenant="acme"))

    assert ids(store.list_jobs("default", None, 10)) == ["a", "b", "c"]
    assert ids(store.list_jobs("acme", None, 10)) == ["d"]
    assert store.list_jobs("nobody", None, 10) == ()


def test_list_holds_nothing_of_a_tenant_whose_name_begins_alike(store: JobStore) -> None:
    put(store, a_job(job_id="a", tenant="acme"), a_job(job_id="b", tenant="acme2"))

    assert ids(store.list_jobs("acme", None, 10)) == ["a"]


@pytest.mark.parametrize("page_size", [1, 2, 3, 5, 6])
def test_list_goes_on_after_a_position(page_size: int, store: JobStore) -> None:
    put(store, *[a_job(job_id=f"job-{n}", created_at=after(n // 2)) for n in range(5)])
    pages: list[str] = []
    position = None

    while lines := store.list_jobs("default", position, page_size):
        assert len(lines) <= page_size
        pages += ids(lines)
        position = lines[-1].position

    assert pages == ["job-4", "job-3", "job-2", "job-1", "job-0"]


def test_list_goes_on_after_a_position_whose_row_is_gone(store: JobStore) -> None:
    put(store, a_job(job_id="a"), a_job(job_id="c", created_at=after(2)))

    assert ids(store.list_jobs("default", "1795435201000#b", 1)) == ["a"]


def test_list_is_one_call_of_the_size_that_was_asked(cloud: Cloud) -> None:
    put(cloud.store, *[a_job(job_id=f"job-{n}") for n in range(5)])
    cloud.calls.clear()

    cloud.store.list_jobs("default", None, 3)

    assert [call.arguments["Limit"] for call in cloud.calls] == [4]


def test_line_stays_as_it_is_when_the_job_has_ended(cloud: Cloud) -> None:
    put(cloud.store, a_claimed_job())
    assert cloud.store.commit(a_claimed_job(), make_transition(a_claimed_job(), Done("{}"), NOW, 5), TALLIES)

    (row,) = [row for row in cloud.rows() if row["pk"]["S"] == "TENANT#default"]
    assert row == listed_item(a_claimed_job())
    assert listed_from_item(row) == ListedJob(JOB_ID, Kind.BENCHMARK, POSITION)
    assert row["expires_at"] == {"N": str(int(after(30 * 86400).timestamp()))}


# ---------------------------------------------------------------- many rows in one read


def test_read_many_returns_those_that_are_there(store: JobStore) -> None:
    put(store, a_job(job_id="a"), a_job(job_id="b"), a_job(job_id="c"))

    found = store.read_many(["c", "nothing", "a"])

    assert sorted(job.job_id for job in found) == ["a", "c"]


def test_read_many_of_nothing_is_no_call(cloud: Cloud) -> None:
    assert cloud.store.read_many([]) == ()
    assert cloud.calls == []


def test_read_many_takes_a_hundred_in_one_call(cloud: Cloud) -> None:
    assert cloud.store.read_many([f"job-{number}" for number in range(100)]) == ()
    assert cloud.operations == ["BatchGetItem"]


@dataclass
class Throttled:
    """A client that leaves all but so many keys of a batch unprocessed."""

    client: DynamoDBClient
    answered_at_once: int
    asked: list[int] = field(default_factory=list)

    def __getattr__(self, name: str) -> object:
        return getattr(self.client, name)

    def batch_get_item(self, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803  # AWS's names
        ((table, batch),) = RequestItems.items()
        keys = batch["Keys"]
        assert batch["ConsistentRead"] is True
        self.asked.append(len(keys))
        answer: dict[str, Any] = {"Responses": {table: []}, "UnprocessedKeys": {}}
        if self.answered_at_once:
            now: Any = {table: {**batch, "Keys": keys[: self.answered_at_once]}}
            answer["Responses"] = self.client.batch_get_item(RequestItems=now)["Responses"]
        if left := keys[self.answered_at_once :]:
            answer["UnprocessedKeys"] = {table: {**batch, "Keys": left}}
        return answer


def throttled(cloud: Cloud, answered_at_once: int) -> tuple[DynamoJobStore, Throttled]:
    put(cloud.store, *[a_job(job_id=f"job-{number}") for number in range(5)])
    client = Throttled(cloud.dynamodb, answered_at_once)
    return DynamoJobStore(client, "rune-test", NoObjectStore()), client  # type: ignore[arg-type]  # forwards the rest


def test_read_many_asks_again_for_what_was_left(cloud: Cloud) -> None:
    store, client = throttled(cloud, 2)

    found = store.read_many([f"job-{number}" for number in range(5)])

    assert sorted(job.job_id for job in found) == [f"job-{number}" for number in range(5)]
    assert client.asked == [5, 3, 1]


def test_read_with_result_asks_again_for_what_was_left(cloud: Cloud) -> None:
    store, client = throttled(cloud, 1)

    stored = store.read_with_result("job-3", "203.0.113.7")

    assert stored
    assert (stored.job.job_id, stored.result_json) == ("job-3", None)
    assert client.asked == [2, 1]


@pytest.mark.parametrize("at_once", [0, 1])
def test_read_gives_up_when_the_table_goes_on_answering_in_part(at_once: int, cloud: Cloud) -> None:
    store, client = throttled(cloud, at_once)

    with pytest.raises(StoreUnavailableError, match="only in part"):
        store.read_many([f"job-{number}" for number in range(MAX_TRIES + 1)])

    assert len(client.asked) == MAX_TRIES


# ---------------------------------------------------------------- rows of another version


def test_read_many_leaves_out_and_names_what_it_does_not_understand(
    cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    put(cloud.store, a_job(job_id="a"), a_job(job_id="b"))
    cloud.write_field("a", "step", "a_step_of_another_version")

    assert [job.job_id for job in cloud.store.read_many(["a", "b"])] == ["b"]
    assert [(line.msg, line.__dict__["job_id"]) for line in caplog.records] == [("row.unreadable", "a")]


def test_read_raises_when_it_does_not_understand_the_job(cloud: Cloud) -> None:
    put(cloud.store, a_job())
    cloud.write_field(JOB_ID, "step", "a_step_of_another_version")

    with pytest.raises(UnreadableRowError):
        cloud.store.read(JOB_ID)


def test_line_of_the_list_has_no_kind_when_it_is_of_an_unknown_one() -> None:
    line = {**listed_item(a_job()), "kind": {"S": "a-kind-of-another-version"}}

    assert listed_from_item(line) == ListedJob(JOB_ID, None, POSITION)  # type: ignore[arg-type]  # a row
