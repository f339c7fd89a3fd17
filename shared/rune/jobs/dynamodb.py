"""Jobs in one DynamoDB table.

=============  ====================  ==========================================================
pk             sk                    what
=============  ====================  ==========================================================
JOB#<job id>   EVENT#<8 digits>      one event
JOB#<job id>   JOB                   the hot item
JOB#<job id>   JOB#RESULT            the result; beside the hot item, so that one query reads both
JOB#<job id>   REQUEST               the request as submitted
=============  ====================  ==========================================================

The keys sort so that "EVENT#n" to "JOB" is a job with its later events. The index `due` holds the hot items of
active jobs by `due_at`. All rows of a job carry the same `expires_at`, the table's TTL.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from rune.errors import StoreUnavailableError
from rune.jobs.change import Change
from rune.jobs.dynamodb_items import (
    DUE_BUCKET,
    HOT_KEY,
    REQUEST_KEY,
    RESULT_KEY,
    attribute,
    event_from_item,
    event_item,
    event_sort_key,
    hot_item,
    job_from_item,
    job_key,
    to_expression,
)
from rune.jobs.record import Event, Job
from rune.jobs.settlement import Settlement
from rune.jobs.store import Bodies, History, Refused, StoredJob

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, TransactWriteItemTypeDef

    type Item = Mapping[str, AttributeValueTypeDef]

LARGEST_ROW_BYTES = 300_000
"""Longer bodies go to the bucket; an item may have 400 KB with its names (DynamoDB service quotas)."""

MAX_CONFLICTS = 3
"""A transaction that meets another write of the same row is cancelled; the writes here are short."""


class NoBodies:
    """For a function that has no business with requests and results, nor the permission."""

    def put(self, key: str, text: str) -> None:  # noqa: ARG002  # the protocol's
        """Refuse."""
        raise StoreUnavailableError("This function may not write large bodies.")

    def get(self, key: str) -> str:  # noqa: ARG002  # the protocol's
        """Refuse."""
        raise StoreUnavailableError("This function may not read large bodies.")


class DynamoJobStore:
    """Jobs in a DynamoDB table, their large bodies elsewhere.

    Parameters
    ----------
    client
        A low-level client; thread-safe, so a heartbeat may use it beside the step.
    """

    def __init__(self, client: DynamoDBClient, table: str, bodies: Bodies) -> None:
        self._client = client
        self._table = table
        self._bodies = bodies

    def submit(self, job: Job, request_json: str, event: Event) -> None:
        """Write a new job with its request and first event, all or nothing."""
        writes = [
            self._put(hot_item(job), condition="attribute_not_exists(pk)"),
            self._put(self._body_item(job, REQUEST_KEY, request_json, f"requests/{job.job_id}.json")),
            self._put(event_item(job, event)),
        ]
        if not self._transact(writes):
            raise StoreUnavailableError("A job with this id is there already.")

    def update(self, job_id: str, change: Change) -> Job | Refused:
        """Write the hot item if the change's requirements hold; return it as written."""
        expression = to_expression(change)
        with _store_errors():
            try:
                written = self._client.update_item(
                    TableName=self._table,
                    Key=job_key(job_id),
                    UpdateExpression=expression.update,
                    ConditionExpression=expression.condition,
                    ExpressionAttributeNames=expression.names,
                    ExpressionAttributeValues=expression.values,
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except self._client.exceptions.ConditionalCheckFailedException as error:
                found = error.response.get("Item")
                return Refused(job_from_item(found) if found else None)  # type: ignore[arg-type]  # stub says object
        return job_from_item(written["Attributes"])

    def commit(self, job: Job, settlement: Settlement) -> bool:
        """Write change, events and result, all or nothing; return False if a requirement did not hold."""
        expression = to_expression(settlement.change)
        writes: list[TransactWriteItemTypeDef] = [
            {
                "Update": {
                    "TableName": self._table,
                    "Key": job_key(job.job_id),
                    "UpdateExpression": expression.update,
                    "ConditionExpression": expression.condition,
                    "ExpressionAttributeNames": expression.names,
                    "ExpressionAttributeValues": expression.values,
                }
            }
        ]
        writes += [self._put(event_item(job, event)) for event in settlement.events]
        if settlement.result_json is not None:
            # The epoch in the name keeps a worker that lost its lease from overwriting the winner's result.
            key = f"results/{job.job_id}/{job.epoch}.json"
            writes.append(self._put(self._body_item(job, RESULT_KEY, settlement.result_json, key)))
        return self._transact(writes)

    def read(self, job_id: str) -> Job | None:
        """Return the job as all earlier writes left it."""
        with _store_errors():
            found = self._client.get_item(TableName=self._table, Key=job_key(job_id), ConsistentRead=True)
        return job_from_item(found["Item"]) if "Item" in found else None

    def read_with_result(self, job_id: str) -> StoredJob | None:
        """Return the job and its result as all earlier writes left them."""
        rows = {row["sk"]["S"]: row for row in self._query(job_id, HOT_KEY, RESULT_KEY)}
        if HOT_KEY not in rows:
            return None
        result = rows.get(RESULT_KEY)
        return StoredJob(job_from_item(rows[HOT_KEY]), None if result is None else self._body(result))

    def read_events(self, job_id: str, after: int) -> History | None:
        """Return the job and its events numbered above `after`."""
        *rows, last = [*self._query(job_id, event_sort_key(after + 1), HOT_KEY)] or [{}]
        if not last or last["sk"]["S"] != HOT_KEY:
            return None
        return History(job_from_item(last), tuple(event_from_item(row) for row in rows))

    def read_request(self, job: Job) -> str:
        """Return the request as it was submitted, a JSON document."""
        with _store_errors():
            # Consistently: the first message may arrive within milliseconds of the submit that wrote the row.
            found = self._client.get_item(
                TableName=self._table, Key=job_key(job.job_id, REQUEST_KEY), ConsistentRead=True
            )
        return self._body(found["Item"])

    def find_late(self, now: datetime, limit: int) -> tuple[str, ...]:
        """Return ids of jobs that were due by `now`, longest overdue first; may lag behind the latest writes."""
        with _store_errors():
            found = self._client.query(
                TableName=self._table,
                IndexName="due",
                KeyConditionExpression="due_bucket = :bucket AND due_at <= :now",
                ExpressionAttributeValues={":bucket": {"S": DUE_BUCKET}, ":now": attribute("due_at", now)},
                Limit=limit,
            )
        return tuple(row["pk"]["S"].removeprefix("JOB#") for row in found["Items"])

    def _query(self, job_id: str, first: str, last: str) -> Iterator[Item]:
        """Yield a job's rows from sort key `first` to `last`, consistently."""
        with _store_errors():
            pages = self._client.get_paginator("query").paginate(
                TableName=self._table,
                ConsistentRead=True,
                KeyConditionExpression="pk = :pk AND sk BETWEEN :first AND :last",
                ExpressionAttributeValues={
                    ":pk": job_key(job_id)["pk"],
                    ":first": {"S": first},
                    ":last": {"S": last},
                },
            )
            for page in pages:
                yield from page["Items"]

    def _transact(self, writes: list[TransactWriteItemTypeDef]) -> bool:
        """Write all or nothing; return False if a condition did not hold."""
        # One token for all tries: a try that was carried out though its answer was lost counts once.
        token = str(uuid.uuid4())
        for _ in range(MAX_CONFLICTS):
            with _store_errors():
                try:
                    self._client.transact_write_items(TransactItems=writes, ClientRequestToken=token)
                except self._client.exceptions.TransactionCanceledException as error:
                    codes = {reason.get("Code") for reason in error.response["CancellationReasons"]}
                    if "ConditionalCheckFailed" in codes:
                        return False
                    if "TransactionConflict" not in codes:
                        raise
                else:
                    return True
        raise StoreUnavailableError("The job's row was being written by others all the time.")

    def _put(self, item: Item, condition: str | None = None) -> TransactWriteItemTypeDef:
        if condition is None:
            return {"Put": {"TableName": self._table, "Item": item}}
        return {"Put": {"TableName": self._table, "Item": item, "ConditionExpression": condition}}

    def _body_item(self, job: Job, sort_key: str, text: str, key: str) -> Item:
        """Return the row for a body; a large one is in the bucket before the row that points there exists."""
        row = {**job_key(job.job_id, sort_key), "expires_at": attribute("expires_at", job.expires_at)}
        if len(text.encode()) <= LARGEST_ROW_BYTES:
            return {**row, "body": {"S": text}}
        self._bodies.put(key, text)
        return {**row, "object_key": {"S": key}}

    def _body(self, item: Item) -> str:
        return item["body"]["S"] if "body" in item else self._bodies.get(item["object_key"]["S"])


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise StoreUnavailableError("The table cannot be reached now.") from error
