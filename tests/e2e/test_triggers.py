"""Jobs from other services, through the deployed template, with IAM enforced."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.emulator import AwsSession
from local.intakes import SOURCE
from local.stack import Stack
from tests.e2e.client import RuneClient
from tests.e2e.environment import TENANT
from tests.e2e.model_server import ModelServer
from tests.e2e.senders import Recorder, Sender, allow
from tests.e2e.waiting import wait_until

DENIED = frozenset({"AccessDenied", "AccessDeniedException", "AuthorizationError"})
LIMIT_SECONDS = 60.0
type Order = dict[str, Any]


class Account:
    """The account in which RUNE is deployed: its administrator looks at everything."""

    def __init__(self, stack: Stack, model: ModelServer) -> None:
        self.state = stack.state
        self.aws: AwsSession = stack.aws
        self._model_url = model.url
        self.sqs = stack.aws.client("sqs")
        self.s3 = stack.aws.client("s3")

    def request(self, question: str, **overrides: object) -> Order:
        """Return the body of a request whose job is found by its question."""
        body = {
            "question": question,
            "model": "llama3.1:8b",
            "backend_url": self._model_url,
            "backend_warmup": False,
        }
        return {**body, **overrides}

    def order(self, question: str, **members: object) -> Order:
        """Return an order."""
        return {"kind": "benchmark", "request": self.request(question), **members}

    def jobs_about(self, question: str) -> list[str]:
        """Return the ids of all jobs with this question."""
        pages = self.aws.client("dynamodb").get_paginator("scan").paginate(TableName=self.state.table)
        return sorted(
            item["pk"]["S"].removeprefix("JOB#")
            for page in pages
            for item in page["Items"]
            if item["pk"]["S"].startswith("JOB#") and item["sk"]["S"] == "REQUEST" and question in str(item)
        )

    def wait_for_job(self, question: str) -> str:
        """Return the id of the one job with this question, once it is there and no message is under way."""
        wait_until(
            lambda: self.jobs_about(question), f"a job about {question!r}", limit_seconds=LIMIT_SECONDS
        )
        wait_until(self._is_quiet, "every message was taken", limit_seconds=LIMIT_SECONDS)
        (job_id,) = self.jobs_about(question)
        return job_id

    def send(self, way: str, *bodies: str) -> None:
        """Put bodies into an intake's queue, as nobody else can who is not its source."""
        for body in bodies:
            self.sqs.send_message(QueueUrl=self.state.intake_queue_urls[way], MessageBody=body)

    def wait_for_refusal(self, way: str, word: str) -> Mapping[str, str]:
        """Return the attributes of the message in a failure queue that holds a word."""

        def find() -> Mapping[str, str] | None:
            answer = self.sqs.receive_message(
                QueueUrl=self.state.failure_queue_urls[way],
                MaxNumberOfMessages=10,
                MessageAttributeNames=["All"],
                VisibilityTimeout=0,
            )
            for message in answer.get("Messages", []):
                if word in message["Body"]:
                    attributes = message["MessageAttributes"].items()
                    return {name: attribute["StringValue"] for name, attribute in attributes}
            return None

        return wait_until(find, f"{word!r} was refused by {way}", limit_seconds=LIMIT_SECONDS)

    def wait_for_answer(self, key: str) -> list[Order]:
        """Return the documents of an answer in the outbox."""

        def find() -> list[Order] | None:
            try:
                found = self.s3.get_object(Bucket=self.state.inbox_bucket, Key=key)
            except self.s3.exceptions.NoSuchKey:
                return None
            return [json.loads(line) for line in found["Body"].read().decode().splitlines()]

        return wait_until(find, f"{key} is there", limit_seconds=LIMIT_SECONDS)

    def _is_quiet(self) -> bool:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        return all(
            int(count) == 0
            for url in self.state.intake_queue_urls.values()
            for count in self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)[
                "Attributes"
            ].values()
        )


@pytest.fixture(scope="module")
def account(stack: Stack, quick: ModelServer) -> Account:
    return Account(stack, quick)


