"""What a tenant's ended jobs have done, by day, as rows of the jobs table.

=================  ==========================  ============================================================
pk                 sk                          what
=================  ==========================  ============================================================
SUMMARY#<tenant>   DAY#<yyyy-mm-dd>#<shard>    the tallies of those of its jobs that ended on that day (UTC)
=================  ==========================  ============================================================

A row is written whole, on the condition that it still is as it was read, in the transaction that ends a job. That
transaction also requires that the job has not ended, so no job counts twice and none is left out, whichever answer
is lost. The row leaves the table with the last of its jobs.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING

from rune.aws.dynamodb_rows import attribute, from_row, to_row
from rune.aws.dynamodb_table import DynamoTable
from rune.errors import UnreadableRowError
from rune.jobs.metrics import Summary, SummaryKey, Tallies, fold, merge, summary_key
from rune.logs import ROWS_NOT_UNDERSTOOD_METRIC

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, TransactWriteItemTypeDef

    from rune.jobs.record import Job

    type Item = Mapping[str, AttributeValueTypeDef]

log = logging.getLogger(__name__)

DAY_PREFIX = "DAY#"


class DynamoSummaries:
    """The summaries in the jobs table; every method raises StoreUnavailableError when it cannot be reached."""

    def __init__(self, table: DynamoTable) -> None:
        self._table = table

    def fold_write(self, job: Job, ended_at: datetime, tallies: Tallies) -> TransactWriteItemTypeDef | None:
        """Return the write that adds a job's tallies to its row, as the row is now, for `DynamoTable.transact`.

        None, and a log line, for a row that this version does not understand: the job ends without being counted.
        """
        key = row_key(summary_key(job, ended_at))
        rows = self._table.get([key])
        try:
            found = from_row(Summary, rows[0]) if rows else Summary()
        except UnreadableRowError as error:
            _log_not_understood(rows[0], error)
            return None
        item = {**key, **to_row(fold(found, tallies, job.expires_at))}
        if not rows:
            return self._table.put(item, "attribute_not_exists(pk)")
        write = self._table.put(item, "version = :version")
        write["Put"]["ExpressionAttributeValues"] = {":version": attribute("version", found.version)}
        return write

    def read(self, tenant: str, now: datetime) -> Tallies:
        """Return the tallies of all of a tenant's days that have not expired, though TTL may remove rows late."""
        rows = self._table.query(partition(tenant), DAY_PREFIX, f"{DAY_PREFIX}~")
        summaries = [summary for summary in map(_understood, rows) if summary is not None]
        return merge(each.tallies for each in summaries if each.expires_at is None or each.expires_at > now)


def partition(tenant: str) -> str:
    """Return the partition key of a tenant's summaries."""
    return f"SUMMARY#{tenant}"


def row_key(key: SummaryKey) -> dict[str, AttributeValueTypeDef]:
    """Return the primary key of a summary."""
    sort_key = f"{DAY_PREFIX}{key.day.isoformat()}#{key.shard}"
    return {"pk": {"S": partition(key.tenant)}, "sk": {"S": sort_key}}


def _understood(row: Item) -> Summary | None:
    try:
        return from_row(Summary, row)
    except UnreadableRowError as error:
        _log_not_understood(row, error)
        return None


def _log_not_understood(row: Item, error: UnreadableRowError) -> None:
    extra = {"place": f"{row['pk']['S']} {row['sk']['S']}", "metric": ROWS_NOT_UNDERSTOOD_METRIC}
    log.error("summary.not_understood", exc_info=error, extra=extra)
