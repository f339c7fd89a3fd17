from dataclasses import dataclass, replace
from typing import override

import pytest

from rune.bench.tasks import Task
from rune.contracts import BenchmarkBookkeeping
from rune.errors import (
    AddressUnresolvedError,
    ModelNotFoundError,
    RuneError,
    ServerAccessError,
    ServerOverloadedError,
    ServerTimeoutError,
    ServerUnreachableError,
    StoreUnavailableError,
)
from rune.jobs.lifecycle import MAX_ATTEMPTS
from rune.jobs.outcomes import Again, Done, Failed, Note, Outcome
from rune.llm.protocol import Capabilities, ModelFacts, ServerFacts
from rune.tenants.settings import FixedTenants, TenantSettings
from tests.builders import FakeClock, after
from tests.fake_model_server import MODEL_FACTS, FakeModelServer
from tests.unit.workflows.benchmark.sweeps import Bench, a_sweep, key_of, report_of, result_of


def test_measure_takes_one_point_a_turn_and_leaves_what_the_next_goes_on_from() -> None:
    bench = Bench()

    outcome = bench.turn(a_sweep(), epoch=7)

    assert isinstance(outcome, Again)
    assert (outcome.delay_seconds, outcome.progress) == (0, {"point": 1, "points": 3})
    assert outcome.state_json is not None
    assert outcome.notes == (
        Note(
            "benchmark.point",
            {
                "point": "0",
                "concurrency": "1",
                "completed": "10",
                "failed": "0",
                "cut_off": "0",
                "output_tokens_per_s": "10.5",
                "ttft_p50_ms": "100",
                "tpot_p50_ms": "50",
            },
            duration_ms=10_000,
        ),
    )
    assert list(bench.records.files) == [key_of(0, 7)]
    assert bench.records.files[key_of(0, 7)].count("\n") == 10


def test_measure_reports_every_point_once() -> None:
    bench = Bench()

    outcome = bench.run(a_sweep())

    report = report_of(outcome)
    assert bench.points == [0, 1, 2]
    assert [(run.index, run.max_concurrency, run.completed) for run in report.runs] == [
        (0, 1, 10),
        (1, 2, 10),
        (2, 4, 10),
    ]
    assert (report.best_run, report.ended_by, report.model.digest) == (2, "all_measured", MODEL_FACTS.digest)


def test_measure_asks_more_at_points_with_more_slots() -> None:
    """Ten requests and two warm-ups for each slot, where the workload says nothing else."""
    bench = Bench()

    report = report_of(bench.run(a_sweep(min_waves=None, warmup_requests=None)))

    assert [(run.max_concurrency, run.completed) for run in report.runs] == [(1, 10), (2, 20), (4, 40)]
    assert [task.warmup_count for _, task, _ in bench.measure.measured] == [2, 4, 8]


def test_measure_asks_no_more_than_it_was_told_to_where_each_answer_is_judged_by_a_model() -> None:
    bench = Bench()
    judge = {"model": "judge", "rubric": "Right?", "backend_url": "http://127.0.0.1:1"}

    bench.commit(bench.turn({**a_sweep(min_waves=None, concurrency=[8]), "expected": {"judge": judge}}))

    assert [task.request_count for _, task, _ in bench.measure.measured] == [10]


def test_measure_tells_in_the_result_what_all_answers_took_and_one_of_them() -> None:
    result = result_of(Bench().run(a_sweep()))

    assert result.measurements is not None
    assert (result.answer, result.measurements.output_tokens) == ("Two pods crash.", 21)
    tokens = result.telemetry.tokens
    assert (tokens.agent_reasoning, tokens.output, tokens.total) == (30 * 6, 30 * 15, 30 * 33)
    assert {each.phase: each.ms for each in result.telemetry.latency} == {"load": 900, "measure": 30_000}
    assert result.bookkeeping == BenchmarkBookkeeping(
        record_keys=(key_of(0, 1), key_of(1, 2), key_of(2, 3)), warmup_output_tokens=15
    )


def test_measure_keeps_the_answer_of_the_best_point() -> None:
    bench = Bench()
    for text in ("slow", "fast", "flat"):
        bench.measure.generation = replace(bench.measure.generation, text=text)
        bench.measure.flat_from = 2
        bench.commit(bench.turn(a_sweep()))

    assert result_of(bench.turn(a_sweep())).answer == "fast"


