"""The functions of the intakes, with the recorded envelopes of AWS and moto behind them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

import boto3
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError, EndpointConnectionError

from rune.aws.tenants import SsmTenants
from rune.errors import SettingsError, StoreUnavailableError
from rune.jobs.record import Job
from rune.services.intake.ways import Way
from tests.builders import a_benchmark_request, a_sample_event
from tests.functional.functions.loading import loaded
from tests.parameters import Ssm

if TYPE_CHECKING:
    from tests.cloud import Cloud

QUEUED: tuple[Way, ...] = (Way.DROP, Way.BUS, Way.QUEUE, Way.TOPIC, Way.WORKFLOW)
SAMPLES = {way: f"intake-{way}" for way in QUEUED}
QUEUES = {Way.DROP: "DropQueue", Way.BUS: "BusQueue", Way.QUEUE: "IntakeQueue", Way.TOPIC: "TopicQueue"} | {
    Way.WORKFLOW: "WorkflowQueue",
    Way.INVOKE: "InvokeQueue",
}
INBOX = "rune-dev-inboxbucket-1x2y3z"
TENANTS_PATH = "/rune/test/tenants"
TOPIC = "arn:aws:sns:eu-central-1:123456789012:rune-dev-intake"
SAMPLE_KEY = "inbox/default/benchmark/x+y é (1).json"
DONE: dict[str, list[object]] = {"batchItemFailures": []}
# Nothing of AWS can be asked at these names: queues of moto have the same everywhere.
URL = "https://sqs.eu-central-1.amazonaws.com/123456789012/rune-dev-"


@dataclass(frozen=True)
class Context:
    """What Lambda tells of an invocation."""

    remaining_ms: int = 60_000
    aws_request_id: str = "call-1"

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_ms


CONTEXT = Context()


@dataclass
class Intakes:
    """The handlers, the queues and the inbox."""

    cloud: Cloud
    handler: ModuleType
    tokens: list[tuple[str, str]] = field(default_factory=list)

    def jobs(self) -> list[Job]:
        """Return all jobs."""
        ids = [row["pk"]["S"].removeprefix("JOB#") for row in self.cloud.rows() if row["sk"]["S"] == "JOB"]
        return list(self.cloud.store.read_many(ids))

    def put(self, key: str, text: str) -> str:
        """Put an object into the inbox; return the id of its version."""
        answer = self.cloud.s3.put_object(Bucket=INBOX, Key=key, Body=text.encode())
        return answer["VersionId"]

    def answer(self, key: str) -> list[Mapping[str, Any]]:
        """Return the documents of an answer."""
        found = self.cloud.s3.get_object(Bucket=INBOX, Key=key)
        return [json.loads(line) for line in found["Body"].read().decode().splitlines()]

    def refused(self, way: Way) -> list[tuple[str, str]]:
        """Return the codes and the bodies in a failure queue."""
        found = self.cloud.sqs.receive_message(
            QueueUrl=f"{URL}{way}-failures", MessageAttributeNames=["All"], MaxNumberOfMessages=10
        )
        return [
            (message["MessageAttributes"]["code"]["StringValue"], message["Body"])
            for message in found.get("Messages", [])
        ]


def intake_environment(cloud: Cloud) -> dict[str, str]:
    """Return what both functions are told."""
    urls = {f"RUNE_{way.upper()}_QUEUE_URL": f"{URL}{name}" for way, name in QUEUES.items()}
    failures = {f"RUNE_{way.upper()}_FAILURE_QUEUE_URL": f"{URL}{way}-failures" for way in Way}
    return {
        **cloud.environment,
        **urls,
        **failures,
        "RUNE_TENANTS_PATH": TENANTS_PATH,
        "RUNE_CAN_RENT": "false",
        "RUNE_ACCOUNT": "123456789012",
        "RUNE_INTAKE_TENANT": "default",
        "RUNE_BUS_TENANTS": "acme.ci=acme",
        "RUNE_INTAKE_TOPIC": TOPIC,
        "RUNE_INBOX": INBOX,
    }


@pytest.fixture(scope="module")
def handlers(shared_cloud: Cloud) -> Iterator[tuple[ModuleType, ModuleType]]:
    environment = intake_environment(shared_cloud)
    with (
        loaded("trigger.handler", environment) as queued,
        loaded("trigger.invoke_handler", environment) as invoke,
    ):
        yield queued, invoke


@pytest.fixture
def intakes(cloud: Cloud, handlers: tuple[ModuleType, ModuleType]) -> Iterator[Intakes]:
    ssm = Ssm()
    for tenant in ("default", "acme"):
        ssm.write(f"{TENANTS_PATH}/{tenant}", {})
    for way, name in QUEUES.items():
        cloud.sqs.create_queue(QueueName=f"rune-dev-{name}")
        cloud.sqs.create_queue(QueueName=f"rune-dev-{way}-failures")
    location = {"LocationConstraint": "eu-central-1"}
    cloud.s3.create_bucket(Bucket=INBOX, CreateBucketConfiguration=location)  # type: ignore[arg-type]  # dict
    cloud.s3.put_bucket_versioning(Bucket=INBOX, VersioningConfiguration={"Status": "Enabled"})
    cloud.calls.clear()
    yield Intakes(cloud, handlers[0])
    bucket = boto3.resource("s3").Bucket(INBOX)
    bucket.object_versions.delete()
    bucket.delete()


def a_delivery(
    way: Way, body: str | None = None, receive_count: int = 1, message_id: str = ""
) -> dict[str, Any]:
    """Return what the event source mapping delivers: the sample of a way, or the same with another body."""
    event = cast("dict[str, list[dict[str, Any]]]", a_sample_event(SAMPLES[way]))
    (record,) = event["Records"]
    record["attributes"]["ApproximateReceiveCount"] = str(receive_count)
    record["body"] = record["body"] if body is None else body
    record["messageId"] = message_id or record["messageId"]
    return event


def a_drop(key: str, version_id: str | None, etag: str = "e") -> str:
    """Return EventBridge's event of a new object."""
    event = json.loads(a_delivery(Way.DROP)["Records"][0]["body"])
    version = {} if version_id is None else {"version-id": version_id}
    event["detail"]["object"] = {"key": key, "size": 9, "etag": etag, "sequencer": "1", **version}
    return json.dumps(event)


