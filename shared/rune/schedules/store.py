"""The port of schedules."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from rune.events.record import PublicEvent
from rune.schedules.due import ScheduleKey
from rune.schedules.record import Schedule


@dataclass(frozen=True, slots=True)
class NameTaken:
    """Another schedule of the tenant has the name, and nothing was written."""


@dataclass(frozen=True, slots=True)
class TooMany:
    """The tenant has as many schedules as it may have, and nothing was written."""


@dataclass(frozen=True, slots=True)
class Stale:
    """The schedule was written since it was read, and nothing was written now."""


class ScheduleStore(Protocol):
    """Stores schedules, each with the request of its jobs.

    Each method raises StoreUnavailableError where the store cannot be reached, and those that return schedules
    UnreadableRowError for one that this version does not understand.
    """

    def create(self, schedule: Schedule, request_json: str, most: int) -> Schedule | NameTaken | TooMany:
        """Write a new schedule, if its tenant has fewer than `most` and none of this name, all or nothing."""
        ...

    def replace(
        self,
        before: Schedule,
        after: Schedule,
        events: Sequence[PublicEvent] = (),
        *,
        request_json: str | None = None,
        now: datetime,
    ) -> Schedule | NameTaken | Stale:
        """Write a schedule, its events, and its request if it is another one, all or nothing.

        Of a deleted one the name and the place among the tenant's schedules become free.

        Parameters
        ----------
        before
            As it was read: if it was written since, nothing is written.
        """
        ...

    def read(self, key: ScheduleKey) -> Schedule | None:
        """Return the schedule as all earlier writes left it, also one that is deleted."""
        ...

    def read_request(self, schedule: Schedule) -> str:
        """Return the request, a JSON document as callers send it."""
        ...

    def read_all(self, tenant: str) -> tuple[Schedule, ...]:
        """Return the tenant's schedules, in no order, without those that this version does not understand."""
        ...

    def set_aside(self, key: ScheduleKey, until: datetime) -> None:
        """Let the tick look later at a schedule that this version does not understand."""
        ...


def as_written(before: Schedule, after: Schedule, now: datetime) -> Schedule:
    """Return the schedule as the next write leaves it."""
    return replace(after, version=before.version + 1, updated_at=now)
