"""Schedules in memory: a store for unit tests and the simulation.

That the store in DynamoDB does the same is tested in `tests/functional/aws/test_schedule_store.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import override

from rune.errors import UnreadableRowError
from rune.events.record import PublicEvent
from rune.schedules.due import DueSchedules, ScheduleKey
from rune.schedules.record import Schedule, ScheduleState
from rune.schedules.store import NameTaken, ScheduleStore, Stale, TooMany, as_written
from tests.memory_outbox import MemoryOutbox

KEPT = timedelta(days=30)


class MemoryScheduleStore(ScheduleStore, DueSchedules):
    """Schedules in memory.

    Attributes
    ----------
    rows
        By key; also those that are deleted.
    outbox
        Has their events.
    """

    def __init__(self) -> None:
        self.rows: dict[ScheduleKey, Schedule] = {}
        self.outbox = MemoryOutbox()
        self._requests: dict[ScheduleKey, str] = {}

    @override
    def create(self, schedule: Schedule, request_json: str, most: int) -> Schedule | NameTaken | TooMany:
        if self._is_taken(schedule):
            return NameTaken()
        if len(self.read_all(schedule.tenant)) >= most:
            return TooMany()
        key = ScheduleKey(schedule.tenant, schedule.schedule_id)
        self.rows[key] = schedule
        self._requests[key] = request_json
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
        key = ScheduleKey(before.tenant, before.schedule_id)
        if self.rows[key].version != before.version:
            return Stale()
        if after.name != before.name and self._is_taken(after):
            return NameTaken()
        self.rows[key] = as_written(before, after, now)
        if request_json is not None:
            self._requests[key] = request_json
        self.outbox.write_log(events, now + KEPT)
        return self.rows[key]

    @override
    def read(self, key: ScheduleKey) -> Schedule | None:
        return self.rows.get(key)

    @override
    def read_request(self, schedule: Schedule) -> str:
        try:
            return self._requests[ScheduleKey(schedule.tenant, schedule.schedule_id)]
        except KeyError:
            raise UnreadableRowError("The schedule has no request.") from None

    @override
    def read_all(self, tenant: str) -> tuple[Schedule, ...]:
        return tuple(
            row
            for key, row in self.rows.items()
            if key.tenant == tenant and row.state is not ScheduleState.DELETED
        )

    @override
    def set_aside(self, key: ScheduleKey, until: datetime) -> None:
        if key in self.rows:
            self.rows[key] = replace(self.rows[key], due_at=until)

    @override
    def find_due(self, now: datetime, limit: int) -> tuple[ScheduleKey, ...]:
        due = [
            (row.due_at, row.schedule_id, key)
            for key, row in self.rows.items()
            if row.due_at is not None and row.due_at <= now
        ]
        return tuple(key for _, _, key in sorted(due, key=lambda found: found[:2])[:limit])

    def _is_taken(self, schedule: Schedule) -> bool:
        return any(
            row.name == schedule.name and row.schedule_id != schedule.schedule_id
            for row in self.read_all(schedule.tenant)
        )
