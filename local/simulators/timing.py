"""The clock on which simulators wait."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol, override


class Timeline(Protocol):
    """A clock that can be waited on; tests control time by giving their own."""

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""
        ...

    def monotonic_seconds(self) -> float:
        """Return seconds since an arbitrary start; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after at least `seconds` of `monotonic_seconds`."""
        ...


class RealTimeline(Timeline):
    """The machine's clocks and the event loop's timers."""

    @override
    def now(self) -> datetime:
        return datetime.now(UTC)

    @override
    def monotonic_seconds(self) -> float:
        return time.monotonic()

    @override
    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def sleep_until(timeline: Timeline, due_seconds: float) -> None:
    """Return when the timeline's monotonic clock has reached `due_seconds`.

    Waiting for due times keeps the average pace exact: after a late wake-up the next wait is shorter.
    """
    remaining_seconds = due_seconds - timeline.monotonic_seconds()
    if remaining_seconds > 0:
        await timeline.sleep(remaining_seconds)
