from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError, EndpointConnectionError

from rune.errors import SettingsError
from rune.jobs.lifecycle import claim
from rune.jobs.record import Job, Status, StepName
from rune.jobs.store import Submission
from rune.llm.opener import ServerOpener
from rune.net.addresses import AddressPolicy
from rune.storage.change import apply
from tests.builders import (
    JOB_ID,
    NOW,
    a_benchmark_request,
    a_job,
    a_sample_event,
    a_waiting_job,
    an_ended_job,
    an_event,
    an_sqs_event,
)
from tests.fake_model_server import FakeModelServer
from tests.functional.functions.loading import loaded

if TYPE_CHECKING:
    from tests.cloud import Cloud

DONE: dict[str, list[object]] = {"batchItemFailures": []}


@pytest.fixture(scope="module")
def server() -> FakeModelServer:
    return FakeModelServer()


@pytest.fixture(scope="module")
def lanes(shared_cloud: Cloud, server: FakeModelServer) -> Iterator[dict[str, ModuleType]]:
    def open_fake(self: ServerOpener, kind: str, url: str, api_key: str | None = None) -> object:
        assert self.policy == AddressPolicy.parse("127.0.0.0/8")
        return server.open(kind, url, api_key)

    of_inference = {**shared_cloud.environment, "RUNE_LANE": "inference"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ServerOpener, "__call__", open_fake)
        with (
            loaded("worker.handler", shared_cloud.environment) as money,
            loaded("worker.handler", of_inference) as inference,
        ):
            yield {"money": money, "inference": inference}


@pytest.fixture
def money(lanes: dict[str, ModuleType]) -> ModuleType:
    return lanes["money"]


def put(cloud: Cloud, job: Job) -> None:
    cloud.store.submit(Submission(job, json.dumps(a_benchmark_request()), an_event()))
    cloud.calls.clear()


def body(seq: int = 1, job_id: str = JOB_ID) -> str:
    return json.dumps({"job_id": job_id, "seq": seq})


def test_worker_takes_the_turn_of_the_sample_event(money: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_job())

    assert money.handle(a_sample_event("sqs-step"), None) == DONE

    job = cloud.store.read(JOB_ID)
    assert job
    assert (job.status, job.step, job.seq, job.epoch) == (Status.RUNNING, StepName.WARM_UP, 2, 1)
    assert [json.loads(sent) for sent in cloud.received("inference")] == [{"job_id": JOB_ID, "seq": 2}]
    assert cloud.operations[:5] == [
        "BatchGetItem",
        "UpdateItem",
        "BatchGetItem",
        "TransactWriteItems",
        "SendMessage",
    ]


def test_job_ends_with_its_result_when_both_lanes_do_their_work(
    lanes: dict[str, ModuleType], cloud: Cloud
) -> None:
    put(cloud, a_job())
    messages = [("money", body())]

    while messages:
        lane, message = messages.pop()
        lanes[lane].handle(an_sqs_event(message), None)
        messages += [(name, sent) for name in lanes for sent in cloud.received(name)]

    stored, history = cloud.store.read_with_result(JOB_ID), cloud.store.read_events(JOB_ID, 0)
    assert stored
    assert stored.result_json
    assert history
    assert (stored.job.status, stored.job.seq) == (Status.SUCCEEDED, 5)
    assert json.loads(stored.result_json)["answer"] == "Two pods crash."
    assert [(event.number, event.name) for event in history.events] == [
        (1, "job.accepted"),
        (2, "backend.list_models"),
        (3, "backend.warmup"),
        (4, "benchmark.point"),
        (5, "benchmark.measure"),
        (6, "job.succeeded"),
    ]


@pytest.mark.parametrize(
    "dropped",
    [
        (a_job(job_id="another"), 1, "unknown_job"),
        (a_waiting_job(), 1, "stale"),
        (apply(claim(a_job(), 1, "worker-1", NOW), a_job()), 1, "held"),
        (an_ended_job(), 4, "terminal"),
    ],
)
def test_worker_drops_the_message_when_there_is_nothing_to_do(
    dropped: tuple[Job, int, str], money: ModuleType, cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    job, seq, reason = dropped
    put(cloud, job)

    assert money.handle(an_sqs_event(body(seq)), None) == DONE

    assert cloud.operations == ["BatchGetItem", "UpdateItem"]
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
    assert money.handle(an_sqs_event(unreadable), None) == DONE

    assert cloud.operations == ["SendMessage"]
    assert cloud.received("dead-letter") == [unreadable]
    assert [record.msg for record in caplog.records] == ["message.unreadable"]


def test_worker_does_the_rest_when_one_message_is_unreadable(money: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_job())

    assert money.handle(an_sqs_event("{}", body()), None) == DONE

    assert cloud.received("dead-letter") == ["{}"]
    assert [json.loads(sent) for sent in cloud.received("inference")] == [{"job_id": JOB_ID, "seq": 2}]


def test_worker_fails_the_message_when_even_the_dead_letter_queue_is_away(
    money: ModuleType, cloud: Cloud
) -> None:
    cloud.sqs.delete_queue(QueueUrl=cloud.queue_urls["dead-letter"])

    with pytest.raises(ClientError):
        money.handle(an_sqs_event("{}"), None)


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
        assert money.handle(an_sqs_event(body()), None) == DONE

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
        "RUNE_DEAD_LETTER_QUEUE_URL",
    ],
)
def test_start_is_refused_when_a_setting_is_missing(missing: str, cloud: Cloud) -> None:
    environment = {**cloud.environment, missing: ""}

    with pytest.raises(SettingsError, match=missing), loaded("worker.handler", environment):
        pass


def test_worker_drops_the_message_of_a_job_that_it_does_not_understand(
    money: ModuleType, cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    put(cloud, a_job())
    cloud.write_field(JOB_ID, "step", "a_step_of_another_version")
    before = cloud.row(JOB_ID)

    assert money.handle(an_sqs_event(body()), None) == DONE

    assert cloud.row(JOB_ID) == before
    assert cloud.received("dead-letter") == []
    (line,) = caplog.records
    assert (line.msg, line.__dict__["metric"]) == ("turn.not_understood", "RowsNotUnderstood")


def test_worker_leaves_a_message_in_a_later_format_to_the_version_that_sent_it(
    money: ModuleType, cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    message = {"job_ids": ["a", "b"], "format": 2}

    assert money.handle(an_sqs_event(json.dumps(message)), None) == DONE

    assert cloud.received("dead-letter") == []
    (line,) = [record for record in caplog.records if record.levelno > logging.INFO]
    assert (line.msg, line.__dict__["metric"]) == ("message.not_understood", "RowsNotUnderstood")
