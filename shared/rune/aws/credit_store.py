"""The row `CREDIT`/`CREDIT` of the one DynamoDB table: what living rentals have reserved of the credit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, override

from rune.aws.dynamodb_rows import Expression, attribute, from_row, to_expression
from rune.aws.dynamodb_table import ConditionFailedError, DynamoTable
from rune.rentals.credit import Credit, CreditStore
from rune.storage.change import Change

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, TransactWriteItemTypeDef

    type Item = Mapping[str, AttributeValueTypeDef]

_KEY: Item = {"pk": {"S": "CREDIT"}, "sk": {"S": "CREDIT"}}


class DynamoCreditStore(CreditStore):
    """The credit in a DynamoDB table."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._table = DynamoTable(client, table)

    @override
    def read(self) -> Credit:
        return read_credit(self._table)

    @override
    def write(self, change: Change) -> bool:
        try:
            self._table.update(_KEY, to_expression(change))
        except ConditionFailedError:
            return False
        return True


def read_credit(table: DynamoTable) -> Credit:
    """Return the row as all earlier writes left it."""
    rows = table.get([_KEY])
    return from_row(Credit, rows[0]) if rows else Credit()


def reserve(
    table: DynamoTable, micro_usd: int, credit_micro_usd: int | None = None
) -> TransactWriteItemTypeDef:
    """Return the write that reserves an amount, or gives one back, if all together stay within the credit."""
    values = {":more": attribute("reserved_micro_usd", micro_usd)}
    condition = ""
    if credit_micro_usd is not None:
        # A condition cannot add.
        values[":most"] = attribute("reserved_micro_usd", credit_micro_usd - micro_usd)
        condition = "attribute_not_exists(#reserved) OR #reserved <= :most"
    update = "ADD #reserved :more REMOVE #doubted"
    names = {"#reserved": "reserved_micro_usd", "#doubted": "doubted_at"}
    return table.change(_KEY, Expression(update, condition, names, values))
