"""Samples of past jobs, in the one DynamoDB table.

==============================  =====================  ==========================================================
pk                              sk                     what
==============================  =====================  ==========================================================
SAMPLES#<kind>#<4 digits GiB>   <ended ms>#<job id>    what a job that rented has taken
==============================  =====================  ==========================================================

The ends of jobs write them (`job_store`). The table's TTL deletes a row some time after `expires_at`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, override

from rune.aws.dynamodb_rows import from_row
from rune.aws.dynamodb_table import DynamoTable
from rune.clock import to_epoch_ms
from rune.errors import UnreadableRowError
from rune.jobs.samples import LATEST, Sample, SampleRow, SampleStore, Shape

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

    type Item = Mapping[str, AttributeValueTypeDef]

log = logging.getLogger(__name__)


class DynamoSampleStore(SampleStore):
    """Samples in a DynamoDB table."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._table = DynamoTable(client, table)

    @override
    def read(self, shape: Shape, now: datetime, limit: int = LATEST) -> tuple[Sample, ...]:
        rows = self._table.query(
            _partition(shape), "0", "9~", newest_first=True, limit=limit, is_consistent=False
        )
        samples = (sample for sample in map(_read, rows) if sample is not None)
        return tuple(each for each in samples if each.expires_at is not None and each.expires_at > now)


def sample_key(row: SampleRow) -> dict[str, AttributeValueTypeDef]:
    """Return the primary key of a sample."""
    sort_key = f"{to_epoch_ms(row.ended_at):013d}#{row.job_id}"
    return {"pk": {"S": _partition(row.shape)}, "sk": {"S": sort_key}}


def _partition(shape: Shape) -> str:
    return f"SAMPLES#{shape.kind}#{shape.class_gb:04d}"


def _read(row: Item) -> Sample | None:
    try:
        return from_row(Sample, row)
    except UnreadableRowError:
        log.warning("row.unreadable", exc_info=True)
        return None
