"""Doubles for tests of measuring: a scripted measurement, records in memory, calls without an event loop."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import override

from rune.bench.process_messages import ServerAccess
from rune.bench.records import MeasuredPoint, Point, RequestRecord
from rune.bench.tasks import Task
from rune.bench.turns import opening_of
from rune.clock import to_epoch_ms
from rune.errors import RuneError, StoreRefusedError, StoreUnavailableError
from rune.llm.protocol import ChatRequest, Generation, Message, ModelServer, Role, Stamps
from rune.workflows.benchmark.dependencies import (
    BenchmarkDependencies,
    MeasurePoint,
    MeasureSpread,
    RecordFiles,
)
from tests.builders import NOW, FakeClock
from tests.fake_model_server import GENERATION

SECOND = 1_000_000_000


@dataclass
class MemoryRecords(RecordFiles):
    """Record files in memory; with `is_down` the bucket cannot be reached."""

    files: dict[str, str] = field(default_factory=dict)
    is_down: bool = False

    @override
    def put(self, key: str, text: str) -> None:
        if self.is_down:
            raise StoreUnavailableError("The bucket cannot be reached now.")
        self.files[key] = text

    @override
    def get(self, key: str) -> str:
        if self.is_down:
            raise StoreUnavailableError("The bucket cannot be reached now.")
        if key not in self.files:
            raise StoreRefusedError(f"There is no {key}.")
        return self.files[key]


@dataclass
class ScriptedMeasure(MeasurePoint):
    """Measures each point in ten seconds; the speed is proportional to the concurrency, up to `flat_from`.

    Attributes
    ----------
    failing
        What every request fails with, by index of the point.
    seconds_per_answer
        How much later than it really did the last chunk of an answer comes.
    longest_block, cuts_last
        Most requests that are sent within the time of a run, and whether the last of them is cut off where others
        are left.
    measured
        The points in order, each with its task and its time limit.
    """

    clock: FakeClock
    generation: Generation = GENERATION
    failing: dict[int, RuneError] = field(default_factory=dict)
    flat_from: int = 1000
    raises: Exception | None = None
    cuts_off: bool = False
    loop_lag_ms: float = 0.5
    seconds_per_answer: float = 0
    longest_block: int | None = None
    cuts_last: bool = False
    measured: list[tuple[Point, Task, float]] = field(default_factory=list)

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
        self.measured.append((point, task, time_limit_seconds))
        if self.raises is not None:
            raise self.raises
        chat = ChatRequest(task.model, (Message(Role.USER, opening_of(task.prompts[0])),), time_limit_seconds)
        await server.chat(chat, lambda _: None)
        self.clock.advance(10)
        left_count = task.request_count
        count = left_count if self.longest_block is None else min(left_count, self.longest_block)
        on_progress(count, 3 * count)
        speed = min(point.concurrency, self.flat_from)
        records = tuple(
            replace(
                self._record(number, point, speed),
                number=task.first_number + number,
                prompt_index=task.order()[number],
            )
            for number in range(count)
        )
        if self.cuts_last and count < left_count:
            records = (*records[:-1], replace(records[-1], status="cut_off", generation=None))
        error = self.failing.get(point.index)
        return MeasuredPoint(
            point,
            to_epoch_ms(self.clock.now()),
            records,
            task.warmup_count,
            warmup_output_tokens=5 if task.warmup_count else 0,
            rtt_ms=1.5,
            loop_lag_p99_ms=self.loop_lag_ms,
            unsent_count=left_count - count,
            first_errors={} if error is None else {error.code: error},
        )

    def _record(self, number: int, point: Point, speed: int) -> RequestRecord:
        took_ns = 2 * SECOND // speed
        sent_ns = number * took_ns
        error = self.failing.get(point.index)
        record = RequestRecord(number, 0, sent_ns, sent_ns, sent_ns + took_ns, "failed", 12)
        if error is not None:
            return replace(record, error_code=error.code)
        if self.cuts_off:
            return replace(record, status="cut_off")
        generation = shifted(self.generation, sent_ns)
        last_ns = generation.stamps.last_content_ns
        if last_ns is not None:
            last_ns += round(self.seconds_per_answer * SECOND)
            stamps = replace(generation.stamps, last_content_ns=last_ns)
            generation = replace(generation, stamps=stamps)
        return replace(record, status="completed", generation=generation)


@dataclass
class ScriptedSpread(MeasureSpread):
    """Stands for several processes: measures as the script does.

    Attributes
    ----------
    accesses
        How each point's processes would have opened the server.
    """

    measure: ScriptedMeasure
    accesses: list[ServerAccess] = field(default_factory=list)
    raises: Exception | None = None

    @override
    async def __call__(
        self,
        access: ServerAccess,
        server: ModelServer,
        task: Task,
        point: Point,
        *,
        time_limit_seconds: float,
        on_progress: Callable[[int, int], None],
    ) -> MeasuredPoint:
        self.accesses.append(access)
        if self.raises is not None:
            raise self.raises
        measured = await self.measure(
            server, task, point, time_limit_seconds=time_limit_seconds, on_progress=on_progress
        )
        return replace(measured, process_count=4, processor_ratio=0.5)


def shifted(generation: Generation, by_ns: int) -> Generation:
    """Return the same answer, later by `by_ns`."""
    stamps = generation.stamps

    def later(stamp_ns: int | None) -> int | None:
        return None if stamp_ns is None else stamp_ns + by_ns

    moved = Stamps(
        stamps.sent_ns + by_ns,
        stamps.headers_ns + by_ns,
        stamps.first_chunk_ns + by_ns,
        later(stamps.first_content_ns),
        later(stamps.first_visible_ns),
        later(stamps.last_content_ns),
        stamps.ended_ns + by_ns,
    )
    arrivals = tuple(arrival + by_ns for arrival in generation.chunk_arrivals_ns)
    return replace(generation, stamps=moved, chunk_arrivals_ns=arrivals)


async def one_by_one[T](calls: Sequence[Coroutine[object, object, T]]) -> Sequence[T]:
    """Run calls one after another, because a simulation has no event loop."""
    try:
        return [await call for call in calls]
    finally:
        for call in calls:
            call.close()  # a call that was not begun when another failed


def a_tool_box(
    clock: FakeClock | None = None, measure: ScriptedMeasure | None = None
) -> BenchmarkDependencies:
    """Return tools that work in memory."""
    clock = clock or FakeClock(NOW)
    return BenchmarkDependencies(MemoryRecords(), clock, measure or ScriptedMeasure(clock))
