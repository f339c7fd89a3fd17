"""Schedules, in the one DynamoDB table.

================  ========================  =============================================================
pk                sk                        what
================  ========================  =============================================================
TENANT#<tenant>   SCHEDULE#<id>             a schedule
TENANT#<tenant>   SCHEDULE-REQUEST#<id>     the request of its jobs
TENANT#<tenant>   SCHEDULE-NAME#<name>      which schedule has the name
TENANT#<tenant>   SCHEDULES                 how many there are
================  ========================  =============================================================

The index `due` holds the schedules that wait for an occurrence (`due_schedules`). Their events are in logs of their
own (`outbox`). Of a deleted schedule the rows expire, so no function needs the right to delete.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, override

from rune.aws.due_schedules import DUE_BUCKET, SCHEDULE_PREFIX, TENANT_PREFIX
from rune.aws.dynamodb_rows import FORMAT, attribute, check_format, from_row, to_expression, to_row
from rune.aws.dynamodb_table import ConditionFailedError, DynamoTable
from rune.aws.outbox import log_writes
from rune.errors import StoreUnavailableError, UnreadableRowError
from rune.events.record import PublicEvent
from rune.schedules.due import ScheduleKey
from rune.schedules.record import Schedule, ScheduleState
from rune.schedules.store import NameTaken, ScheduleStore, Stale, TooMany, as_written
from rune.storage.change import Change, Is, IsBelow, Value

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, TransactWriteItemTypeDef

    type Item = Mapping[str, AttributeValueTypeDef]
    type Key = dict[str, AttributeValueTypeDef]

log = logging.getLogger(__name__)

EVENTS_KEPT = timedelta(days=30)

_LAST = "SCHEDULE$"
_REQUEST = "SCHEDULE-REQUEST#"
_NAME = "SCHEDULE-NAME#"
_COUNT = "SCHEDULES"


class DynamoScheduleStore(ScheduleStore):
    """Schedules in a DynamoDB table."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._table = DynamoTable(client, table)

    @override
    def create(self, schedule: Schedule, request_json: str, most: int) -> Schedule | NameTaken | TooMany:
        tenant, now = schedule.tenant, schedule.created_at
        row = {**_key(tenant, f"{SCHEDULE_PREFIX}{schedule.schedule_id}"), **to_row(schedule)}
        if schedule.due_at is not None:
            row["due_bucket"] = {"S": DUE_BUCKET}
        writes = [
            self._change_name(schedule, schedule.schedule_id),
            self._change_count(tenant, 1, now, requires=(IsBelow("count", most),)),
            self._table.put(row, condition="attribute_not_exists(pk)"),
            self._put_request(schedule, request_json),
        ]
        try:
            self._table.transact(writes)
        except ConditionFailedError as error:
            if 0 in error.found:
                return NameTaken()
            if 1 in error.found:
                return TooMany()
            raise StoreUnavailableError("A schedule with this id exists already.") from None
        return schedule

    @override
    def replace(
        self,
        before: Schedule,
        after: Schedule,
        events: Sequence[PublicEvent] = (),
        *,
        request_json: str | None = None,
        now: datetime,
    ) -> Schedule | NameTaken | Stale:
        written = as_written(before, after, now)
        row_key = _key(before.tenant, f"{SCHEDULE_PREFIX}{before.schedule_id}")
        writes = [self._table.change(row_key, to_expression(_difference(before, written), DUE_BUCKET))]
        is_deleted = written.state is ScheduleState.DELETED
        if written.name != before.name:
            writes += [self._change_name(written, written.schedule_id), self._change_name(before, None)]
        if is_deleted:
            writes += [
                self._change_name(before, None),
                self._change_count(before.tenant, -1, now),
                self._expire_request(written),
            ]
        if request_json is not None:
            writes.append(self._put_request(written, request_json))
        writes += log_writes(self._table, events, now + EVENTS_KEPT)
        try:
            self._table.transact(writes)
        except ConditionFailedError as error:
            return Stale() if 0 in error.found else NameTaken()
        return written

    @override
    def read(self, key: ScheduleKey) -> Schedule | None:
        rows = self._table.get([_key(key.tenant, f"{SCHEDULE_PREFIX}{key.schedule_id}")])
        return from_row(Schedule, rows[0]) if rows else None

    @override
    def read_request(self, schedule: Schedule) -> str:
        rows = self._table.get([_key(schedule.tenant, f"{_REQUEST}{schedule.schedule_id}")])
        if not rows:
            raise UnreadableRowError("The schedule has no request.")
        check_format(rows[0])
        return rows[0]["body"]["S"]

    @override
    def read_all(self, tenant: str) -> tuple[Schedule, ...]:
        rows = self._table.query(f"{TENANT_PREFIX}{tenant}", SCHEDULE_PREFIX, _LAST)
        return tuple(schedule for schedule in map(_understood, rows) if schedule is not None)

    @override
    def set_aside(self, key: ScheduleKey, until: datetime) -> None:
        is_there = (Is("schedule_id", key.schedule_id),)
        expression = to_expression(Change("set_aside", is_there, {"due_at": until}), DUE_BUCKET)
        try:
            self._table.update(_key(key.tenant, f"{SCHEDULE_PREFIX}{key.schedule_id}"), expression)
        except ConditionFailedError:
            return

    def _put_request(self, schedule: Schedule, request_json: str) -> TransactWriteItemTypeDef:
        key = _key(schedule.tenant, f"{_REQUEST}{schedule.schedule_id}")
        return self._table.put(
            {**key, "format": attribute("format", FORMAT), "body": attribute("body", request_json)}
        )

    def _expire_request(self, schedule: Schedule) -> TransactWriteItemTypeDef:
        key = _key(schedule.tenant, f"{_REQUEST}{schedule.schedule_id}")
        return self._table.change(
            key, to_expression(Change("expire", (), {"expires_at": schedule.expires_at}))
        )

    def _change_name(self, schedule: Schedule, owner: str | None) -> TransactWriteItemTypeDef:
        """Return the write that gives a name to a schedule, or takes it from the one that has it."""
        # Most likely it is never used again; then the row goes with the next sweep of expired rows.
        expires_at = None if owner else schedule.updated_at
        sets: dict[str, Value] = {"schedule_id": owner, "expires_at": expires_at}
        requires = (Is("schedule_id", None if owner else schedule.schedule_id),)
        key = _key(schedule.tenant, f"{_NAME}{schedule.name}")
        return self._table.change(key, to_expression(Change("name", requires, sets)))

    def _change_count(
        self, tenant: str, by: int, now: datetime, requires: tuple[IsBelow, ...] = ()
    ) -> TransactWriteItemTypeDef:
        change = Change("count", requires, {"updated_at": now}, adds={"count": by})
        return self._table.change(_key(tenant, _COUNT), to_expression(change))


def _difference(before: Schedule, after: Schedule) -> Change:
    """Return the write of what is different, if nothing was written since `before`."""
    sets = {
        each.name: getattr(after, each.name)
        for each in fields(Schedule)
        if getattr(after, each.name) != getattr(before, each.name)
    }
    return Change("replace", (Is("version", before.version),), sets)


def _understood(row: Item) -> Schedule | None:
    """Return the schedule; None, and a log line, for a row that this version does not understand."""
    try:
        return from_row(Schedule, row)
    except UnreadableRowError:
        log.warning("row.unreadable", exc_info=True, extra={"schedule": row["sk"]["S"]})
        return None


def _key(tenant: str, sort_key: str) -> Key:
    return {"pk": {"S": f"{TENANT_PREFIX}{tenant}"}, "sk": {"S": sort_key}}
