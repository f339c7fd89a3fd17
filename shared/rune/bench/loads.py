"""When requests are sent: a closed load and an open load, and the part of either that one process of several puts.

What `ask` raises ends the load, breaks off all that is under way, and is raised as it is.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
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
            await _until(due_ns)
            group.create_task(ask(number, due_ns, slots))


async def shared_load(
    ask: Ask, numbers: Iterator[int], slots: int, *, begins_ns: int, arrivals_s: Sequence[float] | None = None
) -> None:
    """Put a part of a load of which other processes put the rest: `slots` of its slots.

    All take their next number from the same place, each when a slot is free, so together they are the one load that
    a single process would put: a closed one asks when any slot is free, and an open one gives the slot that is free
    first to the request that was due first.

    Parameters
    ----------
    numbers
        Gives each number to one of the processes, in order.
    begins_ns
        When the load begins in all of them, on `time.monotonic_ns`.
    arrivals_s
        Of an open load: when each request is due, in seconds after that; None for a closed one.
    """

    async def occupy_slot() -> None:
        await _until(begins_ns)
        for number in numbers:
            if arrivals_s is None:
                await ask(number, time.monotonic_ns())
                continue
            due_ns = begins_ns + round(arrivals_s[number] * _NS_PER_SECOND)
            await _until(due_ns)
            await ask(number, due_ns)

    async with _tasks() as group:
        for _ in range(slots):
            group.create_task(occupy_slot())


async def _until(due_ns: int) -> None:
    await asyncio.sleep(max(0.0, (due_ns - time.monotonic_ns()) / _NS_PER_SECOND))


@asynccontextmanager
async def _tasks() -> AsyncIterator[asyncio.TaskGroup]:
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
