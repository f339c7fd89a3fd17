from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import override

import pytest

from rune.agents import registry
from rune.agents.protocol import (
    MAX_STATE_BYTES,
    Agent,
    AgentAnswer,
    AgentKind,
    AgentRequest,
    AgentTokens,
    GoOn,
    Limits,
    Turn,
    nothing_missing,
)
from rune.contracts import AgenticAgentResult
from rune.errors import (
    AddressRefusedError,
    CostCapReachedError,
    InvalidRequestError,
    ModelNotFoundError,
    OutOfMemoryError,
    RequestRejectedError,
    RuneError,
    ServerUnreachableError,
    StreamFailedError,
    UnreadableRowError,
)
from rune.jobs.outcomes import Again, Cancelled, Done, Failed, Next, Note, Outcome
from rune.jobs.record import Job, Kind, StepName
from rune.jobs.step import StepContext
from rune.jobs.transitions import out_of_time
from rune.llm.dialects import Dialect
from rune.llm.protocol import ChatRequest, Message, OnChunk, Role
from rune.net.addresses import AddressPolicy
from rune.tenants.document import HolmesSettings, TenantAgents
from rune.tenants.settings import FixedTenants, TenantSettings
from rune.workflows.agent import AgenticAgent
from rune.workflows.model_servers import Backends
from tests.builders import NOW, FakeClock, a_claimed_job
from tests.fake_model_server import FakeModelServer
from tests.measuring import MemoryRecords
from tests.tenant_builders import tenants_with
from tests.unit.llm.asking import LOOPBACK
from tests.unit.llm.scripted_server import Script, ScriptedServer, serve, whole
from tests.unit.workflows.turns import URL, a_context, run

QUESTION = "What is unhealthy in this Kubernetes cluster?"
STEPS = [StepName.CHECK_AGENT, StepName.RUN_AGENT]
NO_AGENTS = FixedTenants()


def a_turn(left_seconds: float = 600.0, **request: object) -> StepContext:
    return a_context(Kind.AGENTIC_AGENT, left_seconds, **request)


def run_with(
    server: FakeModelServer,
    step: StepName,
    context: StepContext | None = None,
    tenants: FixedTenants = NO_AGENTS,
    policy: AddressPolicy = LOOPBACK,
) -> Outcome:
    return run(
        AgenticAgent(Backends(server.open, None), tenants, policy, FakeClock()).steps,
        step,
        context or a_turn(),
    )


def document_of(outcome: Outcome) -> dict[str, object]:
    assert isinstance(outcome, Done)
    AgenticAgentResult.model_validate_json(outcome.result_json)
    document: dict[str, object] = json.loads(outcome.result_json)
    return document


def test_agentic_agent_has_the_steps_that_are_its_own() -> None:
    assert set(
        AgenticAgent(Backends(FakeModelServer().open, None), NO_AGENTS, LOOPBACK, FakeClock()).steps
    ) == set(STEPS)


# The agent `ask`.


@pytest.mark.parametrize("backend_type", ["ollama", "openai"])
@pytest.mark.parametrize("step", STEPS)
def test_ask_opens_the_requests_server_and_closes_it(step: StepName, backend_type: str) -> None:
    server = FakeModelServer()

    run_with(server, step, a_turn(backend_type=backend_type))

    assert (server.opened, server.close_count) == ([(backend_type, URL)], 1)


@pytest.mark.parametrize("error", [ServerUnreachableError("Nobody."), OutOfMemoryError("Full.")], ids=repr)
@pytest.mark.parametrize("step", STEPS)
def test_ask_closes_the_server_when_it_fails(step: StepName, error: RuneError) -> None:
    server = FakeModelServer(error=error)

    with pytest.raises(type(error)):
        run_with(server, step)

    assert server.close_count == 1


@pytest.mark.parametrize(
    ("warmup", "following"), [(True, StepName.WARM_UP), (False, StepName.RUN_AGENT)], ids=["warm", "cold"]
)
def test_check_goes_on_when_the_server_has_the_model(*, warmup: bool, following: StepName) -> None:
    server = FakeModelServer()

    assert run_with(server, StepName.CHECK_AGENT, a_turn(backend_warmup=warmup)) == Next(following)
    assert (server.warm_ups, server.chats) == ([], [])


