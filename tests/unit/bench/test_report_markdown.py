"""A report as Markdown."""

from __future__ import annotations

from dataclasses import replace

from rune.bench.report_markdown import report_to_markdown
from rune.bench.server_load import ServerReading
from rune.contracts import BenchmarkRequest, RunReport
from rune.llm.protocol import ModelFacts, ServerFacts, ServerMetrics
from tests.builders import REQUEST
from tests.measured_builders import a_completed, a_failed, a_report, a_run

IDLE = ServerMetrics("vllm", 0, 0, 0.0, 0, 1000, 0)
FULL = ServerMetrics("vllm", 8, 3, 0.97, 2, 1500, 0)
AFTER = ServerMetrics("vllm", 0, 0, 0.0, 2, 2000, 400)
READINGS = (
    ServerReading(0, "before", IDLE),
    ServerReading(1, "during", FULL),
    ServerReading(2, "during", FULL),
    ServerReading(3, "after", AFTER),
)


def lines_of(*runs: RunReport, **overrides: object) -> list[str]:
    return report_to_markdown(a_report(*runs, **overrides)).splitlines()


def test_server_has_a_table_with_a_line_for_each_run_that_it_told_of() -> None:
    lines = lines_of(a_run(a_completed(), server_readings=READINGS), a_run(a_completed()))

    at = lines.index("## What the server says of its load")
    assert lines[at + 2].startswith("| Run | Source | Readings | Running, most | mean | Waiting, most |")
    assert lines[at + 4] == "| 0 | vllm | 2 | 8 | 8 | 3 | 3 | 97.0% | 2 | 400 (40.0%) |  | 0 |"
    assert lines[at + 5] == ""
    assert "- run 0: server\\_queued (3)" in lines


def test_turns_have_a_table_where_there_are_conversations() -> None:
    first = replace(a_completed(0, cached_tokens=0), conversation=0, turns_left=1)
    second = replace(a_completed(1, sent_ms=400, cached_tokens=40), conversation=0, turn=1)

    lines = lines_of(a_run(first, second))

    at = lines.index("## Turns of run 0: 1 at a time")
    assert lines[at + 4 : at + 6] == [
        "| 0 | 1 | 100 |  | 10 | 50 | 20 | 0.0% |",
        "| 1 | 1 | 100 |  | 10 | 50 | 20 | 80.0% |",
    ]


def test_tables_without_a_line_are_left_out() -> None:
    text = "\n".join(lines_of(a_run(a_completed())))

    assert "says of its load" not in text
    assert "Turns" not in text


def test_names_are_escaped() -> None:
    server = ServerFacts(name="<img src=x>|\n# no heading")

    lines = lines_of(a_run(a_completed()), server=server, model=ModelFacts())

    assert [line for line in lines if line.startswith("#")] == [
        "# Benchmark of llama3.1:8b",
        "## Runs",
        "## Warnings",
    ]
    assert lines[2].startswith("On \\<img src=x\\>\\| \\# no heading, ")


def test_title_is_the_name_of_the_job_beside_its_model() -> None:
    request = BenchmarkRequest.model_validate({**REQUEST, "name": "<b>|nightly"})

    lines = lines_of(a_run(a_completed()), request=request)

    assert lines[0] == r"# \<b\>\|nightly"
    assert lines[2].startswith("Benchmark of llama3.1:8b on ollama, ")


def test_failed_requests_are_told_with_the_words_of_the_first() -> None:
    run = a_run(a_completed(), a_failed(1), a_failed(2))
    told = run.model_copy(update={"error_sentences": {"server_overloaded": "It said: <b>busy</b>"}})

    lines = lines_of(told, run)

    failures = [line for line in lines if line.startswith("- run") and " x " in line]
    assert failures == [
        r"- run 0: 2 x server\_overloaded: It said: \<b\>busy\</b\>",
        r"- run 0: 2 x server\_overloaded",
    ]