@pytest.fixture(scope="module")
def arns(stack: Stack, account: Account) -> dict[str, str]:
    """The ARNs of what senders send to."""
    functions = stack.aws.client("lambda")
    name = account.state.functions["invoke"]
    bus = stack.aws.client("events").describe_event_bus(Name=account.state.event_bus)["Arn"]

    def queue(url: str) -> str:
        found = account.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        arn: str = found["Attributes"]["QueueArn"]
        return arn

    return {
        "inbox": f"arn:aws:s3:::{account.state.inbox_bucket}",
        "bus": bus,
        "queue": queue(account.state.intake_queue_url),
        "workflow": queue(account.state.workflow_queue_url),
        "topic": account.state.intake_topic_arn,
        "invoke": functions.get_function_configuration(FunctionName=name)["FunctionArn"],
    }


@pytest.fixture(scope="module")
def sender(stack: Stack, arns: dict[str, str]) -> Sender:
    """A service with the least policy of each way, as docs/triggers.md gives it."""
    return Sender(
        stack,
        [
            allow("s3:PutObject", f"{arns['inbox']}/inbox/{TENANT}/*"),
            allow("s3:GetObject", f"{arns['inbox']}/outbox/{TENANT}/*"),
            allow("events:PutEvents", arns["bus"]),
            allow("sqs:SendMessage", arns["queue"]),
            allow("sns:Publish", arns["topic"]),
            allow("lambda:InvokeFunction", arns["invoke"]),
        ],
    )


@pytest.fixture(scope="module")
def stranger(stack: Stack) -> Sender:
    """A service of the same account without a permission."""
    return Sender(stack, [])


@pytest.fixture
def recorder(aws: AwsSession) -> Recorder:
    return Recorder(aws)


def put_object(sender: Sender, account: Account, key: str, text: str) -> None:
    sender.client("s3").put_object(Bucket=account.state.inbox_bucket, Key=key, Body=text.encode())


def put_event(sender: Sender, account: Account, detail: Order, source: str = SOURCE) -> None:
    entry = {
        "EventBusName": account.state.event_bus,
        "Source": source,
        "DetailType": "rune.job.requested",
        "Detail": json.dumps(detail),
    }
    assert sender.client("events").put_events(Entries=[entry])["FailedEntryCount"] == 0


def invoke(sender: Sender, account: Account, order: Order) -> Order:
    answer = sender.client("lambda").invoke(
        FunctionName=account.state.functions["invoke"], Payload=json.dumps(order)
    )
    assert "FunctionError" not in answer
    document: Order = json.loads(answer["Payload"].read())
    return document


def record_events(account: Account, recorder: Recorder, pattern: Order, bus: str = "default") -> None:
    """Have the recorder get the events that a rule of the template gets too."""
    events, name = account.aws.client("events"), recorder.url.rpartition("/")[2]
    events.put_rule(Name=name, EventBusName=bus, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, EventBusName=bus, Targets=[{"Id": "recorder", "Arn": recorder.arn}])


# ---------------------------------------------------------------- twice, and out of order


def test_objects_that_are_told_of_twice_and_out_of_order_are_one_job_each(
    account: Account, sender: Sender, recorder: Recorder, rune: RuneClient
) -> None:
    questions = ["Which object came first?", "Which object came second?"]
    record_events(account, recorder, {"detail": {"bucket": {"name": [account.state.inbox_bucket]}}})
    for number, question in enumerate(questions):
        key = f"inbox/{TENANT}/benchmark/twice {number} é+.json"
        put_object(sender, account, key, json.dumps(account.request(question)))
    told = recorder.wait_for("inbox/" + TENANT + "/benchmark/twice 0", "benchmark/twice 1")

    account.send("drop", *reversed(told), *told)

    for number, question in enumerate(questions):
        job_id = account.wait_for_job(question)
        answer = account.wait_for_answer(f"outbox/{TENANT}/benchmark/twice {number} é+.json")
        assert answer == [{"job_id": job_id, "status": "accepted"}]
        assert rune.wait_for_end(job_id).status == "succeeded"


