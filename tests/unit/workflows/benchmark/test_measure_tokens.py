"""Measuring and judging on a server that bills by the token, within the job's cap."""

import pytest

from rune.bench.token_bounds import CHAT_FRAME_TOKENS
from rune.errors import CostCapReachedError
from rune.jobs.outcomes import Again, Done
from rune.jobs.record import StepName
from rune.workflows.benchmark.dependencies import measure_point
from tests.fake_model_server import FakeModelServer
from tests.tenant_builders import tenants_with
from tests.unit.workflows.benchmark.sweeps import Bench, a_sweep, report_of, result_of

PRICES = {"*": {"input_usd_per_million_tokens": 1, "output_usd_per_million_tokens": 2}}
LENT = tenants_with({"bedrock": {"regions": ["us-east-1"], "models": ["*"], "prices": PRICES}})
ON_BEDROCK = {
    **a_sweep(concurrency=[1, 2], warmup_requests=0, output_tokens=100),
    "backend_type": "bedrock",
    "backend_url": "https://bedrock-runtime.us-east-1.amazonaws.com",
}
COST = 12 + 2 * 21
"""Of one answer, in millionths of a dollar."""
MOST = 4 + 12 + CHAT_FRAME_TOKENS + 2 * 100
"""Of one request: the prompt with its number."""


def a_bench() -> Bench:
    return Bench(tenants=LENT, measuring=measure_point)


def test_point_is_announced_whole_before_it_is_asked() -> None:
    bench = a_bench()
    announced: list[int] = []

    outcome = bench.turn(ON_BEDROCK, cap_micro_usd=1_000_000)

    assert isinstance(outcome, Again)
    assert bench.account.to_commit_micro_usd == 10 * COST
    # What stands in the row if the worker is lost now.
    bench.account._write = announced.append
    bench.account.announce(10 * MOST - 10 * COST + 1)
    assert announced == [10 * MOST + 1]


def test_measurement_stops_at_the_cap_with_the_points_that_it_has() -> None:
    bench = a_bench()
    # Thirteen requests cost less than it, and their bounds together more.
    cap = 13 * COST + MOST - COST

    first = bench.turn(ON_BEDROCK, cap_micro_usd=cap)
    bench.commit(first)
    spent = 10 * COST
    second = bench.turn(ON_BEDROCK, cap_micro_usd=cap, cost_micro_usd=spent, token_micro_usd=spent)
    bench.commit(second)
    assert bench.account.was_refused
    spent = bench.account.spent_micro_usd
    assert spent <= cap
    done = bench.turn(ON_BEDROCK, cap_micro_usd=cap, cost_micro_usd=spent, token_micro_usd=spent)

    report = report_of(done)
    assert report.runs[0].completed == 10
    assert 0 < report.runs[1].completed < 10
    assert (report.runs[1].failed, report.ended_by) == (0, "cost_cap")
    assert "cost_cap_reached" in report.warnings
    assert report.token_cost
    assert report.token_cost.tokens_usd == spent / 1_000_000
    for run in report.runs:
        assert run.cost
        assert run.cost.usd_per_million_output_tokens == pytest.approx(COST / 21, rel=1e-5)
        assert run.cost.usd_per_million_total_tokens == pytest.approx(COST / 33, rel=1e-5)
        assert run.cost.usd_per_1k_requests == pytest.approx(COST / 1000)
    assert result_of(done).telemetry.cost_estimate_usd == spent / 1_000_000


def test_measurement_fails_when_the_cap_does_not_leave_enough_for_one_request() -> None:
    with pytest.raises(CostCapReachedError):
        a_bench().turn(ON_BEDROCK, cap_micro_usd=MOST - 1)


def test_point_that_the_cap_leaves_nothing_for_leaves_the_earlier_ones() -> None:
    bench = a_bench()
    bench.commit(bench.turn(ON_BEDROCK, cap_micro_usd=10_000))

    outcome = bench.turn(ON_BEDROCK, cap_micro_usd=600, cost_micro_usd=540, token_micro_usd=540)
    bench.commit(outcome)
    done = bench.turn(ON_BEDROCK, cap_micro_usd=600, cost_micro_usd=540, token_micro_usd=540)

    assert isinstance(done, Done)
    assert "cost_cap_reached" in report_of(done).warnings
    assert len(bench.server.chats) == 10


def test_judge_stops_at_the_cap_with_what_it_has_judged() -> None:
    judge = {"model": "judge", "rubric": "Right?"}
    request = {**ON_BEDROCK, "expected": {"judge": judge}}
    bench = a_bench()
    bench.server = FakeModelServer()
    while bench.step is not StepName.JUDGE:
        bench.commit(bench.turn(request, cap_micro_usd=1_000_000))

    done = bench.turn(request, cap_micro_usd=5_500, cost_micro_usd=200, token_micro_usd=200)

    report = report_of(done)
    assert {"cost_cap_reached", "answers_unjudged"} <= set(report.warnings)
    assert bench.account.spent_micro_usd == 200 + COST * (len(bench.server.chats) - 20)
    assert bench.account.spent_micro_usd > 200
    assert report.token_cost
    assert report.token_cost.tokens_usd == bench.account.spent_micro_usd / 1_000_000
    assert all(run.cost is not None for run in report.runs)
    assert result_of(done).telemetry.cost_estimate_usd == bench.account.spent_micro_usd / 1_000_000
