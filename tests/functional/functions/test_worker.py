from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError, EndpointConnectionError

from rune.aws.job_store import DynamoJobStore
from rune.aws.rental_store import DynamoRentalStore
from rune.aws.sqs import encode_release
from rune.errors import SettingsError, StoreUnavailableError
from rune.events.record import Subject, SubjectKind
from rune.jobs.admission import Admission
from rune.jobs.lifecycle import claim
from rune.jobs.places import Terms
from rune.jobs.record import Job, Status, StepMessage, StepName
from rune.jobs.store import Submission
from rune.llm.opener import ServerOpener
from rune.net.addresses import AddressPolicy
from rune.storage.change import apply
from tests.builders import (
    JOB_ID,
    NOW,
    TENANT,
    FakeClock,
    a_benchmark_request,
    a_job,
    a_sample_event,
    a_waiting_job,
    after,
    an_ended_job,
    an_event,
    an_sqs_event,
)
from tests.fake_model_server import FakeModelServer
from tests.functional.functions.loading import loaded
from tests.log_lines import logged
from tests.rental_builders import a_running_rental

if TYPE_CHECKING:
    from tests.cloud import Cloud

DONE: dict[str, list[object]] = {"batchItemFailures": []}


@dataclass(frozen=True)
class Context:
    """What Lambda tells of an invocation."""

    remaining_ms: int = 900_000
    aws_request_id: str = "invocation-1"

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_ms


CONTEXT = Context()


@pytest.fixture(scope="module")
def server() -> FakeModelServer:
    return FakeModelServer()


@pytest.fixture(scope="module")
def lanes(shared_cloud: Cloud, server: FakeModelServer) -> Iterator[dict[str, ModuleType]]:
    def open_fake(self: ServerOpener, kind: str, url: str, api_key: str | None = None) -> object:
        assert self.policy == AddressPolicy.parse("127.0.0.0/8")
        return server.open(kind, url, api_key)

    one_at_a_time = {**shared_cloud.environment, "RUNE_RUNNING_JOBS": "1"}
    of_inference = {**one_at_a_time, "RUNE_LANE": "inference"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ServerOpener, "__call__", open_fake)
        with (
            loaded("worker.handler", one_at_a_time) as money,
            loaded("worker.handler", of_inference) as inference,
        ):
            yield {"money": money, "inference": inference}


@pytest.fixture
def money(lanes: dict[str, ModuleType]) -> ModuleType:
    return lanes["money"]


@pytest.fixture
def inference(lanes: dict[str, ModuleType]) -> ModuleType:
    return lanes["inference"]


def put(cloud: Cloud, job: Job) -> None:
    cloud.store.submit(Submission(job, json.dumps(a_benchmark_request()), an_event()))
    cloud.calls.clear()


def submit(cloud: Cloud, clock: FakeClock, job_id: str) -> None:
    """Hand a job in as the API does, where one job runs at a time."""
    now = clock.now()
    job = a_job(job_id=job_id, created_at=now, waiting_since=now)
    submission = Submission(job, json.dumps(a_benchmark_request()), an_event())
    Admission(cloud.store, cloud.queue, clock, slot_count=1).submit(submission, Terms())
    cloud.calls.clear()


def sent_to(cloud: Cloud, lane: str) -> list[object]:
    return [json.loads(sent) for sent in cloud.received(lane)]


def body(seq: int = 1, job_id: str = JOB_ID) -> str:
    return json.dumps({"job_id": job_id, "seq": seq})


def test_worker_takes_the_turn_of_the_sample_event(inference: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_job())

    assert inference.handle(a_sample_event("sqs-step"), CONTEXT) == DONE

    begins = ["BatchGetItem", "TransactWriteItems", "BatchGetItem", "SendMessage"]
    assert cloud.operations[:7] == [*begins, "BatchGetItem", "TransactWriteItems", "SendMessage"]
    history = cloud.store.read_events(JOB_ID, 1)
    assert history
    assert [event.name for event in history.events][:2] == ["job.running", "backend.list_models"]


