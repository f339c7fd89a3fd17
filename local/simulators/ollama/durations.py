"""Durations and instants in Go's notation."""

import math
import re
from datetime import UTC, datetime, timedelta

NANOSECONDS_PER_SECOND = 1_000_000_000

_SECONDS_PER_UNIT = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_TERM = re.compile(r"(\d+\.?\d*|\.\d+)([^\d.]*)")
# Go's longest time.Duration, 2**63 - 1 ns: Ollama sets the expiry of a model that it keeps so far ahead.
_LONGEST = timedelta(microseconds=(2**63 - 1) // 1000)


def parse_go_duration(text: str) -> float:
    """Return the seconds of a Go duration such as `1h30m`; errors have Go's texts.

    Raises
    ------
    ValueError
        It is not a duration, or a number other than `0` has no unit.
    """
    sign = -1.0 if text.startswith("-") else 1.0
    rest = text.removeprefix("-") if sign < 0 else text.removeprefix("+")
    if rest == "0":
        return 0.0
    seconds, position = 0.0, 0
    while position < len(rest):
        term = _TERM.match(rest, position)
        if term is None:
            break
        number, unit = term.groups()
        if not unit:
            raise ValueError(f'time: missing unit in duration "{text}"')
        if unit not in _SECONDS_PER_UNIT:
            raise ValueError(f'time: unknown unit "{unit}" in duration "{text}"')
        seconds += float(number) * _SECONDS_PER_UNIT[unit]
        position = term.end()
    if not rest or position < len(rest):
        raise ValueError(f'time: invalid duration "{text}"')
    return sign * seconds


def parse_keep_alive(value: float | str) -> float:
    """Return how many seconds a model stays loaded after a request; infinity for a negative value.

    A number is in seconds, a string is a Go duration.

    Raises
    ------
    ValueError
        A string is not a Go duration, for example `300`.
    """
    seconds = parse_go_duration(value) if isinstance(value, str) else float(value)
    return math.inf if seconds < 0 else seconds


def to_nanoseconds(seconds: float) -> int:
    """Return whole nanoseconds, Ollama's unit of durations."""
    return round(seconds * NANOSECONDS_PER_SECOND)


def format_instant(instant: datetime) -> str:
    """Return the instant in UTC as RFC 3339 with a `Z`."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def instant_after(now: datetime, seconds: float) -> datetime:
    """Return `now` plus `seconds`; infinity is 292 years, as in Ollama."""
    return now + (_LONGEST if math.isinf(seconds) else timedelta(seconds=seconds))
