"""A row of the table that one run of the tool holds while it changes a tenant's document."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from rune_admin.errors import OperatorError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

LONGEST_SECONDS = 60
"""Then a run that was killed no longer holds it."""


class Lock:
    """Locks of tenants' documents, in the deployment's table."""

    def __init__(self, dynamodb: DynamoDBClient, table: str, now: Callable[[], float] = time.time) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._now = now

    @contextmanager
    def held(self, tenant: str) -> Iterator[None]:
        """Hold the lock of one tenant; raises OperatorError where another run holds it."""
        owner, now = secrets.token_hex(8), int(self._now())
        item: dict[str, AttributeValueTypeDef] = {
            **_key(tenant),
            "owner": {"S": owner},
            "expires_at": {"N": str(now + LONGEST_SECONDS)},
        }
        refused = self._dynamodb.exceptions.ConditionalCheckFailedException
        try:
            self._dynamodb.put_item(
                TableName=self._table,
                Item=item,
                # TTL deletes rows late; an expired one counts as absent.
                ConditionExpression="attribute_not_exists(pk) OR expires_at < :now",
                ExpressionAttributeValues={":now": {"N": str(now)}},
            )
        except refused:
            raise OperatorError(
                f"Another run changes the document of {tenant!r} now. If it was killed, its lock ends "
                f"within {LONGEST_SECONDS} seconds."
            ) from None
        try:
            yield
        finally:
            with suppress(refused):
                self._dynamodb.delete_item(
                    TableName=self._table,
                    Key=_key(tenant),
                    ConditionExpression="#owner = :owner",
                    ExpressionAttributeNames={"#owner": "owner"},
                    ExpressionAttributeValues={":owner": {"S": owner}},
                )


def _key(tenant: str) -> dict[str, AttributeValueTypeDef]:
    return {"pk": {"S": f"DOCUMENT#{tenant}"}, "sk": {"S": "LOCK"}}
