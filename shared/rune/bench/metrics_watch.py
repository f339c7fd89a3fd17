"""Reads what a server says of its load, beside the load that is measured and never in its way.

A reading is one GET on a connection of its own. It takes the event loop less than a millisecond, and readings are
rare: from 0.2 s apart they become 5 s apart within half a minute, and a server that takes long to tell is asked
more rarely still. A server that does not tell at the beginning is not asked again; nothing that goes wrong is
raised.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from rune.bench.server_load import ServerReading
from rune.errors import RuneError
from rune.llm.protocol import ModelServer, ServerMetrics

LONGEST_READING_SECONDS = 3.0
"""For one reading, with all that a client may have to find out for it."""

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
_GROWTH = 1.25
_LEAST_PAUSES_OF_A_READING = 20
"""A pause is at least so many times as long as the reading before it took."""

_NS_PER_SECOND = 1_000_000_000


class MetricsWatch:
    """The readings of one server, of which `before` was the first.

    That one is made before connections are opened for the load: it may take seconds, in which they would stand
    idle, and a page that cannot be read takes one of them away.

    Parameters
    ----------
    time_limit_seconds
        For one reading.

    Attributes
    ----------
    readings
        In the order in which they were made.
    """

    def __init__(self, server: ModelServer, model: str, *, time_limit_seconds: float) -> None:
        self._server = server
        self._model = model
        self._limit_seconds = min(time_limit_seconds, LONGEST_READING_SECONDS)
        self._began_ns = time.monotonic_ns()
        self.readings: list[ServerReading] = []

    async def read(self, phase: Literal["before", "during", "after"]) -> None:
        """Read once; a server that does not tell gives no reading."""
        metrics = await self._metrics()
        if metrics is not None:
            self.readings.append(ServerReading(time.monotonic_ns() - self._began_ns, phase, metrics))

    async def _metrics(self) -> ServerMetrics | None:
        try:
            async with asyncio.timeout(self._limit_seconds):
                return await self._server.read_metrics(self._model)
        except (RuneError, TimeoutError):
            return None

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Read during and after the block, where the server told before it. All is read when it has ended."""
        if not self.readings:
            yield
            return
        watcher = asyncio.create_task(self._watch(), name="server metrics")
        try:
            yield
        finally:
            watcher.cancel()
            await asyncio.wait((watcher,))
        await self.read("after")

    async def _watch(self) -> None:
        pause_seconds = FIRST_PAUSE_SECONDS
        while True:
            await asyncio.sleep(pause_seconds)
            asked_ns = time.monotonic_ns()
            await self.read("during")
            took_seconds = (time.monotonic_ns() - asked_ns) / _NS_PER_SECOND
            pause_seconds = min(_GROWTH * pause_seconds, LONGEST_PAUSE_SECONDS)
            pause_seconds = max(pause_seconds, _LEAST_PAUSES_OF_A_READING * took_seconds)
