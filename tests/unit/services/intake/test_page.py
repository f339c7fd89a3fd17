"""The examples in docs/triggers.md are ones that the intakes take."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # no stubs among our tools

from rune.services.intake import envelopes
from rune.services.intake.orders import parse_request
from tests.builders import a_benchmark_request

PAGE = (Path(__file__).parents[4] / "docs" / "triggers.md").read_text()
REQUEST = json.dumps(a_benchmark_request())


def blocks(language: str) -> list[str]:
    """Return the page's blocks in a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def members_of(value: object) -> list[dict[str, Any]]:
    """Return a document's objects, at any depth."""
    if isinstance(value, dict):
        return [value, *(found for member in value.values() for found in members_of(member))]
    return [found for member in value for found in members_of(member)] if isinstance(value, list) else []


def test_rule_makes_an_order_of_another_services_event() -> None:
    (template,) = blocks("yaml")
    (rule,) = yaml.safe_load(template).values()
    (target,) = rule["Properties"]["Targets"]
    transformer = target["InputTransformer"]
    # As EventBridge puts a text there: with its quotes.
    execution = json.dumps("01234567-0123-0123-0123-012345678901")
    body = transformer["InputTemplate"].replace("<execution>", execution)

    order = envelopes.read_message(body, "message-1")

    assert transformer["InputPathsMap"] == {"execution": "$.detail.execution-id"}
    assert order.identity == ("key", json.loads(execution))
    assert parse_request(order.kind, order.request).model == "llama3.1:8b"


def test_state_machine_sends_an_order() -> None:
    (state,) = [json.loads(block) for block in blocks("json") if "waitForTaskToken" in block]
    (body,) = [found for found in members_of(state) if "task_token.$" in found]
    filled = {name.removesuffix(".$"): value for name, value in body.items()}

    order, task = envelopes.read_task(json.dumps(filled))

    assert task.token == "$$.Task.Token"
    assert parse_request(order.kind, order.request).model == "llama3.1:8b"


@pytest.mark.parametrize("given", ["--message-body", "--message", "--payload"])
def test_command_sends_an_order(given: str) -> None:
    (text,) = re.findall(rf"{given} '(.*?)'", PAGE.replace("{…}", REQUEST))

    order = envelopes.read_message(text, "message-1")

    assert parse_request(order.kind, order.request).model == "llama3.1:8b"


def test_command_puts_an_event_that_asks_for_a_job() -> None:
    (entry,) = re.findall(r'\[\{"EventBusName".*?\}\]', PAGE.replace("'$BUS'", "bus"), re.DOTALL)
    (detail,) = re.findall(r'"Detail": (".*")\}\]', entry.replace("{…}", REQUEST.replace('"', '\\"')))
    envelope = {"id": "1", "source": "acme.ci", "detail-type": "rune.job.requested"}

    event = envelopes.read_event(json.dumps({**envelope, "detail": json.loads(json.loads(detail))}))

    assert event.order.identity == ("key", "acme.ci", "build-4711")


def test_schedule_of_eventbridge_sends_an_order() -> None:
    (target,) = [block for block in blocks("json") if "aws.scheduler.scheduled-time" in block]
    text = json.loads(target.replace("{…}", REQUEST.replace('"', '\\"')))["Input"]

    order = envelopes.read_message(text, "message-1")

    assert order.identity == ("key", "nightly-7f3a <aws.scheduler.scheduled-time>")


def test_policies_are_json() -> None:
    policies = [json.loads(block) for block in blocks("json") if '"Statement"' in block]

    assert len(policies) >= 4
    assert all(statement["Effect"] for policy in policies for statement in policy["Statement"])