@pytest.mark.parametrize(
    ("way", "tenant"), [(way, "acme" if way is Way.BUS else "default") for way in SAMPLES]
)
def test_recorded_envelope_is_one_job_however_often_it_comes(intakes: Intakes, way: Way, tenant: str) -> None:
    event = a_delivery(way)
    if way is Way.DROP:
        version_id = intakes.put(SAMPLE_KEY, json.dumps(a_benchmark_request()))
        body = json.loads(event["Records"][0]["body"])
        body["detail"]["object"]["version-id"] = version_id
        event = a_delivery(way, json.dumps(body))

    assert intakes.handler.handle(event, CONTEXT) == DONE
    assert intakes.handler.handle(event, CONTEXT) == DONE

    (job,) = intakes.jobs()
    assert job.tenant == tenant
    assert len(intakes.cloud.received("inference")) == 1
    assert intakes.refused(way) == []


def test_way_is_that_of_the_queue_in_which_a_message_lay(intakes: Intakes) -> None:
    event = a_delivery(Way.QUEUE, a_delivery(Way.BUS)["Records"][0]["body"])

    assert intakes.handler.handle(event, CONTEXT) == DONE

    assert intakes.jobs() == []
    ((code, body),) = intakes.refused(Way.QUEUE)
    assert (code, body) == ("foreign_envelope", event["Records"][0]["body"])


def test_queue_that_is_no_intake_is_no_way_in(intakes: Intakes) -> None:
    event = a_delivery(Way.QUEUE)
    event["Records"][0]["eventSourceARN"] = "arn:aws:sqs:eu-central-1:123456789012:rune-dev-MoneyQueue"

    with pytest.raises(SettingsError, match="no intake"):
        intakes.handler.handle(event, CONTEXT)


def test_message_that_is_refused_fails_no_neighbour(intakes: Intakes) -> None:
    event = a_delivery(Way.QUEUE)
    event["Records"] += a_delivery(Way.QUEUE, "not JSON", message_id="bad")["Records"]
    order = json.dumps({"kind": "benchmark", "request": a_benchmark_request()})
    event["Records"] += a_delivery(Way.QUEUE, order, message_id="good")["Records"]

    assert intakes.handler.handle(event, CONTEXT) == DONE

    assert len(intakes.jobs()) == 2
    assert [code for code, _ in intakes.refused(Way.QUEUE)] == ["invalid_json"]


