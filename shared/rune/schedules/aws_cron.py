"""AWS's cron expressions of six fields, as the five fields of cron.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html#cron-based

A year comes last, days of the week count from 1 for Sunday, and exactly one of the two days is `?`.
"""

import re

from rune.errors import InvalidRequestError

_WEEKDAY = re.compile(r"(?<![#/0-9])[0-9]+")
_WEEKDAY_FROM = re.compile(r"(?<![-0-9A-Za-z])([0-9A-Za-z]+)/([0-9]+)")


def translate(text: str) -> list[str]:
    """Return minute, hour, day of the month, month and day of the week, as cron has them.

    Raises
    ------
    InvalidRequestError
        `cron_not_understood`: it cannot be said in cron, or is not AWS's form.
    """
    fields = text.split()
    if len(fields) != 6:  # noqa: PLR2004  # the form's
        raise _refused(
            f"AWS's form has six fields (minute, hour, day of the month, month, day of the week, year), not "
            f"{len(fields)}. Five fields are written without cron()."
        )
    minute, hour, day, month, weekday, year = fields
    if year != "*":
        raise _refused(
            "A year cannot be named: write * as the sixth field, and ends_at for the schedule's end."
        )
    if (day == "?") == (weekday == "?"):
        raise _refused("In AWS's form exactly one of the two days is ?.")
    if "W" in day.upper() and day.upper() != "LW":
        raise _refused("The weekday nearest to a date (W) cannot be said; name the date itself, or LW.")
    return [
        minute,
        hour,
        "*" if day == "?" else day,
        month,
        "*" if weekday == "?" else _from_sunday_as_0(weekday),
    ]


def _from_sunday_as_0(weekday: str) -> str:
    """Return days of the week that count from 1 as those that count from 0."""
    if weekday.upper() == "L":
        # In AWS's form the last day of the week.
        return "6"
    # In cron `2/2` goes on to 7, which is Sunday again.
    bounded = _WEEKDAY_FROM.sub(lambda found: f"{found[1]}-7/{found[2]}", weekday)
    return _WEEKDAY.sub(lambda found: str(_shifted(int(found[0]))), bounded)


def _shifted(day: int) -> int:
    if not 1 <= day <= 7:  # noqa: PLR2004  # days of a week
        raise _refused("In AWS's form days of the week are 1 (Sunday) to 7, or SUN to SAT.")
    return day - 1


def _refused(sentence: str) -> InvalidRequestError:
    return InvalidRequestError(sentence, pointer="/cron", code="cron_not_understood")