@pytest.mark.parametrize("step", STEPS)
def test_ask_fails_when_the_server_does_not_have_the_model(step: StepName) -> None:
    server = FakeModelServer(models=("llama3.1:70b",))

    with pytest.raises(ModelNotFoundError, match=r"does not have the model 'llama3\.1:8b'"):
        run_with(server, step)

    assert server.chats == []


TIMES = [
    # asked, left, warmed up; timeout, idle timeout
    (600, 870, True, 600, 60),
    (600, 870, False, 600, 600),
    (840, 600, True, 595, 60),
    (840, 600, False, 595, 595),
    (10, 4, True, 1, 60),
]


@pytest.mark.parametrize(("asked", "left_seconds", "warmup", "timeout", "idle"), TIMES)
def test_run_sends_the_question_within_the_time_there_is(
    asked: int, left_seconds: float, *, warmup: bool, timeout: float, idle: float
) -> None:
    server = FakeModelServer()

    run_with(server, StepName.RUN_AGENT, a_turn(left_seconds, timeout_seconds=asked, backend_warmup=warmup))

    assert server.chats == [
        ChatRequest(
            "llama3.1:8b",
            (Message(Role.USER, QUESTION),),
            timeout_seconds=timeout,
            idle_timeout_seconds=idle,
        )
    ]


def test_run_shows_how_far_the_answer_is() -> None:
    context = a_turn()

    run_with(FakeModelServer(), StepName.RUN_AGENT, context)

    assert context.progress == {"chunks": 3}


PHASES_BEFORE = [
    ({"check_agent": 12, "load": 900, "first_token": 30}, "after a warm-up"),
    ({"check_agent": 12}, "without a warm-up"),
]


@pytest.mark.parametrize("before", [row[0] for row in PHASES_BEFORE], ids=[row[1] for row in PHASES_BEFORE])
def test_run_returns_the_result_that_clients_read(before: dict[str, int]) -> None:
    context = a_turn(backend_warmup="load" in before)
    context.job = a_claimed_job(kind=Kind.AGENTIC_AGENT, phases_ms=before)

    result = document_of(run_with(FakeModelServer(), StepName.RUN_AGENT, context))

    assert result == {
        "answer": "Two pods crash.",
        "result_type": "text",
        "artifacts": None,
        "metadata": {"agent": "ask", "token_count_source": "usage", "model": "llama3.1:8b"},
        "telemetry": {
            "tokens": {
                "system_prompt": 0,
                "tool_calls": 0,
                "agent_reasoning": 6,
                "output": 15,
                "total": 33,
            },
            "latency": [
                *({"phase": phase, "ms": ms} for phase, ms in before.items()),
                {"phase": "ask", "ms": 1100},
            ],
            "cost_estimate_usd": None,
        },
    }


# Agents in general.


NOTHING = AgentAnswer("Nothing.", {"agent": "fake"}, AgentTokens(), {"look": 3, "ask": 4})


@dataclass
class FakeAgent(Agent):
    """Answers at once, or raises `error`; keeps what it was asked, and with which settings it was opened."""

    error: RuneError | None = None
    answer: AgentAnswer = NOTHING
    turns: list[GoOn] = field(default_factory=list)
    partial: AgentAnswer | None = None
    opened: list[tuple[TenantAgents, AddressPolicy]] = field(default_factory=list)
    checked: list[AgentRequest] = field(default_factory=list)
    asked: list[AgentRequest] = field(default_factory=list)
    states: list[str | None] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    ended: list[str | None] = field(default_factory=list)
    ends: list[str | RuneError] = field(default_factory=list)
    """Of `end_elsewhere`, one after another: what it raises, or the state that it leaves; then it has ended."""
    close_count: int = 0

    def open(self, settings: TenantAgents, policy: AddressPolicy) -> FakeAgent:
        self.opened.append((settings, policy))
        return self

    @override
    async def check(self, request: AgentRequest) -> None:
        self.checked.append(request)
        self._fail()

    @override
    async def take_turn(self, request: AgentRequest, state_json: str | None, on_chunk: OnChunk) -> Turn:
        self.asked.append(request)
        self.states.append(state_json)
        self._fail()
        return self.turns.pop(0) if self.turns else self.answer

    @override
    async def stop(self, request: AgentRequest, state_json: str) -> AgentAnswer | None:
        self.stopped.append(state_json)
        return self.partial

    @override
    async def end_elsewhere(self, request: AgentRequest, state_json: str | None) -> str | None:
        self.ended.append(state_json)
        end = self.ends.pop(0) if self.ends else None
        if isinstance(end, RuneError):
            raise end
        return end

    @override
    async def aclose(self) -> None:
        self.close_count += 1

    def _fail(self) -> None:
        if self.error:
            raise self.error


