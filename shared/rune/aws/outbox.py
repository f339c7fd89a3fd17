"""Events of subjects and how far they are published, in the one DynamoDB table.

===================  =================  =====================================================================
pk                   sk                 what
===================  =================  =====================================================================
LOG#<kind>:<id>      EVENT#<8 digits>   one event of a subject that is no job, by its sequence
LOG#<kind>:<id>      OUTBOX             how far each sink has got with them
JOB#<job id>         OUTBOX             the same of a job, whose events stand beside it (`job_store`)
===================  =================  =====================================================================

The index `due` holds the outboxes that must be published, in buckets of their own.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, override

from rune.aws.dynamodb_rows import (
    FORMAT,
    TTL_FIELD,
    attribute,
    check_format,
    from_row,
    to_expression,
)
from rune.aws.dynamodb_table import ConditionFailedError, DynamoTable
from rune.clock import from_epoch_ms
from rune.errors import UnreadableRowError
from rune.events.outbox import Outbox, OutboxState, fall_due
from rune.events.record import PublicEvent, Subject, SubjectKind
from rune.storage.change import Change

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, TransactWriteItemTypeDef

    from rune.aws.dynamodb_rows import Expression

    type Item = Mapping[str, AttributeValueTypeDef]

OUTBOX_KEY = "OUTBOX"
DUE_SHARDS = 4
"""Partitions of the index `due`; see `job_rows.DUE_SHARDS`."""

_JOB_PREFIX = "JOB#"
_LOG_PREFIX = "LOG#"
_EVENT_PREFIX = "EVENT#"


class DynamoOutbox(Outbox):
    """The outboxes in a DynamoDB table."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._table = DynamoTable(client, table)

    @override
    def read(self, subject: Subject) -> OutboxState:
        rows = self._table.get([outbox_key(subject)])
        return from_row(OutboxState, rows[0]) if rows else OutboxState()

    @override
    def update(self, subject: Subject, change: Change) -> bool:
        try:
            self._table.update(outbox_key(subject), outbox_expression(subject, change))
        except ConditionFailedError:
            return False
        return True

    @override
    def read_log(self, subject: Subject, after: int, limit: int) -> tuple[PublicEvent, ...]:
        first, last = _event_sort_key(after + 1), f"{_EVENT_PREFIX}~"
        rows = self._table.query(_partition(subject), first, last, limit=limit)
        return tuple(_event_from_item(subject, row) for row in rows)

    @override
    def find_due(self, now: datetime, limit: int) -> tuple[Subject, ...]:
        until = attribute("due_at", now)
        buckets = (_due_bucket(shard) for shard in range(DUE_SHARDS))
        rows = [row for bucket in buckets for row in self._table.query_due(bucket, until, limit)]
        rows.sort(key=lambda row: int(row["due_at"]["N"]))
        found = (_subject_of(row["pk"]["S"]) for row in rows[:limit])
        return tuple(subject for subject in found if subject is not None)


def log_writes(
    table: DynamoTable, events: Sequence[PublicEvent], expires_at: datetime
) -> list[TransactWriteItemTypeDef]:
    """Return the writes of events of one subject that is no job, for the transaction of what they tell of.

    They have no conditions: what else the transaction requires keeps an event from being written twice, or under a
    sequence that another one has.

    Parameters
    ----------
    expires_at
        When the events leave the table. No earlier than that of earlier events.
    """
    if not events:
        return []
    subject = events[0].subject
    change = fall_due(max(event.occurred_at for event in events), expires_at)
    return [
        *(table.put(_event_item(event, expires_at)) for event in events),
        table.change(outbox_key(subject), outbox_expression(subject, change)),
    ]


def outbox_key(subject: Subject) -> dict[str, AttributeValueTypeDef]:
    """Return the primary key of a subject's outbox."""
    return {"pk": {"S": _partition(subject)}, "sk": {"S": OUTBOX_KEY}}


def outbox_expression(subject: Subject, change: Change) -> Expression:
    """Return the change of an outbox as one update with its condition."""
    return to_expression(change, _due_bucket(zlib.crc32(str(subject).encode()) % DUE_SHARDS))


def _partition(subject: Subject) -> str:
    if subject.kind is SubjectKind.JOB:
        return f"{_JOB_PREFIX}{subject.subject_id}"
    return f"{_LOG_PREFIX}{subject}"


def _subject_of(partition: str) -> Subject | None:
    """Return whose partition it is; None for a kind that this version does not know."""
    if partition.startswith(_JOB_PREFIX):
        return Subject(SubjectKind.JOB, partition.removeprefix(_JOB_PREFIX))
    try:
        return Subject.parse(partition.removeprefix(_LOG_PREFIX))
    except ValueError:
        return None


def _due_bucket(shard: int) -> str:
    return f"DUE#notice#{shard}"


def _event_sort_key(sequence: int) -> str:
    return f"{_EVENT_PREFIX}{sequence:08d}"


def _event_item(event: PublicEvent, expires_at: datetime) -> Item:
    # `tenant` is a key of an index, and DynamoDB refuses a row in which such a key is empty.
    tenant: Item = {"tenant": {"S": event.tenant}} if event.tenant else {}
    return {
        "pk": {"S": _partition(event.subject)},
        "sk": {"S": _event_sort_key(event.sequence)},
        "format": attribute("format", FORMAT),
        "event_type": {"S": event.event_type},
        **tenant,
        "occurred_at": attribute("occurred_at", event.occurred_at),
        "data": {"S": json.dumps(event.data)},
        TTL_FIELD: attribute(TTL_FIELD, expires_at),
    }


def _event_from_item(subject: Subject, row: Item) -> PublicEvent:
    check_format(row)
    try:
        return PublicEvent(
            event_type=row["event_type"]["S"],
            tenant=row["tenant"]["S"] if "tenant" in row else "",
            subject=subject,
            sequence=int(row["sk"]["S"].removeprefix(_EVENT_PREFIX)),
            occurred_at=from_epoch_ms(int(row["occurred_at"]["N"])),
            data=json.loads(row["data"]["S"]),
        )
    except (LookupError, ValueError) as error:
        raise UnreadableRowError("This version does not understand a row of an event.") from error
