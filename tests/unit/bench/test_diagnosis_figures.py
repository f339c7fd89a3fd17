"""The figures of a suite, beside what counting one by one gives."""

import random
from collections.abc import Sequence
from itertools import combinations
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.bench.capacity import wilson_interval
from rune.bench.diagnoses import Expected
from rune.bench.diagnosis_figures import fold_diagnoses, pass_at_k, pass_hat_k, share_over_cases
from rune.contracts.diagnoses import DiagnosisReport, DiagnosisRun, SuiteReport
from rune.kubernetes.causes import Cause, ClusterStatus
from rune.kubernetes.recorded.case import Trap

SUITE = SuiteReport(
    name="kubernetes-classics",
    version="0" * 64,
    is_whole=True,
    runs_per_case=3,
    max_turns=20,
    max_tool_calls=40,
    max_tokens=200_000,
    run_seconds=600,
)
BAIT = (Trap(Cause.OOM_KILLED, "Pod/a/b", "It is over."),)


def a_run(case_id: str = "a", outcome: str = "correct", /, **overrides: object) -> DiagnosisRun:
    given = {
        "case_id": case_id,
        "run": 0,
        "outcome": outcome,
        "status": "unhealthy",
        "found": ["x"] if outcome in {"correct", "partial"} else [],
        "missed": [] if outcome == "correct" else ["y"],
        "invented": [],
        "trapped": [],
        "finding_count": 1,
        "unproven_count": 0,
        "turns": 4,
        "calls": 5,
        "invalid_calls": 0,
        "repeated_calls": 1,
        "input_tokens": 3000,
        "output_tokens": 200,
        "duration_s": 12.5,
    }
    return DiagnosisRun.model_validate({**given, **overrides})


def figures(
    *runs: DiagnosisRun, baited: Sequence[str] = (), undeterminable: Sequence[str] = ()
) -> DiagnosisReport:
    expected = {
        run.case_id: Expected(
            ClusterStatus.UNDETERMINED if run.case_id in undeterminable else ClusterStatus.UNHEALTHY,
            red_herrings=BAIT if run.case_id in baited else (),
        )
        for run in runs
    }
    return fold_diagnoses(runs, expected, suite=SUITE, planned_run_count=len(runs))


@given(st.lists(st.booleans(), min_size=1, max_size=7), st.integers(1, 7))
def test_chances_of_k_tries_are_those_of_all_choices(tries: Sequence[bool], k: int) -> None:
    k = min(k, len(tries))
    choices = list(combinations(tries, k))

    assert pass_hat_k(len(tries), sum(tries), k) == pytest.approx(fmean(map(all, choices)))
    assert pass_at_k(len(tries), sum(tries), k) == pytest.approx(fmean(map(any, choices)))


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=4), min_size=1, max_size=6))
def test_pass_at_1_is_the_mean_over_cases(cases: Sequence[Sequence[bool]]) -> None:
    runs = [
        a_run(str(index), "correct" if is_right else "wrong")
        for index, tries in enumerate(cases)
        for is_right in tries
    ]

    report = figures(*runs)

    assert report.pass_at_1.value == pytest.approx(fmean(map(fmean, cases)), abs=1e-6)
    assert report.pass_at_1.low <= report.pass_at_1.value <= report.pass_at_1.high
    assert [each.k for each in report.passed] == list(range(1, max(map(len, cases)) + 1))
    assert [each.case_count for each in report.passed] == [
        sum(len(tries) >= each.k for tries in cases) for each in report.passed
    ]


def test_more_tries_make_all_rarer_and_one_likelier() -> None:
    report = figures(*(a_run(case, outcome) for case in "ab" for outcome in ("correct", "wrong", "correct")))

    assert [each.pass_hat_k.value for each in report.passed] == [0.666667, 0.333333, 0.0]
    assert [each.pass_at_k.value for each in report.passed] == [0.666667, 1.0, 1.0]


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)),
        min_size=1,
        max_size=8,
    )
)
def test_precision_recall_and_f1_are_those_of_all_findings(
    counts: Sequence[tuple[str, int, int, int]],
) -> None:
    runs = [
        a_run(case, "partial", found=["x"] * found, missed=["y"] * missed, invented=["z"] * invented)
        for case, found, missed, invented in counts
    ]

    report = figures(*runs)

    found = sum(row[1] for row in counts)
    missed = sum(row[2] for row in counts)
    invented = sum(row[3] for row in counts)
    for share, of in ((report.precision, found + invented), (report.recall, found + missed)):
        assert (share is None) == (of == 0)
        assert share is None or share.value == pytest.approx(found / of, abs=1e-6)
    if report.f1 is not None and found and report.precision is not None and report.recall is not None:
        both = report.precision.value, report.recall.value
        assert report.f1.value == pytest.approx(2 * both[0] * both[1] / sum(both), abs=1e-5)


