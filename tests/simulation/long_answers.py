"""Long answers in blocks: hours of a reasoning model, through the step and the driver that really measure.

`python -m tests.simulation.long_answers` prints what comes of answers of 8,192 tokens at 30 tokens a second, with a
token a chunk and one to four requests at a time.
"""

# ruff: noqa: T201  # a command line
from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from unittest.mock import patch

from rune.bench import loop_lag
from rune.bench.driver import measure_point
from rune.contracts import BenchmarkReport
from rune.jobs.outcomes import Again, Done
from rune.llm.protocol import ChatRequest, Generation, OnChunk
from tests.fake_model_server import FakeModelServer
from tests.measured_builders import a_generation
from tests.unit.workflows.benchmark.sweeps import Bench, a_sweep, report_of
from tests.virtual_time import VirtualClock, virtual_time

TOKENS_PER_S = 30
LONGEST_TOKENS = 8192
FIRST_TOKEN_SECONDS = 0.5
TURN_SECONDS = 870.0
_TICK_SECONDS = 5.0


@dataclass
class ReasoningServer(FakeModelServer):
    """Thinks for minutes, at the same speed for each of its requests.

    Attributes
    ----------
    shortest_tokens
        Of an answer, the longest of which is as long as was asked for; lengths between are drawn.
    tokens_per_chunk
        As its stream has them.
    """

    shortest_tokens: int = LONGEST_TOKENS
    tokens_per_chunk: int = 1
    clock: VirtualClock = field(default_factory=VirtualClock)
    chance: random.Random = field(default_factory=lambda: random.Random(0))

    async def chat(self, request: ChatRequest, on_chunk: OnChunk) -> Generation:
        """Answer after as long as so many tokens take."""
        longest = request.max_output_tokens or LONGEST_TOKENS
        tokens = min(longest, self.chance.randint(self.shortest_tokens, LONGEST_TOKENS))
        chunk_count = max(1, tokens // self.tokens_per_chunk)
        gap_ms = 1000 * self.tokens_per_chunk / TOKENS_PER_S
        sent_ms = (self.clock.seconds - 987_654.321) * 1000
        ends_at = self.clock.seconds + FIRST_TOKEN_SECONDS + (chunk_count - 1) * gap_ms / 1000
        came_count = 0
        while (left_seconds := ends_at - self.clock.seconds) > 0:
            await asyncio.sleep(min(_TICK_SECONDS, left_seconds))
            due_count = chunk_count - max(0, round((ends_at - self.clock.seconds) * 1000 / gap_ms))
            for _ in range(due_count - came_count):
                on_chunk(1)
            came_count = due_count
        return a_generation(
            sent_ms=sent_ms,
            ttft_ms=FIRST_TOKEN_SECONDS * 1000,
            gaps_ms=[gap_ms] * (chunk_count - 1),
            output_tokens=tokens,
        )


@contextmanager
def without_watching_the_loop() -> Iterator[VirtualClock]:
    """Let virtual time pass, without the watch on the loop, which would wake up 200 times a second, for hours."""
    with virtual_time() as clock, patch.object(loop_lag, "_INTERVAL_NS", 1_000_000_000):
        yield clock


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a benchmark: its report, and how long it took in seconds."""

    report: BenchmarkReport
    took_seconds: float
    turn_count: int


def measure_long_answers(
    *,
    runtime_seconds: float,
    shortest_tokens: int = LONGEST_TOKENS,
    tokens_per_chunk: int = 1,
    **workload: object,
) -> Outcome:
    """Return what comes of a job that may take so long."""
    with without_watching_the_loop() as clock:
        server = ReasoningServer(
            shortest_tokens=shortest_tokens, tokens_per_chunk=tokens_per_chunk, clock=clock
        )
        bench = Bench(server, measuring=measure_point, loop_factory=clock.make_loop)
        request = a_sweep(
            **{
                "prompts": ["Prove it."],
                "repetitions": 10,
                "output_tokens": LONGEST_TOKENS,
                "point_seconds": 800,
                **workload,
            }
        )
        began_at, turn_count = clock.seconds, 0
        while True:
            turn_count += 1
            left_seconds = began_at + runtime_seconds - clock.seconds
            outcome = bench.turn(request, max(15.0, min(TURN_SECONDS, left_seconds)), epoch=turn_count)
            bench.commit(outcome)
            if not isinstance(outcome, Again):
                assert isinstance(outcome, Done), outcome
                return Outcome(report_of(outcome), clock.seconds - began_at, turn_count)


def print_outcome(outcome: Outcome) -> None:
    """Print a line for each point."""
    print(f"{outcome.took_seconds / 3600:.2f} hours, {outcome.turn_count} turns, {outcome.report.ended_by}")
    print("at a time  blocks  completed  cut off  steady tokens/s  TPOT p50 ms  hours  warnings")
    for run in outcome.report.runs:
        per_token_ms = None if run.tpot_ms is None else run.tpot_ms.median
        print(
            f"{run.max_concurrency:9}  {len(run.blocks or [run]):6}  {run.completed:9}  {run.cut_off:7}  "
            f"{run.steady_output_throughput_tokens_per_s or 0:15.2f}  {per_token_ms or 0:11.3f}  "
            f"{run.duration_s / 3600:5.2f}  {' '.join(run.warnings)}"
        )


def main() -> None:
    """Print both kinds of answers, equal and unequal."""
    points = [1, 2, 3, 4]
    print(f"Before: answers of {LONGEST_TOKENS} tokens, one run of 800 s a point")
    print_outcome(measure_long_answers(runtime_seconds=14_400, concurrency=points))
    print(f"\nAnswers of {LONGEST_TOKENS} tokens, up to 8 blocks, 5 requests a slot")
    equal = measure_long_answers(runtime_seconds=14_400, concurrency=points, max_blocks=8, min_waves=5)
    print_outcome(equal)
    print(f"\nAnswers of 1000 to {LONGEST_TOKENS} tokens")
    unequal = measure_long_answers(
        runtime_seconds=14_400, concurrency=points, max_blocks=8, min_waves=5, shortest_tokens=1000
    )
    print_outcome(unequal)


if __name__ == "__main__":
    main()
