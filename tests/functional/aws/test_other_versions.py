"""Rows of other versions in the table."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from rune.aws.dynamodb_rows import FORMAT
from rune.aws.provider_limits import DynamoProviderLimits
from rune.errors import UnreadableRowError
from rune.jobs.outcomes import Again, Done
from rune.jobs.store import Submission
from rune.jobs.transitions import make_transition
from tests.builders import JOB_ID, NOW, a_claimed_job, an_event
from tests.cloud import TABLE

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

    from tests.cloud import Cloud

LATER: AttributeValueTypeDef = {"N": str(FORMAT + 1)}


def fill(cloud: Cloud) -> None:
    """Store a job with its request, a state, a result and events."""
    job = a_claimed_job()
    cloud.store.submit(Submission(job, '{"question": "q"}', an_event()))
    cloud.store.commit(job, make_transition(job, Again(0, state_json="[1]"), NOW, 5))
    last = replace(job, seq=job.seq + 1)
    cloud.store.commit(last, make_transition(last, Done('{"answer": "a"}'), NOW, 5))


def write(cloud: Cloud, sort_key: str, name: str, value: AttributeValueTypeDef) -> None:
    """Give one of the job's rows an attribute, as another version might."""
    cloud.dynamodb.update_item(
        TableName=TABLE,
        Key={"pk": {"S": f"JOB#{JOB_ID}"}, "sk": {"S": sort_key}},
        UpdateExpression="SET #name = :value",
        ExpressionAttributeNames={"#name": name},
        ExpressionAttributeValues={":value": value},
    )


def read_all(cloud: Cloud) -> list[object]:
    stored = cloud.store.read_with_result(JOB_ID)
    assert stored
    request, state = cloud.store.read_request(stored.job), cloud.store.read_state(stored.job)
    return [stored.job, request, state, stored.result_json, cloud.store.read_events(JOB_ID, after=0)]


@pytest.mark.parametrize("sort_key", ["JOB", "REQUEST", "STATE", "RESULT", "EVENT#00000001"])
def test_row_with_an_attribute_of_a_later_version_reads_equal(sort_key: str, cloud: Cloud) -> None:
    fill(cloud)
    before = read_all(cloud)

    write(cloud, sort_key, "later", {"M": {"a": {"S": "b"}}})

    assert read_all(cloud) == before


@pytest.mark.parametrize("sort_key", ["JOB", "REQUEST", "STATE", "RESULT"])
def test_row_in_a_later_format_is_not_understood(sort_key: str, cloud: Cloud) -> None:
    fill(cloud)

    write(cloud, sort_key, "format", LATER)

    with pytest.raises(UnreadableRowError):
        read_all(cloud)


@pytest.mark.parametrize("sort_key", ["REQUEST", "STATE", "RESULT"])
def test_document_is_written_in_the_present_format(sort_key: str, cloud: Cloud) -> None:
    fill(cloud)

    (row,) = [row for row in cloud.rows() if row["sk"]["S"] == sort_key]

    assert row["format"] == {"N": str(FORMAT)}


@pytest.mark.parametrize(("name", "value"), [("status", {"S": "warning"}), ("format", LATER)])
def test_event_that_is_not_understood_is_left_out_and_named(
    name: str, value: AttributeValueTypeDef, cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    fill(cloud)
    whole = cloud.store.read_events(JOB_ID, after=0)

    write(cloud, "EVENT#00000001", name, value)
    rest = cloud.store.read_events(JOB_ID, after=0)

    assert whole
    assert rest
    assert rest.events == whole.events[1:]
    assert [(line.msg, line.__dict__["job_id"]) for line in caplog.records] == [("row.unreadable", JOB_ID)]


def test_shared_listing_without_a_member_that_is_needed_counts_as_none(cloud: Cloud) -> None:
    row = {"pk": {"S": "PROVIDER"}, "sk": {"S": "LISTING"}, "begun_at": {"N": "1"}}
    cloud.dynamodb.put_item(TableName=TABLE, Item={**row, "instances": {"S": '[{"colour": "green"}]'}})

    assert DynamoProviderLimits(cloud.dynamodb, TABLE).read_listing() is None
