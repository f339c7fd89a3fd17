"""A search against a server of which the capacity is known, in virtual time, through the driver that measures."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from rune.bench.driver import measure_point
from rune.contracts import BenchmarkReport
from rune.llm.protocol import ChatRequest, Generation, OnChunk
from tests.fake_model_server import FakeModelServer
from tests.measured_builders import a_generation
from tests.simulation.long_answers import without_watching_the_loop
from tests.unit.workflows.benchmark.sweeps import Bench, a_sweep, report_of
from tests.virtual_time import VirtualClock

SLOTS = 8
SERVICE_SECONDS = 2.0
CAPACITY_PER_S = SLOTS / SERVICE_SECONDS


@dataclass
class QueueingServer(FakeModelServer):
    """Answers eight requests at a time, each in two seconds, and keeps the others waiting."""

    clock: VirtualClock = field(default_factory=VirtualClock)
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(SLOTS))

    async def chat(self, request: ChatRequest, on_chunk: OnChunk) -> Generation:
        asked_at = self.clock.seconds
        async with self.slots:
            waited_seconds = self.clock.seconds - asked_at
            await asyncio.sleep(SERVICE_SECONDS)
        on_chunk(1)
        answer = a_generation(
            sent_ms=(asked_at - 987_654.321) * 1000,
            ttft_ms=(waited_seconds + SERVICE_SECONDS / 2) * 1000,
            gaps_ms=[SERVICE_SECONDS / 20 * 1000] * 10,
            output_tokens=11,
        )
        return replace(answer, stamps=replace(answer.stamps, ended_ns=self.clock.monotonic_ns()))


def search(repetitions: int = 60, **asked: object) -> BenchmarkReport:
    with without_watching_the_loop() as clock:
        bench = Bench(measuring=measure_point, loop_factory=clock.make_loop)
        request = a_sweep(
            prompts=["Why?"],
            repetitions=repetitions,
            min_waves=10,
            concurrency=None,
            max_concurrency=64,
            search=asked,
        )
        for epoch in range(1, 30):
            # A loop has its own semaphores.
            bench.server = QueueingServer(clock=clock)
            bench.commit(outcome := bench.turn(request, epoch=epoch))
            if bench.is_done:
                return report_of(outcome)
    raise AssertionError("The search has no end.")


def test_search_finds_how_many_requests_at_a_time_a_server_answers() -> None:
    """Of nine at a time one waits, so 0.89 are good: far enough from 0.95, and not from 0.9."""
    report = search(limits={"e2el_ms": SERVICE_SECONDS * 1000 + 100}, max_points=12, good_ratio=0.95)

    assert report.ended_by == "capacity_found"
    assert report.capacity is not None
    assert (report.capacity.highest, report.capacity.surely_within, report.capacity.surely_beyond) == (
        8,
        8,
        9,
    )
    assert report.capacity.at_run == report.best_run
    assert report.capacity.goodput_requests_per_s == pytest.approx(CAPACITY_PER_S, rel=0.05)
    assert [run.max_concurrency for run in report.runs] == [1, 2, 4, 8, 16, 12, 10, 9]


def test_search_of_rates_ends_below_what_a_server_can_carry() -> None:
    """At random arrivals the queue grows before the server is full, so nine tenths of the capacity are too much."""
    report = search(
        limits={"e2el_ms": SERVICE_SECONDS * 1000 + 100}, load="request_rate", max_points=12, good_ratio=0.8
    )

    found = report.capacity
    assert found is not None
    assert found.highest is not None
    assert 0.4 * CAPACITY_PER_S < found.highest < CAPACITY_PER_S
    assert found.surely_beyond is None or found.surely_beyond > found.highest
