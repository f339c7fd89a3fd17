"""What happens before a point is measured, and is in none of its numbers."""

import asyncio
import statistics
from contextlib import suppress
from dataclasses import dataclass

from rune.bench.loads import closed_load
from rune.bench.records import Point
from rune.bench.tasks import Task
from rune.errors import RuneError
from rune.llm.protocol import ModelServer

_RTT_COUNT = 5


@dataclass(slots=True)
class WarmUpStats:
    """What the warm-up took.

    Attributes
    ----------
    request_count, output_tokens
        Requests sent, failed ones too, and the tokens they cost.
    """

    request_count: int = 0
    output_tokens: int = 0


async def median_round_trip_ms(server: ModelServer, *, time_limit_seconds: float) -> float | None:
    """Return the median time of five TCP handshakes; None where one failed or cannot be timed, or time is over."""
    round_trips_ms: list[float] = []
    try:
        async with asyncio.timeout(time_limit_seconds):
            for _ in range(_RTT_COUNT):
                round_trip_ms = await server.round_trip_ms()
                if round_trip_ms is None:
                    return None
                round_trips_ms.append(round_trip_ms)
    except (RuneError, TimeoutError):
        return None
    return statistics.median(round_trips_ms)


async def warm_up(
    server: ModelServer, task: Task, point: Point, *, time_limit_seconds: float, first_number: int = 0
) -> WarmUpStats:
    """Ask `warmup_count` requests at the point's concurrency, and return when the last has ended.

    The last is waited for: what is left of a warm-up would share the server with the first measured requests. A
    request that fails is ignored here; measured requests will fail too.

    Parameters
    ----------
    time_limit_seconds
        After which the rest is broken off.
    first_number
        Above those of other processes that warm up the same server.
    """
    warm_up_stats = WarmUpStats()

    async def ask(
        number: int,
        due_ns: int,  # noqa: ARG001 the load's
        slots: asyncio.Semaphore | None = None,  # noqa: ARG001 the load's
    ) -> None:
        warm_up_stats.request_count += 1
        messages = task.warmup_messages(point.index, first_number + number)
        request = task.warm_up_chat(messages, time_limit_seconds)
        with suppress(RuneError):
            answer = await server.chat(request, lambda _: None)
            warm_up_stats.output_tokens += answer.tokens.output_count

    with suppress(TimeoutError):
        async with asyncio.timeout(time_limit_seconds):
            await closed_load(ask, task.warmup_count, point.concurrency)
    return warm_up_stats


async def open_connections(server: ModelServer, count: int, *, time_limit_seconds: float) -> None:
    """Open as many connections as requests may be under way, so that no handshake is in any TTFT.

    By asking for the list of models so often at once: it costs no tokens. The warm-up alone would not do. It may be
    smaller than the concurrency, and connections that its first requests left idle close after seconds. What is not
    open when the time is over is left to the requests.
    """

    async def list_models() -> None:
        with suppress(RuneError):
            await server.list_models()

    with suppress(TimeoutError):
        async with asyncio.timeout(time_limit_seconds):
            await asyncio.gather(*(list_models() for _ in range(count)))
