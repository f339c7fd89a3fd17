"""The summaries of a tenant's ended jobs: each job counts once, whatever happens at the same moment."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ReadTimeoutError

from rune.aws.dynamodb_table import ConflictError
from rune.aws.job_store import SUMMARY_TRIES, DynamoJobStore, NoObjectStore
from rune.aws.job_summaries import row_key
from rune.errors import StoreUnavailableError
from rune.jobs.metrics import SUMMARY_SHARDS, Tallies, Tally, summary_key
from rune.jobs.outcomes import Done
from rune.jobs.record import Job, Status
from rune.jobs.store import JobStore, Submission
from rune.jobs.transitions import make_transition
from tests.builders import NOW, a_claimed_job, a_job, after, an_event
from tests.cloud import TABLE, one_at_a_time
from tests.memory_job_store import MemoryJobStore

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from tests.cloud import Cloud

TALLIES = {"agent.ask": Tally(1, 0, 120, 120, 120), "backend.warmup": Tally(0, 2, 30, 10, 20)}
ONE = {"job.succeeded": Tally(1, 0, 5, 5, 5)}


@pytest.fixture(params=["dynamodb", "memory"])
def store(request: pytest.FixtureRequest) -> JobStore:
    if request.param == "memory":
        return MemoryJobStore()
    cloud: Cloud = request.getfixturevalue("cloud")
    return cloud.store


def put(store: JobStore, *jobs: Job) -> None:
    for job in jobs:
        store.submit(Submission(job, "{}", an_event()))


def end(store: JobStore, job: Job, tallies: Tallies = ONE, at_seconds: float = 0) -> bool:
    """Commit the end of a job; return whether it was written."""
    return store.commit(job, make_transition(job, Done("{}"), after(at_seconds), 5), tallies)


def jobs_of_one_summary(count: int) -> list[Job]:
    """Return jobs that count in the same summary."""
    jobs = [a_claimed_job(job_id=f"job-{n}") for n in range(count * 4 * SUMMARY_SHARDS)]
    return [job for job in jobs if summary_key(job, NOW).shard == 0][:count]


def summaries(cloud: Cloud) -> list[dict[str, Any]]:
    return [row for row in cloud.rows() if row["pk"]["S"].startswith("SUMMARY#")]


# ---------------------------------------------------------------- in either store


def test_tallies_of_ended_jobs_add_up(store: JobStore) -> None:
    a, b, c = (a_claimed_job(job_id="a"), a_claimed_job(job_id="b"), a_claimed_job(job_id="c", tenant="acme"))
    put(store, a, b, c, a_job(job_id="runs"))
    end(store, a, TALLIES)
    end(store, b, {"agent.ask": Tally(0, 1, 7, 7, 7)})
    end(store, c, TALLIES)

    assert store.read_tallies("default", NOW) == {
        "agent.ask": Tally(1, 1, 127, 7, 120),
        "backend.warmup": Tally(0, 2, 30, 10, 20),
    }
    assert store.read_tallies("nobody", NOW) == {}


def test_job_without_tallies_ends(store: JobStore) -> None:
    put(store, a_claimed_job())

    assert end(store, a_claimed_job(), {})

    assert store.read_tallies("default", NOW) == {}


def test_tallies_go_with_the_last_job_of_their_summary(store: JobStore) -> None:
    first, last = jobs_of_one_summary(2)
    first, last = replace(first, expires_at=after(50)), replace(last, expires_at=after(100))
    put(store, last, first)
    end(store, last, TALLIES)
    end(store, first)

    assert store.read_tallies("default", after(99)) == {**TALLIES, **ONE}
    assert store.read_tallies("default", after(100)) == {}


def test_tallies_are_not_written_when_the_commit_is_refused(store: JobStore) -> None:
    put(store, a_claimed_job(epoch=2))
    zombie = a_claimed_job(epoch=1)

    assert not end(store, zombie, TALLIES)
    assert store.read_tallies("default", NOW) == {}


def test_tallies_of_many_jobs_and_days_add_up(store: JobStore) -> None:
    jobs = [a_claimed_job(job_id=f"job-{n}") for n in range(30)]
    put(store, *jobs)

    assert all(end(store, job, at_seconds=n * 3 * 3600) for n, job in enumerate(jobs))

    assert store.read_tallies("default", NOW) == {"job.succeeded": Tally(30, 0, 150, 5, 5)}


# ---------------------------------------------------------------- the rows


def test_summary_is_a_row_of_its_tenant_and_day(cloud: Cloud) -> None:
    job, other = jobs_of_one_summary(2)
    put(cloud.store, job, other)

    end(cloud.store, job, TALLIES)
    end(cloud.store, other, {"agent.ask": Tally(0, 1, 7, 7, 7)})

    def numbers(ok: int, error: int, total: int, least: int, most: int) -> dict[str, Any]:
        names = ("ok_count", "error_count", "sum_ms", "min_ms", "max_ms")
        members = zip(names, (ok, error, total, least, most), strict=True)
        return {"M": {name: {"N": str(number)} for name, number in members}}

    (row,) = summaries(cloud)
    assert row == {
        "pk": {"S": "SUMMARY#default"},
        "sk": {"S": f"DAY#{NOW:%Y-%m-%d}#0"},
        "version": {"N": "2"},
        "tallies": {
            "M": {"agent.ask": numbers(1, 1, 127, 7, 120), "backend.warmup": numbers(0, 2, 30, 10, 20)}
        },
        "expires_at": {"N": str(int(job.expires_at.timestamp()))},
    }


def test_days_and_shards_have_rows_of_their_own(cloud: Cloud) -> None:
    jobs = [a_claimed_job(job_id=f"job-{n}") for n in range(40)]
    put(cloud.store, *jobs)
    for number, job in enumerate(jobs):
        end(cloud.store, job, at_seconds=number % 2 * 86_400)

    assert len(summaries(cloud)) == 2 * SUMMARY_SHARDS


def test_end_of_a_job_costs_one_read_more(cloud: Cloud) -> None:
    put(cloud.store, a_claimed_job())
    cloud.calls.clear()

    end(cloud.store, a_claimed_job())

    assert cloud.operations == ["BatchGetItem", "TransactWriteItems"]


def test_read_goes_on_when_there_are_several_pages(cloud: Cloud) -> None:
    # A page ends at 1 MB.
    long = {f"event-{n}-{'x' * 3000}": Tally(1, 0, 1, 1, 1) for n in range(100)}
    jobs = [a_claimed_job(job_id=f"job-{n}") for n in range(5)]
    put(cloud.store, *jobs)
    for day, job in enumerate(jobs):
        end(cloud.store, job, long, at_seconds=day * 86_400)
    cloud.calls.clear()

    tallies = cloud.store.read_tallies("default", NOW)

    assert set(tallies.values()) == {Tally(5, 0, 5, 1, 1)}
    assert len(cloud.operations) > 1


# ---------------------------------------------------------------- at the same moment


@dataclass
class Interrupted:
    """A client that lets something else happen after each reading of a summary, and loses answers.

    Attributes
    ----------
    after_read
        Called with the number of the reading, from 0.
    """

    client: DynamoDBClient
    after_read: Callable[[int], object] = lambda _number: None
    reads: int = 0
    lost_answers: int = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.client, name)

    def batch_get_item(self, **arguments: Any) -> object:  # noqa: ANN401  # passed on
        answer = self.client.batch_get_item(**arguments)
        self.reads += 1
        self.after_read(self.reads - 1)
        return answer

    def transact_write_items(self, **arguments: Any) -> object:  # noqa: ANN401  # passed on
        answer = self.client.transact_write_items(**arguments)
        if self.lost_answers:
            self.lost_answers -= 1
            raise ReadTimeoutError(endpoint_url="https://dynamodb")
        return answer

    @property
    def store(self) -> DynamoJobStore:
        return DynamoJobStore(self, TABLE, NoObjectStore())  # type: ignore[arg-type]  # forwards the rest


@pytest.mark.parametrize("earlier_count", [0, 1])
def test_both_jobs_count_when_another_one_ends_meanwhile(earlier_count: int, cloud: Cloud) -> None:
    job, other, earlier = jobs_of_one_summary(3)
    put(cloud.store, job, other, earlier)
    if earlier_count:
        end(cloud.store, earlier)
    client = Interrupted(cloud.dynamodb, lambda number: number or end(cloud.store, other))

    assert end(client.store, job)

    assert client.reads == 2
    count = 2 + earlier_count
    assert cloud.store.read_tallies("default", NOW) == {"job.succeeded": Tally(count, 0, 5 * count, 5, 5)}
    ended = cloud.store.read(job.job_id)
    assert ended
    assert ended.status is Status.SUCCEEDED


def test_end_is_refused_when_the_job_itself_ended_meanwhile(cloud: Cloud) -> None:
    (job,) = jobs_of_one_summary(1)
    put(cloud.store, job)
    client = Interrupted(cloud.dynamodb, lambda _number: end(cloud.store, job))

    assert not end(client.store, job)

    assert (client.reads, cloud.store.read_tallies("default", NOW)) == (1, ONE)


def test_end_is_put_off_when_others_end_all_the_time(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rune.aws.dynamodb_table.time.sleep", lambda _seconds: None)
    job, *others = jobs_of_one_summary(1 + SUMMARY_TRIES)
    put(cloud.store, job, *others)
    client = Interrupted(cloud.dynamodb, lambda number: end(cloud.store, others[number]))

    with pytest.raises(ConflictError) as raised:
        end(client.store, job)

    assert (raised.value.retryable, client.reads) == (True, SUMMARY_TRIES)
    assert cloud.store.read(job.job_id) == job
    assert cloud.store.read_tallies("default", NOW)["job.succeeded"].ok_count == SUMMARY_TRIES


@pytest.mark.parametrize("others_between", [0, 1])
def test_job_counts_once_when_the_answer_to_its_end_was_lost(others_between: int, cloud: Cloud) -> None:
    job, other = jobs_of_one_summary(2)
    put(cloud.store, job, other)
    client = Interrupted(cloud.dynamodb, lost_answers=1)
    with pytest.raises(StoreUnavailableError):
        end(client.store, job)
    if others_between:
        end(cloud.store, other)

    assert not end(client.store, job)

    count = 1 + others_between
    assert cloud.store.read_tallies("default", NOW) == {"job.succeeded": Tally(count, 0, 5 * count, 5, 5)}


@pytest.mark.slow
def test_every_job_counts_once_when_many_end_at_once(cloud: Cloud) -> None:
    jobs = jobs_of_one_summary(6)
    put(cloud.store, *jobs)
    start = Barrier(len(jobs))

    def end_at_once(job: Job) -> bool:
        start.wait(30)
        return end(cloud.store, job)

    with one_at_a_time("transact_write_items"), ThreadPoolExecutor(len(jobs)) as pool:
        assert all(pool.map(end_at_once, jobs))

    assert cloud.store.read_tallies("default", NOW) == {"job.succeeded": Tally(6, 0, 30, 5, 5)}


# ---------------------------------------------------------------- rows of another version


LATER: dict[str, dict[str, Any]] = {
    "a later format": {"format": {"N": "99"}},
    "tallies of another form": {"tallies": {"S": "another form"}},
    "a tally with fewer numbers": {"tallies": {"M": {"job.succeeded": {"M": {"ok_count": {"N": "1"}}}}}},
    "no number of its version": {"version": {"S": "x"}},
}


@pytest.mark.parametrize("later", LATER.values(), ids=LATER.keys())
def test_job_ends_when_the_summary_is_not_understood(
    later: dict[str, Any], cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "rune")
    job, another_days = jobs_of_one_summary(2)
    put(cloud.store, job, another_days)
    end(cloud.store, another_days, at_seconds=86_400)
    row: dict[str, Any] = {**row_key(summary_key(job, NOW)), "version": {"N": "7"}, **later}
    cloud.dynamodb.put_item(TableName=TABLE, Item=row)

    assert end(cloud.store, job)

    assert row in summaries(cloud)
    # It costs itself alone.
    assert cloud.store.read_tallies("default", NOW) == ONE
    told = {(line.msg, line.__dict__["place"], line.__dict__["metric"]) for line in caplog.records}
    place = f"SUMMARY#default DAY#{NOW:%Y-%m-%d}#0"
    assert told == {("summary.not_understood", place, "RowsNotUnderstood")}


def test_summary_ignores_what_a_later_version_added(cloud: Cloud) -> None:
    job, other = jobs_of_one_summary(2)
    put(cloud.store, job, other)
    end(cloud.store, job)
    (row,) = summaries(cloud)
    cloud.dynamodb.put_item(TableName=TABLE, Item={**row, "more": {"S": "of a later version"}})

    assert end(cloud.store, other)
    assert cloud.store.read_tallies("default", NOW) == {"job.succeeded": Tally(2, 0, 10, 5, 5)}