def test_lines_of_an_object_are_answered_one_by_one(account: Account, sender: Sender) -> None:
    lines = [account.request("Line one?"), "not JSON", account.request("Line three?", model=7)]
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)

    put_object(sender, account, f"inbox/{TENANT}/benchmark/lines.jsonl", text)

    answers = account.wait_for_answer(f"outbox/{TENANT}/benchmark/lines.jsonl")
    assert answers[0] == {"line": 1, "job_id": account.wait_for_job("Line one?"), "status": "accepted"}
    assert [(answer["line"], answer["code"]) for answer in answers[1:]] == [
        (2, "invalid_json"),
        (3, "invalid_request"),
    ]
    read = sender.client("s3").get_object(
        Bucket=account.state.inbox_bucket, Key=f"outbox/{TENANT}/benchmark/lines.jsonl"
    )
    assert read["Body"].read().count(b"\n") == 3
    assert account.wait_for_refusal("drop", "lines.jsonl")["code"] == "lines_refused"


def test_event_that_is_put_again_and_delivered_again_is_one_job(
    account: Account, sender: Sender, recorder: Recorder
) -> None:
    pattern = {"detail-type": ["rune.job.requested"]}
    record_events(account, recorder, pattern, account.state.event_bus)
    detail = {"metadata": {"idempotency_key": "event-1"}, "data": account.order("Which event?")}
    put_event(sender, account, detail)
    put_event(sender, account, detail)
    put_event(sender, account, {"data": account.order("Which event without a key?")})
    (delivered,) = recorder.wait_for("Which event without a key?")

    account.send("bus", delivered, delivered)

    assert account.wait_for_job("Which event?")
    assert account.wait_for_job("Which event without a key?")


def test_message_that_is_sent_again_is_one_job(account: Account, sender: Sender) -> None:
    order = json.dumps(account.order("Which message?", idempotency_key="message-1"))

    for _ in range(3):
        sender.client("sqs").send_message(QueueUrl=account.state.intake_queue_url, MessageBody=order)

    assert account.wait_for_job("Which message?")


def test_message_of_the_topic_that_is_delivered_again_is_one_job(
    account: Account, sender: Sender, recorder: Recorder
) -> None:
    topic = account.state.intake_topic_arn
    account.aws.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=recorder.arn)
    sender.client("sns").publish(TopicArn=topic, Message=json.dumps(account.order("Which topic?")))
    (delivered,) = recorder.wait_for("Which topic?")

    account.send("topic", delivered, delivered)

    assert account.wait_for_job("Which topic?")


def test_call_that_is_made_again_is_one_job(account: Account, sender: Sender) -> None:
    order = account.order("Which call?", idempotency_key="call-1")

    answers = [invoke(sender, account, order) for _ in range(2)]
    sender.client("lambda").invoke(
        FunctionName=account.state.functions["invoke"], InvocationType="Event", Payload=json.dumps(order)
    )

    job_id = account.wait_for_job("Which call?")
    assert answers == [{"job_id": job_id, "status": "accepted"}] * 2


# ---------------------------------------------------------------- state machines


@pytest.fixture(scope="module")
def machine(account: Account, stack: Stack, arns: dict[str, str]) -> str:
    """A state machine that waits for a job, by its ARN."""
    iam = stack.aws.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(
        RoleName="machine",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )["Role"]["Arn"]
    policy = {"Version": "2012-10-17", "Statement": [allow("sqs:SendMessage", arns["workflow"])]}
    iam.put_role_policy(RoleName="machine", PolicyName="send", PolicyDocument=json.dumps(policy))
    body = {
        "kind": "benchmark",
        "request.$": "$.request",
        "task_token.$": "$$.Task.Token",
        "execution.$": "$$.Execution.Id",
        "state.$": "$$.State.Name",
    }
    state = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        "Parameters": {"QueueUrl": account.state.workflow_queue_url, "MessageBody": body},
        "TimeoutSeconds": 120,
        "End": True,
    }
    definition = json.dumps({"StartAt": "Measure", "States": {"Measure": state}})
    machines = stack.aws.client("stepfunctions")
    arn: str = machines.create_state_machine(name="measure", definition=definition, roleArn=role)[
        "stateMachineArn"
    ]
    return arn


