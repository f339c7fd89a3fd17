"""The simulated table undoes a cancelled transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.cloud import TABLE

if TYPE_CHECKING:
    from tests.cloud import Cloud

A, B = ({"pk": {"S": "ROW"}, "sk": {"S": name}} for name in "AB")


def put(key: dict[str, Any], value: str, condition: str | None = None) -> dict[str, Any]:
    write = {"TableName": TABLE, "Item": {**key, "value": {"S": value}}}
    return {"Put": write if condition is None else {**write, "ConditionExpression": condition}}


def add_one(key: dict[str, Any]) -> dict[str, Any]:
    return {
        "Update": {
            "TableName": TABLE,
            "Key": key,
            "UpdateExpression": "ADD amount :one SET tags = list_append(tags, :tag)",
            "ExpressionAttributeValues": {":one": {"N": "1"}, ":tag": {"L": [{"S": "b"}]}},
        }
    }


@pytest.mark.parametrize(
    "spoiler",
    [put(B, "new", "attribute_exists(pk)"), put(A, "twice")],
    ids=["condition that does not hold", "second write of a row"],
)
def test_cancelled_transaction_leaves_all_rows_as_they_were(cloud: Cloud, spoiler: dict[str, Any]) -> None:
    row: dict[str, Any] = {**A, "amount": {"N": "5"}, "tags": {"L": [{"S": "a"}]}}
    cloud.dynamodb.put_item(TableName=TABLE, Item=row)
    other = put({"pk": {"S": "OTHER"}, "sk": {"S": "C"}}, "new")

    with pytest.raises(ClientError):
        cloud.dynamodb.transact_write_items(TransactItems=[add_one(A), other, spoiler])  # type: ignore[list-item]

    assert cloud.rows() == [row]


def test_transaction_writes_all_rows(cloud: Cloud) -> None:
    cloud.dynamodb.put_item(TableName=TABLE, Item={**A, "amount": {"N": "5"}, "tags": {"L": []}})

    cloud.dynamodb.transact_write_items(TransactItems=[add_one(A), put(B, "new")])  # type: ignore[list-item]

    assert cloud.rows() == [
        {**A, "amount": {"N": "6"}, "tags": {"L": [{"S": "b"}]}},
        {**B, "value": {"S": "new"}},
    ]
