"""A process that puts a part of a point's load: `python -m rune.bench.load_process <socket> <queue>`.

Both arguments are descriptors that it inherits. It does as it is told over the socket
(`rune.bench.process_messages`), and ends when the other end of that is gone.
"""

import asyncio
import contextlib
import os
import socket
import sys
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial

from rune.bench.arrivals import poisson_arrivals_s
from rune.bench.load_runner import LoadRunner, RequestOutcome, gc_paused
from rune.bench.loads import shared_load
from rune.bench.loop_lag import watching_loop_lag
from rune.bench.number_queue import NumberQueue
from rune.bench.process_messages import (
    Begin,
    Channel,
    Connect,
    Connected,
    EndLoad,
    LoadEnded,
    LoadProgress,
    Message,
    Outcomes,
    Setup,
    WarmedUp,
)
from rune.bench.processor_use import ProcessorUse
from rune.bench.warm_up import open_connections, warm_up
from rune.llm.protocol import ModelServer

PROGRESS_SECONDS = 0.5

_CHUNKS_PER_MESSAGE = 20_000
"""So much the other end unpickles at a time, in some ten milliseconds."""


class _OtherEndGoneError(Exception):
    """The function is gone, and with it the reason to ask anything."""


async def put_load(channel: Channel, numbers: NumberQueue) -> None:
    """Do what the function tells, from the set-up to the last outcome.

    Raises
    ------
    Exception
        Any error that is no `RuneError` of a request: a defect.
    """
    setup = await _expect(channel, Setup)
    server = setup.access.open()
    try:
        stats = await warm_up(
            server,
            setup.task,
            setup.point,
            time_limit_seconds=setup.warm_up_seconds,
            first_number=setup.first_warmup_number,
        )
        await channel.send(WarmedUp(stats.request_count, stats.output_tokens))
        await _expect(channel, Connect)
        await open_connections(server, setup.point.concurrency, time_limit_seconds=setup.connect_seconds)
        with gc_paused():
            await channel.send(Connected())
            begin = await _expect(channel, Begin)
            outcomes = await _run(channel, numbers, setup, server, begin)
        for message in _in_messages(outcomes):
            await channel.send(message)
    finally:
        await server.aclose()


async def _run(
    channel: Channel, numbers: NumberQueue, setup: Setup, server: ModelServer, begin: Begin
) -> list[RequestOutcome]:
    counts = [0, 0]

    def count(request_count: int, chunk_count: int) -> None:
        counts[:] = request_count, chunk_count

    runner = LoadRunner(
        server,
        setup.task,
        setup.point,
        request_timeout_seconds=setup.request_timeout_seconds,
        on_progress=count,
        max_chunks=setup.max_chunks,
    )
    rate_per_s = setup.point.request_rate_per_s
    arrivals_s = rate_per_s and poisson_arrivals_s(rate_per_s, setup.task.asked_count, setup.task.seed)
    put = partial(
        shared_load,
        numbers=numbers,
        slots=setup.point.concurrency,
        begins_ns=begin.begins_ns,
        arrivals_s=arrivals_s or None,
    )
    # What runs before the load begins is in neither of its figures.
    await asyncio.sleep(max(0.0, (begin.begins_ns - time.monotonic_ns()) / 1e9))
    async with watching_loop_lag() as lag, _beside(_listen(channel, runner), _tell(channel, counts)):
        use = ProcessorUse()
        await runner.run(begin.deadline_seconds, put)
        processor_ratio = use.ratio()
    await channel.send(LoadProgress(*counts))
    await channel.send(
        LoadEnded(lag.p99_ms, processor_ratio, is_full=runner.is_full, first_errors=runner.first_errors)
    )
    return runner.take_outcomes()


async def _listen(channel: Channel, runner: LoadRunner) -> None:
    """End the load when another process has had to; end everything when the function is gone."""
    while (message := await channel.receive()) is not None:
        if isinstance(message, EndLoad):
            runner.end()
    # At once: the server is to stop too, and there is nothing to tell anybody.
    os._exit(1)


async def _tell(channel: Channel, counts: list[int]) -> None:
    told = [0, 0]
    while True:
        await asyncio.sleep(PROGRESS_SECONDS)
        if counts != told:
            told = list(counts)
            with contextlib.suppress(ConnectionError):  # `_listen` sees it
                await channel.send(LoadProgress(*told))


@asynccontextmanager
async def _beside(*coroutines: "asyncio._CoroutineLike[None]") -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _expect[T: Message](channel: Channel, kind: type[T]) -> T:
    message = await channel.receive()
    if message is None:
        raise _OtherEndGoneError
    if not isinstance(message, kind):
        raise TypeError(f"{kind.__name__} was due, and {type(message).__name__} came.")
    return message


def _in_messages(outcomes: list[RequestOutcome]) -> Iterator[Outcomes]:
    """Take outcomes out, so that a long answer's chunks are not in memory twice; the last message has none."""
    while outcomes:
        batch, chunk_count = [], 0
        while outcomes and chunk_count < _CHUNKS_PER_MESSAGE:
            batch.append(outcomes.pop())
            answer = batch[-1].generation
            chunk_count += 1 + (len(answer.chunk_arrivals_ns) if answer else 0)
        yield Outcomes(tuple(batch))
    yield Outcomes(())


async def _main(socket_descriptor: int, queue_descriptor: int) -> None:
    channel = await Channel.over(socket.socket(fileno=socket_descriptor))
    with contextlib.suppress(_OtherEndGoneError, ConnectionError):
        await put_load(channel, NumberQueue(queue_descriptor))


if __name__ == "__main__":
    try:
        asyncio.run(_main(*map(int, sys.argv[1:3])))
    except Exception as error:  # noqa: BLE001 the outermost edge
        # Without the error's own words, which may hold what a server said.
        sys.stderr.write(f"{type(error).__name__}\n{''.join(traceback.format_tb(error.__traceback__))}")
        sys.exit(1)
