"""A measured benchmark in memory, turn by turn."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rune.contracts import BenchmarkReport, StoredBenchmarkResult
from rune.jobs.outcomes import Again, Done, Next, Outcome
from rune.jobs.record import Job, StepName
from rune.jobs.step import StepContext
from rune.jobs.tokens import TokenAccount
from rune.tenants.settings import FixedTenants, TenantSource
from rune.workflows.benchmark.dependencies import BenchmarkDependencies, MeasurePoint
from rune.workflows.benchmark.steps import Benchmark
from rune.workflows.model_servers import Backends
from tests.builders import JOB_ID, FakeClock, a_benchmark_request, a_claimed_job
from tests.fake_model_server import FakeModelServer
from tests.measuring import MemoryRecords, ScriptedMeasure, ScriptedSpread

WORKLOAD: Mapping[str, object] = {"prompts": ["Why?", "How?"], "repetitions": 5, "concurrency": [1, 2, 4]}


@dataclass
class Bench:
    """One job's server, bucket and clock, and the state that its turns leave."""

    server: FakeModelServer = field(default_factory=FakeModelServer)
    clock: FakeClock = field(default_factory=FakeClock)
    records: MemoryRecords = field(default_factory=MemoryRecords)
    state_json: str | None = None
    step: StepName = StepName.MEASURE
    measuring: MeasurePoint | None = None
    """How points are really measured; None takes the script in `measure`."""
    outcomes: list[Outcome] = field(default_factory=list)
    tenants: TenantSource = field(default_factory=FixedTenants)
    most_concurrency: int = 64
    """Of the deployment; above 64 it has a load lane."""

    suites: dict[tuple[str, ...], str] = field(default_factory=dict)
    """Cases of tenants' own suites as JSON, by tenant, name and version."""
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None

    def __post_init__(self) -> None:
        self.measure = ScriptedMeasure(self.clock)
        self.spread = ScriptedSpread(self.measure)
        self.progress: dict[str, int] = {}

    def turn(
        self, request: Mapping[str, object], left_seconds: float = 870.0, **overrides: object
    ) -> Outcome:
        """Take a turn; its state is that of the next only if it was committed, which is up to the test."""
        job: Job = a_claimed_job(**{"step": self.step, "phases_ms": {"load": 900}, **overrides})
        context = StepContext(job, json.dumps(request), left_seconds, state_json=self.state_json)
        self.progress = context.progress
        self.account = context.tokens = TokenAccount(job)
        tools = BenchmarkDependencies(
            self.records,
            self.clock,
            self.measuring or self.measure,
            most_concurrency=self.most_concurrency,
            read_cases=lambda *key: self.suites.get(key),
            spread=self.spread if self.step is StepName.MEASURE_LOAD else None,
        )
        steps = Benchmark(Backends(self.server.open, None, self.tenants), tools).steps

        async def run() -> Outcome:
            return await steps[self.step](context)

        return asyncio.run(run(), loop_factory=self.loop_factory)

    def commit(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        if isinstance(outcome, Again | Next):
            self.state_json = outcome.state_json or self.state_json
        if isinstance(outcome, Next):
            self.step = outcome.step

    def run(self, request: Mapping[str, object], turns: int = 30, first_epoch: int = 1) -> Outcome:
        """Take turns until the job is done, or so many; return the last one's outcome."""
        for epoch in range(first_epoch, first_epoch + turns):
            outcome = self.turn(request, epoch=epoch)
            self.commit(outcome)
            if not isinstance(outcome, Again | Next):
                break
        return outcome

    @property
    def is_done(self) -> bool:
        """Whether the last outcome that was committed ended the job."""
        return not isinstance(self.outcomes[-1], Again | Next)

    @property
    def points(self) -> list[int]:
        """Indices of the points as they were measured."""
        return [point.index for point, _, _ in self.measure.measured]


def a_sweep(**overrides: object) -> dict[str, object]:
    """Return a request with a workload of three points of ten requests."""
    workload = {**WORKLOAD, "min_waves": 0, **overrides}
    return a_benchmark_request(
        workload={name: value for name, value in workload.items() if value is not None}
    )


def a_question(**overrides: object) -> dict[str, object]:
    """Return a request without a workload."""
    return a_benchmark_request(**overrides)


def result_of(outcome: Outcome) -> StoredBenchmarkResult:
    assert isinstance(outcome, Done), outcome
    return StoredBenchmarkResult.model_validate_json(outcome.result_json)


def report_of(outcome: Outcome) -> BenchmarkReport:
    report = result_of(outcome).report
    assert report is not None
    return report


def key_of(point: int, epoch: int) -> str:
    return f"results/{JOB_ID}/records/{point:02d}-{epoch}.jsonl"
