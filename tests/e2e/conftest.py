"""One environment for all tests here, in one process or in several.

`pytest -n 6 tests/e2e` starts it in the process that starts xdist's workers; every worker is told where it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from xdist.remote import Producer  # type: ignore[import-untyped]  # xdist has no types

from local.emulator import AwsSession
from local.simulators.ollama import OllamaSettings
from local.stack import Stack
from tests.e2e.blocked import BlockedAddress, blocked_address
from tests.e2e.client import RuneClient, bearer
from tests.e2e.environment import (
    COUNTING_TENANT,
    HOOKED_TENANT,
    KEEPING_TENANT,
    TENANT,
    Environment,
    Losses,
    running_environment,
)
from tests.e2e.groups import GroupScheduling, place_of
from tests.e2e.keyed_server import KeyedServer
from tests.e2e.market import Market
from tests.e2e.model_server import ModelServer, model_server
from tests.e2e.queues import Queues

ENVIRONMENT_KEY = pytest.StashKey[tuple[ExitStack, Environment]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test here, give each time to wait for the stack, and put the longest first."""
    own = [item for item in items if Path(__file__).parent in item.path.parents]
    for item in own:
        item.add_marker(pytest.mark.e2e)
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(300))
    others = [item for item in items if item not in own]
    items[:] = others + sorted(own, key=lambda item: place_of(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> GroupScheduling:
    return GroupScheduling(config, log)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Start the environment before there are workers that share it."""
    option = session.config.option
    is_distributing = option.dist != "no" and not hasattr(session.config, "workerinput")
    if not is_distributing or option.collectonly:
        return
    stops = ExitStack()
    folder = session.config._tmp_path_factory.mktemp("stack")  # type: ignore[attr-defined]  # set by pytest itself
    environment = stops.enter_context(running_environment(folder, with_losses=True))
    session.config.stash[ENVIRONMENT_KEY] = stops, environment


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # noqa: ANN401  # xdist names no type
    """Tell a worker where the environment is."""
    _, environment = node.config.stash[ENVIRONMENT_KEY]
    node.workerinput["environment"] = environment.as_plain_data()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stop the environment; raises where it leaves something behind."""
    if ENVIRONMENT_KEY in session.config.stash:
        session.config.stash[ENVIRONMENT_KEY][0].close()


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


@pytest.fixture(scope="package")
def environment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Environment]:
    """Give the environment of the whole run; where one process runs all tests, it is started here."""
    shared = getattr(request.config, "workerinput", {}).get("environment")
    if shared is not None:
        yield Environment.from_plain_data(shared)
        return
    with_losses = any("losses" in getattr(item, "fixturenames", ()) for item in request.session.items)
    with running_environment(tmp_path_factory.mktemp("stack"), with_losses=with_losses) as running:
        yield running


@pytest.fixture(scope="package")
def tokens(environment: Environment) -> dict[str, str]:
    """Return the planted token of each tenant; no other place may show one."""
    return environment.tokens


@pytest.fixture(scope="package")
def state_path(environment: Environment) -> Path:
    return Path(environment.state_path)


@pytest.fixture(scope="package")
def keyed(environment: Environment) -> KeyedServer:
    """Give a model server that wants a key; the stack was told the key."""
    return environment.keyed


@pytest.fixture(scope="package")
def stack(environment: Environment) -> Stack:
    return environment.stack


def client_of(environment: Environment, tenant: str) -> RuneClient:
    return RuneClient(environment.stack.state.base_url, bearer(environment.tokens[tenant], tenant))


@pytest.fixture(scope="package")
def rune(environment: Environment) -> Iterator[RuneClient]:
    with client_of(environment, TENANT) as client:
        yield client


@pytest.fixture(scope="package")
def keeper(environment: Environment) -> Iterator[RuneClient]:
    """Give a tenant whose kept machine no other test may use."""
    with client_of(environment, KEEPING_TENANT) as client:
        yield client


@pytest.fixture(scope="package")
def counter(environment: Environment) -> Iterator[RuneClient]:
    """Give a tenant whose jobs are counted."""
    with client_of(environment, COUNTING_TENANT) as client:
        yield client


@pytest.fixture(scope="package")
def hooked(environment: Environment) -> Iterator[RuneClient]:
    """Give a tenant whose events go to the webhooks of one test file."""
    with client_of(environment, HOOKED_TENANT) as client:
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
def market(environment: Environment) -> Iterator[Market]:
    """Give the simulated Vast.ai at which the stack rents."""
    with Market(environment.vastai_url) as market:
        yield market


@pytest.fixture(scope="package")
def quick() -> Iterator[ModelServer]:
    """Give a simulator that takes no time; three tokens come in a piece, so a count of pieces is no count."""
    settings = OllamaSettings(load_seconds=0.0, output_tokens_per_second=1000.0, tokens_per_chunk=3)
    with model_server(settings) as server:
        yield server


@pytest.fixture(scope="package")
def blocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockedAddress]:
    """Give a stack of its own in which our address is blocked: in the shared one it would block every test."""
    with blocked_address(tmp_path_factory.mktemp("blocked") / "stack.json") as blocked:
        yield blocked


@pytest.fixture(scope="package")
def losses(environment: Environment) -> Losses:
    """Give the jobs whose workers were killed before any other test ran."""
    assert environment.losses is not None
    return environment.losses