def kind_of(agent: FakeAgent, *, works_elsewhere: bool = False) -> AgentKind:
    return AgentKind(
        "fake", "Is not real.", frozenset(), nothing_missing, agent.open, works_elsewhere=works_elsewhere
    )


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> FakeAgent:
    """An agent with a server of its own, known as `fake`."""
    agent = FakeAgent()
    monkeypatch.setitem(registry._KINDS, "fake", kind_of(agent))
    return agent


@pytest.mark.parametrize("step", STEPS)
def test_agent_is_opened_with_its_tenants_settings_and_closed(step: StepName, agent: FakeAgent) -> None:
    holmes = TenantAgents(holmes=HolmesSettings(base_url="http://1.1.1.1"))
    tenants = FixedTenants({"acme": TenantSettings(agents=holmes)})

    context = a_turn(agent="fake")
    context.job = a_claimed_job(kind=Kind.AGENTIC_AGENT, tenant="acme")

    run_with(FakeModelServer(), step, context, tenants)

    assert (agent.opened, agent.close_count) == ([(holmes, LOOPBACK)], 1)


@pytest.mark.parametrize("step", STEPS)
def test_agent_is_closed_when_it_fails(step: StepName, agent: FakeAgent) -> None:
    agent.error = ServerUnreachableError("Nobody.")

    with pytest.raises(ServerUnreachableError):
        run_with(FakeModelServer(), step, a_turn(agent="fake"))

    assert agent.close_count == 1


@pytest.mark.parametrize("warmup", [True, False])
def test_check_warms_nothing_up_when_the_agent_has_a_server_of_its_own(
    agent: FakeAgent, *, warmup: bool
) -> None:
    outcome = run_with(
        FakeModelServer(),
        StepName.CHECK_AGENT,
        a_turn(agent="fake", backend_url=None, backend_warmup=warmup),
    )

    assert outcome == Next(StepName.RUN_AGENT)
    assert (len(agent.checked), agent.asked) == (1, [])


@pytest.mark.parametrize("step", STEPS)
def test_agent_is_given_no_model_server_when_the_job_names_none(step: StepName, agent: FakeAgent) -> None:
    server = FakeModelServer()

    run_with(server, step, a_turn(agent="fake", backend_url=None, timeout_seconds=90, backend_warmup=False))

    limits = Limits(max_turns=20, max_tool_calls=60, max_tokens=500_000, seconds=3600.0)
    asked = AgentRequest(
        QUESTION,
        "llama3.1:8b",
        90.0,
        tenant="default",
        job_id=a_claimed_job().job_id,
        limits=limits,
        seconds_left=3600.0,
    )
    assert [*agent.checked, *agent.asked] == [asked]
    assert server.opened == []


def test_run_keeps_artifacts_tokens_and_phases_of_the_answer(agent: FakeAgent) -> None:
    agent.answer = replace(
        agent.answer,
        artifacts=({"type": "tool_call", "tool_name": "kubectl"},),
        tokens=AgentTokens(1, 2, 3, 4, 15),
    )

    result = document_of(run_with(FakeModelServer(), StepName.RUN_AGENT, a_turn(agent="fake")))

    assert result == {
        "answer": "Nothing.",
        "result_type": "text",
        "artifacts": [{"type": "tool_call", "tool_name": "kubectl"}],
        "metadata": {"agent": "fake", "model": "llama3.1:8b"},
        "telemetry": {
            "tokens": {
                "system_prompt": 1,
                "tool_calls": 2,
                "agent_reasoning": 3,
                "output": 4,
                "total": 15,
            },
            "latency": [{"phase": "look", "ms": 3}, {"phase": "ask", "ms": 4}],
            "cost_estimate_usd": None,
        },
    }


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(("name", "code"), [("k8sgpt", "agent_unknown"), ("holmes", "agent_not_configured")])
def test_step_refuses_an_agent_that_the_tenant_no_longer_has(step: StepName, name: str, code: str) -> None:
    others = tenants_with({"agents": {"holmes": {"base_url": "http://127.0.0.1:1"}}}, "acme")

    with pytest.raises(InvalidRequestError) as caught:
        run_with(FakeModelServer(), step, a_turn(agent=name), others)

    assert caught.value.specific_code == code


