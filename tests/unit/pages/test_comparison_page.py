"""A comparison's page says what the comparison says."""

from __future__ import annotations

import pytest

from rune.bench.comparison import compare
from rune.contracts import BenchmarkReport, Comparison
from rune.contracts.comparisons import Outcome
from rune.pages.comparison_page import to_page, verdicts
from tests.benchmark_builders import a_report, a_slower_report
from tests.html_pages import ReadPage, assert_self_contained, read_page
from tests.page_samples import a_check
from tests.unit.pages.test_report_page import HOSTILE, a_hostile_report

A, B = "a" * 32, "b" * 32


def a_comparison(*reports: BenchmarkReport) -> Comparison:
    given = reports or (a_report(A), a_slower_report(B, 1.2))
    return compare([(report.benchmark_id, report) for report in given])


def read(comparison: Comparison) -> ReadPage:
    page = to_page(comparison)
    assert_self_contained(page)
    return read_page(page)


def test_verdict_names_the_largest_differences() -> None:
    (line,) = verdicts(a_comparison())

    assert line.startswith("B against A: worse in ")
    assert line.count("+20.0%") == 3
    assert line.endswith(" more.")


def test_equal_benchmarks_do_not_differ() -> None:
    comparison = a_comparison(a_report(A), a_report(B))

    (line,) = verdicts(comparison)

    assert line.startswith("B against A: undecided in ")
    assert line.endswith(" numbers, and no sure difference in the others.")
    assert "worse" not in {node.text for node in read(comparison).all_of("span")}


def test_faster_benchmark_is_better() -> None:
    (line,) = verdicts(a_comparison(a_report(A), a_slower_report(B, 0.8)))

    assert line.startswith("B against A: better in ")


def test_benchmarks_without_a_common_load_say_so() -> None:
    report = a_report(B)
    other = report.model_copy(
        update={"runs": [run.model_copy(update={"max_concurrency": 64}) for run in report.runs]}
    )
    comparison = a_comparison(a_report(A), other)

    assert "no load in common" in read(comparison).text
    assert "The benchmarks have no point in common" in read(comparison).text


def test_each_point_has_its_numbers_and_differences() -> None:
    page = read(a_comparison())

    titles = [node.text for node in page.all_of("h2")]
    assert titles[2:] == [
        "1 at a time",
        "4 at a time",
        "8 at a time",
        "What makes numbers doubtful",
        "How to read it",
    ]
    assert len(page.all_of("figure")) == 3 + 3
    assert page.text.count("± ") > 30


def test_number_that_one_side_lacks_is_not_measured() -> None:
    report = a_report(B)
    runs = [run.model_copy(update={"ttft_ms": None}) for run in report.runs]

    page = read(a_comparison(a_report(A), report.model_copy(update={"runs": runs})))

    assert page.text.count("not measured") >= 3
    assert "not comparable" in page.text


def test_named_benchmarks_are_told_by_their_names() -> None:
    page = read(a_comparison(a_report(A, name="nightly"), a_report(B)))

    names = [node.text for node in page.all_of("bdi")]
    assert names[0] == "nightly and llama3.1:8b"
    # In the table of the benchmarks, and once at the head of each load's numbers.
    assert names.count("nightly") == 1 + len(a_report(A).runs)


def test_ten_benchmarks_have_ten_letters() -> None:
    page = read(a_comparison(*(a_report(f"{number:032x}") for number in range(10))))

    assert [node.text for node in page.all_of("th") if node.attributes == {"scope": "row"}][:10] == list(
        "ABCDEFGHIJ"
    )


OUTCOMES: list[tuple[Outcome, str]] = [
    ("failed", "Gate: failed (1 failed, 1 passed)."),
    ("undecided", "Gate: undecided (1 undecided, 1 passed)."),
]


@pytest.mark.parametrize(("outcome", "line"), OUTCOMES)
def test_gate_is_told_first_with_each_limit(outcome: Outcome, line: str) -> None:
    checks = [a_check("passed"), a_check(outcome)]
    comparison = a_comparison().model_copy(update={"gate": outcome, "checks": checks, "baseline": "<main>"})

    page = read(comparison)

    shown = next(node for node in page.nodes if node.attributes.get("class") == "verdict")
    assert shown.text == line.replace(outcome, "", 1)
    assert "baseline" in page.text
    told = [
        node.text
        for node in page.all_of("span")
        if node.attributes.get("class") in {"worse", "better", "warned"}
    ]
    assert told[:3] == [outcome, outcome, "passed"]


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_no_name_becomes_a_part_of_the_page(text: str) -> None:
    harmless, hostile = (
        to_page(a_comparison(a_report(A), a_hostile_report(given).model_copy(update={"benchmark_id": B})))
        for given in ("x", text)
    )

    assert read_page(hostile).structure == read_page(harmless).structure
    assert hostile.encode()
    assert "\0" not in hostile
