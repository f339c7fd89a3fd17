"""IAM as deployed: a function's role can do what the function does, and not what it need not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from local.emulator import REGION
from local.stack import Stack
from local.tenants import SIGNING_KEY_PARAMETER, VASTAI_KEY_PARAMETER

DENIED = frozenset({"AccessDenied", "AccessDeniedException"})
type Attempt = Callable[["Role"], Any]


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


def read_rows_together(role: Role) -> Any:  # noqa: ANN401 - an answer of boto3
    return role.client("dynamodb").batch_get_item(RequestItems={role.state.table: {"Keys": [key()]}})


def read_a_row(role: Role) -> Any:  # noqa: ANN401 - an answer of boto3
    return role.client("dynamodb").get_item(TableName=role.state.table, Key=key())


def check_a_row(role: Role) -> Any:  # noqa: ANN401 - an answer of boto3
    check = {"TableName": role.state.table, "Key": key(), "ConditionExpression": "attribute_not_exists(pk)"}
    return role.client("dynamodb").transact_write_items(TransactItems=[{"ConditionCheck": check}])


def delete_a_job(role: Role) -> Any:  # noqa: ANN401 - an answer of boto3
    return role.client("dynamodb").delete_item(TableName=role.state.table, Key=key())


def scan_the_table(role: Role) -> Any:  # noqa: ANN401 - an answer of boto3
    return role.client("dynamodb").scan(TableName=role.state.table)


def drop_the_table(role: Role) -> Any:  # noqa: ANN401 - an answer of boto3
    return role.client("dynamodb").delete_table(TableName=role.state.table)


def take_a_step(role: Role) -> Any:  # noqa: ANN401 - an answer of boto3
    return role.client("sqs").receive_message(QueueUrl=role.state.inference_queue_url)


def read_dead_letters(role: Role) -> Any:  # noqa: ANN401 - an answer of boto3
    return role.client("sqs").receive_message(QueueUrl=role.state.dead_letter_queue_url)


def read_a_request(role: Role) -> Any:  # noqa: ANN401 - an answer of boto3
    return role.client("s3").get_object(Bucket=role.state.bucket, Key="requests/none.json")


def read_a_draft(role: Role) -> Any:  # noqa: ANN401 - an answer of boto3
    # S3 tells whoever may not list the bucket that what is not there is forbidden: so it must be there.
    role.client("s3").put_object(Bucket=role.state.bucket, Key="results/draft.json", Body=b"{}")
    return role.client("s3").get_object(Bucket=role.state.bucket, Key="results/draft.json")


def write_a_result(role: Role) -> Any:  # noqa: ANN401 - an answer of boto3
    return role.client("s3").put_object(Bucket=role.state.bucket, Key="results/none.json", Body=b"{}")


def write_into_the_archive(role: Role) -> Any:  # noqa: ANN401 - an answer of boto3
    key = "archive/nobody/benchmark/2026-11-23/none.json"
    return role.client("s3").put_object(Bucket=role.state.archive_bucket, Key=key, Body=b"{}\n")


def write_beside_the_archive(role: Role) -> Any:  # noqa: ANN401 - an answer of boto3
    return role.client("s3").put_object(Bucket=role.state.archive_bucket, Key="athena/none.json", Body=b"{}")


def read_the_archive(role: Role) -> Any:  # noqa: ANN401 - an answer of boto3
    return role.client("s3").get_object(Bucket=role.state.archive_bucket, Key="archive/none.json")


def list_the_archive(role: Role) -> Any:  # noqa: ANN401 - an answer of boto3
    return role.client("s3").list_objects_v2(Bucket=role.state.archive_bucket)


def list_the_bucket(role: Role) -> Any:  # noqa: ANN401 - an answer of boto3
    return role.client("s3").list_objects_v2(Bucket=role.state.bucket)


def read_a_parameter(role: Role) -> Any:  # noqa: ANN401 - an answer of boto3
    return role.client("ssm").get_parameter(Name="/rune/tokens", WithDecryption=True)


def read_a_document(role: Role) -> object:
    name = f"{role.state.tenants_path}/default"
    return role.client("ssm").get_parameter(Name=name, WithDecryption=True)


def read_a_cluster(role: Role) -> object:
    name = f"{role.state.tenants_path}/demo/clusters/none"
    return role.client("ssm").get_parameter(Name=name, WithDecryption=True)


def read_the_providers_key(role: Role) -> object:
    return role.client("ssm").get_parameter(Name=VASTAI_KEY_PARAMETER, WithDecryption=True)


def read_the_key_to_sign_with(role: Role) -> object:
    return role.client("ssm").get_parameter(Name=SIGNING_KEY_PARAMETER, WithDecryption=True)


def write_a_document(role: Role) -> object:
    name = f"{role.state.tenants_path}/nobody"
    return role.client("ssm").put_parameter(Name=name, Value="{}", Type="SecureString")


def list_documents(role: Role) -> object:
    return role.client("ssm").get_parameters_by_path(Path=role.state.tenants_path)


def read_the_api_settings(role: Role) -> Any:  # noqa: ANN401 - an answer of boto3
    return role.client("lambda").get_function_configuration(FunctionName=role.state.functions["api"])


def take_an_order(role: Role) -> Any:  # noqa: ANN401 - an answer of boto3
    return role.client("sqs").receive_message(QueueUrl=role.state.intake_queue_url)


def read_refusals(role: Role) -> Any:  # noqa: ANN401 - an answer of boto3
    return role.client("sqs").receive_message(QueueUrl=role.state.failure_queue_urls["drop"])


def read_the_inbox(role: Role) -> Any:  # noqa: ANN401 - an answer of boto3
    return role.client("s3").get_object(Bucket=role.state.inbox_bucket, Key="inbox/none.json")


EVERYBODY = (
    delete_a_job,
    scan_the_table,
    drop_the_table,
    read_dead_letters,
    list_the_bucket,
    read_a_parameter,
    write_a_document,
    list_documents,
    read_the_api_settings,
    write_beside_the_archive,
    read_the_archive,
    list_the_archive,
)
SUBMITTERS = (
    read_a_row,
    take_a_step,
    read_a_request,
    write_a_result,
    read_a_cluster,
    read_the_providers_key,
    read_refusals,
)
NOT_OF_WORKERS = (write_into_the_archive, read_the_key_to_sign_with)
PERMITTED: Mapping[str, tuple[Attempt, ...]] = {
    # The limiter looks up one row, and has a transaction look at it.
    "api": (read_rows_together, read_a_row, check_a_row, read_a_document, read_the_key_to_sign_with),
    # Who rents has a transaction look at the job's row.
    "worker-money": (read_rows_together, check_a_row, read_a_draft, read_a_document, read_the_providers_key),
    "worker-inference": (read_rows_together, read_a_draft, read_a_document, read_the_providers_key),
    # Who submits has the transaction look at the stops.
    "janitor": (read_rows_together, check_a_row, read_a_document, read_the_providers_key),
    "trigger": (read_rows_together, check_a_row, read_a_document),
    "invoke": (read_rows_together, check_a_row, read_a_document),
    "notifier": (read_rows_together, write_into_the_archive, read_the_key_to_sign_with),
}
FORBIDDEN: Mapping[str, tuple[Attempt, ...]] = {
    "api": (
        *EVERYBODY,
        read_a_cluster,
        take_a_step,
        write_a_result,
        write_into_the_archive,
        read_the_providers_key,
    ),
    "worker-money": (*EVERYBODY, read_a_row, take_a_step, *NOT_OF_WORKERS),
    "worker-inference": (*EVERYBODY, read_a_row, check_a_row, *NOT_OF_WORKERS),
    "janitor": (
        *EVERYBODY,
        read_a_cluster,
        read_a_row,
        take_a_step,
        read_a_request,
        write_a_result,
        write_into_the_archive,
        read_the_key_to_sign_with,
    ),
    "notifier": (
        *EVERYBODY,
        read_a_cluster,
        check_a_row,
        take_a_step,
        write_a_result,
        read_a_document,
        read_the_providers_key,
    ),
    "trigger": (*EVERYBODY, *SUBMITTERS, write_into_the_archive),
    "invoke": (*EVERYBODY, *SUBMITTERS, take_an_order, read_the_inbox),
}
type Case = tuple[str, Attempt]


def cases_of(table: Mapping[str, tuple[Attempt, ...]]) -> list[Case]:
    return [(function, attempt) for function, attempts in table.items() for attempt in attempts]


def name_of(value: str | Attempt) -> str:
    return value if isinstance(value, str) else value.__name__


@pytest.mark.parametrize(("function", "attempt"), cases_of(PERMITTED), ids=name_of)
def test_role_may_read_as_its_function_does(stack: Stack, function: str, attempt: Attempt) -> None:
    answer = attempt(Role(stack, function))

    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200


@pytest.mark.parametrize(("function", "attempt"), cases_of(FORBIDDEN), ids=name_of)
def test_role_is_refused_what_its_function_need_not_do(stack: Stack, function: str, attempt: Attempt) -> None:
    with pytest.raises(ClientError) as refused:
        attempt(Role(stack, function))

    assert refused.value.response["Error"]["Code"] in DENIED
