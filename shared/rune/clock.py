"""The only door to the time of day."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where code reads the time; simulations give their own."""

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""
        ...

    def monotonic_seconds(self) -> float:
        """Return seconds since an arbitrary start; never goes back, so intervals are differences of it."""
        ...


class SystemClock:
    """The machine's own clocks, disciplined by NTP on Lambda."""

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC, to the millisecond: what is stored comes back equal."""
        now = datetime.now(UTC)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def monotonic_seconds(self) -> float:
        """Return seconds of the machine's monotonic clock."""
        return time.monotonic()


def to_epoch_ms(instant: datetime) -> int:
    """Return whole milliseconds since 1970-01-01 UTC, the form in which instants are stored."""
    return round(instant.timestamp() * 1000)


def from_epoch_ms(epoch_ms: int) -> datetime:
    """Return the aware UTC instant that `to_epoch_ms` stored."""
    return datetime.fromtimestamp(epoch_ms / 1000, UTC)
