"""The only clock: no other module reads the time of day (tests/unit/test_imports.py)."""

import time
from datetime import UTC, datetime
from typing import Protocol, override


class Clock(Protocol):
    """A source of the time; simulations give their own."""

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""
        ...

    def monotonic_seconds(self) -> float:
        """Return seconds since an arbitrary start; never goes back, so intervals are differences of it."""
        ...


class SystemClock(Clock):
    """The machine's own clocks, which Lambda keeps in step by NTP."""

    @override
    def now(self) -> datetime:
        # To the millisecond, as instants are stored: what is read back is equal.
        now = datetime.now(UTC)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    @override
    def monotonic_seconds(self) -> float:
        return time.monotonic()


def to_epoch_ms(instant: datetime) -> int:
    """Return whole milliseconds since 1970-01-01 UTC, the form in which instants are stored."""
    return round(instant.timestamp() * 1000)


def from_epoch_ms(epoch_ms: int) -> datetime:
    """Return the aware UTC instant that `to_epoch_ms` stored."""
    return datetime.fromtimestamp(epoch_ms / 1000, UTC)