# Agents that work in turns.

ENDED = a_claimed_job(kind=Kind.AGENTIC_AGENT, deadline_at=NOW)
FIRST = GoOn('{"calls": 1}', {"calls": 1}, AgentTokens(1, 2, 3, 4, 10), {"model": 5}, 7, {"turn": "1"})


def go_on(agent: FakeAgent, turn: GoOn = FIRST) -> Again:
    agent.turns.append(turn)
    outcome = run_with(FakeModelServer(), StepName.RUN_AGENT, a_turn(agent="fake"))
    assert isinstance(outcome, Again)
    return outcome


def a_later_turn(agent: FakeAgent, job: Job | None = None) -> StepContext:
    context = a_turn(agent="fake")
    context.job = job or context.job
    context.state_json = go_on(agent).state_json
    return context


def test_turn_that_goes_on_leaves_its_state_its_progress_and_its_event(agent: FakeAgent) -> None:
    outcome = go_on(agent)

    assert outcome == Again(
        7, {"turns": 1, "calls": 1}, state_json=outcome.state_json, notes=(Note("agent.turn", {"turn": "1"}),)
    )


def test_turn_without_labels_leaves_no_event(agent: FakeAgent) -> None:
    assert go_on(agent, GoOn("{}")).notes == ()


def test_next_turn_gets_the_state_and_its_costs_are_added(agent: FakeAgent) -> None:
    agent.answer = replace(
        NOTHING,
        tokens=AgentTokens(1, 1, 1, 1, 5),
        phases_ms={"tools": 2, "model": 6},
        result_type="structured",
    )

    result = document_of(run_with(FakeModelServer(), StepName.RUN_AGENT, a_later_turn(agent)))

    assert agent.states == [None, '{"calls": 1}']
    assert result["result_type"] == "structured"
    assert result["telemetry"] == {
        "tokens": {"system_prompt": 2, "tool_calls": 3, "agent_reasoning": 4, "output": 5, "total": 15},
        "latency": [{"phase": "model", "ms": 11}, {"phase": "tools", "ms": 2}],
        "cost_estimate_usd": None,
    }


def test_state_that_is_too_large_fails_the_job(agent: FakeAgent) -> None:
    agent.turns.append(GoOn("x" * (MAX_STATE_BYTES + 1)))

    outcome = run_with(FakeModelServer(), StepName.RUN_AGENT, a_turn(agent="fake"))

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("agent_state_too_large", False)


@pytest.mark.parametrize("is_out_of_time", [True, False], ids=["time", "money"])
def test_agent_is_stopped_with_what_it_has_when_time_or_money_is_over(
    agent: FakeAgent, *, is_out_of_time: bool
) -> None:
    context = a_later_turn(agent, ENDED if is_out_of_time else None)
    agent.partial, agent.error = replace(NOTHING, answer="So far."), CostCapReachedError()

    result = document_of(run_with(FakeModelServer(), StepName.RUN_AGENT, context))

    assert (result["answer"], agent.stopped) == ("So far.", ['{"calls": 1}'])
    assert len(agent.asked) == (1 if is_out_of_time else 2)


def test_job_fails_as_others_when_its_time_is_over_and_the_agent_has_nothing(agent: FakeAgent) -> None:
    over = replace(out_of_time(ENDED), is_final=True)
    begun = a_turn(agent="fake")
    begun.job = ENDED

    assert run_with(FakeModelServer(), StepName.RUN_AGENT, begun) == over
    assert agent.asked == []
    assert run_with(FakeModelServer(), StepName.RUN_AGENT, a_later_turn(agent, ENDED)) == over
    assert agent.stopped == ['{"calls": 1}']


CANCELLED = a_claimed_job(kind=Kind.AGENTIC_AGENT, cancel_requested_at=NOW)


