"""Samples of past jobs in DynamoDB, as the ends of jobs write them, and in memory where both must do the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from rune.aws.job_store import DynamoJobStore, NoObjectStore
from rune.aws.sample_store import DynamoSampleStore
from rune.contracts.names import MAX_MODEL_NAME_CHARS
from rune.errors import StoreUnavailableError
from rune.jobs.places import RowChange
from rune.jobs.record import Status
from rune.jobs.samples import SAMPLES_KEPT, Sample, SampleRow, SampleStore, Shape, record_sample
from rune.jobs.store import JobStore
from tests.builders import NOW, after
from tests.memory_job_store import MemoryJobStore
from tests.memory_sample_store import MemorySampleStore

if TYPE_CHECKING:
    from tests.cloud import Cloud

TABLE = "rune-test"
SHAPE = Shape("benchmark", 8)
SAMPLE = Sample(
    job_id="a",
    kind="benchmark",
    class_gb=8,
    ended_at=NOW,
    status=Status.FAILED,
    model="llama3.1:8b",
    gpu="1x RTX 4090",
    machine_count=2,
    cost_micro_usd=51_400,
    expected_micro_usd=21_780,
    phases_ms={"boot": 61_000, "work": 9_000},
    expected_ms={"boot": 47_500},
    version=1,
    updated_at=NOW,
    expires_at=NOW + SAMPLES_KEPT,
)

type Stores = tuple[JobStore, SampleStore]


@pytest.fixture(params=["dynamodb", "memory"])
def stores(request: pytest.FixtureRequest) -> Stores:
    if request.param == "memory":
        jobs = MemoryJobStore()
        return jobs, MemorySampleStore(jobs)
    cloud: Cloud = request.getfixturevalue("cloud")
    return DynamoJobStore(cloud.dynamodb, TABLE, NoObjectStore()), DynamoSampleStore(cloud.dynamodb, TABLE)


def written(sample: Sample, now: datetime) -> RowChange:
    return RowChange(SampleRow(sample.shape, now, sample.job_id), record_sample(sample, now))


def test_no_sample_is_there_before_a_job_ends(stores: Stores) -> None:
    assert stores[1].read(SHAPE, NOW) == ()


def test_sample_is_read_as_it_was_written(stores: Stores) -> None:
    jobs, samples = stores

    jobs.write_rows([written(SAMPLE, NOW)])

    assert samples.read(SHAPE, NOW) == (SAMPLE,)


def test_latest_samples_of_a_shape_are_read_newest_first(stores: Stores) -> None:
    jobs, samples = stores
    for number, name in enumerate("abcd"):
        jobs.write_rows([written(replace(SAMPLE, job_id=name), after(number))])
    for other in (replace(SAMPLE, class_gb=16), replace(SAMPLE, kind="llm-instance")):
        jobs.write_rows([written(other, NOW)])

    assert [sample.job_id for sample in samples.read(SHAPE, NOW, 3)] == ["d", "c", "b"]


def test_sample_expires(stores: Stores) -> None:
    jobs, samples = stores
    jobs.write_rows([written(SAMPLE, NOW)])

    assert len(samples.read(SHAPE, NOW + SAMPLES_KEPT - timedelta(seconds=1))) == 1
    assert samples.read(SHAPE, NOW + SAMPLES_KEPT) == ()


def test_sample_that_cannot_be_understood_is_left_out(cloud: Cloud) -> None:
    jobs = DynamoJobStore(cloud.dynamodb, TABLE, NoObjectStore())
    jobs.write_rows([written(SAMPLE, NOW), written(replace(SAMPLE, job_id="b"), after(1))])
    first, second = sorted(cloud.dynamodb.scan(TableName=TABLE)["Items"], key=lambda row: row["sk"]["S"])
    cloud.dynamodb.put_item(TableName=TABLE, Item={**second, "status": {"S": "melted"}})

    found = DynamoSampleStore(cloud.dynamodb, TABLE).read(SHAPE, NOW)

    assert [sample.job_id for sample in found] == [first["job_id"]["S"]]


def test_row_of_a_sample_is_below_1_kb(cloud: Cloud) -> None:
    phases = dict.fromkeys(("search", "boot", "pull", "load", "work", "release"), 3_600_000)
    largest = replace(
        SAMPLE, job_id="f" * 32, model="m" * MAX_MODEL_NAME_CHARS, phases_ms=phases, expected_ms=phases
    )
    DynamoJobStore(cloud.dynamodb, TABLE, NoObjectStore()).write_rows([written(largest, NOW)])

    (item,) = cloud.dynamodb.scan(TableName=TABLE)["Items"]

    assert sum(len(name) + len(str(value)) for name, value in item.items()) < 1_530
    assert len(item) < 20


def test_store_that_cannot_be_reached_says_so(cloud: Cloud) -> None:
    with pytest.raises(StoreUnavailableError):
        DynamoSampleStore(cloud.dynamodb, "no-such-table").read(SHAPE, NOW)