def test_measure_measures_a_point_anew_when_its_worker_was_lost() -> None:
    bench = Bench()
    bench.commit(bench.turn(a_sweep(), epoch=1))

    lost = bench.turn(a_sweep(), epoch=2)
    bench.commit(bench.turn(a_sweep(), epoch=3, attempts=2))
    report = report_of(bench.run(a_sweep()))

    assert isinstance(lost, Again)
    assert bench.points == [0, 1, 1, 2]
    assert [run.index for run in report.runs] == [0, 1, 2]
    assert key_of(1, 2) in bench.records.files


def test_measure_asks_as_the_workload_says() -> None:
    bench = Bench()
    expected = {"contains": ["pods"]}
    request = {
        **a_sweep(output_tokens=64, temperature=0.5, seed=7, warmup_requests=3, point_seconds=100),
        "context_tokens": 4096,
        "expected": expected,
    }

    outcome = bench.run(request)

    ((point, task, limit_seconds), *_) = bench.measure.measured
    assert replace(task, nonce_seed=0) == Task(
        model="llama3.1:8b",
        prompts=("Why?", "How?"),
        repetitions=5,
        warmup_count=3,
        max_output_tokens=64,
        temperature=0.5,
        ignore_eos=False,
        context_tokens=4096,
        is_cache_busted=True,
        seed=7,
        first_timeout_seconds=100.0,
        idle_timeout_seconds=60.0,
        expected=task.expected,
        nonce_seed=0,
    )
    assert (point.concurrency, limit_seconds) == (1, 100)
    assert task.expected is not None
    assert report_of(outcome).sampling.context_tokens == 4096


@pytest.mark.parametrize(
    ("is_able", "output_tokens", "wish", "told"),
    [(True, 64, True, True), (False, 64, True, False), (True, None, True, False), (True, 64, False, False)],
)
def test_measure_lets_answers_go_on_only_where_the_server_can_be_told(
    output_tokens: int | None, *, is_able: bool, wish: bool, told: bool
) -> None:
    bench = Bench(FakeModelServer(capable=Capabilities(ignores_eos=is_able)))

    outcome = bench.run(a_sweep(output_tokens=output_tokens, ignore_eos=wish, concurrency=[1]))

    assert [task.ignore_eos for _, task, _ in bench.measure.measured] == [told]
    assert report_of(outcome).sampling.ignore_eos is told


def test_measure_asks_the_same_synthetic_prompts_at_every_point() -> None:
    bench = Bench()
    request = a_sweep(prompts=None, prompt_set="synthetic", input_tokens=64)

    report = report_of(bench.run(request))

    (first, *others) = [task.prompts for _, task, _ in bench.measure.measured]
    assert others == [first, first]
    assert report.dataset.prompt_count == len(first)


@pytest.mark.parametrize(
    ("left_seconds", "limit_seconds"), [(870.0, 300.0), (315.0, 300.0), (100.0, 85.0), (35.0, 20.0)]
)
def test_measure_takes_no_longer_than_there_is_time(left_seconds: float, limit_seconds: float) -> None:
    bench = Bench()

    bench.turn(a_sweep(), left_seconds)

    assert [limit for _, _, limit in bench.measure.measured] == [limit_seconds]


def test_measure_takes_what_a_slow_beginning_has_left_of_the_turn() -> None:
    bench = Bench()

    class Slow(FakeModelServer):
        async def describe_server(self) -> ServerFacts:
            bench.clock.advance(30)
            return ServerFacts()

    bench.server = Slow()
    bench.turn(a_sweep(), left_seconds=100.0)

    assert [limit for _, _, limit in bench.measure.measured] == [100.0 - 15.0 - 30.0]


@pytest.mark.parametrize("left_seconds", [34.9, 15.0])
def test_measure_ends_with_what_there_is_when_the_time_is_over(left_seconds: float) -> None:
    bench = Bench()
    bench.commit(bench.turn(a_sweep()))

    report = report_of(bench.turn(a_sweep(), left_seconds))

    assert ([run.index for run in report.runs], report.ended_by) == ([0], "time_over")


@pytest.mark.parametrize("left_seconds", [34.9, 15.0])
def test_measure_fails_when_the_time_is_over_and_there_is_nothing(left_seconds: float) -> None:
    outcome = Bench().turn(a_sweep(), left_seconds)

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("deadline_exceeded", False)


