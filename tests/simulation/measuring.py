"""Measuring in simulated time: no event loop, one request after another, and a bucket that can fail."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, override

from rune.bench.records import MeasuredPoint, Point, RequestRecord
from rune.bench.tasks import Task
from rune.bench.turns import opening_of
from rune.clock import Clock, to_epoch_ms
from rune.errors import ModelServerError, RuneError, StoreUnavailableError
from rune.llm.protocol import ChatRequest, Message, ModelServer, Role
from rune.workflows.benchmark.dependencies import BenchmarkDependencies, MeasurePoint, RecordFiles
from tests.measuring import one_by_one, shifted
from tests.simulation.faults import Crash, Fault
from tests.simulation.timing import Sleep

if TYPE_CHECKING:
    from tests.simulation.world import World

SECOND = 1_000_000_000


def measuring_tools(world: World, clock: Clock) -> BenchmarkDependencies:
    """Return one process's tools."""
    return BenchmarkDependencies(
        records=FaultyFiles(world),
        clock=clock,
        measure=SimulatedMeasure(world),
        gather=one_by_one,
        within=within,
    )


class FaultyFiles(RecordFiles):
    """One process's way to the bucket."""

    def __init__(self, world: World) -> None:
        self._world = world

    @override
    def put(self, key: str, text: str) -> None:
        fault = self._world.fault_at("before file", Fault.CRASH, Fault.OUTAGE)
        if fault is Fault.CRASH:
            raise Crash
        if fault is Fault.OUTAGE:
            raise StoreUnavailableError("Simulated outage.")
        if key in self._world.files:
            self._world.violate(f"{key} was written twice")
        self._world.files[key] = text
        if self._world.fault_at("after file", Fault.CRASH):
            raise Crash

    @override
    def get(self, key: str) -> str:
        fault = self._world.fault_at("before reading", Fault.CRASH, Fault.OUTAGE)
        if fault is Fault.CRASH:
            raise Crash
        if fault is Fault.OUTAGE:
            raise StoreUnavailableError("Simulated outage.")
        return self._world.files[key]


class SimulatedMeasure(MeasurePoint):
    """Asks the simulated server, whose answers take their simulated time."""

    def __init__(self, world: World) -> None:
        self._world = world

    @override
    async def __call__(
        self,
        server: ModelServer,
        task: Task,
        point: Point,
        *,
        time_limit_seconds: float,
        on_progress: Callable[[int, int], None],
    ) -> MeasuredPoint:
        chat = ChatRequest(task.model, (Message(Role.USER, opening_of(task.prompts[0])),), time_limit_seconds)
        ends_at = self._world.now + timedelta(seconds=time_limit_seconds)
        for _ in range(task.warmup_count):
            await self._ask(server, chat, 0, ends_at, {})
        began_at = self._world.now
        records: list[RequestRecord] = []
        first_errors: dict[str, RuneError] = {}
        for number, prompt_index in enumerate(task.order(), start=task.first_number):
            if self._world.now >= ends_at:
                break
            record = await self._ask(server, chat, number, ends_at, first_errors)
            records.append(replace(record, prompt_index=prompt_index))
            on_progress(len(records), 7 * len(records))
        return MeasuredPoint(
            point,
            to_epoch_ms(began_at),
            tuple(records),
            task.warmup_count,
            7 * task.warmup_count,
            rtt_ms=20.0,
            loop_lag_p99_ms=0.1,
            unsent_count=task.request_count - len(records),
            first_errors=first_errors,
        )

    async def _ask(
        self,
        server: ModelServer,
        chat: ChatRequest,
        number: int,
        ends_at: datetime,
        first_errors: dict[str, RuneError],
    ) -> RequestRecord:
        sent_ns, left_seconds = self._now_ns(), (ends_at - self._world.now).total_seconds()
        record = RequestRecord(number, 0, sent_ns, sent_ns, sent_ns, "failed", 12)
        try:
            generation = await within(left_seconds, server.chat(chat, lambda _: None))
        except ModelServerError as error:
            first_errors.setdefault(error.code, error)
            return replace(record, ended_ns=self._now_ns(), error_code=error.code)
        except TimeoutError:
            return replace(record, ended_ns=self._now_ns(), status="cut_off")
        return replace(
            record, ended_ns=self._now_ns(), status="completed", generation=shifted(generation, sent_ns)
        )

    def _now_ns(self) -> int:
        return round(self._world.now.timestamp() * SECOND)


async def within[T](seconds: float, call: Coroutine[object, object, T]) -> T:
    """Return what a call gives within so much simulated time; raises TimeoutError."""
    while True:
        try:
            sleep = call.send(None)
        except StopIteration as end:
            result: T = end.value
            return result
        assert isinstance(sleep, Sleep)
        if sleep.seconds > seconds:
            call.close()
            await Sleep(max(0.0, seconds))
            raise TimeoutError
        seconds -= sleep.seconds
        await sleep
