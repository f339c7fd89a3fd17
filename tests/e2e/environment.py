"""What all tests here share: one stack and what stands beside it, for tests in one process or in several."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import TypeAdapter

from local.emulator import REGION, AwsSession, find_function_pids
from local.settings import StackSettings
from local.stack import Stack, running_stack
from local.state import StackState, read_state
from local.tenants import ALLOWED_TEMPLATES, CLUSTER
from tests.e2e.client import RuneClient, bearer
from tests.e2e.keyed_server import KeyedServer, keyed_server
from tests.e2e.market import Market, simulated_market
from tests.e2e.processes import Process, descendants_of, list_processes, still_alive
from tests.e2e.rental_losses import RentalLoss, lose_workers
from tests.e2e.worker_loss import LostWorker, lose_inference_workers

TENANT = "default"
OTHER_TENANT = "neighbour"
FIELD_TENANT = "field"
FIELD_KEEPING_TENANT = "field-keeper"
KEEPING_TENANT = "keeper"
"""Of tests that keep a machine, like the one before: it would serve every other rental of its tenant."""
COUNTING_TENANT = "counter"
"""Of a test that counts all its jobs."""
HOOKED_TENANT = "hooked"
"""Its webhooks get all its events, so no other test posts jobs for it."""
TENANTS = (
    TENANT,
    OTHER_TENANT,
    FIELD_TENANT,
    FIELD_KEEPING_TENANT,
    KEEPING_TENANT,
    COUNTING_TENANT,
    HOOKED_TENANT,
)


@dataclass(frozen=True, slots=True)
class Losses:
    """Jobs whose workers are dead; they recover while the tests run."""

    worker: LostWorker
    sweep: LostWorker
    rentals: list[RentalLoss]


@dataclass(frozen=True, slots=True)
class Environment:
    """Where everything is; plain data, so that other processes can be told.

    Attributes
    ----------
    tokens
        The planted token of each tenant; no other place may show one.
    losses
        None where no test looks at them.
    """

    state_path: str
    tokens: dict[str, str]
    keyed: KeyedServer
    vastai_url: str
    losses: Losses | None = None

    @property
    def stack(self) -> Stack:
        """The running stack, without its processes."""
        state = read_state(Path(self.state_path))
        assert state is not None, "the stack has ended"
        return Stack(state, AwsSession(state.emulator_url), ())

    def as_plain_data(self) -> dict[str, Any]:
        """Return the environment as built-in types, as xdist sends them."""
        return asdict(self)

    @classmethod
    def from_plain_data(cls, data: Mapping[str, Any]) -> Self:
        """Return what `as_plain_data` gave."""
        return TypeAdapter(cls).validate_python(data)


RUNNING_JOBS = 16
"""Tests of several processes share the stack, and their jobs shall not wait for one another."""


@contextmanager
def running_environment(folder: Path, *, with_losses: bool) -> Iterator[Environment]:
    """Run the stack and what stands beside it; when it has stopped, nothing of it may be left.

    Parameters
    ----------
    with_losses
        Whether to kill workers, before any test can have a job of its own on them.
    """
    state_path = folder / "stack.json"
    tokens = {tenant: secrets.token_urlsafe(32) for tenant in TENANTS}
    with ExitStack() as stops:
        keyed = stops.enter_context(keyed_server())
        vastai_key = secrets.token_urlsafe(24)
        vastai_url = stops.enter_context(simulated_market(vastai_key))
        settings = StackSettings(
            port=0,
            api_tokens=",".join(f"{tenant}:{token}" for tenant, token in tokens.items()),
            state_path=state_path,
            running_jobs=RUNNING_JOBS,
            tenants=tenant_documents(keyed),
            vastai_api_url=vastai_url,
            vastai_api_key=vastai_key,
        )
        stack = stops.enter_context(running_stack(settings))
        started = processes_of(stack.state)
        environment = Environment(str(state_path), tokens, keyed, vastai_url)
        if with_losses:
            losses = stops.enter_context(lose_every_worker(environment))
            environment = Environment(str(state_path), tokens, keyed, vastai_url, losses)
        yield environment
        started = processes_of(stack.state)
    assert not still_alive(started)
    assert read_state(state_path) is None
    assert not state_path.exists()


def tenant_documents(keyed: KeyedServer) -> str:
    """Return what the operator decides; the other tenants have no document."""
    bedrock = {"regions": [REGION], "models": ["anthropic.*"]}
    lab = {"api_key": keyed.api_key, "url": keyed.url}
    templates = {"templates": [*ALLOWED_TEMPLATES]}
    document = {"credentials": {"lab": lab}, "bedrock": bedrock, "clusters": {CLUSTER: {}}, **templates}
    return json.dumps({TENANT: document, FIELD_TENANT: templates, FIELD_KEEPING_TENANT: templates})


def processes_of(state: StackState) -> list[Process]:
    """Return the stack's processes other than our own, and what those started."""
    running = list_processes()
    roots = [pid for pid in state.pids.values() if pid != os.getpid()]
    return [process for pid in roots for process in (running[pid], *descendants_of(pid))]


@contextmanager
def lose_every_worker(environment: Environment) -> Iterator[Losses]:
    """Kill workers of either lane in the middle of jobs; the jobs' model servers live as long as the block."""
    state = environment.stack.state

    def find_workers(lane: str) -> list[int]:
        return find_function_pids(state.pids["emulator"], state.functions[f"worker-{lane}"])

    with (
        RuneClient(state.base_url, bearer(environment.tokens[TENANT])) as rune,
        Market(environment.vastai_url) as market,
        lose_inference_workers(rune, lambda: find_workers("inference")) as (worker, sweep),
    ):
        yield Losses(worker, sweep, lose_workers(rune, market, lambda: find_workers("money")))
