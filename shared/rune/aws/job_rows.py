"""Rows and expressions of the jobs table, from and to plain data."""

from __future__ import annotations

import hashlib
import logging
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from rune.aws.budget_store import budget_key
from rune.aws.dynamodb_rows import Expression, attribute, from_row, to_expression, to_row
from rune.aws.outbox import outbox_expression, outbox_key
from rune.aws.sample_store import sample_key
from rune.clock import to_epoch_ms
from rune.errors import UnreadableRowError
from rune.events.outbox import OutboxRow
from rune.jobs.particulars import NOTHING_KNOWN, Particulars
from rune.jobs.places import AnyRow, JobRow, Places, RowChange, Share, ShareRow, Slot, SlotRow
from rune.jobs.receipts import ReceiptRow, StoredReceipt
from rune.jobs.record import Callback, DueClass, Event, Job, Kind
from rune.jobs.samples import SampleRow
from rune.jobs.stops import Stop, StopRow
from rune.jobs.store import ListedJob
from rune.jobs.usage import Usage, UsageRow
from rune.logs import ROWS_NOT_UNDERSTOOD_METRIC
from rune.money.budgets import BudgetRow
from rune.storage.change import Change

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, TransactWriteItemTypeDef

    from rune.jobs.store import IdempotencyKey

    type Item = Mapping[str, AttributeValueTypeDef]

HOT_KEY = "JOB"
RESULT_KEY = "RESULT"
RECEIPT_KEY = "RECEIPT"
REQUEST_KEY = "REQUEST"
STATE_KEY = "STATE"
CALLBACK_KEY = "CALLBACK"
LIST_PREFIX = "JOB#"
DUE_SHARDS = 4
"""Partitions of the index `due` for each class. One takes 1,000 writes a second, and a turn takes four
(https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html)."""

EARLIER_DUE_BUCKET = "DUE"
"""Partition of the jobs that a version without classes wrote last."""

log = logging.getLogger(__name__)

UNKNOWN_JOB = "unknown"
"""Stands for the job of a slot that this version does not understand. No job has this id."""

PLACES_PARTITION = "PLACES"
SLOT_PREFIX = "SLOT#"
SHARE_PREFIX = "SHARE#"
STOP_OF_ALL_PREFIX = "STOP#ALL#"
STOP_PREFIX = "STOP#TENANT#"


def job_key(job_id: str, sort_key: str = HOT_KEY) -> dict[str, AttributeValueTypeDef]:
    """Return the primary key of one of a job's rows."""
    return {"pk": {"S": job_partition(job_id)}, "sk": {"S": sort_key}}


def job_partition(job_id: str) -> str:
    """Return the partition key of all of a job's rows."""
    return f"JOB#{job_id}"


def job_id_of(item: Item) -> str:
    """Return the id of the job whose row, or key, this is."""
    return item["pk"]["S"].removeprefix("JOB#")


def tenant_partition(tenant: str) -> str:
    """Return the partition key of a tenant's list."""
    return f"TENANT#{tenant}"


def event_sort_key(number: int) -> str:
    """Return the sort key of the job's event of this number."""
    return f"EVENT#{number:08d}"


def hot_item(job: Job) -> dict[str, AttributeValueTypeDef]:
    """Return the hot item as a row; absent fields are left out."""
    row = {**job_key(job.job_id), **to_row(job)}
    if job.due_at is None or job.due_class is None:
        return row
    return {**row, "due_bucket": {"S": due_bucket(job.job_id, job.due_class)}}


def due_bucket(job_id: str, due_class: DueClass) -> str:
    """Return the partition of the index `due` in which a job stands."""
    return due_buckets(due_class)[zlib.crc32(job_id.encode()) % DUE_SHARDS]


def due_buckets(due_class: DueClass) -> tuple[str, ...]:
    """Return the partitions of a class in the index `due`."""
    return tuple(f"DUE#{due_class.value}#{shard}" for shard in range(DUE_SHARDS))


def row_key(row: AnyRow) -> dict[str, AttributeValueTypeDef]:  # noqa: C901, PLR0911 one for each row
    """Return the primary key of a row that is changed together with others."""
    match row:
        case UsageRow():
            return usage_key(row)
        case ReceiptRow(job_id):
            return job_key(job_id, RECEIPT_KEY)
        case JobRow(job_id):
            return job_key(job_id)
        case OutboxRow(subject):
            return outbox_key(subject)
        case BudgetRow(window):
            return budget_key(window)
        case SampleRow():
            return sample_key(row)
        case SlotRow(number):
            sort_key = f"{SLOT_PREFIX}{number:04d}"
        case ShareRow(tenant):
            sort_key = f"{SHARE_PREFIX}{tenant}"
        case StopRow(None, shard):
            sort_key = f"{STOP_OF_ALL_PREFIX}{shard:02d}"
        case StopRow(tenant):
            sort_key = f"{STOP_PREFIX}{tenant}"
    return {"pk": {"S": PLACES_PARTITION}, "sk": {"S": sort_key}}


