"""When schedules are due, held against a second reading of the same zones (`tests/schedule_oracle.py`)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise

import pytest

from rune.schedules.occurrences import Timing, next_after, occurrences_after
from rune.schedules.zones import find_zone
from tests.schedule_oracle import QUARTER, Rule, clock_of, expected

ZONES = [
    # Set by an hour at 2, at 2, and at midnight; by half an hour; around Ramadan; not at all.
    ("Europe/Berlin", 2026),
    ("America/New_York", 2026),
    ("America/Santiago", 2026),
    ("Australia/Lord_Howe", 2026),
    ("Africa/Casablanca", 2026),
    ("Asia/Tehran", 2026),
    # Until 2019 its midnight was left out.
    ("America/Sao_Paulo", 2017),
]


def is_last_of_month(day: date) -> bool:
    return (day + timedelta(days=1)).day == 1


RULES = [
    Rule("17 */3 * * *", (17,), tuple(range(0, 24, 3))),
    Rule("*/20 0-4 * * *", (0, 20, 40), tuple(range(5))),
    Rule("* 2 * * SUN", tuple(range(60)), (2,), lambda day: day.isoweekday() == 7),
    Rule("30 2 * * *", (30,), (2,)),
    Rule("0,10,40 0-3 * * *", (0, 10, 40), (0, 1, 2, 3)),
    Rule("0 9 * * MON-FRI", (0,), (9,), lambda day: day.isoweekday() <= 5),
    Rule("5 0 1,15 * *", (5,), (0,), lambda day: day.day in (1, 15)),
    Rule("45 23 L * *", (45,), (23,), is_last_of_month),
    Rule("59 1 * 3,10 7", (59,), (1,), lambda day: day.month in (3, 10) and day.isoweekday() == 7),
    # Both days are named, so one of them is enough.
    Rule("0 0 13 * FRI", (0,), (0,), lambda day: day.day == 13 or day.isoweekday() == 5),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.fields)
@pytest.mark.parametrize(("zone", "year"), ZONES)
def test_schedule_is_due_as_the_clock_on_the_wall_shows(zone: str, year: int, rule: Rule) -> None:
    clock = clock_of(zone, year)
    first, last = datetime(year, 1, 2, tzinfo=UTC), datetime(year + 2, 1, 2, tzinfo=UTC)
    timing = Timing(rule.fields, find_zone(zone), first, ends_at=last)

    assert list(occurrences_after(timing, first)) == expected(rule, clock, first, last)


@pytest.mark.parametrize(("zone", "year"), ZONES)
def test_years_have_the_changes_that_they_are_here_for(zone: str, year: int) -> None:
    clock = clock_of(zone, year)
    walls = [*clock.shown.values()]

    left_out = sum(later - earlier > QUARTER for earlier, later in pairwise(walls))
    repeated = sum(later < earlier for earlier, later in pairwise(walls))

    # Morocco keeps to one time from the second year on.
    unusual = {"Asia/Tehran": (0, 0), "Africa/Casablanca": (1, 2)}
    assert (left_out, repeated) == unusual.get(zone, (2, 2))


def test_rule_goes_on_from_any_moment_of_a_repeated_hour() -> None:
    """A process may look at any time; the answer may lie neither before nor beyond the next one."""
    zone = find_zone("Europe/Berlin")
    begins = datetime(2026, 10, 24, 23, 0, tzinfo=UTC)
    for fields in ("*/20 2 * * *", "0,20,40 2 * * *", "30 * * * *"):
        timing = Timing(fields, zone, begins)
        due = list(islice(occurrences_after(timing, begins), 12))
        for minute in range(60 * 6):
            instant = begins + timedelta(minutes=minute, seconds=minute % 60)
            assert next_after(timing, instant) == next(each for each in due if each > instant)


def test_rate_counts_from_its_anchor_and_knows_no_clock_on_the_wall() -> None:
    anchor = datetime(2026, 3, 28, 12, 0, 30, 5000, tzinfo=UTC)
    timing = Timing(timedelta(hours=24), find_zone("Europe/Berlin"), anchor)

    assert next_after(timing, anchor - timedelta(days=3)) == anchor + timedelta(days=1)
    assert next_after(timing, anchor) == anchor + timedelta(days=1)
    assert next_after(timing, anchor + timedelta(days=1)) == anchor + timedelta(days=2)
    assert next_after(timing, anchor + timedelta(days=1, seconds=-1)) == anchor + timedelta(days=1)


def test_nothing_is_due_after_the_end() -> None:
    begins = datetime(2026, 1, 1, tzinfo=UTC)
    timing = Timing("0 9 * * *", find_zone("UTC"), begins, ends_at=datetime(2026, 1, 2, 9, 0, tzinfo=UTC))

    due = [datetime(2026, 1, day, 9, 0, tzinfo=UTC) for day in (1, 2)]
    assert list(occurrences_after(timing, begins)) == due
