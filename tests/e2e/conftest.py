"""One stack for all tests here: emulator with IAM enforced, the template as built, a simulated model server."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.emulator import REGION, AwsSession, find_function_pids
from local.settings import StackSettings
from local.simulators.ollama import OllamaSettings
from local.stack import Stack, running_stack
from local.state import read_state
from local.tenants import FIELD_TEMPLATE
from tests.e2e.blocked import BlockedAddress, blocked_address
from tests.e2e.client import RuneClient, bearer
from tests.e2e.keyed_server import KeyedServer, keyed_server
from tests.e2e.market import Market
from tests.e2e.model_server import ModelServer, model_server
from tests.e2e.processes import descendants_of, still_alive
from tests.e2e.queues import Queues
from tests.e2e.rental_losses import RentalLoss, lose_workers
from tests.e2e.sweeps import lose_the_worker_of_a_sweep
from tests.e2e.worker_loss import LostWorker, lose_a_worker

TENANT = "default"
OTHER_TENANT = "neighbour"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test here, and give each time to wait for the stack: the first one starts it."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(300))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many statements of the specification hold."""
    folder = f"tests/{Path(__file__).parent.name}/"
    statements = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        if folder in report.nodeid and report.when == "call" and "::test_spec_" in report.nodeid
    ]
    if statements:
        held = sum(report.passed for report in statements)
        terminalreporter.write_line(
            f"\nRUNE API specification: {len(statements)} statements, each with a test of its own; {held} hold"
        )


def tenant_documents(keyed: KeyedServer) -> str:
    """Return what the operator decides; the neighbour has no document."""
    bedrock = {"regions": [REGION], "models": ["anthropic.*"]}
    lab = {"api_key": keyed.api_key, "url": keyed.url}
    document = {"credentials": {"lab": lab}, "bedrock": bedrock, "templates": [FIELD_TEMPLATE]}
    return json.dumps({TENANT: document})


@pytest.fixture(scope="package")
def tokens() -> dict[str, str]:
    """Return the planted token of each tenant; no other place may show one."""
    return {TENANT: secrets.token_urlsafe(32), OTHER_TENANT: secrets.token_urlsafe(32)}


@pytest.fixture(scope="package")
def state_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stack") / "stack.json"


@pytest.fixture(scope="package")
def keyed() -> Iterator[KeyedServer]:
    """Give a model server that wants a key; it is there before the stack, which is told the key."""
    with keyed_server() as server:
        yield server


@pytest.fixture(scope="package")
def stack(tokens: dict[str, str], state_path: Path, keyed: KeyedServer) -> Iterator[Stack]:
    """Run the stack; when it has stopped, nothing of it may be left."""
    settings = StackSettings(
        port=0,
        api_tokens=",".join(f"{tenant}:{token}" for tenant, token in tokens.items()),
        state_path=state_path,
        tenants=tenant_documents(keyed),
    )
    with running_stack(settings) as running:
        yield running
        started = descendants_of(os.getpid())
    assert not still_alive(started)
    assert read_state(state_path) is None
    assert not state_path.exists()


@pytest.fixture(scope="package")
def rune(stack: Stack, tokens: dict[str, str]) -> Iterator[RuneClient]:
    with RuneClient(stack.state.base_url, bearer(tokens[TENANT])) as client:
        yield client


@pytest.fixture(scope="package")
def aws(stack: Stack) -> AwsSession:
    return stack.aws


@pytest.fixture(scope="package")
def queues(stack: Stack) -> Queues:
    return Queues(stack)


@pytest.fixture(scope="package")
def ollama(stack: Stack) -> Iterator[ModelServer]:
    """Give the stack's own simulator, at the speed that people see."""
    server = ModelServer(stack.state.simulators["ollama"])
    yield server
    server.close()


@pytest.fixture(scope="package")
def market(stack: Stack) -> Iterator[Market]:
    """Give the stack's own simulated Vast.ai."""
    market = Market(stack.state.simulators["vastai"])
    yield market
    market.close()


@pytest.fixture(scope="package")
def quick() -> Iterator[ModelServer]:
    """Give a simulator that takes no time; three tokens come in a piece, so a count of pieces is no count."""
    settings = OllamaSettings(load_seconds=0.0, output_tokens_per_second=1000.0, tokens_per_chunk=3)
    with model_server(settings) as server:
        yield server


@pytest.fixture(scope="package")
def blocked(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockedAddress]:
    """Give a stack of its own in which our address is blocked: here it would block every test.

    Named after `stack`, it is gone before that looks at what is left.
    """
    with blocked_address(tmp_path_factory.mktemp("blocked") / "stack.json") as blocked:
        yield blocked


@pytest.fixture(scope="package")
def lost_worker(stack: Stack, rune: RuneClient) -> Iterator[LostWorker]:
    """Give a job whose worker was killed in the middle of the answer."""
    with lose_a_worker(rune, _finder(stack, "worker-inference")) as lost:
        yield lost


@pytest.fixture(scope="package")
def lost_sweep(stack: Stack, rune: RuneClient) -> Iterator[LostWorker]:
    """Give a sweep whose worker was killed in the middle of its second point."""
    with lose_the_worker_of_a_sweep(rune, _finder(stack, "worker-inference")) as lost:
        yield lost


@pytest.fixture(scope="package")
def rental_losses(stack: Stack, rune: RuneClient, market: Market) -> list[RentalLoss]:
    """Give jobs whose workers were killed while they dealt with a rented machine."""
    return lose_workers(rune, market, _finder(stack, "worker-control"))


@pytest.fixture(scope="package", autouse=True)
def _lose_workers_first(request: pytest.FixtureRequest) -> None:
    """Kill before other jobs run, so that it hits no other; while the jobs recover, the tests go on."""
    for fixture in ("lost_sweep", "lost_worker", "rental_losses"):
        if any(fixture in getattr(item, "fixturenames", ()) for item in request.session.items):
            request.getfixturevalue(fixture)


def _finder(stack: Stack, function: str) -> Callable[[], list[int]]:
    """Return what finds the processes of a function."""
    return lambda: find_function_pids(stack.state.pids["emulator"], stack.state.functions[function])
