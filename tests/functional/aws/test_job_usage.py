"""What ended jobs have used, in the table and in memory: each job counts once."""

from __future__ import annotations

import logging
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest

from rune.contracts.names import MAX_MODEL_NAME_BYTES
from rune.jobs import closing
from rune.jobs.outcomes import Done, Failed
from rune.jobs.record import Event, Job
from rune.jobs.store import JobStore, Submission
from rune.jobs.transitions import make_transition
from rune.jobs.usage import UsageRow
from tests.builders import NOW, a_claimed_job, after
from tests.cloud import TABLE
from tests.memory_job_store import MemoryJobStore

if TYPE_CHECKING:
    from tests.cloud import Cloud

TODAY = NOW.date()
DAY = timedelta(days=1)
AWKWARD = "hf.co/a#b~c/\u6f22:q4#x"


@pytest.fixture(params=["dynamodb", "memory"])
def store(request: pytest.FixtureRequest) -> JobStore:
    if request.param == "memory":
        return MemoryJobStore()
    cloud: Cloud = request.getfixturevalue("cloud")
    return cloud.store


def put(store: JobStore, job: Job, **labels: str) -> None:
    store.submit(Submission(job, "{}", Event(1, "job.accepted", "ok", NOW, labels=labels)))


def end(store: JobStore, job: Job, at_seconds: float = 60) -> bool:
    return closing.commit(store, job, make_transition(job, Done("{}"), after(at_seconds), 5))


def counts(store: JobStore, first: date = TODAY, last: date = TODAY) -> dict[str, tuple[int, int, int]]:
    """Return jobs, seconds and cost by model."""
    return {
        row.model: (usage.job_count, usage.run_seconds, usage.cost_micro_usd)
        for row, usage in store.read_usage("default", first, last).items()
    }


@pytest.mark.parametrize(
    ("model", "agent"), [(AWKWARD, "ask"), ("\u6f22" * (MAX_MODEL_NAME_BYTES // 3), "a" * 64)]
)
def test_usage_of_one_model_adds_up(store: JobStore, model: str, agent: str) -> None:
    jobs = [a_claimed_job(job_id=f"job-{n}", started_at=NOW, cost_micro_usd=10) for n in range(3)]
    for job in jobs:
        put(store, job, model=model, agent=agent)
        assert end(store, job)

    ((row, usage),) = store.read_usage("default", TODAY, TODAY).items()
    assert row == UsageRow("default", TODAY, "benchmark", agent, model)
    assert (usage.job_count, usage.succeeded_count, usage.run_seconds, usage.cost_micro_usd) == (
        3,
        3,
        180,
        30,
    )
    assert usage.version == 3


def test_usage_is_of_the_days_that_are_asked_for(store: JobStore) -> None:
    for number in range(4):
        job = a_claimed_job(job_id=f"job-{number}", started_at=NOW)
        put(store, job, model=f"of-day-{number}")
        end(store, job, at_seconds=number * 86_400)

    assert counts(store, TODAY + DAY, TODAY + 2 * DAY).keys() == {"of-day-1", "of-day-2"}
    assert counts(store, TODAY - DAY, TODAY - DAY) == {}


def test_usage_is_the_tenants_own(store: JobStore) -> None:
    put(store, a_claimed_job(tenant="acme"), model="m")
    end(store, a_claimed_job(tenant="acme"))

    assert counts(store) == {}


def test_usage_does_not_count_an_end_that_is_refused_or_comes_twice(store: JobStore) -> None:
    put(store, a_claimed_job(epoch=2), model="m")

    assert not end(store, a_claimed_job(epoch=1))
    assert counts(store) == {}

    assert end(store, a_claimed_job(epoch=2))
    assert not end(store, a_claimed_job(epoch=2))
    assert {model: count for model, (count, *_) in counts(store).items()} == {"m": 1}


def test_usage_counts_nothing_while_a_job_goes_on(store: JobStore) -> None:
    job = a_claimed_job(rents=True)
    put(store, job, model="m")

    # The machine is to be given back first.
    closing.commit(store, job, make_transition(job, Failed("x", "X.", retryable=False), NOW, 5))

    assert counts(store) == {}


def test_usage_leaves_out_a_row_that_this_version_does_not_understand(
    cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "rune")
    put(cloud.store, a_claimed_job(), model="m")
    end(cloud.store, a_claimed_job())
    for sort_key in (f"DAY#{TODAY}#benchmark", f"DAY#{TODAY}#benchmark##later"):
        row = {"pk": {"S": "USAGE#default"}, "sk": {"S": sort_key}, "format": {"N": "99"}}
        cloud.dynamodb.put_item(TableName=TABLE, Item=row)

    assert counts(cloud.store).keys() == {"m"}
    assert [line.msg for line in caplog.records] == ["row.unreadable", "row.unreadable"]


def test_usage_row_leaves_the_table_after_a_year(cloud: Cloud) -> None:
    put(cloud.store, a_claimed_job(), model="m")
    end(cloud.store, a_claimed_job())

    (row,) = (row for row in cloud.rows() if row["pk"]["S"].startswith("USAGE#"))
    assert row["sk"] == {"S": f"DAY#{TODAY}#benchmark##m"}
    assert row["expires_at"] == {"N": str(int((after(60) + timedelta(days=400)).timestamp()))}
