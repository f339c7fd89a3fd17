"""Where simulators read the time and where they wait."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Timeline(Protocol):
    """A clock that can also be waited on; a simulation gives its own to control both."""

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""
        ...

    def monotonic_seconds(self) -> float:
        """Return seconds since an arbitrary start; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return once `monotonic_seconds` has risen by at least `seconds`."""
        ...


class RealTimeline:
    """The machine's own clocks and the event loop's own timers."""

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic_seconds(self) -> float:
        """Return seconds of the machine's monotonic clock."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Let other tasks run for at least `seconds`."""
        await asyncio.sleep(seconds)


async def sleep_until(timeline: Timeline, due_seconds: float) -> None:
    """Return when the timeline's monotonic clock has reached `due_seconds`.

    Waiting for due times instead of for gaps keeps the average pace exact: a late wake-up shortens the next wait.
    """
    remaining_seconds = due_seconds - timeline.monotonic_seconds()
    if remaining_seconds > 0:
        await timeline.sleep(remaining_seconds)
