"""Several jobs and their results from one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rune.aws.auth_limiter import DynamoLimiter
from rune.aws.job_store import LARGEST_ROW_BYTES, DynamoJobStore
from rune.aws.s3 import S3ObjectStore
from rune.clock import SystemClock
from rune.errors import RateLimitedError
from rune.jobs.outcomes import Done
from rune.jobs.store import StoredJob, Submission
from rune.jobs.transitions import make_transition
from tests.builders import NOW, a_claimed_job, a_job, an_event

if TYPE_CHECKING:
    from tests.cloud import Cloud

ADDRESS = "203.0.113.7"


def put_ended(cloud: Cloud, job_id: str, result: str) -> None:
    job = a_claimed_job(job_id=job_id)
    cloud.store.submit(Submission(job, "{}", an_event()))
    assert cloud.store.commit(job, make_transition(job, Done(result), NOW, 5))
    cloud.calls.clear()


def test_results_are_read_in_one_consistent_call(cloud: Cloud) -> None:
    put_ended(cloud, "a", '{"answer": "a"}')
    put_ended(cloud, "b", '{"answer": "b"}')
    cloud.store.submit(Submission(a_job(job_id="c"), "{}", an_event()))
    cloud.calls.clear()

    found = cloud.store.read_results(["b", "none", "c", "a"])

    (call,) = cloud.calls
    assert call.arguments["RequestItems"]["rune-test"]["ConsistentRead"] is True
    assert {stored.job.job_id: stored.result_json for stored in found} == {
        "a": '{"answer": "a"}',
        "b": '{"answer": "b"}',
        "c": None,
    }


def test_large_results_are_read_from_the_bucket(cloud: Cloud) -> None:
    large = f'"{"x" * LARGEST_ROW_BYTES}"'
    put_ended(cloud, "a", large)
    put_ended(cloud, "b", "{}")

    found = cloud.store.read_results(["a", "b"])

    assert [stored.result_json == text for stored, text in zip(found, [large, "{}"], strict=True)] == [
        True
    ] * 2
    assert cloud.operations == ["BatchGetItem", "GetObject"]


def test_one_result_is_the_same_read(cloud: Cloud) -> None:
    put_ended(cloud, "a", "{}")

    assert cloud.store.read_results(["a"]) == (cloud.store.read_with_result("a"),)


@pytest.mark.parametrize("job_ids", [["a"], ["a", "b"]])
def test_results_are_kept_from_a_blocked_address(job_ids: list[str], cloud: Cloud) -> None:
    put_ended(cloud, "a", "{}")
    limiter = DynamoLimiter(cloud.dynamodb, "rune-test", SystemClock())
    for _ in range(10):
        limiter.count_failure(ADDRESS)
    store = DynamoJobStore(cloud.dynamodb, "rune-test", S3ObjectStore(lambda: cloud.s3, "rune-test"), limiter)

    with pytest.raises(RateLimitedError):
        store.read_results(job_ids, ADDRESS)

    assert [type(stored) for stored in store.read_results(job_ids, "203.0.113.8")] == [StoredJob]
