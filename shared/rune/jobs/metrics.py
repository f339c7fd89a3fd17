"""How often things happened in jobs, and how long they took."""

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import reduce
from typing import Self

from rune.jobs.record import Event, Job

SUMMARY_SHARDS = 4
"""Summaries of one tenant and day. Jobs that end at the same moment in the same one have to wait for each other: a
read and a transaction, about 25 ms, so one takes some 40 ends a second."""


@dataclass(frozen=True, slots=True)
class Tally:
    """One event name, counted; times in milliseconds."""

    ok_count: int
    error_count: int
    sum_ms: int
    min_ms: int
    max_ms: int

    @property
    def total_count(self) -> int:
        """All of them."""
        return self.ok_count + self.error_count

    def plus(self, other: Self) -> Self:
        """Return both together."""
        return type(self)(
            self.ok_count + other.ok_count,
            self.error_count + other.error_count,
            self.sum_ms + other.sum_ms,
            min(self.min_ms, other.min_ms),
            max(self.max_ms, other.max_ms),
        )


type Tallies = Mapping[str, Tally]
"""Tallies by event name."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What some of a tenant's jobs, which ended on one day, have done.

    Attributes
    ----------
    version
        How many jobs were added.
    expires_at
        When the last of them expires.
    """

    version: int = 0
    tallies: Mapping[str, Tally] = field(default_factory=dict)
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SummaryKey:
    """Which summary it is: the tenant, the day (UTC) and one of that day's shards."""

    tenant: str
    day: date
    shard: int


def summary_key(job: Job, ended_at: datetime) -> SummaryKey:
    """Return in which summary a job counts: always the same one."""
    shard = zlib.crc32(job.job_id.encode()) % SUMMARY_SHARDS
    return SummaryKey(job.tenant, ended_at.astimezone(UTC).date(), shard)


def fold(summary: Summary, tallies: Tallies, expires_at: datetime) -> Summary:
    """Return the summary with one more job, which expires then."""
    latest = expires_at if summary.expires_at is None else max(summary.expires_at, expires_at)
    return Summary(summary.version + 1, merge([summary.tallies, tallies]), latest)


def tally(events: Iterable[Event]) -> Tallies:
    """Return the tallies of events; those without a duration are left out."""
    return merge(
        {event.name: Tally(int(event.status == "ok"), int(event.status == "error"), ms, ms, ms)}
        for event in events
        if (ms := event.duration_ms) is not None
    )


def merge(many: Iterable[Tallies]) -> Tallies:
    """Return all tallies together."""
    return reduce(_merge_two, many, {})


def _merge_two(one: Tallies, other: Tallies) -> Tallies:
    both = {name: one[name].plus(other[name]) for name in one.keys() & other.keys()}
    return {**one, **other, **both}
