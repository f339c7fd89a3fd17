"""Numbers as people read them: dollars, times, bytes."""

from __future__ import annotations

from datetime import UTC, datetime

CENT_USD = 0.1
"""Below it four decimals are shown, since a job of a minute costs less than a cent."""


def dollars(value: float | None) -> str:
    """Return a sum; four decimals for sums below ten cents."""
    if value is None:
        return "unknown"
    return f"${value:,.4f}" if 0 < abs(value) < CENT_USD else f"${value:,.2f}"


def duration(seconds: float) -> str:
    """Return a time as `4.2 s`, `3 min 07 s`, `2 h 05 min` or `3 d 4 h`."""
    if seconds < 60:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    whole = round(seconds)
    minutes, seconds_left = divmod(whole, 60)
    if minutes < 60:  # noqa: PLR2004
        return f"{minutes} min {seconds_left:02d} s"
    hours, minutes_left = divmod(minutes, 60)
    if hours < 48:  # noqa: PLR2004
        return f"{hours} h {minutes_left:02d} min"
    days, hours_left = divmod(hours, 24)
    return f"{days} d {hours_left} h"


def size(byte_count: float) -> str:
    """Return a size in decimal units, as model registries state it."""
    for unit in ("B", "kB", "MB", "GB"):
        if byte_count < 1000:  # noqa: PLR2004
            return f"{byte_count:.0f} {unit}" if unit == "B" else f"{byte_count:.1f} {unit}"
        byte_count /= 1000
    return f"{byte_count:.1f} TB"


def number(value: float | None, unit: str = "") -> str:
    """Return a measured number with its unit; `-` where it is not defined."""
    if value is None:
        return "-"
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 10 else 2  # noqa: PLR2004
    return f"{value:,.{digits}f} {unit}".rstrip()


def age(moment: str | None, now: datetime | None = None) -> str:
    """Return how long ago a time of the API was."""
    if not moment:
        return ""
    told = datetime.fromisoformat(moment)
    return duration(max(0.0, ((now or datetime.now(UTC)) - told).total_seconds())) + " ago"
