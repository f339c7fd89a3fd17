"""How callers write when a schedule is due: five fields of cron, the same in AWS's form, or a rate."""

import re
from datetime import datetime, timedelta

from cronsim import CronSim, CronSimError

from rune.errors import InvalidRequestError
from rune.schedules.aws_cron import translate

LONGEST_RATE = timedelta(days=366)

_FIELDS = {
    "minute": "minute",
    "hour": "hour",
    "day-of-month": "day of the month",
    "month": "month",
    "day-of-week": "day of the week",
}
_LONGEST_STEPS = {
    "minute": 59,
    "hour": 23,
    "day-of-month": 31,
    "month": 12,
    "day-of-week": 7,
}
_STEP = re.compile(r"/([0-9]{1,4})(?![0-9])")
_TURNED_RANGE = re.compile(r"[0-9A-Za-z]+-[0-9A-Za-z]+")
_AWS = re.compile(r"cron\((.*)\)", re.IGNORECASE | re.DOTALL)
_RATE = re.compile(r"(?:rate\(\s*([0-9]{1,6})\s+(\w+?)s?\s*\)|([0-9]{1,6})\s+(\w+?)s?)", re.IGNORECASE)
_UNITS = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
}
# Any day will do: a date that never comes is looked for in 50 years.
_SOME_DAY = datetime(2026, 1, 1)  # noqa: DTZ001  # a wall clock


def parse_cron(text: str) -> str:
    """Return the five fields of a cron expression; AWS's form of six is translated.

    Raises
    ------
    InvalidRequestError
        `cron_not_understood`, or `cron_never` for a date that does not exist, such as 30 February.
    """
    in_aws_form = _AWS.fullmatch(text.strip())
    fields = translate(in_aws_form[1]) if in_aws_form else text.split()
    if len(fields) != len(_FIELDS):
        raise _not_understood(
            f"cron has five fields (minute, hour, day of the month, month, day of the week), not {len(fields)}. "
            "AWS's form of six fields is written as cron(0 9 ? * MON *)."
        )
    five = " ".join(fields)
    for (field, longest), part in zip(_LONGEST_STEPS.items(), fields, strict=True):
        _refuse_long_step(field, longest, part)
    try:
        next(CronSim(five, _SOME_DAY))
    except CronSimError as error:
        raise _explained(fields, str(error)) from None
    except StopIteration:
        raise _never() from None
    except (AssertionError, ValueError):
        # What its parser does not foresee, such as a number of thousands of digits.
        raise _not_understood("This cron expression is not understood.") from None
    return five


def parse_rate(text: str) -> timedelta:
    """Return the time from one occurrence to the next: `rate(5 minutes)`, or the same without `rate()`.

    Raises
    ------
    InvalidRequestError
        `rate_not_understood`.
    """
    found = _RATE.fullmatch(text.strip())
    number, unit = (found[1] or found[3], found[2] or found[4]) if found else ("0", "")
    interval = int(number) * _UNITS.get(unit.lower(), timedelta(0))
    if not timedelta(0) < interval <= LONGEST_RATE:
        raise InvalidRequestError(
            "rate is such as rate(5 minutes), rate(1 hour) or rate(7 days): at least a minute, at most 366 days.",
            pointer="/rate",
            code="rate_not_understood",
        )
    return interval


def write_rate(interval: timedelta) -> str:
    """Return a rate as `parse_rate` reads it, in the largest unit that fits."""
    unit = next(name for name, unit in reversed(_UNITS.items()) if not interval % unit)
    count = interval // _UNITS[unit]
    return f"rate({count} {unit}{'s' if count > 1 else ''})"


def _explained(fields: list[str], message: str) -> InvalidRequestError:
    """Return the error for what cronsim refuses: it says only which field it is."""
    name = message.removeprefix("Bad ")
    if name == "day-of-month" and _is_right_in_some_month(fields):
        return _never()
    if name not in _FIELDS:
        return _not_understood("This cron expression is not understood.")
    part = fields[[*_FIELDS].index(name)]
    hint = ""
    if "?" in part:
        hint = " Only AWS's form has `?`."
    elif _TURNED_RANGE.search(part):
        hint = " A range goes upwards: write FRI-MON as FRI,SAT,SUN,MON, and 22-2 as 22,23,0-2."
    return _not_understood(
        f"The {_FIELDS[name]} of this cron expression is not understood: {part[:40]}.{hint}"
    )


def _refuse_long_step(field: str, longest: int, part: str) -> None:
    """Refuse a step that is longer than its field: it would count as none, such as `*/70` as every hour."""
    step = max((int(found) for found in _STEP.findall(part)), default=0)
    if step > longest:
        raise _not_understood(
            f"The {_FIELDS[field]} of this cron expression has a step of {step}; {longest} is the longest. "
            "A rate such as rate(70 minutes) may be longer."
        )


def _is_right_in_some_month(fields: list[str]) -> bool:
    try:
        next(CronSim(" ".join((*fields[:3], "*", fields[4])), _SOME_DAY))
    except (CronSimError, StopIteration):
        return False
    return True


def _not_understood(sentence: str) -> InvalidRequestError:
    return InvalidRequestError(sentence, pointer="/cron", code="cron_not_understood")


def _never() -> InvalidRequestError:
    return InvalidRequestError(
        "There is no such date, so the schedule would never be due.", pointer="/cron", code="cron_never"
    )
