"""Rows and expressions of the jobs table, from and to plain data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, cast

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from rune.clock import from_epoch_ms, to_epoch_ms
from rune.jobs.change import Change, Is, IsAbsentOrBefore, IsOneOf, Requirement, Value
from rune.jobs.metrics import Tallies, Tally
from rune.jobs.record import Event, Failure, Job, Kind, Status, StepName
from rune.jobs.store import ListedJob

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, TransactWriteItemTypeDef

    from rune.jobs.store import IdempotencyKey

    type Item = Mapping[str, AttributeValueTypeDef]

HOT_KEY = "JOB"
RESULT_KEY = "RESULT"
REQUEST_KEY = "REQUEST"
LIST_PREFIX = "JOB#"
DUE_BUCKET = "DUE"
"""One partition of the `due` index is enough for hundreds of writes a second; shard it when that is reached."""

_serializer = TypeSerializer()
_deserializer = TypeDeserializer()

_ENUMS: Mapping[str, type[Kind | Status | StepName]] = {"kind": Kind, "status": Status, "step": StepName}
_INSTANTS = frozenset(name for name in Job.__slots__ if name.endswith("_at") or name == "lease_until")
_COUNT_MAPS = frozenset({"progress", "phases_ms"})


@dataclass(frozen=True, slots=True)
class Expression:
    """A change in DynamoDB's words."""

    update: str
    condition: str
    names: dict[str, str]
    values: dict[str, AttributeValueTypeDef]


def job_key(job_id: str, sort_key: str = HOT_KEY) -> dict[str, AttributeValueTypeDef]:
    """Return the primary key of one of a job's rows."""
    return {"pk": {"S": job_partition(job_id)}, "sk": {"S": sort_key}}


def job_partition(job_id: str) -> str:
    """Return the partition key of all of a job's rows."""
    return f"JOB#{job_id}"


def tenant_partition(tenant: str) -> str:
    """Return the partition key of a tenant's list."""
    return f"TENANT#{tenant}"


def event_sort_key(number: int) -> str:
    """Return the sort key of the job's event of this number."""
    return f"EVENT#{number:08d}"


def hot_item(job: Job) -> dict[str, AttributeValueTypeDef]:
    """Return the hot item as a row; absent fields are left out."""
    values = {field.name: getattr(job, field.name) for field in fields(job)}
    stored = {name: attribute(name, value) for name, value in values.items() if value is not None}
    if job.due_at is not None:
        stored["due_bucket"] = {"S": DUE_BUCKET}
    return {**job_key(job.job_id), **stored}


def job_from_item(item: Item) -> Job:
    """Return the hot item that a row holds."""
    values = {field.name: _value(field.name, item[field.name]) for field in fields(Job) if field.name in item}
    return Job(**values)


def event_item(job: Job, event: Event) -> dict[str, AttributeValueTypeDef]:
    """Return an event as a row that leaves the table together with its job."""
    plain = {
        "number": event.number,
        "name": event.name,
        "status": event.status,
        "recorded_at": to_epoch_ms(event.recorded_at),
        "duration_ms": event.duration_ms,
        "error_type": event.error_type,
        "labels": dict(event.labels),
        "expires_at": _epoch_seconds(job.expires_at),
    }
    stored = {name: _serializer.serialize(value) for name, value in plain.items() if value is not None}
    return {**job_key(job.job_id, event_sort_key(event.number)), **stored}


def event_from_item(item: Item) -> Event:
    """Return the event that a row holds."""
    plain = {name: _deserializer.deserialize(value) for name, value in item.items()}
    duration_ms = plain.get("duration_ms")
    return Event(
        number=int(plain["number"]),
        name=plain["name"],
        status=cast("Literal['ok', 'error']", plain["status"]),
        recorded_at=from_epoch_ms(int(plain["recorded_at"])),
        duration_ms=None if duration_ms is None else int(duration_ms),
        error_type=plain.get("error_type"),
        labels=plain["labels"],
    )


def listed_item(job: Job, tallies: Tallies | None = None) -> dict[str, AttributeValueTypeDef]:
    """Return the job's line in its tenant's list; the whole line again, since nothing in it changes but tallies."""
    line: dict[str, AttributeValueTypeDef] = {
        "pk": {"S": tenant_partition(job.tenant)},
        "sk": {"S": f"{LIST_PREFIX}{to_epoch_ms(job.created_at):013d}#{job.job_id}"},
        "job_id": {"S": job.job_id},
        "kind": {"S": job.kind.value},
        "expires_at": attribute("expires_at", job.expires_at),
    }
    if tallies is not None:
        line["tallies"] = _serializer.serialize({name: asdict(each) for name, each in tallies.items()})
    return line


def listed_from_item(item: Item) -> ListedJob:
    """Return a line of a tenant's list."""
    position = item["sk"]["S"].removeprefix(LIST_PREFIX)
    return ListedJob(item["job_id"]["S"], Kind(item["kind"]["S"]), position)


def position_key(position: str | None) -> str:
    """Return the sort key of a position in a tenant's list; without one, a key behind the newest job."""
    return f"{LIST_PREFIX}{'~' if position is None else position}"


