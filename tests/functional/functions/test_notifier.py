"""The notifier's handler, with moto behind it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from rune.aws.job_store import LARGEST_ROW_BYTES
from rune.aws.webhook_store import DynamoWebhookStore
from rune.errors import StoreUnavailableError, UnreadableRowError
from rune.events.outbox import OutboxState, fall_due
from rune.events.record import Subject, SubjectKind
from rune.jobs.outcomes import Done
from rune.jobs.record import StepName
from rune.jobs.store import Submission
from rune.jobs.transitions import make_transition
from rune.services.publishing import Publisher
from rune.storage.change import make_change
from rune.webhooks.record import DeliveryState, Endpoint
from tests.builders import JOB_ID, NOW, a_claimed_job, a_job, a_sample_event, after, an_event, an_sqs_event
from tests.functional.functions.loading import loaded
from tests.log_lines import logged
from tests.parameters import Ssm
from tests.webhook_builders import MASTER_KEY, an_endpoint, shown_secret, verify
from tests.webhook_receiver import running_receiver

if TYPE_CHECKING:
    from tests.cloud import Cloud

DONE: dict[str, list[object]] = {"batchItemFailures": []}
JOB = Subject(SubjectKind.JOB, JOB_ID)
SIGNING_KEY = "/rune/notifier/signing-key"


@dataclass(frozen=True)
class Context:
    """What Lambda tells of an invocation."""

    remaining_ms: int = 60_000
    aws_request_id: str = "invocation-1"

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_ms


CONTEXT = Context()


@pytest.fixture(scope="module")
def notifier(shared_cloud: Cloud) -> Iterator[ModuleType]:
    with loaded("notifier.handler", shared_cloud.environment) as handler:
        yield handler


@pytest.fixture
def bus(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, notifier: ModuleType) -> list[dict[str, object]]:
    """The entries that were put on the bus."""
    taken: list[dict[str, object]] = []

    class Putter:
        def put_events(self, *, Entries: list[dict[str, object]]) -> dict[str, object]:  # noqa: N803  # AWS's
            taken.extend(Entries)
            return {"FailedEntryCount": 0, "Entries": [{"EventId": "an id"} for _ in Entries]}

    monkeypatch.setitem(notifier.clients.__dict__, "_events", Putter())
    return taken


def put(cloud: Cloud) -> None:
    cloud.store.submit(Submission(a_job(), "{}", an_event()))
    cloud.calls.clear()


@pytest.fixture
def accepted(cloud: Cloud) -> None:
    """Store the job of the builders."""
    put(cloud)


def test_notice_of_the_sample_event_publishes_the_jobs_events(
    notifier: ModuleType, cloud: Cloud, bus: list[dict[str, object]]
) -> None:
    put(cloud)

    with logged() as log:
        assert notifier.handle(a_sample_event("sqs-notice"), CONTEXT) == DONE

    named = {"subject": str(JOB), "job_id": JOB_ID, "request_id": CONTEXT.aws_request_id}
    assert log.lines() == [{"event": "notice.followed", **named}]
    assert [(entry["DetailType"], entry["EventBusName"]) for entry in bus] == [
        ("rune.job.accepted", "rune-test")
    ]
    assert json.loads(str(bus[0]["Detail"]))["metadata"]["event_id"] == f"evt_job_{JOB_ID}_1"
    assert cloud.outbox.read(JOB).pointers == {"bus": 1}
    assert cloud.operations == ["BatchGetItem", "Query", "BatchGetItem", "UpdateItem", "BatchGetItem"]


def test_notices_of_one_subject_in_a_batch_are_followed_once(
    notifier: ModuleType, cloud: Cloud, bus: list[dict[str, object]]
) -> None:
    put(cloud)
    body = json.dumps({"subject": str(JOB)})

    assert notifier.handle(an_sqs_event(body, body, body), CONTEXT) == DONE

    assert cloud.operations == ["BatchGetItem", "Query", "BatchGetItem", "UpdateItem"]
    assert len(bus) == 1


def test_message_that_is_no_notice_goes_to_the_dead_letters_and_keeps_no_other_waiting(
    notifier: ModuleType, cloud: Cloud, bus: list[dict[str, object]]
) -> None:
    put(cloud)

    assert notifier.handle(an_sqs_event("hello", json.dumps({"subject": str(JOB)})), CONTEXT) == DONE

    assert cloud.received("dead-letter") == ["hello"]
    assert len(bus) == 1


def test_notice_of_a_later_version_is_dropped(
    notifier: ModuleType, cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    assert notifier.handle(an_sqs_event('{"subject": "planet:earth"}'), CONTEXT) == DONE

    assert cloud.received("dead-letter") == []
    record = caplog.records[0]
    assert (record.getMessage(), record.__dict__["metric"]) == ("notice.not_understood", "RowsNotUnderstood")


FAILURES: dict[str, tuple[Exception, str | None]] = {
    "notice.store_unavailable": (StoreUnavailableError("Down."), None),
    "row.unreadable": (UnreadableRowError("Of a later version."), "RowsNotUnderstood"),
    "notice.failed": (KeyError("a bug"), "EventsNotPublished"),
}
"""By the line that tells of each: what goes wrong, and what is counted."""


@pytest.mark.parametrize("line", FAILURES)
@pytest.mark.usefixtures("accepted")
def test_notice_that_fails_is_told_and_costs_itself_alone(
    line: str,
    notifier: ModuleType,
    bus: list[dict[str, object]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    error, metric = FAILURES[line]
    publish = Publisher.publish

    def fail_at_one(self: Publisher, subject: Subject) -> None:
        if subject.kind is SubjectKind.RENTAL:
            raise error
        publish(self, subject)

    monkeypatch.setattr(Publisher, "publish", fail_at_one)
    bodies = [json.dumps({"subject": "rental:a"}), json.dumps({"subject": str(JOB)})]

    assert notifier.handle(an_sqs_event(*bodies), CONTEXT) == DONE

    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert (record.getMessage(), record.__dict__.get("metric")) == (line, metric)
    assert len(bus) == 1


def test_bus_that_does_not_take_an_event_leaves_the_job_due(
    notifier: ModuleType, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Refusing:
        def put_events(self, *, Entries: list[object]) -> dict[str, object]:  # noqa: N803  # AWS's
            failed = {"ErrorCode": "ThrottlingException", "ErrorMessage": "…"}
            return {"FailedEntryCount": len(Entries), "Entries": [failed for _ in Entries]}

    monkeypatch.setitem(notifier.clients.__dict__, "_events", Refusing())
    put(cloud)

    assert notifier.handle(a_sample_event("sqs-notice"), CONTEXT) == DONE

    state = cloud.outbox.read(JOB)
    assert (state.pointers, state.due_at, state.failures) == ({"bus": 0}, after(5), 1)
    record = caplog.records[0]
    assert (record.getMessage(), record.__dict__["metric"]) == ("events.not_published", "EventsNotPublished")


def test_early_notice_does_nothing(notifier: ModuleType, cloud: Cloud, bus: list[dict[str, object]]) -> None:
    assert notifier.handle(a_sample_event("sqs-notice"), CONTEXT) == DONE

    assert bus == []
    assert cloud.outbox.read(JOB) == OutboxState()


def test_deployment_without_a_bus_publishes_nowhere_and_owes_nothing(
    shared_cloud: Cloud, cloud: Cloud
) -> None:
    put(cloud)
    cloud.outbox.update(JOB, fall_due(NOW, after(86_400)))
    with loaded("notifier.handler", {**shared_cloud.environment, "RUNE_EVENT_BUS": ""}) as handler:
        assert handler.handle(a_sample_event("sqs-notice"), CONTEXT) == DONE

    assert cloud.outbox.read(JOB).due_at is None


# ---------------------------------------------------------------- the archive


ARCHIVE = "rune-test-archive"


@pytest.fixture
def archiving(cloud: Cloud) -> Iterator[ModuleType]:
    """A notifier whose only sink is the archive."""
    cloud.s3.create_bucket(
        Bucket=ARCHIVE,
        CreateBucketConfiguration={"LocationConstraint": "eu-central-1"},
    )
    environment = {**cloud.environment, "RUNE_EVENT_BUS": "", "RUNE_ARCHIVE_BUCKET": ARCHIVE}
    with loaded("notifier.handler", environment) as handler:
        yield handler
    for found in cloud.s3.list_objects_v2(Bucket=ARCHIVE).get("Contents", []):
        cloud.s3.delete_object(Bucket=ARCHIVE, Key=found["Key"])
    cloud.s3.delete_bucket(Bucket=ARCHIVE)


def put_ended(cloud: Cloud, result_json: str) -> None:
    job = a_claimed_job(step=StepName.MEASURE)
    cloud.store.submit(Submission(job, json.dumps({"model": "llama3.1:8b"}), an_event()))
    assert cloud.store.commit(job, make_transition(job, Done(result_json), after(9), 5))
    cloud.calls.clear()


@pytest.mark.parametrize("answer", ["a", "a" * 2 * LARGEST_ROW_BYTES], ids=["in the table", "in the bucket"])
def test_job_that_has_ended_is_a_line_in_the_archive(
    answer: str, archiving: ModuleType, cloud: Cloud
) -> None:
    put_ended(cloud, json.dumps({"answer": answer}))

    assert archiving.handle(a_sample_event("sqs-notice"), CONTEXT) == DONE

    (found,) = cloud.s3.list_objects_v2(Bucket=ARCHIVE)["Contents"]
    assert found["Key"] == f"archive/default/benchmark/2026-11-23/{JOB_ID}.json"
    stored = cloud.s3.get_object(Bucket=ARCHIVE, Key=found["Key"])
    (line,) = stored["Body"].read().decode().splitlines()
    assert json.loads(json.loads(line)["result"]) == {"answer": answer}
    assert (json.loads(line)["model"], stored["ContentType"]) == ("llama3.1:8b", "application/x-ndjson")
    assert cloud.outbox.read(JOB).pointers == {"archive": 3}


def test_line_is_written_at_a_price_that_is_told(archiving: ModuleType, cloud: Cloud) -> None:
    put_ended(cloud, "{}")

    archiving.handle(a_sample_event("sqs-notice"), CONTEXT)

    # Of these the last two BatchGetItem and the PutObject are the archive's (docs/archive.md).
    assert cloud.operations == [
        "BatchGetItem",
        "Query",
        "BatchGetItem",
        "BatchGetItem",
        "BatchGetItem",
        "PutObject",
        "UpdateItem",
    ]


def test_archive_that_cannot_be_written_is_tried_again(
    archiving: ModuleType, cloud: Cloud, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_ended(cloud, "{}")

    def fail(*_: object) -> None:
        raise StoreUnavailableError("The bucket cannot be reached now.")

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr("rune.aws.s3.S3ObjectStore.put", fail)
        assert archiving.handle(a_sample_event("sqs-notice"), CONTEXT) == DONE

    assert [record.msg for record in caplog.records] == ["events.not_published"]
    assert cloud.outbox.read(JOB).due_at is not None
    archiving.handle(a_sample_event("sqs-notice"), CONTEXT)
    assert cloud.s3.list_objects_v2(Bucket=ARCHIVE)["KeyCount"] == 1


# ---------------------------------------------------------------- webhooks


@pytest.fixture
def posting(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A notifier of a deployment with a key to sign with."""
    Ssm().write(SIGNING_KEY, MASTER_KEY)
    monkeypatch.setattr("random.random", lambda: 0.5)
    key = {"RUNE_SIGNING_KEY_PARAMETER": SIGNING_KEY}
    with loaded("notifier.handler", {**cloud.environment, **key}) as handler:
        handler.clients.__dict__["_events"] = Taker()
        cloud.calls.clear()
        yield handler