def test_message_comes_again_later_when_the_table_is_away(
    intakes: Intakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    intakes.cloud.sqs.send_message(QueueUrl=f"{URL}IntakeQueue", MessageBody="a")
    (received,) = intakes.cloud.sqs.receive_message(QueueUrl=f"{URL}IntakeQueue")["Messages"]
    event = a_delivery(Way.QUEUE, receive_count=3)
    event["Records"][0]["receiptHandle"] = received["ReceiptHandle"]
    make_call = BaseClient._make_api_call  # type: ignore[attr-defined]  # the stubs hide it
    hidden = []

    def fail(client: BaseClient, operation: str, arguments: dict[str, Any]) -> object:
        if client.meta.service_model.service_name == "dynamodb":
            raise EndpointConnectionError(endpoint_url="https://dynamodb")
        if operation == "ChangeMessageVisibility":
            hidden.append(arguments)
        return make_call(client, operation, arguments)

    with monkeypatch.context() as outage:
        outage.setattr(BaseClient, "_make_api_call", fail)
        failed = intakes.handler.handle(event, CONTEXT)

    assert failed == {"batchItemFailures": [{"itemIdentifier": event["Records"][0]["messageId"]}]}
    assert [call["VisibilityTimeout"] for call in hidden] == [60]
    assert intakes.refused(Way.QUEUE) == []


def test_message_that_cannot_be_hidden_comes_again_all_the_same(
    intakes: Intakes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise StoreUnavailableError("table")

    with monkeypatch.context() as outage:
        outage.setattr(SsmTenants, "of", fail)
        # The handle in the sample is none of moto's.
        failed = intakes.handler.handle(a_delivery(Way.QUEUE), CONTEXT)

    assert len(failed["batchItemFailures"]) == 1
    assert "intake.not_hidden" in [record.msg for record in caplog.records]


# ---------------------------------------------------------------- objects


def test_version_that_the_event_names_is_read_although_it_was_overwritten(intakes: Intakes) -> None:
    key = "inbox/default/benchmark/a.json"
    versions = [
        intakes.put(key, json.dumps(a_benchmark_request(question=question))) for question in ("1", "2")
    ]

    for version_id in reversed(versions):
        intakes.handler.handle(a_delivery(Way.DROP, a_drop(key, version_id)), CONTEXT)

    questions = {json.loads(intakes.cloud.store.read_request(job))["question"] for job in intakes.jobs()}
    assert questions == {"1", "2"}


def test_object_that_is_not_the_one_of_the_event_is_no_job(intakes: Intakes) -> None:
    key = "inbox/default/benchmark/a.json"
    intakes.put(key, json.dumps(a_benchmark_request()))
    etag = intakes.cloud.s3.head_object(Bucket=INBOX, Key=key)["ETag"].strip('"')

    intakes.handler.handle(a_delivery(Way.DROP, a_drop(key, None, "another")), CONTEXT)
    assert intakes.jobs() == []
    intakes.handler.handle(a_delivery(Way.DROP, a_drop(key, None, etag)), CONTEXT)
    assert len(intakes.jobs()) == 1


def test_object_that_was_deleted_is_no_job_and_no_refusal(intakes: Intakes) -> None:
    body = a_drop("inbox/default/benchmark/none.json", None)

    assert intakes.handler.handle(a_delivery(Way.DROP, body), CONTEXT) == DONE

    assert (intakes.jobs(), intakes.refused(Way.DROP)) == ([], [])


def test_lines_go_on_where_an_invocation_ended(intakes: Intakes) -> None:
    key = "inbox/default/benchmark/many.jsonl"
    lines = [json.dumps(a_benchmark_request(question=str(number))) for number in range(4)]
    version_id = intakes.put(key, "\n".join([*lines, "not JSON"]))
    event = a_delivery(Way.DROP, a_drop(key, version_id))
    left_ms = iter([60_000, 60_000, 1_000])

    class Hurried(Context):
        def get_remaining_time_in_millis(self) -> int:
            return next(left_ms)

    assert len(intakes.handler.handle(event, Hurried())["batchItemFailures"]) == 1
    assert [answer["line"] for answer in intakes.answer("outbox/default/benchmark/many.jsonl")] == [1, 2]
    assert intakes.handler.handle(event, CONTEXT) == DONE

    answers = intakes.answer("outbox/default/benchmark/many.jsonl")
    assert [(answer["line"], answer["status"]) for answer in answers] == [
        *[(number, "accepted") for number in (1, 2, 3, 4)],
        (5, 400),
    ]
    assert {answer.get("job_id") for answer in answers[:4]} == {job.job_id for job in intakes.jobs()}
    assert [code for code, _ in intakes.refused(Way.DROP)] == ["lines_refused"]


def test_answer_to_an_earlier_version_is_no_progress_of_this_one(intakes: Intakes) -> None:
    key = "inbox/default/benchmark/many.jsonl"
    for question in ("1", "2"):
        version_id = intakes.put(key, json.dumps(a_benchmark_request(question=question)))
        intakes.handler.handle(a_delivery(Way.DROP, a_drop(key, version_id)), CONTEXT)

    assert len(intakes.jobs()) == 2


# ---------------------------------------------------------------- tasks of state machines


class States:
    """Step Functions, as far as it is used."""

    def __init__(self, code: str = "") -> None:
        self.answers: list[tuple[str, dict[str, str]]] = []
        self._code = code

    def send_task_success(self, **named: str) -> None:
        self._note("success", named)

    def send_task_failure(self, **named: str) -> None:
        self._note("failure", named)

    def send_task_heartbeat(self, **named: str) -> None:
        self._note("heartbeat", named)

    def _note(self, verb: str, named: dict[str, str]) -> None:
        self.answers.append((verb, named))
        if self._code:
            raise ClientError({"Error": {"Code": self._code, "Message": ""}}, verb)


def a_refused_task() -> dict[str, Any]:
    """Return a task whose request is refused."""
    body = json.loads(a_delivery(Way.WORKFLOW)["Records"][0]["body"])
    return a_delivery(Way.WORKFLOW, json.dumps({**body, "request": {}}))


def with_states(handler: ModuleType, monkeypatch: pytest.MonkeyPatch, states: States) -> None:
    monkeypatch.setattr(handler.desk._workflows._tasks, "_get_client", lambda: states)


@pytest.mark.parametrize("code", ["", "TaskDoesNotExist", "TaskTimedOut", "InvalidToken"])
def test_task_that_is_refused_is_told_once(
    intakes: Intakes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: str
) -> None:
    states = States(code)
    with_states(intakes.handler, monkeypatch, states)

    assert intakes.handler.handle(a_refused_task(), CONTEXT) == DONE

    ((verb, named),) = states.answers
    assert (verb, named["error"]) == ("failure", "invalid_request")
    ((_, kept),) = intakes.refused(Way.WORKFLOW)
    assert named["taskToken"] not in kept
    assert named["taskToken"] not in caplog.text


@pytest.mark.parametrize("code", ["ThrottlingException", "AccessDeniedException"])
def test_task_that_cannot_be_told_now_is_told_later(
    intakes: Intakes, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    with_states(intakes.handler, monkeypatch, States(code))

    assert len(intakes.handler.handle(a_refused_task(), CONTEXT)["batchItemFailures"]) == 1
    assert intakes.refused(Way.WORKFLOW) == []


# ---------------------------------------------------------------- calls


def test_call_is_answered_and_counts_once(intakes: Intakes, handlers: tuple[ModuleType, ModuleType]) -> None:
    call = a_sample_event("intake-invoke")

    answers = [handlers[1].handle(call, Context(aws_request_id=each)) for each in ("call-1", "call-2")]

    (job,) = intakes.jobs()
    assert answers == [{"job_id": job.job_id, "status": "accepted"}] * 2


def test_call_that_is_refused_is_answered_and_kept(
    intakes: Intakes, handlers: tuple[ModuleType, ModuleType]
) -> None:
    answer = handlers[1].handle({"kind": "benchmark", "request": {}}, CONTEXT)

    assert (answer["status"], answer["code"]) == (422, "invalid_request")
    assert [code for code, _ in intakes.refused(Way.INVOKE)] == ["invalid_request"]


# ---------------------------------------------------------------- what it takes


SUBMIT = ["Query", "TransactWriteItems", "SendMessage", "SendMessage"]
CALLS = dict.fromkeys(QUEUED, SUBMIT) | {Way.DROP: ["GetObject", *SUBMIT, "PutObject"]}


@pytest.mark.parametrize("way", SAMPLES)
def test_order_takes_no_more_calls_than_the_docs_count(intakes: Intakes, way: Way) -> None:
    intakes.handler.handle(a_delivery(Way.QUEUE), CONTEXT)
    body = None
    if way is Way.DROP:
        body = a_drop(SAMPLE_KEY, intakes.put(SAMPLE_KEY, json.dumps(a_benchmark_request())))
    elif way is Way.QUEUE:
        body = json.dumps({"kind": "benchmark", "request": a_benchmark_request()})
    elif way is Way.BUS:
        intakes.handler.handle(a_delivery(way), CONTEXT)
        event = json.loads(a_delivery(way)["Records"][0]["body"])
        body = json.dumps({**event, "detail": {"data": event["detail"]["data"]}})
    intakes.cloud.calls.clear()

    intakes.handler.handle(a_delivery(way, body), CONTEXT)

    # The tenants' documents are read twice a minute.
    assert [call for call in intakes.cloud.operations if call != "GetParameter"] == CALLS[way]


@pytest.mark.parametrize("text", ["acme.ci", "acme.ci=", "=acme", "a=b,a=c"])
def test_sources_without_a_tenant_keep_the_function_from_starting(cloud: Cloud, text: str) -> None:
    environment = {**intake_environment(cloud), "RUNE_BUS_TENANTS": text}

    with pytest.raises(SettingsError, match="RUNE_BUS_TENANTS"), loaded("trigger.handler", environment):
        pass