def test_every_line_of_a_turn_names_its_job_message_and_invocation(
    inference: ModuleType, cloud: Cloud
) -> None:
    put(cloud, a_job())

    with logged() as log:
        inference.handle(a_sample_event("sqs-step"), CONTEXT)

    (record,) = an_sqs_event(body())["Records"]
    named = {
        "job_id": JOB_ID,
        "message_id": record["messageId"],
        "request_id": CONTEXT.aws_request_id,
    }
    assert log.lines("turn.committed")
    assert [line for line in log.lines() if not line.items() >= named.items()] == []


def test_worker_sends_a_turn_of_the_other_lane_there(money: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_job())

    assert money.handle(an_sqs_event(body()), CONTEXT) == DONE

    job = cloud.store.read(JOB_ID)
    assert job
    assert (job.status, job.step, job.seq, job.epoch) == (Status.RUNNING, StepName.CHECK, 2, 1)
    assert sent_to(cloud, "inference") == [{"job_id": JOB_ID, "seq": 2}]
    # Neither an event nor the request belongs to it, so its commit is half the price of a transaction.
    assert cloud.operations[4:6] == ["UpdateItem", "SendMessage"]
    assert sent_to(cloud, "notice") == [{"subject": f"job:{JOB_ID}"}]


def test_job_goes_on_to_its_result_in_the_same_invocation(lanes: dict[str, ModuleType], cloud: Cloud) -> None:
    put(cloud, a_job())

    lanes["inference"].handle(an_sqs_event(body()), CONTEXT)

    stored, history = cloud.store.read_with_result(JOB_ID), cloud.store.read_events(JOB_ID, 0)
    assert [sent_to(cloud, lane) for lane in lanes] == [[], []]
    assert stored
    assert stored.result_json
    assert history
    # Each turn has an epoch of its own, as if its worker had claimed it.
    assert (stored.job.status, stored.job.seq, stored.job.epoch) == (Status.SUCCEEDED, 5, 4)
    assert json.loads(stored.result_json)["answer"] == "Two pods crash."
    assert [(event.number, event.name) for event in history.events] == [
        (1, "job.accepted"),
        (2, "job.running"),
        (3, "backend.list_models"),
        (4, "backend.warmup"),
        (5, "benchmark.point"),
        (6, "benchmark.measure"),
        (7, "job.succeeded"),
    ]
    # One for each write that has events.
    assert sent_to(cloud, "notice") == [{"subject": f"job:{JOB_ID}"}] * 5
    outbox = cloud.outbox.read(Subject(SubjectKind.JOB, JOB_ID))
    assert (outbox.due_at, outbox.expires_at) == (after(60), stored.job.expires_at)


def test_worker_claims_once_for_all_turns_of_an_invocation(inference: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_job())

    inference.handle(an_sqs_event(body()), CONTEXT)

    # A claim raises the epoch and leaves the turn as it is.
    writes = [
        call.arguments["TransactItems"] for call in cloud.calls if call.operation == "TransactWriteItems"
    ]
    updates = [write["Update"]["UpdateExpression"] for each in writes for write in each if "Update" in write]
    claims = [update for update in updates if "#epoch" in update and "#seq" not in update]
    assert len(claims) == 1
    assert "UpdateItem" not in cloud.operations
    assert [sent_to(cloud, lane) for lane in ("money", "inference")] == [[], []]


def test_next_job_is_admitted_when_one_has_ended(
    lanes: dict[str, ModuleType], cloud: Cloud, clock: FakeClock
) -> None:
    for job_id in (JOB_ID, "second", "third"):
        submit(cloud, clock, job_id)
        clock.advance(1)
    assert sent_to(cloud, "inference") == [{"job_id": JOB_ID, "seq": 1}]

    lanes["inference"].handle(an_sqs_event(body()), CONTEXT)

    places = cloud.store.read_places()
    share = places.share_of(TENANT)
    assert [(slot.number, slot.job_id) for slot in places.slots] == [(0, "second")]
    assert (share.running, share.waiting) == (1, 1)
    assert sent_to(cloud, "inference") == [{"job_id": "second", "seq": 1}]
    assert sent_to(cloud, "money") == []