class Taker:
    """A bus that takes everything."""

    def put_events(self, *, Entries: list[dict[str, object]]) -> dict[str, object]:  # noqa: N803  # AWS's
        return {"FailedEntryCount": 0, "Entries": [{"EventId": "an id"} for _ in Entries]}


def put_webhook(cloud: Cloud, url: str) -> Endpoint:
    endpoint = an_endpoint(url=f"{url}/in?key=1")
    assert DynamoWebhookStore(cloud.dynamodb, "rune-test").create(
        endpoint, make_change("create", NOW, requires=(), sets={})
    )
    return endpoint


def test_event_goes_to_the_webhooks_and_the_next_notice_posts_it(posting: ModuleType, cloud: Cloud) -> None:
    with running_receiver(lambda number: 500 if number == 1 else 204) as receiver:
        endpoint = put_webhook(cloud, receiver.url)
        put(cloud)

        posting.handle(a_sample_event("sqs-notice"), CONTEXT)
        (notice,) = cloud.received("notice")
        posting.handle(an_sqs_event(notice), CONTEXT)

    assert json.loads(notice) == {"endpoint": endpoint.key}
    assert cloud.outbox.read(JOB).pointers == {"bus": 1, "webhooks": 1}
    (post,) = receiver.posts
    assert (post.url, post.webhook_id) == ("/in?key=1", f"evt_job_{JOB_ID}_1")
    assert verify(replace(post, at=NOW), shown_secret())
    (delivery,) = DynamoWebhookStore(cloud.dynamodb, "rune-test").read_from(endpoint, 1)
    assert (delivery.state, delivery.due_at) == (DeliveryState.RETRYING, after(5 * 1.05))


