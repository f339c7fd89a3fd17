from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from rune.aws.sqs import SqsDeadLetters, SqsStepQueue
from rune.jobs.plan import Lane
from rune.jobs.record import StepMessage
from tests.builders import JOB_ID, a_send

if TYPE_CHECKING:
    from tests.cloud import Cloud

NOWHERE = "https://sqs.eu-central-1.amazonaws.com/123456789012/nowhere"


@pytest.mark.parametrize(
    ("lane", "other"), [("money", "inference"), ("inference", "money"), ("load", "inference")]
)
def test_send_puts_the_message_into_its_lane(lane: str, other: str, cloud: Cloud) -> None:
    assert cloud.queue.send(a_send(lane=Lane(lane)))

    assert [json.loads(body) for body in cloud.received(lane)] == [{"job_id": JOB_ID, "seq": 1}]
    assert cloud.received(other) == []


@pytest.mark.parametrize("delay_seconds", [0, 5, 900])
def test_send_asks_for_the_delay(delay_seconds: int, cloud: Cloud) -> None:
    assert cloud.queue.send(a_send(delay_seconds=delay_seconds))

    (call,) = cloud.calls
    assert (call.operation, call.arguments) == (
        "SendMessage",
        {
            "QueueUrl": cloud.queue_urls["money"],
            "MessageBody": json.dumps({"job_id": JOB_ID, "seq": 1}),
            "DelaySeconds": delay_seconds,
        },
    )


def test_send_returns_false_and_says_so_when_the_queue_does_not_take_it(
    cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "rune")

    assert not SqsStepQueue(lambda: cloud.sqs, {Lane.MONEY: NOWHERE}).send(a_send())

    (record,) = caplog.records
    assert (record.msg, record.__dict__["job_id"]) == ("queue.send_failed", JOB_ID)
    # There is no such queue, and there will be none.
    assert (record.levelno, record.__dict__["metric"]) == (logging.ERROR, "CallsRefused")


class ThrottledQueue:
    """A client of SQS that is asked too often."""

    def send_message(self, **_: object) -> object:
        raise ClientError({"Error": {"Code": "RequestThrottled"}}, "SendMessage")

    def get_queue_attributes(self, **_: object) -> object:
        raise ClientError({"Error": {"Code": "RequestThrottled"}}, "GetQueueAttributes")


def test_queue_that_throttles_is_no_refusal(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "rune")
    client: Any = ThrottledQueue()
    queue = SqsStepQueue(lambda: client, {Lane.MONEY: NOWHERE})

    assert (queue.send(a_send()), queue.count_backlog(Lane.MONEY)) == (False, 0)

    assert [(record.msg, record.levelno, record.__dict__["reason"]) for record in caplog.records] == [
        ("queue.send_failed", logging.WARNING, "RequestThrottled"),
        ("queue.count_failed", logging.WARNING, "RequestThrottled"),
    ]
    assert not any("metric" in record.__dict__ for record in caplog.records)


@pytest.mark.parametrize("count", [0, 3])
def test_backlog_is_what_waits_in_the_lane(count: int, cloud: Cloud) -> None:
    for seq in range(count):
        cloud.queue.send(a_send(lane=Lane.INFERENCE, message=StepMessage(JOB_ID, seq + 1)))

    assert [cloud.queue.count_backlog(lane) for lane in (Lane.INFERENCE, Lane.MONEY)] == [count, 0]


def test_message_under_way_is_no_backlog(cloud: Cloud) -> None:
    cloud.queue.send(a_send())
    cloud.received("money")

    assert cloud.queue.count_backlog(Lane.MONEY) == 0


def test_backlog_counts_as_none_and_says_so_when_it_is_unknown(
    cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "rune")

    assert SqsStepQueue(lambda: cloud.sqs, {Lane.MONEY: NOWHERE}).count_backlog(Lane.MONEY) == 0

    (record,) = caplog.records
    assert (record.msg, record.__dict__["lane"]) == ("queue.count_failed", Lane.MONEY)
    assert (record.levelno, record.__dict__["metric"]) == (logging.ERROR, "CallsRefused")


def test_dead_letters_keep_the_body_as_it_came(cloud: Cloud) -> None:
    cloud.dead_letters.put('{"job_id": "é"')

    assert cloud.received("dead-letter") == ['{"job_id": "é"']


def test_dead_letters_raise_when_the_queue_does_not_take_it(cloud: Cloud) -> None:
    with pytest.raises(ClientError):
        SqsDeadLetters(cloud.sqs, NOWHERE).put("{}")


@pytest.mark.parametrize("urls", [{}, {Lane.LOAD: ""}])
def test_message_into_a_lane_that_the_deployment_does_not_have_is_lost(
    urls: dict[Lane, str], cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    """It was switched off while a job was in it; the job's deadline ends it."""
    queue = SqsStepQueue(lambda: cloud.sqs, urls)

    assert (queue.send(a_send(lane=Lane.LOAD)), queue.count_backlog(Lane.LOAD)) == (False, 0)
    (record,) = caplog.records
    assert (record.msg, record.__dict__["lane"]) == ("queue.lane_missing", Lane.LOAD)
