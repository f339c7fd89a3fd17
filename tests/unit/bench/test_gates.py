from random import Random
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.bench.comparison import compare
from rune.bench.gates import MOST_LIMITS, read_limits, with_gate
from rune.bench.junit import UndecidedAs, to_junit
from rune.bench.markdown import to_markdown
from rune.bench.metrics import METRICS
from rune.contracts import BenchmarkReport, Comparison
from rune.errors import InvalidRequestError
from tests.benchmark_builders import a_report, a_slower_report
from tests.measured_builders import a_completed, a_run
from tests.measured_builders import a_report as a_measured_report

FIRST = "a" * 32


def gate_of(*others: BenchmarkReport, fail_on: str, first: BenchmarkReport | None = None) -> Comparison:
    benchmarks = [(FIRST, first or a_report()), *((str(n), report) for n, report in enumerate(others))]
    return with_gate(compare(benchmarks), benchmarks, read_limits([fail_on]))


@pytest.mark.parametrize(
    ("ratio", "fail_on", "gate"),
    [
        (1.0, "ttft_ms.p95:1.10", "passed"),
        (1.2, "ttft_ms.p95:1.10", "failed"),
        (1.11, "ttft_ms.p95:1.10", "undecided"),
        (1.2, "ttft_ms.p95:1.30", "passed"),
        (1.0, "ttft_ms.p99:1.10", "undecided"),
        (0.8, "ttft_ms:0.9", "passed"),
        (1.0, "ttft_ms:0.9", "failed"),
        (1.0, "steady_output_throughput_tokens_per_s:0.90", "passed"),
        (1.2, "steady_output_throughput_tokens_per_s:0.90", "failed"),
        (1.2, "usd_per_million_output_tokens:1.1", "failed"),
        (1.0, "quality_score:0.8", "passed"),
        (1.0, "quality_score:0.99", "undecided"),
        (1.0, "ttft_from_due_ms.p95:1.1", "undecided"),
        (1.2, "tpot_ms:1.5,ttft_ms.p95:1.10", "failed"),
        (1.0, "tpot_ms:1.1, ttft_ms.p99:1.10", "undecided"),
    ],
)
def test_gate_goes_by_what_is_sure(ratio: float, fail_on: str, gate: str) -> None:
    assert gate_of(a_slower_report("b" * 32, ratio), fail_on=fail_on).gate == gate


def test_each_limit_is_checked_at_each_point_of_each_benchmark() -> None:
    comparison = gate_of(
        a_slower_report("b" * 32, 1.2), a_report("c" * 32), fail_on="ttft_ms.p95:1.10,tpot_ms:1.1"
    )

    assert [
        (check.job_id, check.metric, check.max_concurrency, check.outcome) for check in comparison.checks
    ] == [
        (job_id, metric, concurrency, outcome)
        for job_id, outcome in (("0", "failed"), ("1", "passed"))
        for metric in ("ttft_ms.p95", "tpot_ms")
        for concurrency in (1, 4, 8)
    ]
    assert comparison.checks[0].reason == (
        "ttft_ms.p95 is 1.2 times; at most 1.1 times the first one's is allowed, and surely not kept."
    )


@pytest.mark.parametrize("others", [1, 2])
@pytest.mark.parametrize("is_first", [False, True])
def test_a_point_that_only_one_has_measured_does_not_pass(is_first: bool, others: int) -> None:
    whole = a_report()
    fewer = whole.model_copy(update={"runs": [whole.runs[0], whole.runs[2]]})
    first, second = (fewer, whole) if is_first else (whole, fewer)

    comparison = gate_of(second, *[whole] * (others - 1), first=first, fail_on="tpot_ms:1.1")

    found = {check.max_concurrency: check.outcome for check in comparison.checks if check.job_id == "0"}
    assert found == {1: "passed", 4: "undecided", 8: "passed"}
    assert comparison.gate == "undecided"


def test_without_a_point_in_common_each_limit_is_undecided() -> None:
    elsewhere = a_report()
    runs = [run.model_copy(update={"max_concurrency": 64}) for run in elsewhere.runs[:1]]

    comparison = gate_of(
        elsewhere.model_copy(update={"runs": runs}), fail_on="tpot_ms:1.1,ttft_from_due_ms:1.1"
    )

    assert comparison.gate == "undecided"
    assert {check.metric for check in comparison.checks} == {"tpot_ms", "ttft_from_due_ms"}
    assert {check.outcome for check in comparison.checks} == {"undecided"}
    (suite,) = ET.fromstring(to_junit(comparison, "failure"))  # noqa: S314  # our own
    assert suite.get("tests") == suite.get("failures") == str(len(comparison.checks))


def of_ttfts(seed: int, count: int, slowness: float) -> BenchmarkReport:
    chance = Random(seed)
    times_ms = [slowness * 100 * chance.lognormvariate(0, 0.3) for _ in range(count)]
    records = [a_completed(n, sent_ms=900 * n, ttft_ms=each) for n, each in enumerate(times_ms)]
    return a_measured_report(a_run(*records))


