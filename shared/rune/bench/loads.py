"""When requests are sent: a closed load and an open load.

What `ask` raises ends the load, breaks off all that is under way, and is raised as it is.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

_NS_PER_SECOND = 1_000_000_000


class Ask(Protocol):
    """Sends one request and returns when it has ended, well or badly."""

    def __call__(
        self, number: int, due_ns: int, slots: asyncio.Semaphore | None = None
    ) -> Coroutine[Any, Any, None]:
        """Ask.

        Parameters
        ----------
        due_ns
            When it should be sent, on `time.monotonic_ns`.
        slots
            To wait in before it is sent; None where it has its slot already.
        """
        ...


async def closed_load(ask: Ask, count: int, concurrency: int) -> None:
    """Keep exactly `concurrency` requests under way until `count` have been asked.

    Each is due when a slot is free, so a slow server is asked more rarely: how long a user would have waited for a
    slot is not seen (coordinated omission). That is what `open_load` is for.
    """
    numbers = iter(range(count))

    async def occupy_slot() -> None:
        for number in numbers:
            await ask(number, time.monotonic_ns())

    async with _tasks() as group:
        for _ in range(min(concurrency, count)):
            group.create_task(occupy_slot())


async def open_load(ask: Ask, arrivals_s: Sequence[float], concurrency: int) -> None:
    """Send each request when it is due, also while earlier ones are under way.

    At most `concurrency` are under way, so that a server which cannot keep up does not break the client. A request
    that has to wait keeps its due time, so the wait can be seen.
    """
    began_ns = time.monotonic_ns()
    slots = asyncio.Semaphore(concurrency)
    async with _tasks() as group:
        for number, arrival_s in enumerate(arrivals_s):
            due_ns = began_ns + round(arrival_s * _NS_PER_SECOND)
            await asyncio.sleep(max(0.0, (due_ns - time.monotonic_ns()) / _NS_PER_SECOND))
            group.create_task(ask(number, due_ns, slots))


@asynccontextmanager
async def _tasks() -> AsyncIterator[asyncio.TaskGroup]:
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
