"""Which schedules are due: all that a tick needs to know where none is."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

MOST_AT_ONCE = 100
"""Schedules of one tick; the others are still due at the next one."""


@dataclass(frozen=True, slots=True)
class ScheduleKey:
    """Which schedule of which tenant."""

    tenant: str
    schedule_id: str


class DueSchedules(Protocol):
    """Finds schedules by when they are due."""

    def find_due(self, now: datetime, limit: int) -> tuple[ScheduleKey, ...]:
        """Return schedules that were due by `now`, longest overdue first; the latest writes may be missing."""
        ...