def test_trap_rate_is_of_runs_of_cases_with_red_herrings() -> None:
    runs = a_run("a", "wrong", trapped=["x"]), a_run("a"), a_run("b", "wrong", trapped=["x"])

    report = figures(*runs, baited=["a"])

    assert report.trap_rate is not None
    assert report.trap_rate.value == 0.5
    assert figures(a_run()).trap_rate is None


def test_abstaining_is_counted_where_it_is_right_and_where_it_is_not() -> None:
    runs = (
        a_run("a", status="undetermined", found=[]),
        a_run("a", "wrong"),
        a_run("b", "abstained", status="undetermined"),
        a_run("b"),
    )

    report = figures(*runs, undeterminable=["a"])

    assert (report.abstained_rightly, report.abstained_wrongly, report.undeterminable_run_count) == (1, 1, 2)


def test_effort_is_told_of_a_run_and_of_a_correct_one() -> None:
    report = figures(a_run("a", cost_usd=0.01), a_run("b", "wrong", turns=10, cost_usd=0.05))

    assert report.effort_per_correct is not None
    assert (report.effort.turns, report.effort.cost_usd) == (7, 0.03)
    assert (report.effort_per_correct.turns, report.effort_per_correct.cost_usd) == (14, 0.06)
    assert figures(a_run("a", "wrong")).effort_per_correct is None
    assert figures(a_run("a", cost_usd=0.01), a_run("b")).effort.cost_usd is None


def test_cases_tell_what_was_missed_and_how_often() -> None:
    report = figures(a_run("a"), a_run("a", "wrong", invented=["z"]), a_run("b", "no_answer"))

    first, second = report.cases
    assert (first.case_id, first.run_count, first.correct_count) == ("a", 2, 1)
    assert (first.outcomes, first.missed, first.invented) == ({"correct": 1, "wrong": 1}, {"y": 1}, {"z": 1})
    assert second.outcomes == {"no_answer": 1}


def test_runs_that_only_repeat_their_case_add_nothing() -> None:
    alike = share_over_cases([(3.0 * (case % 2), 3.0) for case in range(30)], 90)
    by_cases = wilson_interval(0.5, 30, 0.95)

    assert alike is not None
    assert (alike.low, alike.high) == pytest.approx(by_cases, abs=1e-6)


def test_runs_that_vary_within_each_case_count_almost_one_by_one() -> None:
    chance = random.Random(1)
    parts = [(float(sum(chance.random() < 0.5 for _ in range(10))), 10.0) for _ in range(30)]

    share = share_over_cases(parts, 300)

    assert share is not None
    by_runs, by_cases = (wilson_interval(share.value, count, 0.95) for count in (300, 30))
    width = share.high - share.low
    assert by_runs[1] - by_runs[0] <= width < 1.4 * (by_runs[1] - by_runs[0]) < by_cases[1] - by_cases[0]


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_what_never_varies_is_no_surer_than_its_cases(value: float) -> None:
    share = share_over_cases([(3.0 * value, 3.0)] * 10, 30)

    assert share is not None
    assert (share.low, share.high) == pytest.approx(wilson_interval(value, 10, 0.95), abs=1e-6)


@pytest.mark.parametrize("spread", [(0.5, 0.5), (2.0, 2.0), (20.0, 20.0), (4.0, 1.0)])
def test_interval_holds_the_truth_nineteen_times_of_twenty(spread: tuple[float, float]) -> None:
    """Where cases differ much, little, and where most are easy; Wilson's over runs fails the first."""
    chance = random.Random(7)
    truth = spread[0] / sum(spread)
    held = 0
    for _ in range(600):
        rates = [chance.betavariate(*spread) for _ in range(30)]
        share = share_over_cases(
            [(sum([chance.random() < rate for _ in range(3)]), 3.0) for rate in rates], 90
        )
        assert share is not None
        held += share.low <= truth <= share.high

    assert held >= 0.93 * 600


def test_nothing_has_no_share() -> None:
    assert share_over_cases([(0.0, 0.0)], 0) is None
    with pytest.raises(ValueError, match="No runs have no figures"):
        fold_diagnoses((), {}, suite=SUITE, planned_run_count=0)
