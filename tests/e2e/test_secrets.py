"""A token is known to whoever holds it, and to nobody else: only its hash is deployed."""

from __future__ import annotations

import hashlib
import json
import zlib
from pathlib import Path

import pytest

from local.stack import Stack
from tests.e2e.client import RuneClient, bearer
from tests.e2e.environment import OTHER_TENANT, TENANT
from tests.e2e.model_server import ModelServer
from tests.e2e.queues import Queues


def read_logs(stack: Stack) -> dict[str, str]:
    """Return every line of every log group, by group."""
    logs = stack.aws.client("logs")
    return {
        group["logGroupName"]: "\n".join(
            event["message"]
            for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"])
            for event in page["events"]
        )
        for group in logs.describe_log_groups()["logGroups"]
    }


def read_table(stack: Stack) -> str:
    pages = stack.aws.client("dynamodb").get_paginator("scan").paginate(TableName=stack.state.table)
    # Cases of suites are compressed.
    return json.dumps(
        [item for page in pages for item in page["Items"]],
        default=lambda body: zlib.decompress(body).decode(),
    )


def read_environments(stack: Stack) -> dict[str, str]:
    functions = stack.aws.client("lambda")
    return {
        role: json.dumps(functions.get_function_configuration(FunctionName=name)["Environment"])
        for role, name in stack.state.functions.items()
    }


def read_deployment(stack: Stack) -> str:
    """Return the stack as CloudFormation shows it, parameters and events included."""
    formation = stack.aws.client("cloudformation")
    (name,) = [
        found["StackName"]
        for found in formation.describe_stacks()["Stacks"]
        if any(output["OutputValue"] == stack.state.api_id for output in found.get("Outputs", []))
    ]
    described = formation.describe_stacks(StackName=name), formation.describe_stack_events(StackName=name)
    return json.dumps(described, default=str)


@pytest.fixture
def _traces(rune: RuneClient, quick: ModelServer, tokens: dict[str, str]) -> None:
    """Leave behind what a token could be found in: a job that has ended, and a caller who was refused."""
    rune.wait_for_end(
        rune.post_benchmark({"question": "Why?", "model": "llama3.1:8b", "backend_url": quick.url})
    )
    refused = rune.http.get("/v1/jobs/none", headers=bearer(tokens[TENANT], OTHER_TENANT))
    assert refused.status_code == 401


@pytest.mark.usefixtures("_traces")
def test_token_is_nowhere_but_with_its_holder(
    stack: Stack, queues: Queues, tokens: dict[str, str], state_path: Path
) -> None:
    logs = read_logs(stack)
    written = state_path.with_suffix(".run").glob("*.log")
    places = {
        **{f"log group {name}": text for name, text in logs.items()},
        **{f"environment of {name}": text for name, text in read_environments(stack).items()},
        **{f"file {path.name}": path.read_text(errors="replace") for path in written},
        "table": read_table(stack),
        "queues": json.dumps(queues.bodies()),
        "deployment": read_deployment(stack),
    }

    assert logs[stack.state.log_groups["worker-inference"]]
    assert "JOB#" in places["table"]
    shown = [
        (place, tenant) for place, text in places.items() for tenant, token in tokens.items() if token in text
    ]
    assert shown == []


def test_only_the_api_is_told_the_hashes(stack: Stack, tokens: dict[str, str]) -> None:
    hashes = [hashlib.sha256(token.encode()).hexdigest() for token in tokens.values()]

    told = {role: [digest in text for digest in hashes] for role, text in read_environments(stack).items()}

    assert {role: set(shown) for role, shown in told.items()} == {
        role: {role == "api"} for role in stack.state.functions
    }