def test_cancelled_job_asks_its_agent_nothing_more(agent: FakeAgent) -> None:
    begun = a_turn(agent="fake")
    begun.job = CANCELLED

    assert run_with(FakeModelServer(), StepName.RUN_AGENT, begun) == Cancelled()
    assert run_with(FakeModelServer(), StepName.RUN_AGENT, a_later_turn(agent, CANCELLED)) == Cancelled()
    assert (agent.stopped, agent.ended, len(agent.asked)) == ([], [], 1)


# Work of another server.


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> FakeAgent:
    """An agent whose work another server does, known as `fake`."""
    agent = FakeAgent()
    monkeypatch.setitem(registry._KINDS, "fake", kind_of(agent, works_elsewhere=True))
    return agent


SUSPENDED = Failed("tenant_suspended", "The tenant is suspended.", retryable=False)
ENDED_NOTE = Note("agent.end", {"try": "1"})


@pytest.mark.parametrize(
    ("job", "forced", "end"),
    [
        (CANCELLED, None, Cancelled((ENDED_NOTE,))),
        (ENDED, None, replace(out_of_time(ENDED), is_final=True, notes=(ENDED_NOTE,))),
        (None, SUSPENDED, replace(SUSPENDED, notes=(ENDED_NOTE,))),
    ],
    ids=["cancelled", "out of time", "suspended"],
)
def test_work_elsewhere_is_ended_with_its_job(
    remote: FakeAgent, job: Job | None, forced: Failed | None, end: Outcome
) -> None:
    context = a_later_turn(remote, job)
    context.ends_with = forced

    assert run_with(FakeModelServer(), StepName.RUN_AGENT, context) == end
    assert (remote.ended, len(remote.asked)) == (['{"calls": 1}'], 1)


def test_end_elsewhere_is_asked_for_again_until_it_is_known(remote: FakeAgent) -> None:
    remote.ends = [ServerUnreachableError("Nobody."), '{"calls": 2}']
    context = a_later_turn(remote, CANCELLED)

    delays = []
    while isinstance(outcome := run_with(FakeModelServer(), StepName.RUN_AGENT, context), Again):
        delays.append(outcome.delay_seconds)
        context.state_json = outcome.state_json

    assert outcome == Cancelled((Note("agent.end", {"try": "3"}),))
    assert remote.ended == ['{"calls": 1}', '{"calls": 1}', '{"calls": 2}']
    assert delays == [2, 5]


@pytest.mark.parametrize(
    ("error", "tries"), [(ServerUnreachableError("Nobody."), 6), (RequestRejectedError("No."), 1)], ids=repr
)
def test_job_ends_although_work_elsewhere_may_go_on(
    remote: FakeAgent, error: RuneError, tries: int, caplog: pytest.LogCaptureFixture
) -> None:
    remote.ends = [error] * 9
    context = a_later_turn(remote, CANCELLED)

    while isinstance(outcome := run_with(FakeModelServer(), StepName.RUN_AGENT, context), Again):
        context.state_json = outcome.state_json

    assert outcome == Cancelled((Note("agent.end", {"try": str(tries)}, error.code),))
    assert (len(remote.ended), caplog.messages) == (tries, ["agent.may_work_on"])


def test_work_elsewhere_is_ended_before_its_job_fails(remote: FakeAgent) -> None:
    context = a_later_turn(remote)
    remote.error, remote.ends = StreamFailedError("Lost."), [ServerUnreachableError("Nobody.")]

    again = run_with(FakeModelServer(), StepName.RUN_AGENT, context)
    assert isinstance(again, Again)
    context.state_json = again.state_json

    assert run_with(FakeModelServer(), StepName.RUN_AGENT, context) == Failed(
        "stream_failed",
        "Lost.",
        retryable=False,
        is_final=True,
        notes=(Note("agent.end", {"try": "2"}),),
    )


def test_turn_that_may_be_tried_again_ends_nothing(remote: FakeAgent) -> None:
    context = a_later_turn(remote)
    remote.error = ServerUnreachableError("Nobody.")

    with pytest.raises(ServerUnreachableError):
        run_with(FakeModelServer(), StepName.RUN_AGENT, context)
    assert remote.ended == []


