"""Which schedules are due, by the index `due`. A tick that finds none loads nothing else of schedules."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, override

from rune.aws.dynamodb_rows import attribute
from rune.aws.dynamodb_table import DynamoTable
from rune.schedules.due import DueSchedules, ScheduleKey

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

DUE_BUCKET = "DUE#schedule#0"
"""Partition of the index `due`. One takes 1,000 writes a second, and a schedule takes two a minute at the most."""

TENANT_PREFIX = "TENANT#"
SCHEDULE_PREFIX = "SCHEDULE#"


class DynamoDueSchedules(DueSchedules):
    """The index of a DynamoDB table."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._table = DynamoTable(client, table)

    @override
    def find_due(self, now: datetime, limit: int) -> tuple[ScheduleKey, ...]:
        rows = self._table.query_due(DUE_BUCKET, attribute("due_at", now), limit)
        return tuple(
            ScheduleKey(
                row["pk"]["S"].removeprefix(TENANT_PREFIX), row["sk"]["S"].removeprefix(SCHEDULE_PREFIX)
            )
            for row in rows
        )
