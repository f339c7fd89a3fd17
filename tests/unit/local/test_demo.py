import json
from io import StringIO

import pytest
from rich.console import Console

from local.demo import WORKLOAD, DemoSettings, describe, describe_request, summarize
from rune.contracts import BenchmarkRequest
from tests.benchmark_builders import a_report, a_result_json


def a_record(**overrides: object) -> dict[str, object]:
    return {"status": "succeeded", "result": json.loads(a_result_json(a_report())), **overrides}


def shown(record: dict[str, object]) -> str:
    out = StringIO()
    Console(width=200, file=out).print(summarize(record))
    return out.getvalue()


LINES = [
    ("8 at a time", "609.6 tokens/s, first token 97.5 ms, then 12.4 ms each, 48 of 48 answered"),
    ("time to ready", "185.3 s: search 0.4, boot 61.2, pull 118.7, load 4.8, first token 0.1"),
    ("1M output tokens", "$0.17 steady, $2.59 all in"),
    ("warnings", "eos_not_ignored"),
]


@pytest.mark.parametrize(("name", "text"), LINES)
def test_summary_shows_the_reports_lines(name: str, text: str) -> None:
    (line,) = [line for line in shown(a_record()).splitlines() if name in line]

    assert text in line


def test_summary_shows_one_answer_alone_without_a_report() -> None:
    text = shown(a_record(result=json.loads(a_result_json(None))))

    assert "time to first token" in text
    assert "at a time" not in text


def test_line_counts_requests_while_a_point_is_measured() -> None:
    progress = {"step": "measure", "point": 1, "points": 2, "requests": 5, "requests_total": 12, "chunks": 99}
    record = {"status": "running", "progress": progress, "result": None, "cost_usd": None, "message": "m"}

    assert "5 of 12" in describe(record, 1.0).plain


@pytest.mark.parametrize(
    ("given", "workload"), [({}, None), ({"WORKLOAD": ""}, None), ({"WORKLOAD": "1"}, WORKLOAD)]
)
def test_request_is_one_question_or_a_workload(given: dict[str, str], workload: object) -> None:
    request = describe_request(DemoSettings.from_environment(given))

    assert request.get("workload") == workload
    assert BenchmarkRequest.model_validate(request).wants_rental
