"""An agent that works in turns, with one fault at every place where one can happen: a crash costs one turn."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import override

import pytest

from rune.agents import registry
from rune.agents.protocol import (
    Agent,
    AgentAnswer,
    AgentKind,
    AgentRequest,
    AgentTokens,
    GoOn,
    Need,
    Turn,
    nothing_missing,
)
from rune.contracts import AgenticAgentResult
from rune.jobs.record import Job, Kind, Status, StepName
from rune.llm.protocol import ChatRequest, Message, OnChunk, Role
from rune.services.admission.requests import Admitted
from tests.simulation.faults import CALM, Fault, Odds
from tests.simulation.requests import QUESTION_JSON
from tests.simulation.world import World

TURNS = 4
LONGEST_RECOVERY_SECONDS = 180.0
DELAYS = (0, 5, 0)
"""After each turn but the last: the next one is taken by the same worker, or comes with a message."""

REQUEST = Admitted(
    Kind.AGENTIC_AGENT, StepName.CHECK_AGENT, json.dumps({**json.loads(QUESTION_JSON), "agent": "counting"})
)
taken: Counter[int] = Counter()
"""How often the model was asked in each turn."""

once_stopped: list[str] = []


class CountingAgent(Agent):
    """Asks the model once a turn, and says at the end in which turns it has."""

    @override
    async def check(self, request: AgentRequest) -> None:
        """Take it as given."""

    @override
    async def take_turn(self, request: AgentRequest, state_json: str | None, on_chunk: OnChunk) -> Turn:
        done: list[int] = [] if state_json is None else json.loads(state_json)
        taken[len(done)] += 1
        assert request.open_model_server is not None
        server = request.open_model_server()
        chat = ChatRequest(request.model, (Message(Role.USER, request.question),), request.timeout_seconds)
        await server.chat(chat, on_chunk)
        done = [*done, len(done)]
        if len(done) == TURNS:
            return AgentAnswer(
                json.dumps(done), {"agent": "counting"}, AgentTokens(total=10), {"model": 12_000}
            )
        return GoOn(
            json.dumps(done),
            {"done": len(done)},
            AgentTokens(total=10),
            {"model": 12_000},
            DELAYS[len(done) - 1],
            {"turn": str(len(done))},
        )

    @override
    async def stop(self, request: AgentRequest, state_json: str) -> AgentAnswer | None:
        once_stopped.append(state_json)
        return AgentAnswer(state_json, {"agent": "counting"}, AgentTokens(), {})

    @override
    async def aclose(self) -> None:
        """Have nothing open."""


@pytest.fixture(autouse=True)
def counting_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = AgentKind(
        "counting",
        "Counts its turns.",
        frozenset({Need.MODEL_SERVER}),
        nothing_missing,
        lambda _settings, _policy: CountingAgent(),
        asks_often=True,
    )
    monkeypatch.setitem(registry._KINDS, "counting", kind)


def run_one_job(planned: dict[int, Fault] | None = None, odds: Odds = CALM, seed: int = 0) -> World:
    taken.clear()
    world = World(seed, odds, planned)
    world.submit(REQUEST)
    return world.run(until_redelivered=False)


def the_job(world: World) -> Job | None:
    return next(iter(world.table.jobs.values()), None)


def flaws(world: World, *, again: int) -> Iterator[str]:
    """Yield what is wrong with a job that nobody cancelled, of which so many turns may have been taken again."""
    yield from world.violations
    job = the_job(world)
    if job is None:
        return
    if job.status is not Status.SUCCEEDED:
        yield f"ended {job.status}: {job.failure}"
        return
    result = AgenticAgentResult.model_validate_json(world.table.result_of(job.job_id) or "")
    if result.answer != "[0, 1, 2, 3]":
        yield f"answered {result.answer}"
    if result.telemetry.tokens.total != 10 * TURNS:
        yield f"counted {result.telemetry.tokens.total} tokens"
    if {"phase": "model", "ms": 12_000 * TURNS} not in [
        each.model_dump() for each in result.telemetry.latency
    ]:
        yield f"took {result.telemetry.latency}"
    if sum(taken.values()) > TURNS + again or max(taken.values()) > 1 + again:
        yield f"asked {dict(taken)}"
    told = [event.labels["turn"] for event in world.table.events_of(job.job_id) if event.name == "agent.turn"]
    if told != ["1", "2", "3"]:
        yield f"events of turns {told}"


def test_every_turn_is_taken_once_when_nothing_happens() -> None:
    world = run_one_job()

    assert [*flaws(world, again=0)] == []
    assert world.model_calls["chat"] == TURNS


def test_one_turn_at_most_is_taken_again_when_one_thing_goes_wrong() -> None:
    calm = run_one_job()
    calm_job = the_job(calm)
    assert calm_job
    assert calm_job.finished_at
    broken, crashes = [], 0
    for number, (place, faults) in enumerate(calm.cut_points):
        for fault in sorted(faults):
            world = run_one_job({number: fault})
            crashes += fault is Fault.CRASH
            broken += [f"{fault} {place} (#{number}): {flaw}" for flaw in flaws(world, again=1)]
            job = the_job(world)
            if job and job.finished_at and fault not in (Fault.DELAY, Fault.PAUSE):
                late_seconds = (job.finished_at - calm_job.finished_at).total_seconds()
                broken += [f"{fault} {place} (#{number}): late"] * (late_seconds > LONGEST_RECOVERY_SECONDS)

    assert broken == []
    assert crashes > 10 * TURNS


@pytest.mark.parametrize("fault", [Fault.DUPLICATE, Fault.LOSE_MESSAGE])
def test_result_is_whole_when_a_crash_meets_another_fault(fault: Fault) -> None:
    odds = Odds(chances={fault: 0.3}, skew_seconds=5.0)
    cut_points = run_one_job().cut_points
    crashes = [number for number, (_, faults) in enumerate(cut_points) if Fault.CRASH in faults][::5]

    broken = {
        number: [*flaws(run_one_job({number: Fault.CRASH}, odds, seed=number), again=20)]
        for number in crashes
    }

    assert {number: found for number, found in broken.items() if found} == {}


def test_every_rule_holds_when_workers_stand_still_again_and_again() -> None:
    odds = Odds(chances={Fault.PAUSE: 0.3}, skew_seconds=5.0)

    assert [
        world.violations for seed in range(10) if (world := run_one_job(None, odds, seed)).violations
    ] == []


def test_cancelled_job_takes_no_other_turn() -> None:
    for seconds in range(14, 60, 3):
        taken.clear()
        world = World()
        job_id = world.submit(REQUEST)
        assert job_id
        world.plan(float(seconds), partial(world.cancel, job_id))

        world.run(until_redelivered=False)

        job = the_job(world)
        assert job
        assert (job.status, world.violations) == (Status.CANCELLED, [])
        assert sum(taken.values()) <= TURNS


def test_job_whose_time_is_over_ends_with_what_its_state_holds() -> None:
    taken.clear()
    once_stopped.clear()
    world = World()
    limited = REQUEST.__class__(
        REQUEST.kind, REQUEST.first_step, REQUEST.request_json, max_runtime=timedelta(seconds=60)
    )
    world.submit(limited)
    # Longer than what is left after two turns, with the third one's answer never coming in time.
    world.odds = Odds(answer_seconds=(25.0, 25.0))

    world.run(until_redelivered=False)

    job = the_job(world)
    assert job
    assert (job.status, world.violations) == (Status.SUCCEEDED, [])
    result = AgenticAgentResult.model_validate_json(world.table.result_of(job.job_id) or "")
    assert result.answer == once_stopped[-1]
    assert json.loads(result.answer) == [*range(len(json.loads(result.answer)))]
    assert 0 < len(json.loads(result.answer)) < TURNS
