"""IAM as deployed: a function's role can do what the function does, and not what it need not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from local.emulator import REGION
from local.stack import Stack

DENIED = frozenset({"AccessDenied", "AccessDeniedException"})
type Attempt = Callable[["Role"], object]


class Role:
    """AWS with the permissions of one function."""

    def __init__(self, stack: Stack, function: str) -> None:
        self.state = stack.state
        name = stack.state.functions[function]
        role = stack.aws.client("lambda").get_function_configuration(FunctionName=name)["Role"]
        given = stack.aws.client("sts").assume_role(RoleArn=role, RoleSessionName="e2e")["Credentials"]
        self._session = boto3.Session(
            aws_access_key_id=given["AccessKeyId"],
            aws_secret_access_key=given["SecretAccessKey"],
            aws_session_token=given["SessionToken"],
            region_name=REGION,
        )

    def client(self, service: str) -> Any:  # noqa: ANN401 - its type depends on the name
        return self._session.client(
            service,  # type: ignore[call-overload]  # the stubs know literal names only
            endpoint_url=self.state.emulator_url,
        )


def key() -> Mapping[str, Mapping[str, str]]:
    return {"pk": {"S": "JOB#of-nobody"}, "sk": {"S": "JOB"}}


def read_a_job(role: Role) -> object:
    return role.client("dynamodb").get_item(TableName=role.state.table, Key=key())


def delete_a_job(role: Role) -> object:
    return role.client("dynamodb").delete_item(TableName=role.state.table, Key=key())


def scan_the_table(role: Role) -> object:
    return role.client("dynamodb").scan(TableName=role.state.table)


def drop_the_table(role: Role) -> object:
    return role.client("dynamodb").delete_table(TableName=role.state.table)


def write_a_job(role: Role) -> object:
    return role.client("dynamodb").put_item(TableName=role.state.table, Item=key())


def take_a_step(role: Role) -> object:
    return role.client("sqs").receive_message(QueueUrl=role.state.inference_queue_url)


def read_dead_letters(role: Role) -> object:
    return role.client("sqs").receive_message(QueueUrl=role.state.dead_letter_queue_url)


def send_to_inference(role: Role) -> object:
    return role.client("sqs").send_message(QueueUrl=role.state.inference_queue_url, MessageBody="x")


def read_a_request(role: Role) -> object:
    return role.client("s3").get_object(Bucket=role.state.bucket, Key="requests/none.json")


def write_a_result(role: Role) -> object:
    return role.client("s3").put_object(Bucket=role.state.bucket, Key="results/none.json", Body=b"{}")


def list_the_bucket(role: Role) -> object:
    return role.client("s3").list_objects_v2(Bucket=role.state.bucket)


def read_the_api_settings(role: Role) -> object:
    return role.client("lambda").get_function_configuration(FunctionName=role.state.functions["api"])


EVERYBODY = (
    delete_a_job,
    scan_the_table,
    drop_the_table,
    read_dead_letters,
    list_the_bucket,
    read_the_api_settings,
)
FORBIDDEN: Mapping[str, tuple[Attempt, ...]] = {
    "api": (*EVERYBODY, take_a_step, send_to_inference, read_a_request, write_a_result),
    "worker-control": (*EVERYBODY, take_a_step),
    "worker-inference": EVERYBODY,
    "janitor": (*EVERYBODY, take_a_step, write_a_job, read_a_request, write_a_result),
}
CASES = [(function, attempt) for function, attempts in FORBIDDEN.items() for attempt in attempts]


@pytest.mark.parametrize("function", FORBIDDEN)
def test_role_may_read_a_job(stack: Stack, function: str) -> None:
    read_a_job(Role(stack, function))


@pytest.mark.parametrize(
    ("function", "attempt"), CASES, ids=[f"{name}-{attempt.__name__}" for name, attempt in CASES]
)
def test_role_is_refused_what_its_function_need_not_do(stack: Stack, function: str, attempt: Attempt) -> None:
    with pytest.raises(ClientError) as refused:
        attempt(Role(stack, function))

    assert refused.value.response["Error"]["Code"] in DENIED