@pytest.mark.parametrize(("attempts", "ended"), [(1, []), (2, [None])])
def test_question_that_a_lost_worker_may_have_handed_over_is_ended(
    remote: FakeAgent, attempts: int, ended: list[str | None]
) -> None:
    context = a_turn(agent="fake")
    context.job = replace(CANCELLED, attempts=attempts)

    outcome = run_with(FakeModelServer(), StepName.RUN_AGENT, context)

    assert isinstance(outcome, Cancelled)
    assert remote.ended == ended


def test_only_the_handing_over_is_not_broken_off(remote: FakeAgent) -> None:
    first, later = a_turn(agent="fake"), a_later_turn(remote)

    for context in (first, later):
        run_with(FakeModelServer(), StepName.RUN_AGENT, context)

    assert (first.breaks_off, first.works_elsewhere) == (False, False)
    assert (later.breaks_off, later.works_elsewhere) == (True, True)


def test_result_names_no_model_that_was_not_asked(agent: FakeAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._KINDS, "fake", replace(kind_of(agent), takes_model=False))

    result = document_of(run_with(FakeModelServer(), StepName.RUN_AGENT, a_turn(agent="fake")))

    assert result["metadata"] == {"agent": "fake"}


def test_money_that_is_over_fails_the_job_when_the_agent_has_nothing(agent: FakeAgent) -> None:
    context = a_later_turn(agent)
    agent.error = CostCapReachedError()

    with pytest.raises(CostCapReachedError):
        run_with(FakeModelServer(), StepName.RUN_AGENT, context)


@pytest.mark.parametrize(("left_seconds", "is_final"), [(5, True), (6, False)])
def test_failure_of_the_only_turn_is_told_when_no_other_try_has_time(
    agent: FakeAgent, left_seconds: int, *, is_final: bool
) -> None:
    context = a_turn(agent="fake")
    context.job = a_claimed_job(kind=Kind.AGENTIC_AGENT, deadline_at=NOW + timedelta(seconds=left_seconds))
    agent.error = ServerUnreachableError("Nobody.")

    if is_final:
        outcome = run_with(FakeModelServer(), StepName.RUN_AGENT, context)
        assert outcome == replace(Failed.from_error(agent.error), is_final=True)
    else:
        with pytest.raises(ServerUnreachableError):
            run_with(FakeModelServer(), StepName.RUN_AGENT, context)


@pytest.mark.parametrize("is_lost", [False, True], ids=["stored", "not stored"])
def test_transcript_becomes_a_file_that_the_result_names(agent: FakeAgent, *, is_lost: bool) -> None:
    files = MemoryRecords(is_down=is_lost)
    agent.answer = replace(agent.answer, transcript='{"role": "user"}\n')
    steps = AgenticAgent(
        Backends(FakeModelServer().open, None), NO_AGENTS, LOOPBACK, FakeClock(), files
    ).steps
    context = a_turn(agent="fake")

    result = document_of(run(steps, StepName.RUN_AGENT, context))

    name = f"transcript-{context.job.epoch}.jsonl"
    key = f"results/{context.job.job_id}/artifacts/{name}"
    if is_lost:
        assert "transcript_warning" in str(result["metadata"])
        assert "transcript" not in str(result["artifacts"])
    else:
        assert {"type": "transcript", "file": name} in result["artifacts"]  # type: ignore[operator]
        assert files.files == {key: '{"role": "user"}\n'}


