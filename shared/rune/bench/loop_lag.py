"""How late the event loop is: what every stamp of a measurement may be late by."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_INTERVAL_NS = 5_000_000
_MIN_SAMPLES = 100
_NS_PER_MS = 1_000_000
_NS_PER_SECOND = 1_000_000_000


class LoopLag:
    """Wakes up every 5 ms and notes by how much it overslept.

    A timer of an idle loop is up to about 1.1 ms late by itself: epoll counts in whole milliseconds.
    A loop that stands still for long would hide in a single sample; so each sleep that it missed meanwhile counts
    too, as late as it would have been (what HdrHistogram does against coordinated omission).
    """

    def __init__(self) -> None:
        self._lags_ns: list[int] = []

    @property
    def p99_ms(self) -> float | None:
        """The lag that 99 of 100 wake-ups keep, in milliseconds; None below 100 of them (half a second)."""
        if len(self._lags_ns) < _MIN_SAMPLES:
            return None
        rank = round(0.99 * (len(self._lags_ns) - 1))
        return sorted(self._lags_ns)[rank] / _NS_PER_MS

    async def watch(self) -> None:
        """Watch until cancelled."""
        while True:
            asked_ns = time.monotonic_ns()
            await asyncio.sleep(_INTERVAL_NS / _NS_PER_SECOND)
            lag_ns = max(0, time.monotonic_ns() - asked_ns - _INTERVAL_NS)
            self._lags_ns += range(lag_ns, -1, -_INTERVAL_NS)


@asynccontextmanager
async def watching_loop_lag() -> AsyncIterator[LoopLag]:
    """Watch the running loop while the block runs."""
    lag = LoopLag()
    watcher = asyncio.create_task(lag.watch(), name="loop lag")
    try:
        yield lag
    finally:
        watcher.cancel()
        await asyncio.wait((watcher,))