def test_a_gate_seldom_errs_and_says_how_many_requests_would_decide() -> None:
    """At the limit itself one gate in twenty may say either; twelve are tried."""
    gates = [
        gate_of(of_ttfts(seed + 500, 30, 1.1), first=of_ttfts(seed, 30, 1.0), fail_on="ttft_ms:1.10")
        for seed in range(12)
    ]

    assert sum(each.gate == "failed" for each in gates) <= 3
    assert sum(each.gate == "passed" for each in gates) <= 3
    undecided = [check for each in gates for check in each.checks if check.outcome == "undecided"]
    assert min(check.requests_to_decide or 31 for check in undecided) > 30


REFUSED = {
    "ttft_ms.p98:1.1": "gate_metric_unknown",
    "failed_ratio:1.1": "gate_metric_unknown",
    "request_throughput_per_s:0.9": "gate_metric_unknown",
    "ttft_ms": "gate_limit_invalid",
    "ttft_ms:": "gate_limit_invalid",
    "ttft_ms:0": "gate_limit_invalid",
    "ttft_ms:-1": "gate_limit_invalid",
    "ttft_ms:1e3": "gate_limit_invalid",
    "ttft_ms:nan": "gate_limit_invalid",
    "ttft_ms:101": "gate_limit_invalid",
    "": "gate_limit_invalid",
    "ttft_ms:1.1,": "gate_limit_invalid",
    "ttft_ms:1.1,ttft_ms:1.2": "gate_limit_invalid",
    "TTFT_MS:1.1": "gate_limit_invalid",
    ",".join(f"ttft_ms:1.{n}" for n in range(MOST_LIMITS + 1)): "gate_limit_invalid",
}


@pytest.mark.parametrize(("fail_on", "code"), REFUSED.items(), ids=[text[:24] for text in REFUSED])
def test_limit_that_cannot_be_meant_is_refused(fail_on: str, code: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        read_limits([fail_on])

    assert (refused.value.specific_code, refused.value.pointer) == (code, "/fail_on")


def test_unknown_number_is_answered_with_those_that_are_known() -> None:
    with pytest.raises(InvalidRequestError) as refused:
        read_limits(["ttft:1.1"])

    for metric in METRICS:
        assert (metric.name in refused.value.sentence) is metric.has_limits


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        limits = read_limits([text])
    except InvalidRequestError:
        return
    assert limits


# ---------------------------------------------------------------- shown


@pytest.mark.parametrize(
    ("undecided_as", "failures", "skipped"), [("skipped", "1", "1"), ("failure", "2", "0")]
)
def test_checks_are_junit_cases(undecided_as: UndecidedAs, failures: str, skipped: str) -> None:
    one_point = [
        report.model_copy(update={"runs": report.runs[:1]})
        for report in (a_report(), a_slower_report("b", 1.2))
    ]
    comparison = gate_of(
        one_point[1], first=one_point[0], fail_on="ttft_ms.p95:1.10,ttft_ms.p99:1.1,tpot_ms:1.5"
    )

    root = ET.fromstring(to_junit(comparison, undecided_as))  # noqa: S314  # our own

    (suite,) = root
    assert (root.tag, suite.tag) == ("testsuites", "testsuite")
    assert suite.attrib == {
        "package": "rune",
        "id": "0",
        "name": f"0 against {FIRST}",
        "timestamp": "2026-11-23T12:06:52",
        "hostname": "rune",
        "tests": "3",
        "failures": failures,
        "errors": "0",
        "skipped": skipped,
        "time": "0",
    }
    assert [child.tag for child in suite] == ["properties", *["testcase"] * 3, "system-out", "system-err"]
    found = [[case.get("name"), case.get("classname"), *(child.tag for child in case)] for case in suite[1:4]]
    assert found == [
        ["ttft_ms.p95 at most 1.1 times", "1 at a time", "failure"],
        ["ttft_ms.p99 at most 1.1 times", "1 at a time", "skipped" if skipped == "1" else "failure"],
        ["tpot_ms at most 1.5 times", "1 at a time"],
    ]


def test_hostile_names_stay_text_in_xml() -> None:
    hostile = 'x"><failure/>\x00\ud800&'
    benchmarks = [(FIRST, a_report()), (hostile, a_report())]
    comparison = with_gate(compare(benchmarks, baseline="<&>"), benchmarks, read_limits(["tpot_ms:1.1"]))

    (suite,) = ET.fromstring(to_junit(comparison).encode())  # noqa: S314  # our own

    assert suite.get("name") == 'x"><failure/> & against <&>'
    assert suite.findall(".//failure") == []


def test_gate_stands_first_on_the_page() -> None:
    page = to_markdown(gate_of(a_slower_report("b" * 32, 1.2), fail_on="ttft_ms.p95:1.10"))

    before, after = page.split("## 1 at a time")
    assert "## Gate: failed" in before
    assert (
        "| B | 1 at a time | ttft\\_ms.p95 at most 1.1 times | **failed** | ttft\\_ms.p95 is 1.2 times;"
        in before
    )
    assert "Gate" not in after