def run_machine(account: Account, machine: str, request: Order) -> tuple[str, Callable[[], Order | None]]:
    """Start an execution; return its ARN, and a look at how it ended."""
    machines = account.aws.client("stepfunctions")
    execution = machines.start_execution(stateMachineArn=machine, input=json.dumps({"request": request}))[
        "executionArn"
    ]

    def ended() -> Order | None:
        found: Order = machines.describe_execution(executionArn=execution)
        return found if found["status"] != "RUNNING" else None

    return execution, ended


def test_state_machine_waits_for_the_job_and_is_answered_once(
    account: Account, machine: str, rune: RuneClient
) -> None:
    question = "Which state waits?"
    execution, ended = run_machine(account, machine, account.request(question))
    wait_until(lambda: account.jobs_about(question), "the job is there", limit_seconds=LIMIT_SECONDS)
    task = {
        **account.order(question),
        "task_token": "a token that nothing waits for any more",
        "execution": execution,
        "state": "Measure",
    }

    found = wait_until(ended, "the execution has ended", limit_seconds=LIMIT_SECONDS)

    job_id = account.wait_for_job(question)
    assert found["status"] == "SUCCEEDED"
    output = json.loads(found["output"])
    assert (output["job_id"], output["status"], output["job_url"]) == (
        job_id,
        "succeeded",
        f"/v1/jobs/{job_id}",
    )
    assert rune.get_job(job_id).status == "succeeded"
    # Again, with another token: the job has ended, so it is answered at once, and that is no failure.
    account.send("workflow", json.dumps(task))
    assert account.wait_for_job(question) == job_id
    history = account.aws.client("stepfunctions").get_execution_history(executionArn=execution)["events"]
    assert [event["type"] for event in history].count("ExecutionSucceeded") == 1


def test_state_machine_is_told_that_its_order_is_refused(account: Account, machine: str) -> None:
    _, ended = run_machine(account, machine, account.request("Which state is refused?", model=7))

    found = wait_until(ended, "the execution has ended", limit_seconds=LIMIT_SECONDS)

    assert found["status"] == "FAILED"
    assert (found["error"], json.loads(found["cause"])["status"]) == ("invalid_request", 422)
    assert account.wait_for_refusal("workflow", "Which state is refused?")["code"] == "invalid_request"
    assert account.jobs_about("Which state is refused?") == []


def test_state_machine_is_told_why_the_job_has_no_result(account: Account, machine: str) -> None:
    request = account.request("Which state fails?", model="no-such-model:1b")
    _, ended = run_machine(account, machine, request)

    found = wait_until(ended, "the execution has ended", limit_seconds=LIMIT_SECONDS)

    assert (found["status"], found["error"]) == ("FAILED", "model_not_found")


# ---------------------------------------------------------------- what is refused


def test_bad_ones_lie_in_the_failure_queue_of_their_way_with_the_reason(
    account: Account, sender: Sender
) -> None:
    put_object(sender, account, f"inbox/{TENANT}/benchmark/bad.json", "not JSON of a drop")
    put_event(sender, account, {"data": account.order("bad source")}, source="acme.unknown")
    sqs, sns = sender.client("sqs"), sender.client("sns")
    sqs.send_message(QueueUrl=account.state.intake_queue_url, MessageBody="not JSON of a message")
    sns.publish(TopicArn=account.state.intake_topic_arn, Message="not JSON of a topic")
    answer = invoke(sender, account, {"kind": "benchmark", "request": {"question": "bad call"}})

    assert (answer["status"], answer["code"]) == (422, "invalid_request")
    (of_object,) = account.wait_for_answer(f"outbox/{TENANT}/benchmark/bad.json")
    assert of_object["code"] == "invalid_json"
    codes = {
        way: account.wait_for_refusal(way, word)["code"]
        for way, word in {
            "drop": "bad.json",
            "bus": "bad source",
            "queue": "not JSON of a message",
            "topic": "not JSON of a topic",
            "invoke": "bad call",
        }.items()
    }
    assert codes == {
        "drop": "invalid_json",
        "bus": "source_unknown",
        "queue": "invalid_json",
        "topic": "invalid_json",
        "invoke": "invalid_request",
    }


