"""Times of cases: relative to the case's `now`, in whole seconds, minutes, hours or days."""

import re
from datetime import UTC, datetime, timedelta

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
DURATION_PATTERN = r"^[0-9]{1,5}(?:\.[0-9])?[smhd]$"
OFFSET_PATTERN = r"^-[0-9]{1,5}(?:\.[0-9])?[smhd]$"
STAMP_PATTERN = re.compile(r"@(-[0-9]{1,5}(?:\.[0-9])?[smhd])")
"""In texts of raw members: `@-12m` is the time of twelve minutes before `now`."""


def read_duration(text: str) -> timedelta:
    """Return how long `12m` is."""
    return timedelta(seconds=float(text[:-1]) * _UNITS[text[-1]])


def read_offset(text: str, now: datetime) -> datetime:
    """Return the time that `-12m` means."""
    return now - read_duration(text.removeprefix("-"))


def write_time(instant: datetime) -> str:
    """Return a time as Kubernetes writes most: RFC 3339, whole seconds."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_micro_time(instant: datetime) -> str:
    """Return a time as newer events and leases have it: with microseconds."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def read_time(text: str) -> datetime:
    """Return the time that `write_time` or `write_micro_time` wrote.

    Raises
    ------
    ValueError
        It is no time of RFC 3339.
    """
    return datetime.fromisoformat(text)


def write_age(elapsed: timedelta) -> str:  # noqa: C901, PLR0911  # one rule a line
    """Return an age as `kubectl get` shows it (apimachinery, `duration.HumanDuration`)."""
    seconds = int(elapsed.total_seconds())
    if seconds < -1:
        return "<invalid>"
    if seconds < 0:
        return "0s"
    if seconds < 120:  # noqa: PLR2004  # as in the source
        return f"{seconds}s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if minutes < 10:  # noqa: PLR2004
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if minutes < 180:  # noqa: PLR2004
        return f"{minutes}m"
    if hours < 8:  # noqa: PLR2004
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:  # noqa: PLR2004
        return f"{hours}h"
    if hours < 192:  # noqa: PLR2004
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    if days < 365 * 2:
        return f"{days}d"
    if days < 365 * 8:
        years, rest = divmod(days, 365)
        return f"{years}y{rest}d" if rest else f"{years}y"
    return f"{days // 365}y"