@pytest.mark.parametrize(
    "error",
    [
        ServerOverloadedError,
        ServerTimeoutError,
        ServerUnreachableError,
        ModelNotFoundError,
        AddressUnresolvedError,
    ],
    ids=lambda error: error.code,
)
def test_measure_fails_as_the_first_point_did_when_nothing_came_of_it(error: type[RuneError]) -> None:
    bench = Bench()
    bench.measure.failing[0] = error("Its own words.")

    with pytest.raises(error, match=f"10 of 10 with {error.code}: Its own words"):
        bench.turn(a_sweep())

    assert bench.records.files == {}


def test_measure_ends_with_what_there_is_when_a_later_point_fails() -> None:
    bench = Bench()
    bench.measure.failing[1] = ServerOverloadedError("Full.")

    report = report_of(bench.run(a_sweep()))

    assert [(run.completed, run.failed) for run in report.runs] == [(10, 0), (0, 10)]
    assert [run.error_sentences for run in report.runs] == [{}, {"server_overloaded": "Full."}]
    assert (report.ended_by, report.best_run) == ("errors", 0)
    assert bench.points == [0, 1]


@pytest.mark.parametrize(("sent_count", "ended_by"), [(6, "cost_cap"), (10, "all_measured")])
def test_measure_says_so_when_the_cap_cut_the_last_point_short(sent_count: int, ended_by: str) -> None:
    bench = Bench()
    bench.measure.longest_block = sent_count
    one_point = a_sweep(concurrency=[1])

    # The point takes ten seconds, and fifteen are kept for the job's end.
    def turn() -> Outcome:
        return bench.turn(one_point, rents=True, cost_cap_at=after(20), deadline_at=after(3600))

    bench.commit(turn())
    report = report_of(turn())

    assert (report.runs[0].completed, report.ended_by) == (sent_count, ended_by)
    assert ("cost_cap_reached" in report.warnings) == (ended_by == "cost_cap")


@pytest.mark.parametrize(
    "overrides", [{"attempts": MAX_ATTEMPTS}, {"failures": 2}], ids=["workers lost", "failures"]
)
def test_measure_gives_a_later_point_up_when_it_has_no_other_try(overrides: dict[str, object]) -> None:
    bench = Bench()
    bench.commit(bench.turn(a_sweep()))

    report = report_of(bench.turn(a_sweep(), 870.0, **overrides))

    assert (len(report.runs), report.ended_by) == (1, "errors")
    assert "point_given_up" in report.warnings


def test_measure_takes_the_first_point_also_on_its_last_try() -> None:
    assert isinstance(Bench().turn(a_sweep(), attempts=MAX_ATTEMPTS, failures=2), Again)


def test_measure_keeps_what_there_is_when_the_server_cannot_be_reached_for_a_while() -> None:
    bench = Bench()
    bench.commit(bench.turn(a_sweep()))
    bench.measure.raises = ServerUnreachableError("Nobody.")

    # Returned, since what is raised would send a rented job to another machine.
    assert bench.turn(a_sweep()) == Failed("server_unreachable", "Nobody.", retryable=True)


def test_measure_ends_with_what_there_is_when_no_other_try_helps() -> None:
    bench = Bench()
    bench.commit(bench.turn(a_sweep()))
    bench.measure.raises = ServerAccessError("Who are you?")

    report = report_of(bench.turn(a_sweep()))

    assert (len(report.runs), report.ended_by) == (1, "errors")


@dataclass
class RereadTenants(FixedTenants):
    """Counts how often another look was asked for."""

    reread_count: int = 0

    def __post_init__(self) -> None:
        super().__init__()

    @override
    def reread(self, tenant: str) -> TenantSettings:
        self.reread_count += 1
        return super().reread(tenant)


@pytest.mark.parametrize(
    ("error", "reread_count"),
    [(ServerAccessError("Who are you?"), 1), (ServerOverloadedError("Full."), 0)],
    ids=["refused", "busy"],
)
def test_measure_looks_for_a_new_key_after_a_point_whose_key_was_refused(
    error: RuneError, reread_count: int
) -> None:
    tenants = RereadTenants()
    bench = Bench(tenants=tenants)
    bench.commit(bench.turn(a_sweep()))
    bench.measure.failing[1] = error

    bench.commit(bench.turn(a_sweep()))

    assert tenants.reread_count == reread_count


