"""When schedules are due, read from the zones a second time.

It shares nothing with the product but the zones' data: it lists what a clock on the wall shows in each quarter of
an hour, and looks there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache

from rune.schedules.zones import find_zone

QUARTER = timedelta(minutes=15)


@dataclass(frozen=True)
class Clock:
    """What a clock on the wall shows, over two years and a few days."""

    shown: dict[datetime, datetime]
    """Wall clock by instant, each quarter of an hour."""
    instants: dict[datetime, list[datetime]]
    """Instants by wall clock."""


@cache
def clock_of(zone: str, year: int) -> Clock:
    tz, instant = find_zone(zone), datetime(year, 1, 1, tzinfo=UTC)
    shown, instants = {}, defaultdict(list)
    while instant < datetime(year + 2, 1, 5, tzinfo=UTC):
        wall = instant.astimezone(tz).replace(tzinfo=None, fold=0)
        assert not wall.minute % 15
        shown[instant] = wall
        instants[wall].append(instant)
        instant += QUARTER
    return Clock(shown, instants)


@dataclass(frozen=True)
class Rule:
    """An expression, and the same in Python."""

    fields: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    is_day: Callable[[date], bool] = lambda _day: True

    @property
    def goes_by_the_running_clock(self) -> bool:
        return self.fields.split()[0][0] == "*" or self.fields.split()[1][0] == "*"


def expected(rule: Rule, clock: Clock, first: datetime, last: datetime) -> list[datetime]:
    found = running(rule, clock) if rule.goes_by_the_running_clock else once_a_day(rule, clock)
    return sorted({instant for instant in found if first < instant <= last})


def running(rule: Rule, clock: Clock) -> Iterator[datetime]:
    for instant, wall in clock.shown.items():
        if wall.hour in rule.hours and rule.is_day(wall.date()):
            yield from (
                instant + timedelta(minutes=minute - wall.minute)
                for minute in rule.minutes
                if wall.minute <= minute < wall.minute + 15
            )


def once_a_day(rule: Rule, clock: Clock) -> Iterator[datetime]:
    for day in sorted({wall.date() for wall in clock.shown.values()}):
        if not rule.is_day(day):
            continue
        for hour in rule.hours:
            for minute in rule.minutes:
                quarter = datetime(day.year, day.month, day.day, hour, minute // 15 * 15)  # noqa: DTZ001  # a wall
                if quarter in clock.instants:
                    yield clock.instants[quarter][0] + timedelta(minutes=minute % 15)
                elif quarter > min(clock.instants):
                    yield next_shown(clock, quarter)


def next_shown(clock: Clock, quarter: datetime) -> datetime:
    while quarter not in clock.instants:
        quarter += QUARTER
        if quarter > max(clock.instants):
            return datetime.max.replace(tzinfo=UTC)
    return clock.instants[quarter][0]
