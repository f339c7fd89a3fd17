"""When a schedule is due, as arithmetic over time zones.

cronsim reads the fields and finds what they name on a wall clock that is never set. What becomes of that where a
clock is set is decided here, as Debian's cron does it (cron(8), https://manpages.debian.org/cron.8):

- An expression whose minute or hour begins with `*` goes by the clock as it runs: a time that is left out does not
  come, and one that comes twice comes twice.
- Any other names times of a day, and each comes once: a time that is left out is due when the clock has been set,
  and one that comes twice is due the first time.

cronsim 2.8 can do this too, but it loses times where a clock is set by half an hour, and within a repeated hour
it goes back.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from cronsim import CronSim

_SECOND, _MINUTE, _DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Timing:
    """When a schedule is due.

    Attributes
    ----------
    rule
        Five fields of cron, or the time from one occurrence to the next.
    zone
        In which the fields are meant.
    anchor_at
        From which a rate counts; the first occurrence is one interval later.
    ends_at
        After which nothing is due.
    """

    rule: str | timedelta
    zone: tzinfo
    anchor_at: datetime
    ends_at: datetime | None = None


def next_after(timing: Timing, instant: datetime) -> datetime | None:
    """Return the first occurrence after an instant, in UTC; None where none comes any more."""
    due_at = (
        _next_of_cron(timing.rule, timing.zone, instant)
        if isinstance(timing.rule, str)
        else _next_of_rate(timing.anchor_at, timing.rule, instant)
    )
    is_over = due_at is not None and timing.ends_at is not None and due_at > timing.ends_at
    return None if is_over else due_at


def occurrences_after(timing: Timing, instant: datetime) -> Iterator[datetime]:
    """Yield the occurrences after an instant, one after the other."""
    due_at = next_after(timing, instant)
    while due_at is not None:
        yield due_at
        due_at = next_after(timing, due_at)


def _next_of_rate(anchor_at: datetime, interval: timedelta, instant: datetime) -> datetime:
    return anchor_at + max(1, (instant - anchor_at) // interval + 1) * interval


def _next_of_cron(fields: str, zone: tzinfo, instant: datetime) -> datetime | None:
    minute, hour, *_ = fields.split()
    find = _next_of_running_clock if minute.startswith("*") or hour.startswith("*") else _next_of_day
    return find(fields, zone, instant.astimezone(UTC).replace(microsecond=0))


def _next_of_day(fields: str, zone: tzinfo, instant: datetime) -> datetime | None:
    """Return when the next time of a day comes first, or would have come."""
    wall = _wall_clock(instant, zone)
    while (named := _next_named(fields, wall)) is not None:
        due_at = _first_instant(named, zone)
        if due_at > instant:
            return due_at
        # Within a repeated hour: it has come before.
        wall = named
    return None


def _next_of_running_clock(fields: str, zone: tzinfo, instant: datetime) -> datetime | None:
    """Return when a running clock next shows a time, of those between two changes."""
    wall, offset = _wall_clock(instant, zone), _offset(instant, zone)
    while (named := _next_named(fields, wall)) is not None:
        due_at = named.replace(tzinfo=UTC) - offset
        changed_at = _first_change(zone, instant, due_at)
        if changed_at is None:
            return due_at
        instant, offset = changed_at, _offset(changed_at, zone)
        wall = _wall_clock(changed_at, zone) - _SECOND
    return None


def _next_named(fields: str, wall: datetime) -> datetime | None:
    """Return the next time that the fields name, on a clock that is never set; None where none comes."""
    return next(CronSim(fields, wall), None)


def _wall_clock(instant: datetime, zone: tzinfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)


def _offset(instant: datetime, zone: tzinfo) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta(0)


def _first_instant(wall: datetime, zone: tzinfo) -> datetime:
    """Return when a clock shows a time first; where it never does, when it has been set over it."""
    while _wall_clock(instant := wall.replace(tzinfo=zone).astimezone(UTC), zone) != wall:
        wall += _MINUTE
    return instant


def _first_change(zone: tzinfo, start: datetime, end: datetime) -> datetime | None:
    """Return when a clock is first set after `start`, up to `end`; no zone has two changes within a day."""
    offset, same = _offset(start, zone), start
    while same < end:
        other = min(same + _DAY, end)
        if _offset(other, zone) != offset:
            while other - same > _SECOND:
                middle = same + (other - same) // 2
                middle -= timedelta(microseconds=middle.microsecond)
                same, other = (middle, other) if _offset(middle, zone) == offset else (same, middle)
            return other
        same = other
    return None
