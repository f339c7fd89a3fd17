"""What people are shown of reports, comparisons and plans, with the documents that the API's own examples have."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console, RenderableType

from rune_client.cli.comparisons import comparison
from rune_client.cli.plans import plan_table
from rune_client.cli.reports import benchmark, ended, report_page
from tests.client.cli.fake_api import FREE, a_job, a_plan

EXAMPLES = Path(__file__).parents[3] / "functions" / "api" / "examples"


def example(name: str) -> Any:  # noqa: ANN401  # a document
    return json.loads((EXAMPLES / f"{name}.json").read_text())


def shown(*renderables: RenderableType, width: int = 100) -> str:
    out = StringIO()
    console = Console(width=width, file=out, emoji=False, highlight=False)
    for each in renderables:
        console.print(each)
    return out.getvalue()


LINES = [
    ("8 at a time", "609.6 tokens/s  first token 97.5 ms"),
    ("time to ready", "3 min 05 s (search 0.4, boot 61.2, pull 118.7, load 4.8, first token 0.1)"),
    ("1M output tokens", "$0.17 steady, $2.59 all in"),
    ("hardware", "1 x RTX 4090"),
]


@pytest.mark.parametrize(("name", "text"), LINES)
def test_report_has_the_line(name: str, text: str) -> None:
    lines = shown(*report_page(example("report"))).splitlines()

    assert [line for line in lines if name in line and text in line] != []


def test_report_of_a_suite_says_how_often_the_model_was_right() -> None:
    share = {"value": 0.5, "low": 0.15, "high": 0.85}
    diagnosis = {
        "suite": {"name": "kubernetes-classics"},
        "run_count": 4,
        "case_count": 2,
        "outcomes": {"correct": 2, "wrong": 2},
        "pass_at_1": share,
        "precision": share,
        "recall": {"value": None, "low": None, "high": None},
        "trap_rate": share,
        "effort": {"turns": 4.5, "calls": 10.5},
    }

    lines = shown(*report_page({**example("report"), "runs": [], "diagnosis": diagnosis})).splitlines()

    assert any("right at once" in line and "0.50 (0.15 to 0.85)" in line for line in lines)
    assert any("4 of 2 cases: 2 correct, 2 wrong" in line for line in lines)
    assert not any("recall" in line for line in lines)


@pytest.mark.parametrize("width", [40, 60, 80])
def test_nothing_is_wider_than_the_terminal(width: int) -> None:
    text = shown(*report_page(example("report")), *comparison(example("comparison")), width=width)

    assert max(len(line) for line in text.splitlines()) <= width


def test_benchmark_shows_one_answer_without_a_chart() -> None:
    report = {**example("report"), "runs": example("report")["runs"][:1]}
    job = a_job("succeeded", result={"answer": "42", "model_name": "m", "report": report, "rental": None})

    text = shown(*benchmark(job))

    assert "time to first token" in text
    assert "at a time" not in text


def test_failed_job_shows_its_error_and_stage() -> None:
    job = a_job("failed", error="No such model.", error_code="model_not_found", error_stage="check")

    assert "No such model. (model_not_found in check)" in shown(*ended(job))


def test_comparison_shows_what_is_worse_and_the_gate() -> None:
    document = {
        **example("comparison"),
        "gate": "failed",
        "checks": [
            {"outcome": "failed", "metric": "ttft_ms.p95", "reason": "Too slow.", "max_concurrency": 8}
        ],
    }

    text = shown(*comparison(document))

    assert "(+20.0%)" in text
    assert "worse" in text
    assert text.splitlines()[-2:] == ["failed    ttft_ms.p95, 8 at a time: Too slow.", "gate: failed"]


def test_plan_shows_machine_figures_and_cap() -> None:
    text = shown(plan_table(a_plan(), title="Plan"))

    for part in (
        "1 x RTX 4090",
        "$0.18 low, $0.19 likely, $0.21 high",
        "$0.50, where the job stops",
        "$0.36 an hour",
    ):
        assert part in text


def test_plan_without_an_offer_says_the_limit() -> None:
    plan = a_plan(estimate={"low_usd": None, "likely_usd": None, "high_usd": 3.9, "offer": None})

    assert "up to $3.90, what its limits allow" in shown(plan_table(plan, title="Plan"))


def test_plan_of_a_free_job_says_so() -> None:
    assert "nothing is rented" in shown(plan_table(FREE, title="Plan"))
