"""A point with more streams than one process reads in time: several processes put its load, and it is one load.

They take their requests from one queue and stamp with one clock (CLOCK_MONOTONIC is the machine's). What they have
measured is put together request by request, before anything is computed from it: so every number is computed as if
one process had measured all.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections import ChainMap
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from rune.bench.arrivals import poisson_arrivals_s
from rune.bench.driver import ClientFigures, aside_seconds, conclude_point
from rune.bench.load_runner import MAX_CHUNKS, LoadRunner, OnProgress, RequestOutcome
from rune.bench.metrics_watch import MetricsWatch
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
    ServerAccess,
    Setup,
    WarmedUp,
)
from rune.bench.records import MeasuredPoint, Point
from rune.bench.tasks import Task
from rune.bench.warm_up import WarmUpStats, median_round_trip_ms
from rune.clock import SystemClock, to_epoch_ms
from rune.errors import LoadProcessError
from rune.llm.protocol import ModelServer

_NS_PER_SECOND = 1_000_000_000
_NS_PER_MS = 1_000_000

_LEAD_NS = 50_000_000
"""Between the order to begin and the beginning, so that the order has reached all by then."""

_GRACE_SECONDS = 5.0
"""How long after the end of its time a process may take to say that its load is over."""

_REAP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Processes:
    """How processes are started here.

    Attributes
    ----------
    count
        How many may run at a time: one for each processor.
    environment
        Of each of them; it has no secrets. Where Python finds modules is added.
    """

    count: int
    environment: Mapping[str, str]

    async def measure_point(
        self,
        access: ServerAccess,
        server: ModelServer,
        task: Task,
        point: Point,
        *,
        time_limit_seconds: float,
        on_progress: OnProgress,
    ) -> MeasuredPoint:
        """Return one point, measured by several processes; see `rune.bench.driver.measure_point`.

        Parameters
        ----------
        access
            By which each process opens the server.
        server
            The same server, for what is asked once.

        Raises
        ------
        LoadProcessError
            One of them has ended before its time, or has not said in time that its load is over. The others are
            ended too.
        """
        deadline = asyncio.get_running_loop().time() + time_limit_seconds
        runner = LoadRunner(
            server, task, point, request_timeout_seconds=time_limit_seconds, on_progress=on_progress
        )
        aside = aside_seconds(time_limit_seconds)
        rtt_ms = await median_round_trip_ms(server, time_limit_seconds=aside)
        queue = NumberQueue.filled(task.asked_count)
        try:
            async with self._running(min(self.count, point.concurrency), queue) as workers:
                setups = _setups(access, task, point, time_limit_seconds, len(workers))
                load = _Load(workers, list(setups), on_progress)
                stats = await load.warm_up(deadline)
                watch = MetricsWatch(server, task.model, time_limit_seconds=aside)
                await watch.read("before")
                await load.connect(deadline)
                async with watch.watching():
                    begins_ns = time.monotonic_ns() + _LEAD_NS
                    outcomes = await load.run(begins_ns, deadline)
                outcomes += _never_begun(queue, task, point, outcomes, begins_ns)
        finally:
            queue.close()
        began_ms_ago = (time.monotonic_ns() - begins_ns) // _NS_PER_MS
        runner.adopt(
            outcomes,
            started_ns=begins_ns,
            started_at_ms=to_epoch_ms(SystemClock().now()) - began_ms_ago,
            first_errors=ChainMap(*(dict(ended.first_errors) for ended in load.ended)),
        )
        figures = ClientFigures(
            rtt_ms=rtt_ms,
            warm_up=stats,
            loop_lag_p99_ms=_worst(ended.loop_lag_p99_ms for ended in load.ended),
            processor_ratio=_worst(ended.processor_ratio for ended in load.ended),
            process_count=len(workers),
            server_readings=tuple(watch.readings),
        )
        return await conclude_point(server, task, point, runner, deadline=deadline, figures=figures)

    @asynccontextmanager
    async def _running(self, count: int, queue: NumberQueue) -> AsyncIterator[Sequence["_Worker"]]:
        """Start processes; at the end of the block, whatever ended it, none of them is left."""
        workers: list[_Worker] = []
        try:
            for _ in range(count):
                # One by one: where the next does not start, those before it are ended all the same.
                workers.append(await self._start(queue))  # noqa: PERF401 as above
            yield workers
        finally:
            for worker in workers:
                worker.kill()
            for worker in workers:
                worker.reap()

    async def _start(self, queue: NumberQueue) -> "_Worker":
        own, other = socket.socketpair()
        try:
            process = subprocess.Popen(  # noqa: S603, ASYNC220 our own module, before anything is measured
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "rune.bench.load_process",
                    str(other.fileno()),
                    str(queue.reading_end),
                ],
                env={**self.environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                pass_fds=(other.fileno(), queue.reading_end),
                stdin=subprocess.DEVNULL,
            )
        except BaseException:
            own.close()
            raise
        finally:
            other.close()
        try:
            return _Worker(process, await Channel.over(own))
        except BaseException:
            process.kill()
            process.wait(_REAP_SECONDS)
            raise


class _Worker:
    """One of the processes, as the function sees it."""

    def __init__(self, process: "subprocess.Popen[bytes]", channel: Channel) -> None:
        self._process = process
        self._channel = channel

    async def send(self, message: Message) -> None:
        try:
            await self._channel.send(message)
        except ConnectionError:
            raise self._lost() from None

    async def receive(self) -> Message:
        message = await self._channel.receive()
        if message is None:
            raise self._lost()
        return message

    async def answer[T: Message](self, order: Message, kind: type[T]) -> T:
        await self.send(order)
        message = await self.receive()
        if not isinstance(message, kind):
            raise TypeError(f"{kind.__name__} was due, and {type(message).__name__} came.")
        return message

    def kill(self) -> None:
        self._channel.close()
        self._process.kill()

    def reap(self) -> None:
        self._process.wait(_REAP_SECONDS)

    def _lost(self) -> LoadProcessError:
        # Its end of the channel closes a moment before it is over.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_REAP_SECONDS)
        status = self._process.returncode
        if status is None:
            how = "stopped answering"
        elif status < 0:
            how = f"was ended by {signal.Signals(-status).name}"
            how += ", as where memory runs out" if -status == signal.SIGKILL else ""
        else:
            how = f"ended with status {status}"
        return LoadProcessError(f"A process that put the load {how}.")


class _Load:
    """The part of a measurement that is done by processes.

    Attributes
    ----------
    ended
        What each said at the end of its load.
    """

    def __init__(self, workers: Sequence[_Worker], setups: Sequence[Setup], on_progress: OnProgress) -> None:
        self._workers = workers
        self._setups = setups
        self._on_progress = on_progress
        self._progress = [LoadProgress(0, 0)] * len(workers)
        self.ended: list[LoadEnded] = []

    async def warm_up(self, deadline: float) -> WarmUpStats:
        """Let all warm up, and return when all have."""
        async with _until_said(deadline):
            warm = await _all(
                worker.answer(setup, WarmedUp)
                for worker, setup in zip(self._workers, self._setups, strict=True)
            )
        return WarmUpStats(sum(each.request_count for each in warm), sum(each.output_tokens for each in warm))

    async def connect(self, deadline: float) -> None:
        """Let all connect, once all have warmed up, so that no connection waits idle."""
        async with _until_said(deadline):
            await _all(worker.answer(Connect(), Connected) for worker in self._workers)

    async def run(self, begins_ns: int, deadline: float) -> list[RequestOutcome]:
        """Let all put their parts of the load, and return how every request ended."""
        async with _until_said(deadline):
            await _all(worker.send(Begin(begins_ns, deadline)) for worker in self._workers)
            self.ended = await _all(self._follow(place) for place in range(len(self._workers)))
        batches = await _all(map(_collect, self._workers))
        return [outcome for batch in batches for outcome in batch]

    async def _follow(self, place: int) -> LoadEnded:
        """Return what a process says at the end of its load, and pass on how far it gets until then."""
        worker = self._workers[place]
        while True:
            message = await worker.receive()
            if isinstance(message, LoadEnded):
                break
            if isinstance(message, LoadProgress):
                self._progress[place] = message
                self._on_progress(
                    sum(each.request_count for each in self._progress),
                    sum(each.chunk_count for each in self._progress),
                )
        if message.is_full:
            await _all(other.send(EndLoad()) for other in self._workers if other is not worker)
        return message


def _setups(
    access: ServerAccess, task: Task, point: Point, time_limit_seconds: float, count: int
) -> Iterable[Setup]:
    """Yield the part of each process."""
    first_number = 0
    slots, warmups = _shares(point.concurrency, count), _shares(task.warmup_count, count)
    for slot_count, warmup_count in zip(slots, warmups, strict=True):
        yield Setup(
            access=access,
            task=replace(task, warmup_count=warmup_count),
            point=replace(point, concurrency=slot_count),
            first_warmup_number=first_number,
            warm_up_seconds=time_limit_seconds / 2,
            connect_seconds=aside_seconds(time_limit_seconds),
            request_timeout_seconds=time_limit_seconds,
            max_chunks=MAX_CHUNKS // count,
        )
        first_number += warmup_count


async def _collect(worker: _Worker) -> list[RequestOutcome]:
    collected: list[RequestOutcome] = []
    while isinstance(message := await worker.receive(), Outcomes) and message.outcomes:
        collected += message.outcomes
    return collected


def _never_begun(
    queue: NumberQueue, task: Task, point: Point, outcomes: Sequence[RequestOutcome], begins_ns: int
) -> list[RequestOutcome]:
    """Return the requests of an open load that were due, and that no slot was free for until the load was ended."""
    if point.request_rate_per_s is None:
        return []
    ended_ns = max((each.ended_ns for each in outcomes if each.status == "cut_off"), default=0)
    arrivals_s = poisson_arrivals_s(point.request_rate_per_s, task.asked_count, task.seed)
    first_numbers = [number for number, place in enumerate(task.places()) if place.turn == 0]
    due = ((first_numbers[time], begins_ns + round(arrivals_s[time] * _NS_PER_SECOND)) for time in queue)
    return [
        RequestOutcome(number, due_ns, None, ended_ns, "cut_off")
        for number, due_ns in due
        if due_ns <= ended_ns
    ]


def _shares(total: int, count: int) -> list[int]:
    """Return the total in so many whole parts that differ by one at most."""
    return [total // count + (place < total % count) for place in range(count)]


def _worst(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


async def _all[T](coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Return what all of them return; the first error breaks off the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in coroutines]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


@asynccontextmanager
async def _until_said(deadline: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout_at(deadline + _GRACE_SECONDS):
            yield
    except TimeoutError:
        raise LoadProcessError("A process that put the load did not end it in time.") from None
