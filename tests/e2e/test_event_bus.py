"""Events of jobs on the deployment's bus, as a rule of somebody else's sees them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from local.stack import Stack
from tests.e2e.client import RuneClient
from tests.e2e.environment import TENANT
from tests.e2e.model_server import ModelServer
from tests.e2e.waiting import wait_until

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

QUESTION = "What is unhealthy?"


class Ear:
    """A queue behind a rule on the bus, for RUNE's own events."""

    def __init__(self, stack: Stack) -> None:
        self._sqs: SQSClient = stack.aws.client("sqs")
        self._events: Any = stack.aws.client("events")
        self._bus = stack.state.event_bus
        self._name = f"ear-{uuid.uuid4().hex[:8]}"
        self._url = self._sqs.create_queue(QueueName=self._name)["QueueUrl"]
        arn = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])["Attributes"]
        self._heard: list[dict[str, Any]] = []
        self._events.put_rule(
            Name=self._name, EventBusName=self._bus, EventPattern=json.dumps({"source": ["rune"]})
        )
        self._events.put_targets(
            Rule=self._name, EventBusName=self._bus, Targets=[{"Id": "queue", "Arn": arn["QueueArn"]}]
        )

    def about(self, job_id: str) -> list[dict[str, Any]]:
        """Return what was heard of a job so far, by its sequences; what came twice is there once."""
        while found := self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get("Messages"):
            self._heard += [json.loads(message["Body"]) for message in found]
            for message in found:
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        own = [event for event in self._heard if event["detail"]["metadata"]["subject"] == f"job:{job_id}"]
        by_id = {event["detail"]["metadata"]["event_id"]: event for event in own}
        return sorted(by_id.values(), key=lambda event: int(event["detail"]["metadata"]["sequence"]))

    def wait_for(self, job_id: str, last: str) -> list[dict[str, Any]]:
        """Return what was heard of a job once this type of event is among it."""
        wait_until(
            lambda: last in [event["detail-type"] for event in self.about(job_id)],
            f"{last} of {job_id} is on the bus",
            limit_seconds=120.0,
            poll_seconds=0.5,
        )
        return self.about(job_id)

    def close(self) -> None:
        """Take rule and queue away."""
        self._events.remove_targets(Rule=self._name, EventBusName=self._bus, Ids=["queue"])
        self._events.delete_rule(Name=self._name, EventBusName=self._bus)
        self._sqs.delete_queue(QueueUrl=self._url)


@pytest.fixture(scope="module")
def ear(stack: Stack) -> Iterator[Ear]:
    own = Ear(stack)
    yield own
    own.close()


def test_job_is_told_on_the_bus_from_its_acceptance_to_its_end(
    rune: RuneClient, quick: ModelServer, ear: Ear
) -> None:
    body = {"question": QUESTION, "model": "llama3.1:8b", "backend_url": quick.url, "backend_warmup": False}
    job_id = rune.post_benchmark(body)
    rune.wait_for_end(job_id)

    events = ear.wait_for(job_id, "rune.job.succeeded")

    assert [event["detail-type"] for event in events] == [
        "rune.job.accepted",
        "rune.job.running",
        "rune.job.step",
        "rune.job.step",
        "rune.job.succeeded",
    ]
    details = [event["detail"] for event in events]
    metadata = [detail["metadata"] for detail in details]
    assert [each["event_id"] for each in metadata] == [
        f"evt_job_{job_id}_{each['sequence']}" for each in metadata
    ]
    assert [detail["data"]["step"] for detail in details[2:4]] == ["check", "measure"]
    assert all(detail["data"]["job_id"] == job_id for detail in details)
    assert {each["tenant"] for each in metadata} == {TENANT}


def test_job_that_fails_says_why_on_the_bus(rune: RuneClient, quick: ModelServer, ear: Ear) -> None:
    job_id = rune.post_benchmark({"question": QUESTION, "model": "not-there:1b", "backend_url": quick.url})
    rune.wait_for_end(job_id)

    *_, end = ear.wait_for(job_id, "rune.job.failed")

    assert end["detail"]["data"]["error_code"] == "model_not_found"