def test_slot_is_free_when_the_last_job_has_ended(
    lanes: dict[str, ModuleType], cloud: Cloud, clock: FakeClock
) -> None:
    submit(cloud, clock, JOB_ID)

    lanes["inference"].handle(an_sqs_event(body()), CONTEXT)

    places = cloud.store.read_places()
    assert (places.slots, places.share_of(TENANT).running) == ((), 0)


def test_job_ends_when_its_slot_cannot_be_given_back(
    lanes: dict[str, ModuleType], cloud: Cloud, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(cloud, clock, JOB_ID)

    def fail(*_arguments: object) -> None:
        raise StoreUnavailableError("places")

    with monkeypatch.context() as outage:
        outage.setattr(DynamoJobStore, "read_places", fail)
        assert lanes["inference"].handle(an_sqs_event(body()), CONTEXT) == DONE

    job = cloud.store.read(JOB_ID)
    assert job
    assert job.status is Status.SUCCEEDED
    assert [slot.job_id for slot in cloud.store.read_places().slots] == [JOB_ID]


def test_engine_is_told_how_much_time_the_invocation_has_left(
    inference: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []

    class Engine:
        async def take_turn(self, message: StepMessage, time_left_seconds: float) -> None:
            told.append((message, time_left_seconds))

    monkeypatch.setattr(inference, "engine", Engine())

    inference.handle(an_sqs_event(body()), Context(remaining_ms=61_500))

    assert told == [(StepMessage(JOB_ID, 1), 61.5)]


@pytest.mark.parametrize(
    "dropped",
    [
        (a_job(job_id="another"), 1, "unknown_job"),
        (a_waiting_job(), 1, "stale"),
        (apply(claim(a_job(), 1, "worker-1", NOW), a_job()), 1, "held"),
        (an_ended_job(), 4, "terminal"),
        (a_job(waiting_since=NOW), 1, "waiting"),
    ],
)
def test_worker_drops_the_message_when_there_is_nothing_to_do(
    dropped: tuple[Job, int, str], money: ModuleType, cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    job, seq, reason = dropped
    put(cloud, job)

    assert money.handle(an_sqs_event(body(seq)), CONTEXT) == DONE

    # A job that is not there is known from the read alone. The first claim comes with an event.
    claim = ["UpdateItem"] if job.started_at else ["TransactWriteItems"]
    assert cloud.operations == ["BatchGetItem", *([] if reason == "unknown_job" else claim)]
    assert cloud.store.read(job.job_id) == job
    reasons = [record.__dict__["reason"] for record in caplog.records if record.msg == "turn.dropped"]
    assert reasons == [reason]


@pytest.mark.parametrize(
    "unreadable",
    ["{}", "not JSON", '{"job_id": "a", "seq": true}', "[" * 9999],
)
def test_worker_puts_what_nobody_can_read_where_the_alarm_looks(
    unreadable: str, money: ModuleType, cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    assert money.handle(an_sqs_event(unreadable), CONTEXT) == DONE

    assert cloud.operations == ["SendMessage"]
    assert cloud.received("dead-letter") == [unreadable]
    assert [record.msg for record in caplog.records] == ["message.unreadable"]


def test_worker_does_the_rest_when_one_message_is_unreadable(money: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_job())

    assert money.handle(an_sqs_event("{}", body()), CONTEXT) == DONE

    assert cloud.received("dead-letter") == ["{}"]
    assert [json.loads(sent) for sent in cloud.received("inference")] == [{"job_id": JOB_ID, "seq": 2}]


def test_worker_fails_the_message_when_even_the_dead_letter_queue_is_away(
    money: ModuleType, cloud: Cloud
) -> None:
    cloud.sqs.delete_queue(QueueUrl=cloud.queue_urls["dead-letter"])

    with pytest.raises(ClientError):
        money.handle(an_sqs_event("{}"), CONTEXT)


def test_worker_leaves_the_turn_to_the_janitor_when_the_store_is_away(
    money: ModuleType,
    cloud: Cloud,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    put(cloud, a_job())

    def fail(*_arguments: object) -> None:
        raise EndpointConnectionError(endpoint_url="https://dynamodb")

    with monkeypatch.context() as outage:
        outage.setattr(BaseClient, "_make_api_call", fail)
        assert money.handle(an_sqs_event(body()), CONTEXT) == DONE

    record = caplog.records[-1]
    assert (record.msg, record.levelno) == ("turn.store_unavailable", logging.ERROR)
    assert (record.__dict__["job_id"], record.__dict__["seq"]) == (JOB_ID, 1)
    assert cloud.store.read(JOB_ID) == a_job()
    assert cloud.received("dead-letter") == []


@pytest.mark.parametrize(
    "missing",
    [
        "RUNE_LANE",
        "RUNE_TABLE",
        "RUNE_BUCKET",
        "RUNE_MONEY_QUEUE_URL",
        "RUNE_INFERENCE_QUEUE_URL",
        "RUNE_NOTICE_QUEUE_URL",
        "RUNE_DEAD_LETTER_QUEUE_URL",
        "RUNE_RUNNING_JOBS",
    ],
)
def test_start_is_refused_when_a_setting_is_missing(missing: str, cloud: Cloud) -> None:
    environment = {**cloud.environment, missing: ""}

    with pytest.raises(SettingsError, match=missing), loaded("worker.handler", environment):
        pass


def test_load_lane_alone_has_processes_and_gives_them_no_credential(
    lanes: dict[str, ModuleType], shared_cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/certificates")
    with loaded("worker.handler", {**shared_cloud.environment, "RUNE_LANE": "load"}) as load:
        processes = load._spread().__self__

    assert (processes.count, processes.environment["SSL_CERT_FILE"]) == (4, "/etc/certificates")
    assert not {"secret"} & {*processes.environment.values()}
    assert not any(name.startswith(("AWS", "RUNE", "VAST")) for name in processes.environment)
    assert [lane._spread() for lane in lanes.values()] == [None, None]


def test_worker_drops_the_message_of_a_job_that_it_does_not_understand(
    money: ModuleType, cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    put(cloud, a_job())
    cloud.write_field(JOB_ID, "step", "a_step_of_another_version")
    before = cloud.row(JOB_ID)

    assert money.handle(an_sqs_event(body()), CONTEXT) == DONE

    assert cloud.row(JOB_ID) == before
    assert cloud.received("dead-letter") == []
    (line,) = caplog.records
    assert (line.msg, line.__dict__["metric"]) == ("turn.not_understood", "RowsNotUnderstood")


def test_worker_leaves_a_message_in_a_later_format_to_the_version_that_sent_it(
    money: ModuleType, cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    message = {"job_ids": ["a", "b"], "format": 2}

    assert money.handle(an_sqs_event(json.dumps(message)), CONTEXT) == DONE

    assert cloud.received("dead-letter") == []
    (line,) = [record for record in caplog.records if record.levelno > logging.INFO]
    assert (line.msg, line.__dict__["metric"]) == ("message.not_understood", "RowsNotUnderstood")


def a_releasing_job() -> Job:
    """Return a job that was accepted while the deployment had an account with Vast.ai."""
    return a_job(step=StepName.RELEASE, rents=True, ends_as=Status.CANCELLED)


def test_worker_without_an_account_ends_a_job_that_holds_no_machine(cloud: Cloud, money: ModuleType) -> None:
    put(cloud, a_releasing_job())

    money.handle(an_sqs_event(body()), CONTEXT)

    job = cloud.store.read(JOB_ID)
    assert job is not None
    assert job.status is Status.CANCELLED


def test_worker_without_an_account_lets_a_job_wait_whose_machine_may_be_alive(
    cloud: Cloud, money: ModuleType
) -> None:
    put(cloud, a_releasing_job())
    DynamoRentalStore(cloud.dynamodb, cloud.environment["RUNE_TABLE"]).open(a_running_rental())

    money.handle(an_sqs_event(body()), CONTEXT)

    history = cloud.store.read_events(JOB_ID, after=0)
    assert history is not None
    assert (history.job.status, history.job.step) == (Status.RUNNING, StepName.RELEASE)
    assert history.events[-1].error_type == "provider_key"


def test_worker_without_an_account_leaves_a_release_to_the_operator(
    cloud: Cloud, money: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    assert money.handle(an_sqs_event(encode_release(f"{JOB_ID}-1")), CONTEXT) == DONE

    assert cloud.received("dead-letter") == []
    assert "release.without_account" in [record.msg for record in caplog.records]