def usage_partition(tenant: str) -> str:
    """Return the partition key of what a tenant's jobs have used."""
    return f"USAGE#{tenant}"


def usage_key(row: UsageRow) -> dict[str, AttributeValueTypeDef]:
    """Return the primary key of a row of usage; the model comes last, since it alone may hold the separator."""
    sort_key = f"{usage_day(row.day)}#{row.kind}#{row.agent}#{row.model}"
    return {"pk": {"S": usage_partition(row.tenant)}, "sk": {"S": sort_key}}


def usage_day(day: date) -> str:
    """Return the sort key before which no row of a day stands."""
    return f"DAY#{day.isoformat()}"


def usage_from_item(tenant: str, item: Item) -> tuple[UsageRow, Usage] | None:
    """Return a row of usage; None, and a log line, for one that this version does not understand."""
    try:
        _, day, kind, agent, model = item["sk"]["S"].split("#", 4)
        return UsageRow(tenant, date.fromisoformat(day), kind, agent, model), from_row(Usage, item)
    except (UnreadableRowError, ValueError):
        log.exception("row.unreadable", extra={"tenant": tenant, "metric": ROWS_NOT_UNDERSTOOD_METRIC})
        return None


def row_expression(change: RowChange) -> Expression:
    """Return the change of a row as one update with its condition."""
    match change.row:
        case JobRow(job_id):
            return job_expression(job_id, change.change)
        case OutboxRow(subject):
            return outbox_expression(subject, change.change)
        case _:
            return to_expression(change.change)


def places_from_items(items: Iterable[Item]) -> Places:
    """Return the places that all rows of their partition hold."""
    slots: list[Slot] = []
    shares: list[Share] = []
    stops: list[Stop] = []
    for item in items:
        sort_key = item["sk"]["S"]
        if sort_key.startswith(SLOT_PREFIX):
            slots.append(_slot_from_item(item, sort_key.removeprefix(SLOT_PREFIX)))
        elif sort_key.startswith(SHARE_PREFIX):
            shares += _share_from_item(item, sort_key.removeprefix(SHARE_PREFIX))
        elif sort_key.startswith(STOP_OF_ALL_PREFIX):
            stops.append(_stop_from_item(item, None))
        elif sort_key.startswith(STOP_PREFIX):
            stops.append(_stop_from_item(item, sort_key.removeprefix(STOP_PREFIX)))
    return Places(
        tuple(slot for slot in slots if slot.job_id is not None),
        tuple(shares),
        tuple(stop for stop in stops if stop.stopped_at is not None),
    )


def _stop_from_item(item: Item, tenant: str | None) -> Stop:
    """Return a row of a stop; one that this version does not understand holds."""
    try:
        return replace(from_row(Stop, item), tenant=tenant)
    except UnreadableRowError:
        log.exception("row.unreadable", extra={"metric": ROWS_NOT_UNDERSTOOD_METRIC})
        return Stop(tenant, stopped_at=datetime.fromtimestamp(0, UTC))


def _slot_from_item(item: Item, number: str) -> Slot:
    """Return a slot; one that this version does not understand is taken, by a job that it does not know."""
    try:
        return from_row(Slot, {**item, "number": {"N": number}})
    except UnreadableRowError:
        log.exception("row.unreadable", extra={"metric": ROWS_NOT_UNDERSTOOD_METRIC})
        return Slot(int(number), job_id=UNKNOWN_JOB)


def _share_from_item(item: Item, tenant: str) -> tuple[Share, ...]:
    """Return a tenant's share; none where this version does not understand it: its waiting jobs go on waiting."""
    try:
        return (from_row(Share, {**item, "tenant": {"S": tenant}}),)
    except UnreadableRowError:
        log.exception("row.unreadable", extra={"tenant": tenant, "metric": ROWS_NOT_UNDERSTOOD_METRIC})
        return ()


def job_from_item(item: Item) -> Job:
    """Return the hot item that a row holds."""
    return from_row(Job, item)


def job_expression(job_id: str, change: Change) -> Expression:
    """Return the change of a hot item as one update with its condition."""
    due_class = change.sets.get("due_class")
    return to_expression(change, due_bucket(job_id, due_class) if isinstance(due_class, DueClass) else None)


