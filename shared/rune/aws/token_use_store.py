"""The days on which tokens were used last, in the one DynamoDB table.

================  ====================  =====================================
pk                sk                    what
================  ====================  =====================================
TENANT#<tenant>   TOKEN-USE#<name>      `used_on`, a day (UTC) as `2026-11-30`
================  ====================  =====================================

The table's TTL deletes a row some time after `expires_at`, more than a year after the last use.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, override

from rune.aws.dynamodb_rows import TTL_FIELD, Expression, attribute
from rune.aws.dynamodb_table import ConditionFailedError, DynamoTable
from rune.tenants.uses import TokenUseStore

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

    type Item = Mapping[str, AttributeValueTypeDef]

KEPT = timedelta(days=400)

_ROW = "TOKEN-USE#"
_LAST = "TOKEN-USE$"


class DynamoTokenUseStore(TokenUseStore):
    """Days of last use in a DynamoDB table."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._table = DynamoTable(client, table)

    @override
    def note(self, tenant: str, token_name: str, day: date) -> None:
        key: Item = {"pk": {"S": f"TENANT#{tenant}"}, "sk": {"S": f"{_ROW}{token_name}"}}
        expires_at = datetime.combine(day, time(), UTC) + KEPT
        update = Expression(
            "SET #used_on = :day, #expires_at = :expires_at",
            "attribute_not_exists(#used_on) OR #used_on < :day",
            {"#used_on": "used_on", "#expires_at": TTL_FIELD},
            {":day": {"S": day.isoformat()}, ":expires_at": attribute(TTL_FIELD, expires_at)},
        )
        try:
            self._table.update(key, update)
        except ConditionFailedError:
            # Another environment has written the day, or a later one.
            return

    @override
    def read(self, tenant: str) -> Mapping[str, date]:
        rows = self._table.query(f"TENANT#{tenant}", _ROW, _LAST, is_consistent=False)
        return {row["sk"]["S"].removeprefix(_ROW): date.fromisoformat(row["used_on"]["S"]) for row in rows}
