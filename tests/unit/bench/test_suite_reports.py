"""Reports of suites of cases: in words, side by side, and held to limits."""

from datetime import UTC, datetime

import pytest

from rune.bench.comparison import compare
from rune.bench.diagnoses import Expected
from rune.bench.diagnosis_figures import fold_diagnoses
from rune.bench.diagnosis_showing import summarize
from rune.bench.gates import read_limits, with_gate
from rune.bench.markdown import to_markdown
from rune.bench.report_markdown import report_to_markdown
from rune.bench.reports import make_suite_report
from rune.contracts import BenchmarkReport, BenchmarkRequest, ComparedValue, Comparison
from rune.kubernetes.causes import ClusterStatus
from rune.llm.protocol import ModelFacts, ServerFacts
from rune.pages.comparison_page import to_page as to_comparison_page
from rune.pages.report_page import ReportPage, to_page, verdict
from tests.benchmark_builders import a_report
from tests.builders import a_benchmark_request
from tests.unit.bench.test_diagnosis_figures import BAIT, SUITE, a_run

AT = datetime(2026, 11, 30, 9, tzinfo=UTC)
CASE_COUNT = 30


def a_suite_report(
    job_id: str = "a",
    *,
    correct_cases: int,
    turns: int = 4,
    cost_usd: float | None = None,
    case_count: int = CASE_COUNT,
) -> BenchmarkReport:
    """Return a report of cases, each run three times, so many of them always right."""
    runs = [
        a_run(f"c{case}", outcome, run=run, turns=turns, trapped=trapped, cost_usd=cost_usd)
        for case in range(case_count)
        for outcome, trapped in [
            ("correct", []) if case < correct_cases else ("wrong", ["dns_failure at <b>"])
        ]
        for run in range(3)
    ]
    expected = {run.case_id: Expected(ClusterStatus.UNHEALTHY, red_herrings=BAIT) for run in runs}
    diagnosis = fold_diagnoses(runs, expected, suite=SUITE, planned_run_count=len(runs))
    request = BenchmarkRequest.model_validate(
        a_benchmark_request(
            question="kubernetes-classics",
            suite="kubernetes-classics",
            suite_version=SUITE.version,
            cases=[f"c{case}" for case in range(case_count)],
        )
    )
    return make_suite_report(
        job_id=job_id,
        request=request,
        diagnosis=diagnosis,
        ended_by="all_measured",
        model=ModelFacts(),
        server=ServerFacts(name="ollama", version="0.33.0"),
        longest_answer_tokens=4096,
        context_tokens=32_768,
        started_at=AT,
        finished_at=AT,
    )


def side_by_side(first: BenchmarkReport, second: BenchmarkReport) -> Comparison:
    return compare([("a", first), ("b", second)])


def second_of(comparison: Comparison, name: str) -> ComparedValue:
    (point,) = comparison.points
    return next(metric.values[1] for metric in point.metrics if metric.name == name)


@pytest.mark.parametrize(
    ("first", "second", "verdict_"),
    [(27, 6, "worse"), (6, 27, "better"), (24, 15, "undecided"), (20, 20, "undecided")],
)
def test_models_are_told_apart_by_cases_and_not_by_runs(first: int, second: int, verdict_: str) -> None:
    found = side_by_side(a_suite_report(correct_cases=first), a_suite_report("b", correct_cases=second))

    value = second_of(found, "pass_at_1")
    # Of 90 runs each, 24 of 30 against 15 of 30 would be sure.
    assert (value.verdict, value.count) == (verdict_, CASE_COUNT)
    assert second_of(found, "pass_hat_k").verdict == verdict_


def test_shares_differ_by_one_at_most() -> None:
    found = side_by_side(
        a_suite_report(correct_cases=3, case_count=3), a_suite_report("b", correct_cases=1, case_count=3)
    )

    value = second_of(found, "pass_at_1")
    assert (value.interval_low, value.verdict) == (-1.0, "undecided")


def test_shares_whose_intervals_overlap_are_not_ranked() -> None:
    first, second = a_suite_report(correct_cases=25), a_suite_report("b", correct_cases=15)
    shares = [each.diagnosis.pass_at_1 for each in (first, second) if each.diagnosis]
    assert shares[0].low < shares[1].high

    assert second_of(side_by_side(first, second), "pass_at_1").verdict == "undecided"


def test_efforts_are_compared_and_what_has_no_spread_is_shown_alone() -> None:
    first = a_suite_report(correct_cases=20, cost_usd=0.01)
    found = side_by_side(first, a_suite_report("b", correct_cases=20, turns=8, cost_usd=0.02))

    assert second_of(found, "turns").verdict == "worse"
    assert second_of(found, "usd_per_case").verdict == "worse"
    assert (second_of(found, "recall").value, second_of(found, "recall").verdict) == (
        0.666667,
        "not comparable",
    )
    assert second_of(found, "trap_rate").value == 0.333333


def test_suite_and_load_have_nothing_in_common() -> None:
    found = side_by_side(a_suite_report(correct_cases=20), a_report("b"))

    assert found.points == []
    assert "no point in common" in found.notes[-1]


@pytest.mark.parametrize(
    ("limit", "correct_cases", "outcome"),
    [
        ("pass_at_1:0.9", 29, "passed"),
        ("pass_at_1:0.9", 5, "failed"),
        ("pass_at_1:0.99", 27, "undecided"),
        ("turns:1.1", 28, "passed"),
    ],
)
def test_gate_holds_scores_to_limits(limit: str, correct_cases: int, outcome: str) -> None:
    benchmarks = [
        ("a", a_suite_report(correct_cases=28)),
        ("b", a_suite_report("b", correct_cases=correct_cases)),
    ]

    found = with_gate(compare(benchmarks), benchmarks, read_limits([limit]))

    assert found.gate == outcome


def test_report_is_told_in_words() -> None:
    report = a_suite_report(correct_cases=20)

    assert report.diagnosis is not None
    sentence = summarize(report.diagnosis)
    assert sentence.startswith("60 of 90 runs of 30 cases were correct: pass@1 0.67 (0.49 to 0.81).")
    assert verdict(report) == sentence
    text = report_to_markdown(report)
    assert "| pass^3, all of 3 correct | 0.67 (0.49 to 0.81) |" in text
    assert "| c29 | 0 of 3 | 3 wrong | 4 | 5 |" in text
    assert "dns\\_failure at \\<b\\>" in text


def test_pages_of_suites_are_whole_and_escaped() -> None:
    first, second = a_suite_report(correct_cases=20), a_suite_report("b", correct_cases=25)
    found = side_by_side(first, second)

    page = to_page(ReportPage(report=first, dots={}, has_records=True, bill=None))

    assert "dns_failure at &lt;b&gt;" in page
    assert "<h2>Cases</h2>" in page
    assert "<h2>Points</h2>" not in page
    assert "Correct, one try" in to_comparison_page(found)
    assert "Correct, one try (higher is better)" in to_markdown(found)


def test_report_keeps_its_formulas() -> None:
    report = a_suite_report(correct_cases=20)

    assert report.diagnosis is not None
    named = set(report.formulas) - {"correct", "effort", "low, high", "pass_hat_k", "pass_at_k"}
    assert named <= set(type(report.diagnosis).model_fields)
