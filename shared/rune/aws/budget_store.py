"""Budgets, in the one DynamoDB table.

================  ==================  ====================================================================
pk                sk                  what
================  ==================  ====================================================================
BUDGET#<tenant>   DAY#<yyyy-mm-dd>    what the tenant has free, reserved and spent of the day (UTC)
BUDGET#<tenant>   MONTH#<yyyy-mm>     the same of the month
BUDGET            DAY#…, MONTH#…      the same of the whole deployment
================  ==================  ====================================================================

They are written in the transactions that accept and end jobs, and that keep and end rentals.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, override

from rune.aws.dynamodb_rows import from_row, to_expression
from rune.aws.dynamodb_table import DynamoTable
from rune.money.budgets import Balance, BudgetChange, Budgets, BudgetStore, Window, windows_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, TransactWriteItemTypeDef

PARTITION = "BUDGET"


class DynamoBudgetStore(BudgetStore):
    """Budgets in a DynamoDB table."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._table = DynamoTable(client, table)

    @override
    def read(self, tenant: str, now: datetime) -> Budgets:
        windows = windows_of(tenant, now)
        keys = [budget_key(window) for window in windows]
        found = {(row["pk"]["S"], row["sk"]["S"]): row for row in self._table.get(keys)}
        rows = [found.get((key["pk"]["S"], key["sk"]["S"])) for key in keys]
        return Budgets.from_balances(windows, [from_row(Balance, row) if row else Balance() for row in rows])


def budget_key(window: Window) -> dict[str, AttributeValueTypeDef]:
    """Return the primary key of a window's row. A tenant's name is not empty, so it is never the deployment's."""
    partition = PARTITION if window.tenant is None else f"{PARTITION}#{window.tenant}"
    return {"pk": {"S": partition}, "sk": {"S": window.name}}


def budget_writes(table: DynamoTable, changes: Iterable[BudgetChange]) -> list[TransactWriteItemTypeDef]:
    """Return the writes of budgets, for `DynamoTable.transact`."""
    return [table.change(budget_key(each.row.window), to_expression(each.change)) for each in changes]
