"""An agent whose work another server does: however its job ends, that work has ended before."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import partial
from typing import override

import pytest

from rune.agents import registry
from rune.agents.protocol import AgentAnswer, AgentKind, AgentRequest, AgentTokens, nothing_missing
from rune.agents.remote_tasks import RemoteAgent
from rune.errors import ServerUnreachableError
from rune.jobs.record import Kind, Status, StepName
from rune.services.admission.requests import Admitted
from tests.simulation.faults import CALM, Fault
from tests.simulation.requests import QUESTION_JSON
from tests.simulation.timing import Sleep
from tests.simulation.world import World

REQUEST = Admitted(
    Kind.AGENTIC_AGENT, StepName.CHECK_AGENT, json.dumps({**json.loads(QUESTION_JSON), "agent": "distant"})
)
LOOKS = 4
CALL_SECONDS = 3.0


@dataclass
class Distant:
    """Another server. It takes a question once by its key.

    Attributes
    ----------
    refusals
        How many requests to cancel fail before one is taken.
    """

    running: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    looks: int = 0
    cancels: int = 0
    refusals: int = 0


class DistantAgent(RemoteAgent):
    """Its server has the question after half of a call, and then the call may still be lost."""

    def __init__(self, server: Distant) -> None:
        super().__init__("The server")
        self._server = server

    @override
    async def check(self, request: AgentRequest) -> None:
        """Take it as given."""

    @override
    async def submit(self, request: AgentRequest, timeout_seconds: float) -> str:
        await Sleep(CALL_SECONDS / 2)
        if request.job_id not in self._server.seen:
            self._server.seen.add(request.job_id)
            self._server.running.add(request.job_id)
        await Sleep(CALL_SECONDS / 2)
        return request.job_id

    @override
    async def look(self, request: AgentRequest, task_id: str, timeout_seconds: float) -> AgentAnswer | None:
        await Sleep(CALL_SECONDS)
        self._server.looks += 1
        if self._server.looks < LOOKS:
            return None
        self._server.running.discard(task_id)
        return AgentAnswer("Well.", {"agent": "distant"}, AgentTokens(), {})

    @override
    async def cancel(self, task_id: str, timeout_seconds: float) -> None:
        await Sleep(CALL_SECONDS)
        self._server.cancels += 1
        if self._server.cancels <= self._server.refusals:
            raise ServerUnreachableError("Nobody.")
        self._server.running.discard(task_id)

    @override
    async def aclose(self) -> None:
        """Have nothing open."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Distant:
    """The server of the agent `distant`."""
    server = Distant()
    kind = AgentKind(
        "distant",
        "Works elsewhere.",
        frozenset(),
        nothing_missing,
        lambda _settings, _policy: DistantAgent(server),
        works_elsewhere=True,
    )
    monkeypatch.setitem(registry._KINDS, "distant", kind)
    return server


def run_one_job(
    server: Distant,
    planned: dict[int, Fault] | None = None,
    *,
    cancel_seconds: float | None,
    refusals: int = 0,
) -> tuple[World, Status | None]:
    server.__init__(refusals=refusals)  # type: ignore[misc]  # as new
    world = World(0, CALM, planned)
    job_id = world.submit(REQUEST)
    if job_id and cancel_seconds is not None:
        world.plan(cancel_seconds, partial(world.cancel, job_id))
    world.run(until_redelivered=False)
    job = next(iter(world.table.jobs.values()), None)
    return world, job.status if job else None


def test_work_elsewhere_has_ended_whenever_its_job_is_cancelled(server: Distant) -> None:
    _, calm = run_one_job(server, cancel_seconds=None)
    assert (calm, server.cancels) == (Status.SUCCEEDED, 0)
    ends = []
    for half_seconds in range(0, 80, 2):
        world, status = run_one_job(server, cancel_seconds=half_seconds / 2)
        assert (server.running, world.violations) == (set(), []), half_seconds
        ends.append((status, bool(server.seen), server.cancels))

    # Before the question is handed over, while it is there, and after the answer.
    assert set(ends) == {
        (Status.CANCELLED, False, 0),
        (Status.CANCELLED, True, 1),
        (Status.SUCCEEDED, True, 0),
    }


@pytest.mark.parametrize(
    ("cancel_seconds", "refusals"), [(1.0, 0), (4.0, 1), (7.0, 0)], ids=["submit", "wait", "look"]
)
def test_work_elsewhere_has_ended_when_one_thing_goes_wrong_too(
    server: Distant, cancel_seconds: float, refusals: int
) -> None:
    calm, _ = run_one_job(server, cancel_seconds=cancel_seconds, refusals=refusals)
    assert server.cancels == refusals + 1

    broken = []
    for number, (place, faults) in enumerate(calm.cut_points):
        for fault in sorted(faults):
            world, status = run_one_job(
                server, {number: fault}, cancel_seconds=cancel_seconds, refusals=refusals
            )
            flaws = [*world.violations, *(f"{each} runs" for each in server.running)]
            if status not in (Status.CANCELLED, Status.SUCCEEDED, None):
                flaws.append(f"ended {status}")
            broken += [f"{fault} {place} (#{number}): {flaw}" for flaw in flaws]

    assert broken == []


def test_job_ends_although_the_server_cannot_be_reached_any_more(server: Distant) -> None:
    world, status = run_one_job(server, cancel_seconds=20.0, refusals=100)

    assert (status, server.cancels, world.violations) == (Status.CANCELLED, 6, [])