def is_expired(item: Item, now: datetime) -> bool:
    """Return whether a row's time is over, though TTL has not removed it yet."""
    return int(item["expires_at"]["N"]) <= now.timestamp()


def tallies_from_item(item: Item) -> Tallies:
    """Return the tallies in a line of a tenant's list; none for a job that has not ended."""
    if "tallies" not in item:
        return {}
    plain = _deserializer.deserialize(item["tallies"])
    return {name: Tally(**{key: int(count) for key, count in each.items()}) for name, each in plain.items()}


def key_write(table: str, job: Job, key: IdempotencyKey) -> TransactWriteItemTypeDef:
    """Return the write that lets an idempotency key stand for the job, unless it stands for another one."""
    # It outlives the job by a day, so that the latest repetition still finds the job gone and not anew.
    expires_at = job.expires_at + timedelta(days=1)
    item: dict[str, AttributeValueTypeDef] = {
        "pk": {"S": f"KEY#{job.tenant}#{job.kind.value}"},
        "sk": {"S": hashlib.sha256(key.key.encode()).hexdigest()},
        "job_id": {"S": job.job_id},
        "fingerprint": {"S": key.fingerprint},
        "expires_at": attribute("expires_at", expires_at),
    }
    return {
        "Put": {
            "TableName": table,
            "Item": item,
            # TTL removes rows days late; one that has run out is as good as gone.
            "ConditionExpression": "attribute_not_exists(pk) OR expires_at < :now",
            "ExpressionAttributeValues": {":now": attribute("expires_at", job.created_at)},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    }


def attribute(name: str, value: Value) -> AttributeValueTypeDef:
    """Return a field's value as DynamoDB stores it: instants as milliseconds, but TTL's as seconds."""
    if isinstance(value, datetime):
        number = _epoch_seconds(value) if name == "expires_at" else to_epoch_ms(value)
        return {"N": str(number)}
    if isinstance(value, Failure):
        plain: dict[str, object] = {
            "code": value.code,
            "sentence": value.sentence,
            "stage": value.stage.value,
            "retryable": value.retryable,
        }
        return _serializer.serialize(plain)
    if isinstance(value, str):
        return {"S": str(value)}
    return _serializer.serialize(dict(value) if isinstance(value, Mapping) else value)


def to_expression(change: Change) -> Expression:
    """Return the change as one update with its condition.

    Every path is a plain attribute name, since DynamoDB refuses overlapping paths that emulators take.
    """
    words = _Words()
    removed = [name for name, value in change.sets.items() if value is None]
    sets = [f"{words.name(n)} = {words.value(n, v)}" for n, v in change.sets.items() if v is not None]
    sets += [f"{words.name(n)} = {words.name(n)} + {words.value(n, v)}" for n, v in change.adds.items()]
    sets += [
        f"{words.name(n)} = if_not_exists({words.name(n)}, {words.value(n, v)})"
        for n, v in change.sets_once.items()
    ]
    if change.sets.get("due_at") is not None:
        sets.append(f"{words.name('due_bucket')} = {words.value('due_bucket', DUE_BUCKET)}")
    elif "due_at" in change.sets:
        removed.append("due_bucket")
    update = "SET " + ", ".join(sets)
    if removed:
        update += " REMOVE " + ", ".join(words.name(name) for name in removed)
    condition = " AND ".join(_condition(requirement, words) for requirement in change.requires)
    return Expression(update, condition, words.names, words.values)


class _Words:
    """Placeholders for names and values; an expression may hold neither literally."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.values: dict[str, AttributeValueTypeDef] = {}

    def name(self, name: str) -> str:
        self.names[f"#{name}"] = name
        return f"#{name}"

    def value(self, name: str, value: Value) -> str:
        placeholder = f":v{len(self.values)}"
        self.values[placeholder] = attribute(name, value)
        return placeholder


def _condition(requirement: Requirement, words: _Words) -> str:
    name = words.name(requirement.field)
    match requirement:
        case Is(value=value):
            return f"{name} = {words.value(requirement.field, value)}"
        case IsOneOf(values=values):
            return f"{name} IN ({', '.join(words.value(requirement.field, value) for value in values)})"
        case IsAbsentOrBefore(instant=instant):
            earlier = f"{name} < {words.value(requirement.field, instant)}"
            return f"(attribute_not_exists({name}) OR {earlier})"


def _value(name: str, stored: AttributeValueTypeDef) -> Any:  # noqa: ANN401  # typed by Job's fields
    plain = _deserializer.deserialize(stored)
    if name == "expires_at":
        return datetime.fromtimestamp(int(plain), UTC)
    if name in _INSTANTS:
        return from_epoch_ms(int(plain))
    if name in _ENUMS:
        return _ENUMS[name](plain)
    if name in _COUNT_MAPS:
        return {key: int(value) for key, value in plain.items()}
    if name == "failure":
        return Failure(plain["code"], plain["sentence"], StepName(plain["stage"]), bool(plain["retryable"]))
    return int(plain) if isinstance(plain, Decimal) else plain


def _epoch_seconds(instant: datetime) -> int:
    return int(instant.timestamp())
