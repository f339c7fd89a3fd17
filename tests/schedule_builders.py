"""Builders of schedules; a test names only the fields that matter to it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from rune.jobs.record import Kind
from rune.schedules.due import ScheduleKey
from rune.schedules.record import Overlap, Run, Schedule, ScheduleState
from tests.builders import NOW, REQUEST, TENANT

SCHEDULE_ID = "5ced01e0c0ffee005ced01e0c0ffee00"

KEY = ScheduleKey(TENANT, SCHEDULE_ID)

A_SCHEDULE: dict[str, Any] = {
    "name": "nightly",
    "rate": "rate(1 hour)",
    "kind": "benchmark",
    "request": REQUEST,
}
"""The shortest body of a new schedule."""

_HOURLY = Schedule(
    schedule_id=SCHEDULE_ID,
    tenant=TENANT,
    name="nightly",
    kind=Kind.BENCHMARK,
    state=ScheduleState.ACTIVE,
    timezone="UTC",
    overlap=Overlap.SKIP,
    created_at=NOW,
    updated_at=NOW,
    anchor_at=NOW,
    rate="rate(1 hour)",
    next_at=NOW + timedelta(hours=1),
    due_at=NOW + timedelta(hours=1),
)


def a_schedule(**overrides: object) -> Schedule:
    """Return a schedule that was made at `NOW` and is due each hour from then on."""
    return replace(_HOURLY, **overrides)  # type: ignore[arg-type]  # replace() refuses unknown names


def a_paused_schedule(**overrides: object) -> Schedule:
    """Return a schedule that is paused."""
    paused = {"state": ScheduleState.PAUSED, "next_at": None, "due_at": None, "paused_because": "asked"}
    return a_schedule(**{**paused, **overrides})


def a_run(due_at: datetime, **overrides: object) -> Run:
    """Return a run that posted a job when it was due."""
    return replace(Run(due_at, due_at, job_id=f"job-{due_at:%H%M}"), **overrides)  # type: ignore[arg-type]  # as above
