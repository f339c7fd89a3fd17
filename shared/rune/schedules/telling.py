"""What others are told of a schedule. An event has the number that its schedule's count has reached."""

from collections.abc import Callable
from datetime import datetime
from typing import TypedDict

from rune.contracts.events import (
    EventDocument,
    ScheduleFiredData,
    SchedulePausedData,
    ScheduleResumedData,
    ScheduleSkippedData,
)
from rune.events.catalog import make_event
from rune.events.record import PublicEvent
from rune.schedules.record import PauseReason, Run, Schedule

type Tell = Callable[[Schedule, datetime], PublicEvent]


def of_run(schedule: Schedule, run: Run) -> PublicEvent:
    """Return that a job was posted, or why not."""
    if run.job_id is None:
        skipped = ScheduleSkippedData(**_about(schedule), due_at=run.due_at, reason=run.reason or "")
        return _event("rune.schedule.skipped", schedule, skipped, run.decided_at)
    fired = ScheduleFiredData(
        **_about(schedule), due_at=run.due_at, job_id=run.job_id, kind=schedule.kind.value
    )
    return _event("rune.schedule.fired", schedule, fired, run.decided_at)


def paused(schedule: Schedule, now: datetime) -> PublicEvent:
    """Return that a schedule posts no more jobs."""
    reason = schedule.paused_because or PauseReason.ASKED
    failure_count = schedule.failures if reason is PauseReason.FAILURES else 0
    data = SchedulePausedData(**_about(schedule), reason=reason.value, failure_count=failure_count)
    return _event("rune.schedule.paused", schedule, data, now)


def resumed(schedule: Schedule, now: datetime) -> PublicEvent:
    """Return that a schedule posts jobs again."""
    data = ScheduleResumedData(**_about(schedule), next_due_at=schedule.next_at)
    return _event("rune.schedule.resumed", schedule, data, now)


class _About(TypedDict):
    schedule_id: str
    name: str
    schedule_url: str


def _about(schedule: Schedule) -> _About:
    return {
        "schedule_id": schedule.schedule_id,
        "name": schedule.name,
        "schedule_url": f"/v1/schedules/{schedule.schedule_id}",
    }


def _event(name: str, schedule: Schedule, data: EventDocument, now: datetime) -> PublicEvent:
    return make_event(
        name,
        data,
        tenant=schedule.tenant,
        subject_id=schedule.schedule_id,
        sequence=schedule.event_count,
        occurred_at=now,
    )
