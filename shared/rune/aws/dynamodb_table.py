"""One DynamoDB table: reads, conditional writes and transactions, with RUNE's own errors."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from botocore.exceptions import ClientError

from rune.aws.errors import cancellation_reasons, code_of, is_transient, store_errors
from rune.errors import StoreContendedError, StoreUnavailableError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import (
        AttributeValueTypeDef,
        QueryInputTypeDef,
        TransactWriteItemTypeDef,
    )

    from rune.aws.dynamodb_rows import Expression

    type Item = Mapping[str, AttributeValueTypeDef]

MAX_TRIES = 6
"""Of a write, which a concurrent transaction on the same row or throttling cancels, and of a batch, which may be
read in part."""

_FIRST_PAUSE_SECONDS = 0.02
"""Before the second try, at the most; it doubles with each one, to 0.6 s in all."""

_LONGEST_PAUSE_SECONDS = 1.28
"""Before any try, at the most; reached by writes with more tries than `MAX_TRIES`."""

_SENTENCE = "The table cannot be reached now."
_CONTENDED = "Other writes of the same row went on for too long."


class ConditionFailedError(Exception):
    """A condition did not hold, so nothing was written.

    Attributes
    ----------
    found
        Rows as they were, by position of the write whose condition failed; None where there is no row.
    """

    def __init__(self, found: Mapping[int, Item | None]) -> None:
        super().__init__(f"conditions failed of writes {sorted(found)}")
        self.found = found


class ConflictError(StoreContendedError):
    """Every try met another write of the same rows; nothing was written."""


class DynamoTable:
    """A table; every method raises StoreUnavailableError when it cannot be reached.

    Parameters
    ----------
    client
        A low-level client; thread-safe, so a heartbeat may use it beside the step.
    """

    def __init__(self, client: DynamoDBClient, name: str) -> None:
        self._client = client
        self.name = name

    def get(self, keys: Sequence[Item], *, is_consistent: bool = True) -> list[Item]:
        """Return those of up to 100 rows that are there, in no order.

        Parameters
        ----------
        is_consistent
            Whether as all earlier writes left them; without it a read costs half.
        """
        rows: list[Item] = []
        wanted = [*keys]
        for _ in range(MAX_TRIES):
            with store_errors(_SENTENCE):
                answer = self._client.batch_get_item(
                    RequestItems={self.name: {"Keys": wanted, "ConsistentRead": is_consistent}}
                )
            rows += answer["Responses"].get(self.name, [])
            unread = answer.get("UnprocessedKeys", {})
            wanted = [*unread[self.name]["Keys"]] if self.name in unread else []
            if not wanted:
                return rows
        raise StoreUnavailableError("The table returns the rows only in part now.")

    def query(
        self,
        partition: str,
        first: str,
        last: str,
        *,
        newest_first: bool = False,
        limit: int | None = None,
        is_consistent: bool = True,
    ) -> Iterator[Item]:
        """Yield a partition's rows from sort key `first` to `last`, or backwards.

        Parameters
        ----------
        is_consistent
            Whether as all earlier writes left them; without it a read costs half.
        """
        request: QueryInputTypeDef = {
            "TableName": self.name,
            "ConsistentRead": is_consistent,
            "KeyConditionExpression": "pk = :pk AND sk BETWEEN :first AND :last",
            "ExpressionAttributeValues": {
                ":pk": {"S": partition},
                ":first": {"S": first},
                ":last": {"S": last},
            },
            "ScanIndexForward": not newest_first,
        }
        left = limit
        while left is None or left > 0:
            if left is not None:
                request["Limit"] = left
            with store_errors(_SENTENCE):
                page = self._client.query(**request)
            yield from page["Items"]
            left = None if left is None else left - len(page["Items"])
            if "LastEvaluatedKey" not in page:
                return
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def query_due(self, bucket: str, until: AttributeValueTypeDef, limit: int) -> Sequence[Item]:
        """Return keys of rows in the index `due`, earliest first; the index lags behind the table."""
        with store_errors(_SENTENCE):
            page = self._client.query(
                TableName=self.name,
                IndexName="due",
                KeyConditionExpression="due_bucket = :bucket AND due_at <= :until",
                ExpressionAttributeValues={":bucket": {"S": bucket}, ":until": until},
                Limit=limit,
            )
        return page["Items"]

    def query_waiting(
        self, tenant: str, *, limit: int, before: AttributeValueTypeDef | None = None
    ) -> Sequence[Item]:
        """Return keys of a tenant's rows in the index `waiting`, earliest first; the index lags behind the table.

        Parameters
        ----------
        before
            Only rows earlier than this.
        """
        request: QueryInputTypeDef = {
            "TableName": self.name,
            "IndexName": "waiting",
            "KeyConditionExpression": "tenant = :tenant",
            "ExpressionAttributeValues": {":tenant": {"S": tenant}},
            "Limit": limit,
        }
        if before is not None:
            request["KeyConditionExpression"] = "tenant = :tenant AND waiting_since < :before"
            request["ExpressionAttributeValues"] = {":tenant": {"S": tenant}, ":before": before}
        with store_errors(_SENTENCE):
            return self._client.query(**request)["Items"]

    def update(self, key: Item, expression: Expression) -> Item:
        """Return the row as the update left it.

        Raises
        ------
        ConditionFailedError
            Its condition did not hold; `found[0]` is the row.
        """
        for _ in tries(MAX_TRIES):
            with store_errors(_SENTENCE):
                try:
                    written = self._client.update_item(
                        TableName=self.name,
                        Key=key,
                        UpdateExpression=expression.update,
                        ConditionExpression=expression.condition,
                        ExpressionAttributeNames=expression.names,
                        ExpressionAttributeValues=expression.values,
                        ReturnValues="ALL_NEW",
                        ReturnValuesOnConditionCheckFailure="ALL_OLD",
                    )
                except self._client.exceptions.ConditionalCheckFailedException as error:
                    found = cast("Item | None", error.response.get("Item") or None)
                    raise ConditionFailedError({0: found}) from None
                except ClientError as error:
                    # A transaction is at work on the row; the SDK repeats throttled calls, but not this one.
                    if code_of(error) != "TransactionConflictException":
                        raise
                else:
                    return written["Attributes"]
        raise ConflictError(_CONTENDED)

    def transact(
        self, writes: Sequence[TransactWriteItemTypeDef], try_count: int = MAX_TRIES, token: str | None = None
    ) -> None:
        """Write all or nothing.

        Parameters
        ----------
        token
            Of two calls with the same token within ten minutes one is carried out; they must be the same. None
            makes a new one.

        Raises
        ------
        ConditionFailedError
            A condition did not hold.
        ConflictError
            Every try met another write of the same rows.
        StoreUnavailableError
            Every try was throttled, too.
        """
        # One token for all tries: a try that was carried out but whose answer was lost is not repeated.
        token = token or str(uuid.uuid4())
        codes: set[object] = set()
        for _ in tries(try_count):
            with store_errors(_SENTENCE):
                try:
                    self._client.transact_write_items(TransactItems=writes, ClientRequestToken=token)
                except self._client.exceptions.TransactionCanceledException as error:
                    reasons = cancellation_reasons(error)
                    failed = {
                        position: cast("Item | None", reason.get("Item") or None)
                        for position, reason in enumerate(reasons)
                        if reason.get("Code") == "ConditionalCheckFailed"
                    }
                    if failed:
                        raise ConditionFailedError(failed) from None
                    if not is_transient(error):
                        raise
                    codes = {reason.get("Code") for reason in reasons}
                else:
                    return
        if "TransactionConflict" in codes:
            raise ConflictError(_CONTENDED)
        raise StoreUnavailableError("The table throttles the write.")

    def put(self, item: Item, condition: str | None = None) -> TransactWriteItemTypeDef:
        """Return the write of a whole row, for `transact`."""
        if condition is None:
            return {"Put": {"TableName": self.name, "Item": item}}
        return {"Put": {"TableName": self.name, "Item": item, "ConditionExpression": condition}}

    def check(
        self, key: Item, condition: str, values: Mapping[str, AttributeValueTypeDef]
    ) -> TransactWriteItemTypeDef:
        """Return what cancels a transaction where a row that it does not write is otherwise, for `transact`."""
        return {
            "ConditionCheck": {
                "TableName": self.name,
                "Key": key,
                "ConditionExpression": condition,
                "ExpressionAttributeValues": values,
            }
        }

    def require(self, key: Item, expression: Expression) -> TransactWriteItemTypeDef:
        """Return what cancels a transaction where the condition does not hold of a row, which it does not write."""
        check: TransactWriteItemTypeDef = {
            "ConditionCheck": {
                "TableName": self.name,
                "Key": key,
                "ConditionExpression": expression.condition,
                "ExpressionAttributeNames": expression.names,
            }
        }
        if expression.values:
            check["ConditionCheck"]["ExpressionAttributeValues"] = expression.values
        return check

    def change(self, key: Item, expression: Expression) -> TransactWriteItemTypeDef:
        """Return the conditional update of a row, for `transact`."""
        write: TransactWriteItemTypeDef = {
            "Update": {
                "TableName": self.name,
                "Key": key,
                "UpdateExpression": expression.update,
                "ExpressionAttributeNames": expression.names,
                "ExpressionAttributeValues": expression.values,
            }
        }
        if expression.condition:
            write["Update"]["ConditionExpression"] = expression.condition
        return write


def tries(count: int) -> Iterator[int]:
    """Yield the number of each try, with a growing pause before each but the first."""
    for number in range(count):
        if number:
            pause(number)
        yield number


def pause(number: int) -> None:
    """Wait before the try of this number, counted from 0: writers that met must not meet again."""
    jitter = random.uniform(0.5, 1)  # noqa: S311 nothing secret
    time.sleep(jitter * min(_FIRST_PAUSE_SECONDS * 2 ** (number - 1), _LONGEST_PAUSE_SECONDS))
