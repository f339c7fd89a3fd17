"""AWS simulated by moto, with the table of `template.yaml`.

Imported by fixtures alone: moto takes a second to load.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from threading import RLock
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.client import BaseClient
from moto import mock_aws
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import DynamoDBBackend, dynamodb_backends
from moto.dynamodb.models.table import Table
from moto.s3.models import s3_backends
from moto.sqs.models import sqs_backends

from rune.aws.job_store import DynamoJobStore
from rune.aws.outbox import DynamoOutbox
from rune.aws.s3 import S3ObjectStore
from rune.aws.sqs import SqsDeadLetters, SqsStepQueue
from rune.jobs.plan import Lane
from tests.builders import TENANT, TOKEN
from tests.spending import LARGE
from tests.template import load_template

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

REGION = "eu-central-1"
TABLE = "rune-test"
BUCKET = "rune-test"
BUS = "rune-test"
QUEUES = ("money", "inference", "load", "notice", "dead-letter")
OF_CREATE_TABLE = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")


@dataclass(frozen=True)
class Call:
    """One call of a client."""

    operation: str
    arguments: dict[str, Any]


@dataclass
class Cloud:
    """The deployment's resources, and the calls made to them.

    Attributes
    ----------
    calls
        Of all clients, in order; a test clears them before it acts.
    """

    dynamodb: DynamoDBClient
    sqs: SQSClient
    s3: S3Client
    queue_urls: dict[str, str] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)

    @property
    def environment(self) -> Mapping[str, str]:
        """The functions' environment in the template."""
        return {
            "RUNE_STAGE": "local",
            "RUNE_LANE": "money",
            "RUNE_TABLE": TABLE,
            "RUNE_BUCKET": BUCKET,
            "RUNE_MONEY_QUEUE_URL": self.queue_urls["money"],
            "RUNE_INFERENCE_QUEUE_URL": self.queue_urls["inference"],
            "RUNE_LOAD_QUEUE_URL": self.queue_urls["load"],
            "RUNE_LOAD_MEMORY_MB": "7076",
            "RUNE_NOTICE_QUEUE_URL": self.queue_urls["notice"],
            "RUNE_DEAD_LETTER_QUEUE_URL": self.queue_urls["dead-letter"],
            "RUNE_EVENT_BUS": BUS,
            "RUNE_API_TOKENS": f"{TENANT}:{TOKEN},acme:{TOKEN[::-1]}",
            # Said, since what another handler was loaded with stays in the environment.
            "RUNE_TENANTS_PATH": "",
            "RUNE_SIGNING_KEY_PARAMETER": "",
            "RUNE_WEBHOOKS": "",
            "RUNE_API_DOCS": "true",
            "RUNE_CORS_ALLOWED_ORIGINS": "",
            "RUNE_ALLOWED_NETWORKS": "127.0.0.0/8",
            "RUNE_RETENTION_DAYS": "30",
            "RUNE_QUEUE_TIMEOUT_SECONDS": "86400",
            "RUNE_MAX_RUNTIME_SECONDS": "3600",
            "RUNE_MAX_COST_USD": "10",
            "RUNE_SPENDING_LIMITS": LARGE,
            "RUNE_RUNNING_JOBS": "5",
            "RUNE_TENANT_POLLS_PER_SECOND": "10000",
            "RUNE_TENANT_SUBMITS_PER_SECOND": "10000",
        }

    @property
    def store(self) -> DynamoJobStore:
        """The jobs."""
        return DynamoJobStore(self.dynamodb, TABLE, S3ObjectStore(lambda: self.s3, BUCKET))

    @property
    def queue(self) -> SqsStepQueue:
        """The lanes."""
        return SqsStepQueue(lambda: self.sqs, {lane: self.queue_urls[lane] for lane in Lane})

    @property
    def outbox(self) -> DynamoOutbox:
        """How far events are published."""
        return DynamoOutbox(self.dynamodb, TABLE)

    @property
    def dead_letters(self) -> SqsDeadLetters:
        """The dead-letter queue."""
        return SqsDeadLetters(self.sqs, self.queue_urls["dead-letter"])

    @property
    def operations(self) -> list[str]:
        """Names of the operations called."""
        return [call.operation for call in self.calls]

    def empty(self) -> None:
        """Take away all that is stored, and make again what is gone.

        In moto's own objects: the same by calls of the clients would take half of the time of a small test.
        """
        table = dynamodb_backends[DEFAULT_ACCOUNT_ID][REGION].tables.get(TABLE)
        if table is None:
            self.dynamodb.create_table(TableName=TABLE, **table_definition())
        else:
            table.items = defaultdict(dict)
        queues = sqs_backends[DEFAULT_ACCOUNT_ID][REGION]
        queues.queues.clear()
        for name in QUEUES:
            queues.create_queue(name)
            if name not in self.queue_urls:
                self.queue_urls[name] = self.sqs.get_queue_url(QueueName=name)["QueueUrl"]
        bucket = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets[BUCKET]
        bucket.keys = type(bucket.keys)()
        self.calls.clear()

    def received(self, queue: str) -> list[str]:
        """Return the bodies of a queue's visible messages, and hide them."""
        answer = self.sqs.receive_message(QueueUrl=self.queue_urls[queue], MaxNumberOfMessages=10)
        return [message["Body"] for message in answer.get("Messages", [])]

    def rows(self) -> list[dict[str, Any]]:
        """Return all rows as they are stored, by their keys."""
        found: list[dict[str, Any]] = list(self.dynamodb.scan(TableName=TABLE)["Items"])
        return sorted(found, key=lambda row: (row["pk"]["S"], row["sk"]["S"]))

    def row(self, job_id: str) -> dict[str, Any]:
        """Return a job's hot item as stored."""
        key = {"pk": {"S": f"JOB#{job_id}"}, "sk": {"S": "JOB"}}
        return dict(self.dynamodb.get_item(TableName=TABLE, Key=key, ConsistentRead=True)["Item"])

    def write_field(self, job_id: str, name: str, value: str) -> None:
        """Give a job's hot item a value that only another version may know."""
        self.dynamodb.update_item(
            TableName=TABLE,
            Key={"pk": {"S": f"JOB#{job_id}"}, "sk": {"S": "JOB"}},
            UpdateExpression="SET #name = :value",
            ExpressionAttributeNames={"#name": name},
            ExpressionAttributeValues={":value": {"S": value}},
        )
        self.calls.clear()

    def object_keys(self) -> list[str]:
        """Return the keys of the bucket's objects."""
        return [item["Key"] for item in self.s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def table_definition() -> dict[str, Any]:
    """Return the arguments of CreateTable for the template's table."""
    properties = load_template()["Resources"]["Table"]["Properties"]
    return {name: properties[name] for name in OF_CREATE_TABLE}


@contextmanager
def one_at_a_time(*operations: str) -> Iterator[None]:
    """Run calls of some operations of DynamoDB one after another, as AWS does for one row.

    moto does not: its threads run between a condition and the write that it guards.

    Parameters
    ----------
    operations
        Of moto's backend, such as `put_item`.
    """
    lock = RLock()

    def alone(call: Callable[..., object]) -> Callable[..., object]:
        def call_alone(*arguments: object, **named: object) -> object:
            with lock:
                return call(*arguments, **named)

        return call_alone

    with pytest.MonkeyPatch.context() as patch:
        for operation in operations:
            patch.setattr(DynamoDBBackend, operation, alone(getattr(DynamoDBBackend, operation)))
        yield


def undo_by_row(patch: pytest.MonkeyPatch) -> None:
    """Keep what a cancelled transaction must undo by row.

    moto copies the whole table, once for each write of a transaction: with some hundred rows that would take most
    of the time of a test.
    """
    transact = DynamoDBBackend.transact_write_items

    def transact_by_row(backend: DynamoDBBackend, transact_items: list[dict[str, Any]]) -> None:
        before = []
        for write in transact_items:
            (arguments,) = write.values()
            row = arguments.get("Key") or arguments["Item"]
            table = backend.get_table(arguments["TableName"])
            hash_key, range_key = backend.get_keys_value(table, row)
            found = table.items[hash_key].get(range_key) if hash_key in table.items else None
            before.append((table.items, hash_key, range_key, deepcopy(found)))
        try:
            transact(backend, transact_items)
        except Exception:
            for rows, hash_key, range_key, found in before:
                if found is not None:
                    rows[hash_key][range_key] = found
                else:
                    rows[hash_key].pop(range_key, None)
            raise

    patch.setattr(DynamoDBBackend, "transact_write_items", transact_by_row)
    # The copy of the table that moto puts back is the table itself then, with its rows as they were.
    patch.setattr(Table, "__deepcopy__", lambda table, _memo: table, raising=False)


@contextmanager
def simulated_cloud() -> Iterator[Cloud]:
    """Give an empty cloud while the block runs."""
    with mock_aws(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        undo_by_row(patch)
        session = boto3.session.Session()
        cloud = Cloud(session.client("dynamodb"), session.client("sqs"), session.client("s3"))
        location = {"LocationConstraint": REGION}
        cloud.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=location)  # type: ignore[arg-type]  # dict
        make_call = BaseClient._make_api_call  # type: ignore[attr-defined]  # the stubs hide it

        def note_call(client: BaseClient, operation: str, arguments: dict[str, Any]) -> object:
            cloud.calls.append(Call(operation, arguments))
            return make_call(client, operation, arguments)

        patch.setattr(BaseClient, "_make_api_call", note_call)
        cloud.empty()
        yield cloud