def test_tenant_without_a_document_gets_no_job(account: Account) -> None:
    key = "inbox/nobody/benchmark/a.json"
    request = json.dumps(account.request("Whose is this?"))

    account.s3.put_object(Bucket=account.state.inbox_bucket, Key=key, Body=request)

    (answer,) = account.wait_for_answer("outbox/nobody/benchmark/a.json")
    assert (answer["status"], answer["code"]) == (403, "tenant_unknown")
    assert account.jobs_about("Whose is this?") == []


def test_body_that_imitates_another_way_is_refused(account: Account, sender: Sender) -> None:
    order = account.order("Who imitates?")
    event = {"version": "0", "id": "1", "detail": {"data": order}, "account": "000000000000"}
    created = {
        "bucket": {"name": account.state.inbox_bucket},
        "object": {"key": "inbox/acme/benchmark/a.json"},
    }
    imitations: dict[str, Order] = {
        "bus": {**event, "source": SOURCE, "detail-type": "rune.job.requested"},
        "drop": {**event, "source": "aws.s3", "detail-type": "Object Created", "detail": created},
        "topic": {
            "Type": "Notification",
            "MessageId": "1",
            "TopicArn": account.state.intake_topic_arn,
            "Message": json.dumps(order),
        },
        "workflow": {**order, "task_token": "t", "execution": "e", "state": "s"},
    }
    for way, body in imitations.items():
        text = json.dumps({**body, "imitates": way})
        sender.client("sqs").send_message(QueueUrl=account.state.intake_queue_url, MessageBody=text)
        answer = invoke(sender, account, {**body, "imitates": way})
        assert answer["code"] == "foreign_envelope"

    for way in imitations:
        refused = account.wait_for_refusal("queue", f'"imitates": "{way}"')
        assert refused["code"] == "foreign_envelope"
    assert account.jobs_about("Who imitates?") == []


def send_object(sender: Sender, account: Account) -> None:
    put_object(sender, account, f"inbox/{TENANT}/benchmark/denied.json", "{}")


def send_event(sender: Sender, account: Account) -> None:
    put_event(sender, account, {"data": account.order("denied")})


def send_message(sender: Sender, account: Account) -> None:
    sender.client("sqs").send_message(QueueUrl=account.state.intake_queue_url, MessageBody="{}")


def publish(sender: Sender, account: Account) -> None:
    sender.client("sns").publish(TopicArn=account.state.intake_topic_arn, Message="{}")


def call(sender: Sender, account: Account) -> None:
    invoke(sender, account, {})


def send_task(sender: Sender, account: Account) -> None:
    sender.client("sqs").send_message(QueueUrl=account.state.workflow_queue_url, MessageBody="{}")


def send_into_the_queue_of_the_bus(sender: Sender, account: Account) -> None:
    sender.client("sqs").send_message(QueueUrl=account.state.intake_queue_urls["bus"], MessageBody="{}")


def put_for_another_tenant(sender: Sender, account: Account) -> None:
    put_object(sender, account, "inbox/acme/benchmark/denied.json", "{}")


def answer_in_place_of_rune(sender: Sender, account: Account) -> None:
    put_object(sender, account, f"outbox/{TENANT}/benchmark/denied.json", "{}")


def call_the_function_of_the_queues(sender: Sender, account: Account) -> None:
    sender.client("lambda").invoke(FunctionName=account.state.functions["trigger"], Payload="{}")


@pytest.mark.parametrize("attempt", [send_object, send_event, send_message, publish, call, send_task])
def test_sender_without_rights_is_refused(
    account: Account, stranger: Sender, attempt: Callable[[Sender, Account], None]
) -> None:
    with pytest.raises(ClientError) as refused:
        attempt(stranger, account)

    assert refused.value.response["Error"]["Code"] in DENIED


@pytest.mark.parametrize(
    "attempt",
    [
        send_task,
        send_into_the_queue_of_the_bus,
        put_for_another_tenant,
        answer_in_place_of_rune,
        call_the_function_of_the_queues,
    ],
)
def test_sender_with_the_least_policy_can_do_no_more(
    account: Account, sender: Sender, attempt: Callable[[Sender, Account], None]
) -> None:
    with pytest.raises(ClientError) as refused:
        attempt(sender, account)

    assert refused.value.response["Error"]["Code"] in DENIED