def test_agent_begins_again_when_it_no_longer_understands_its_state(
    agent: FakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = a_later_turn(agent)
    monkeypatch.setitem(
        registry._KINDS, "fake", replace(kind_of(agent), state_version=3, oldest_state_version=2)
    )

    result = document_of(run_with(FakeModelServer(), StepName.RUN_AGENT, context))

    assert agent.states == [None, None]
    assert '"total": 10' in json.dumps(result)


def test_state_of_a_later_version_is_left_to_that_version(
    agent: FakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = a_later_turn(agent)
    monkeypatch.setitem(
        registry._KINDS, "fake", replace(kind_of(agent), state_version=0, oldest_state_version=0)
    )

    with pytest.raises(UnreadableRowError):
        run_with(FakeModelServer(), StepName.RUN_AGENT, context)


class LearningServer(FakeModelServer):
    """Learns that `seed` is refused."""

    dialect = Dialect()

    def speak(self, dialect: Dialect) -> None:
        self.spoken = dialect

    async def has_model(self, model: str) -> bool | None:
        self.dialect = Dialect(left_out=("seed",))
        return await super().has_model(model)


class ServerAgent(FakeAgent):
    """Looks for its model in each turn."""

    async def take_turn(self, request: AgentRequest, state_json: str | None, on_chunk: OnChunk) -> Turn:
        assert request.open_model_server is not None
        await request.open_model_server().has_model(request.model)
        return FIRST


def test_what_was_learnt_of_the_server_is_kept_for_the_next_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._KINDS, "fake", kind_of(ServerAgent()))
    server = LearningServer()

    outcome = run_with(server, StepName.RUN_AGENT, a_turn(agent="fake"))
    assert isinstance(outcome, Again)
    later = a_turn(agent="fake")
    later.state_json = outcome.state_json
    run_with(server, StepName.RUN_AGENT, later)

    assert server.spoken == Dialect(left_out=("seed",))


# The agent `holmes`.

MODELS = whole(200, {"model_name": '["fast", "accurate"]'})
INVESTIGATION = {
    "analysis": "Nothing is unhealthy.",
    "tool_calls": [
        {
            "tool_name": "kubectl_logs",
            "description": "kubectl logs demo",
            "result": {"status": "success", "data": "a secret of the cluster"},
        }
    ],
    "metadata": {"usage": {"prompt_tokens": 2500, "completion_tokens": 150, "total_tokens": 2650}},
}


def run_with_holmes(
    step: StepName, *scripts: Script, policy: AddressPolicy = LOOPBACK
) -> tuple[Outcome, ScriptedServer]:
    async def go() -> tuple[Outcome, ScriptedServer]:
        async with serve(*scripts) as server:
            tenants = tenants_with({"agents": {"holmes": {"base_url": server.url}}})
            steps = AgenticAgent(Backends(FakeModelServer().open, None), tenants, policy, FakeClock()).steps
            context = a_turn(agent="holmes", model="fast", backend_url=None)
            context.job = a_claimed_job(kind=Kind.AGENTIC_AGENT, phases_ms={"check_agent": 12}, step=step)
            return await steps[step](context), server

    return asyncio.run(go())


def test_check_goes_on_to_the_agent_when_holmes_knows_the_model() -> None:
    outcome, _ = run_with_holmes(StepName.CHECK_AGENT, [MODELS])

    assert outcome == Next(StepName.RUN_AGENT)


def test_check_fails_when_holmes_does_not_know_the_model() -> None:
    with pytest.raises(ModelNotFoundError):
        run_with_holmes(StepName.CHECK_AGENT, [whole(200, {"model_name": '["slow"]'})])


def test_run_returns_what_holmes_found_and_which_tools_it_used() -> None:
    outcome, server = run_with_holmes(StepName.RUN_AGENT, [MODELS], [whole(200, INVESTIGATION)])

    result = document_of(outcome)
    asked_ms = json.loads(json.dumps(result))["telemetry"]["latency"][-1]["ms"]
    assert server.requests[-1].body == {"ask": QUESTION, "model": "fast", "stream": True}
    assert result == {
        "answer": "Nothing is unhealthy.",
        "result_type": "text",
        "artifacts": [
            {
                "type": "tool_call",
                "tool_name": "kubectl_logs",
                "description": "kubectl logs demo",
                "status": "success",
            }
        ],
        "metadata": {
            "agent": "holmes",
            "holmes_model": "fast",
            "tool_call_count": "1",
            "token_count_source": "usage",
            "model": "fast",
        },
        "telemetry": {
            "tokens": {
                "system_prompt": 0,
                "tool_calls": 0,
                "agent_reasoning": 0,
                "output": 150,
                "total": 2650,
            },
            "latency": [{"phase": "check_agent", "ms": 12}, {"phase": "ask", "ms": asked_ms}],
            "cost_estimate_usd": None,
        },
    }


@pytest.mark.parametrize("step", STEPS)
def test_step_refuses_holmes_when_the_operator_does_not_allow_its_address(step: StepName) -> None:
    with pytest.raises(AddressRefusedError):
        run_with_holmes(step, policy=AddressPolicy())
