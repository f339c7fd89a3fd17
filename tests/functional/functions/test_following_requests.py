"""The queries of docs/operations.md, on what a job's request makes all functions write."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from rune.logs import FIELDS
from tests.builders import an_http_event, an_sqs_event
from tests.functional.functions.asking import CONTEXT, FLAT, POST, ask
from tests.functional.functions.loading import loaded
from tests.functional.functions.test_worker import CONTEXT as OF_WORKER
from tests.log_lines import logged

if TYPE_CHECKING:
    from tests.cloud import Cloud

PAGE = Path(__file__).parents[3] / "docs" / "operations.md"
QUERIES = re.findall(r"```\n(fields @timestamp.*?)```", PAGE.read_text(), re.DOTALL)

OF_INSIGHTS = {"@timestamp", "@log"}
"""Fields that CloudWatch adds to each line."""


def find(query: str, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the lines that a query of comparisons, all joined by `and` or all by `or`, would find."""
    (condition,) = re.findall(r"\| filter (.*)", query)
    wanted = re.findall(r'(\w+) = "([^"]*)"', condition)
    holds = any if " or " in condition else all
    return [line for line in lines if holds(line.get(name) == value for name, value in wanted)]


def test_queries_name_only_fields_that_lines_have() -> None:
    for query in QUERIES:
        shown = query.splitlines()[0].removeprefix("fields ")
        names = re.split(r",\s*", re.sub(r"coalesce\((.*?)\) as \w+", r"\1", shown))

        assert {*names} <= {*FIELDS, "event", *OF_INSIGHTS}


def test_queries_follow_a_request_through_all_functions(api: ModuleType, cloud: Cloud) -> None:
    by_request, by_both, by_tenant = QUERIES
    no_one, other = "58d7b0bcc7ec41fd93d390b669e918d4", "JKJaXmPLvHcESHA="
    with (
        loaded("worker.handler", {**cloud.environment, "RUNE_LANE": "money"}) as worker,
        loaded("notifier.handler", cloud.environment) as notifier,
        logged() as log,
    ):
        accepted = ask(api, an_http_event("POST", POST, FLAT))
        job_id = accepted.document["job_id"]
        worker.handle(an_sqs_event(*cloud.received("inference")), OF_WORKER)
        notifier.handle(an_sqs_event(*cloud.received("notice")), OF_WORKER)

    lines = log.lines()
    found = find(by_both.replace(no_one, job_id), lines)
    assert {line["job_id"] for line in find(by_request, lines)} == {job_id}
    assert {line["request_id"] for line in found} == {other, OF_WORKER.aws_request_id}
    assert {"request.answered", "audit", "turn.committed", "notice.followed"} <= {
        line["event"] for line in found
    }
    assert [line["action"] for line in find(by_tenant.replace("acme", "default"), lines)] == [
        "submit_benchmark"
    ]
    assert CONTEXT.aws_request_id == lines[0]["invocation_id"]
