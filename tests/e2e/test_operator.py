"""The operator's tool, as a process of its own, against the deployed stack."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.deploy import STACK_NAME
from local.settings import ROOT
from local.stack import Stack
from tests.e2e.client import RuneClient, bearer
from tests.e2e.market import Market
from tests.e2e.model_server import ModelServer
from tests.e2e.waiting import wait_until

TENANT, SUSPENDED = "operated", "suspended"
"""Unknown to the API until their tokens are written, so their first calls find them."""
OF_OPS, OF_SUSPENDED = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
SETTINGS_LIMIT_SECONDS = 40.0
type Tool = Callable[..., Any]


@pytest.fixture(scope="module")
def tool(stack: Stack) -> Tool:
    """Return what runs a command, and gives what it prints, as JSON where it is."""
    # Only these variables are passed on, so that no AWS profile of the machine is used.
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    environment = {**kept, **stack.aws.environment(), "PYTHONPATH": "shared", "RUNE_STACK": STACK_NAME}

    def run(*arguments: str, is_json: bool = False) -> Any:  # noqa: ANN401  # JSON
        options = ("--json",) if is_json else ()
        done = subprocess.run(  # noqa: S603  # our own program
            [sys.executable, "-m", "rune_admin", *options, *arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{arguments[:2]}: {done.stderr}"
        return json.loads(done.stdout) if is_json else done.stdout

    return run


def put(tool: Tool, folder: Path, tenant: str, token: str) -> None:
    """Write a tenant's document from a file, as an operator who has made a token elsewhere."""
    file = folder / f"{tenant}.json"
    digest = hashlib.sha256(token.encode()).hexdigest()
    file.write_text(json.dumps({"tokens": {"ops": f"sha256:{digest}"}, "max_machines": 1}))
    assert "version 1" in tool("tenant", "put", tenant, str(file))


@pytest.fixture(scope="module")
def made(tool: Tool, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Make both tenants of files, suspend one, and make a token that may read of the other; return that."""
    folder = tmp_path_factory.mktemp("operator")
    put(tool, folder, TENANT, OF_OPS)
    put(tool, folder, SUSPENDED, OF_SUSPENDED)
    tool("tenant", "suspend", SUSPENDED)
    token: str = tool("token", "create", TENANT, "ci", "--scope", "read", is_json=True)["token"]
    return token


@pytest.fixture(scope="module")
def ci(stack: Stack, made: str) -> Iterator[RuneClient]:
    """Give who has the token that the tool has printed."""
    with RuneClient(stack.state.base_url, bearer(made, TENANT)) as client:
        yield client


@pytest.fixture(scope="module")
def ops(stack: Stack, made: str) -> Iterator[RuneClient]:
    """Give who may do all."""
    with RuneClient(stack.state.base_url, bearer(OF_OPS, TENANT)) as client:
        yield client


@pytest.fixture(scope="module")
def suspended(stack: Stack, made: str) -> Iterator[RuneClient]:
    """Give a tenant that was suspended before its first call."""
    with RuneClient(stack.state.base_url, bearer(OF_SUSPENDED, SUSPENDED)) as client:
        yield client


@pytest.fixture(scope="module")
def _changed(tool: Tool, ci: RuneClient, suspended: RuneClient) -> None:
    """Revoke the one's token and let the other in; it holds within half a minute, while other tests run."""
    assert (status(ci), status(suspended)) == (200, 403)
    tool("token", "revoke", TENANT, "ci")
    tool("tenant", "resume", SUSPENDED)


def status(rune: RuneClient) -> int:
    return rune.http.get("/v1/jobs").status_code


def post(rune: RuneClient, body: Mapping[str, object]) -> httpx.Response:
    return rune.http.post("/v1/jobs/benchmark", json=body)


def test_token_does_what_its_scopes_allow_and_is_listed_with_its_last_use(
    tool: Tool, made: str, ci: RuneClient, quick: ModelServer
) -> None:
    refused = post(ci, {"question": "Why?", "model": "llama3.1:8b", "backend_url": quick.url})

    listed = {each["name"]: each for each in tool("token", "list", TENANT, is_json=True)}

    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    assert listed["ci"]["scopes"] == ["read"]
    # Of the day on which this test began, or of the next one.
    assert listed["ci"]["used_on"] <= datetime.now(UTC).date().isoformat()
    assert listed["ops"]["used_on"] is None
    assert made not in json.dumps(listed)


@pytest.mark.usefixtures("_changed")
def test_tenants_own_stop_ends_its_machine_and_refuses_jobs_until_it_is_taken_back(
    tool: Tool, ops: RuneClient, market: Market, quick: ModelServer
) -> None:
    body = {"question": "Why?", "model": "llama3.1:8b", "backend_url": quick.url}
    job_id = ops.post_benchmark({"question": "Why?", "model": "llama3.1:8b", "vastai": True})
    wait_until(lambda: market.contracts_of(job_id), "a machine is rented", limit_seconds=60.0)
    jobs = [job for job in tool("jobs", is_json=True) if job["tenant"] == TENANT]
    machines = [each for each in tool("machines", is_json=True) if each["tenant"] == TENANT]

    stopped = ops.http.post("/v1/stop")
    refused = post(ops, body)
    wait_until(
        lambda: not [each for each in market.contracts_of(job_id) if each.exists],
        "the machine is destroyed",
        limit_seconds=60.0,
    )
    resumed = ops.http.delete("/v1/stop")
    accepted = post(ops, body)

    assert [job["job_id"] for job in jobs] == [job_id]
    assert [(each["job_id"], each["usd_per_hour"] > 0) for each in machines] == [(job_id, True)]
    assert (stopped.status_code, stopped.json()["stopped_by"]) == (202, "tenant")
    assert (refused.status_code, refused.json()["code"]) == (409, "stopped")
    assert (resumed.status_code, resumed.json()["stopped_by"]) == (200, None)
    assert accepted.status_code == 202


def test_message_that_was_refused_is_shown_with_the_reason(tool: Tool, stack: Stack) -> None:
    body = "no order of an operator"
    url = stack.state.intake_queue_urls["workflow"]
    stack.aws.client("sqs").send_message(QueueUrl=url, MessageBody=body)

    def look() -> list[dict[str, str]]:
        messages = tool("dead-letters", "look", "workflow", is_json=True)
        return [each for each in messages if each["body"] == body]

    (found,) = wait_until(look, "the message was refused", limit_seconds=60.0)

    assert (found["code"], found["way"]) == ("invalid_json", "workflow")


@pytest.mark.usefixtures("_changed")
def test_revoked_token_is_refused_and_resumed_tenant_let_in(
    ci: RuneClient, ops: RuneClient, suspended: RuneClient
) -> None:
    # Each refused token counts against the address of all tests, so the first refusal ends it.
    wait_until(lambda: status(ci) == 401, "the token is refused", limit_seconds=SETTINGS_LIMIT_SECONDS)
    wait_until(lambda: status(suspended) == 200, "the tenant is let in", limit_seconds=SETTINGS_LIMIT_SECONDS)
    assert status(ops) == 200