def event_item(job: Job, event: Event) -> dict[str, AttributeValueTypeDef]:
    """Return an event as a row that leaves the table together with its job."""
    expires_at = {"expires_at": attribute("expires_at", job.expires_at)}
    return {**job_key(job.job_id, event_sort_key(event.number)), **to_row(event), **expires_at}


def event_from_item(item: Item) -> Event:
    """Return the event that a row holds; raises UnreadableRowError as `from_row` does."""
    return from_row(Event, item)


def callback_item(job: Job, callback: Callback) -> dict[str, AttributeValueTypeDef]:
    """Return a job's callback as a row that leaves the table together with it."""
    expires_at = {"expires_at": attribute("expires_at", job.expires_at)}
    return {**job_key(job.job_id, CALLBACK_KEY), **to_row(callback), **expires_at}


def callback_replacement(table: str, job: Job, before: Callback, after: Callback) -> TransactWriteItemTypeDef:
    """Return the write that puts a callback in place of one that nobody has written since it was read."""
    # Rows of earlier versions have no number.
    is_as_read = "attribute_exists(pk) AND (attribute_not_exists(version) OR version = :before)"
    return {
        "Put": {
            "TableName": table,
            "Item": callback_item(job, replace(after, version=before.version + 1)),
            "ConditionExpression": is_as_read,
            "ExpressionAttributeValues": {":before": attribute("version", before.version)},
        }
    }


def receipt_from_item(item: Item) -> StoredReceipt:
    """Return the content of a receipt's row; raises UnreadableRowError as `from_row` does."""
    return from_row(StoredReceipt, item)


def callback_from_item(item: Item) -> Callback:
    """Return the callback that a row holds; raises UnreadableRowError as `from_row` does."""
    return from_row(Callback, item)


def listed_row_key(job: Job) -> dict[str, AttributeValueTypeDef]:
    """Return the primary key of the job's line in its tenant's list."""
    return {
        "pk": {"S": tenant_partition(job.tenant)},
        "sk": {"S": f"{LIST_PREFIX}{to_epoch_ms(job.created_at):013d}#{job.job_id}"},
    }


def listed_item(job: Job, particulars: Particulars = NOTHING_KNOWN) -> dict[str, AttributeValueTypeDef]:
    """Return the job's line in its tenant's list. It never changes."""
    return {
        **to_row(particulars),
        **listed_row_key(job),
        "job_id": {"S": job.job_id},
        "kind": {"S": job.kind.value},
        "expires_at": attribute("expires_at", job.expires_at),
    }


def listed_from_item(item: Item) -> ListedJob:
    """Return a line of a tenant's list."""
    position = item["sk"]["S"].removeprefix(LIST_PREFIX)
    kind = item["kind"]["S"]
    particulars = from_row(Particulars, item)
    return ListedJob(item["job_id"]["S"], Kind(kind) if kind in Kind else None, position, particulars)


def position_key(position: str | None) -> str:
    """Return the sort key of a position in a tenant's list; for None, a key after the newest job's."""
    return f"{LIST_PREFIX}{'~' if position is None else position}"


def idempotency_row_key(job: Job, key: IdempotencyKey) -> dict[str, AttributeValueTypeDef]:
    """Return the primary key of the row of an idempotency key of the job's tenant and kind."""
    return {
        "pk": {"S": f"KEY#{job.tenant}#{job.kind.value}"},
        "sk": {"S": hashlib.sha256(key.key.encode()).hexdigest()},
    }


def key_write(table: str, job: Job, key: IdempotencyKey) -> TransactWriteItemTypeDef:
    """Return the write that makes an idempotency key stand for the job, unless it stands for another one."""
    # The key outlives the job by a day: a late repetition then gets the old job's id and makes no new job.
    expires_at = job.expires_at + timedelta(days=1)
    item: dict[str, AttributeValueTypeDef] = {
        **idempotency_row_key(job, key),
        "job_id": {"S": job.job_id},
        "fingerprint": {"S": key.fingerprint},
        "expires_at": attribute("expires_at", expires_at),
    }
    if key.sent_fingerprint is not None:
        item["sent_fingerprint"] = {"S": key.sent_fingerprint}
    return {
        "Put": {
            "TableName": table,
            "Item": item,
            # TTL removes rows up to days late; an expired row counts as absent.
            "ConditionExpression": "attribute_not_exists(pk) OR expires_at < :now",
            "ExpressionAttributeValues": {":now": attribute("expires_at", job.created_at)},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    }