def test_measure_loses_no_numbers_when_the_server_is_gone_at_the_end() -> None:
    bench = Bench()
    bench.run(a_sweep(), turns=3)
    bench.server.error = ServerUnreachableError("Nobody.")

    report = report_of(bench.turn(a_sweep()))

    assert (len(report.runs), report.model.digest) == (3, MODEL_FACTS.digest)
    assert "server_changed" not in report.warnings


@pytest.mark.parametrize(
    ("later", "is_changed"),
    [
        (MODEL_FACTS, False),
        (replace(MODEL_FACTS, digest="sha256:other"), True),
        (replace(MODEL_FACTS, context_tokens_loaded=4096), True),
        (replace(MODEL_FACTS, size_vram_bytes=1), False),
        (ModelFacts(), False),
    ],
)
def test_measure_warns_when_the_server_is_another_one_at_the_end(
    later: ModelFacts, *, is_changed: bool
) -> None:
    bench = Bench()
    bench.run(a_sweep(), turns=3)
    bench.server.model_facts = later

    assert ("server_changed" in report_of(bench.turn(a_sweep())).warnings) is is_changed


@pytest.mark.parametrize(
    ("before", "after", "is_changed"),
    [
        (("llama3.1:8b",), ("llama3.1:8b",), False),
        ((), ("llama3.1:8b",), False),
        (("llama3.1:8b",), ("llama3.1:8b", "qwen3:14b"), True),
        (("llama3.1:8b", "qwen3:14b"), ("llama3.1:8b",), True),
    ],
)
def test_measure_warns_when_other_models_came_or_went(
    before: tuple[str, ...], after: tuple[str, ...], *, is_changed: bool
) -> None:
    bench = Bench(BusyServer(running=before))
    bench.run(a_sweep(), turns=3)
    bench.server = BusyServer(running=after)

    assert ("server_changed" in report_of(bench.turn(a_sweep())).warnings) is is_changed


class BusyServer(FakeModelServer):
    """Has these models in memory."""

    def __init__(self, running: tuple[str, ...]) -> None:
        super().__init__()
        self.running = running

    async def list_running(self) -> tuple[str, ...]:
        return self.running


def test_measure_begins_anew_on_another_machine() -> None:
    bench = Bench()
    bench.commit(bench.turn(a_sweep(), rental_id="a-1"))

    bench.commit(bench.turn(a_sweep(), rental_id="a-2"))

    assert bench.points == [0, 0]


def test_measure_commits_no_point_whose_records_could_not_be_written() -> None:
    bench = Bench()
    bench.records.is_down = True

    with pytest.raises(StoreUnavailableError):
        bench.turn(a_sweep())


def test_measure_ends_a_sweep_when_throughput_no_longer_rises() -> None:
    bench = Bench()
    bench.measure.flat_from = 4

    report = report_of(bench.run(a_sweep(concurrency=None, sweep=True, max_concurrency=64)))

    assert [run.max_concurrency for run in report.runs] == [1, 2, 4, 8]
    assert report.ended_by == "throughput_flat"


def test_measure_searches_the_highest_load_within_limits() -> None:
    """All are good, so the largest load is measured until ten, twenty, thirty requests make that sure."""
    bench = Bench()
    search = {"limits": {"ttft_ms": 500.0}}

    report = report_of(bench.run(a_sweep(concurrency=None, search=search, max_concurrency=4)))

    assert [run.max_concurrency for run in report.runs] == [1, 2, 4, 4, 4]
    assert report.ended_by == "limits_never_reached"
    assert report.capacity is not None
    assert (report.capacity.highest, report.capacity.at_run, report.best_run) == (4, 2, 2)
    assert [each.verdict for each in report.capacity.loads] == ["undecided", "undecided", "within"]
    # A load that is measured again has other arrivals, and is more evidence.
    seeds = [task.seed for _, task, _ in bench.measure.measured]
    assert seeds[:3] == [0, 0, 0]
    assert len({*seeds[2:]}) == 3


def test_measure_keeps_the_time_of_the_whole() -> None:
    bench = Bench(clock=FakeClock())

    report = report_of(bench.run(a_sweep()))

    assert (report.finished_at - report.started_at).total_seconds() == 30


def test_measure_scores_answers_by_what_was_expected() -> None:
    outcome = Bench().run({**a_sweep(), "expected": {"contains": ["pods"]}})

    assert isinstance(outcome, Done)
    assert all(run.quality is not None for run in report_of(outcome).runs)