def test_events_are_published_before_receivers_are_waited_for(
    posting: ModuleType, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_receiver() as receiver:
        endpoint = put_webhook(cloud, receiver.url)
        put(cloud)
        done: list[str] = []
        monkeypatch.setattr(posting.publisher, "publish", lambda subject: done.append(str(subject)))
        monkeypatch.setattr(posting, "_deliver", lambda endpoints, _context: done.extend(endpoints))

        posting.handle(
            an_sqs_event(json.dumps({"endpoint": endpoint.key}), json.dumps({"subject": str(JOB)})), CONTEXT
        )

    assert done == [str(JOB), endpoint.key]


def test_receiver_is_not_asked_when_the_time_is_over(posting: ModuleType, cloud: Cloud) -> None:
    with running_receiver() as receiver:
        put_webhook(cloud, receiver.url)
        put(cloud)
        posting.handle(a_sample_event("sqs-notice"), CONTEXT)
        (notice,) = cloud.received("notice")

        posting.handle(an_sqs_event(notice), Context(remaining_ms=19_000))

    assert receiver.posts == []
    assert cloud.received("notice") == [notice]


def test_deployment_without_a_key_gives_nothing_to_webhooks(
    notifier: ModuleType, cloud: Cloud, bus: list[dict[str, object]]
) -> None:
    endpoint = put_webhook(cloud, "http://127.0.0.1:9")
    put(cloud)

    notifier.handle(a_sample_event("sqs-notice"), CONTEXT)

    assert cloud.outbox.read(JOB).pointers == {"bus": 1}
    assert DynamoWebhookStore(cloud.dynamodb, "rune-test").read_from(endpoint, 1) == ()
