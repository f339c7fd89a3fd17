from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from typing import override

import pytest

from rune.agents import registry
from rune.agents.protocol import Agent, AgentAnswer, AgentKind, AgentRequest, AgentTokens
from rune.contracts import AgenticAgentResult
from rune.errors import (
    AddressRefusedError,
    InvalidRequestError,
    ModelNotFoundError,
    OutOfMemoryError,
    RuneError,
    ServerUnreachableError,
)
from rune.jobs.outcomes import Done, Next, Outcome
from rune.jobs.record import Kind, StepName
from rune.jobs.step import StepContext
from rune.llm.protocol import ChatRequest, Message, OnChunk, Role
from rune.net.addresses import AddressPolicy
from rune.tenants.document import HolmesSettings, TenantAgents
from rune.tenants.settings import FixedTenants, TenantSettings
from rune.workflows.agent import AgenticAgent
from rune.workflows.model_servers import Backends
from tests.builders import a_claimed_job
from tests.fake_model_server import FakeModelServer
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
    return run(AgenticAgent(Backends(server.open, None), tenants, policy).steps, step, context or a_turn())


def document_of(outcome: Outcome) -> dict[str, object]:
    assert isinstance(outcome, Done)
    AgenticAgentResult.model_validate_json(outcome.result_json)
    document: dict[str, object] = json.loads(outcome.result_json)
    return document


def test_agentic_agent_has_the_steps_that_are_its_own() -> None:
    assert set(AgenticAgent(Backends(FakeModelServer().open, None), NO_AGENTS, LOOPBACK).steps) == set(STEPS)


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
    opened: list[tuple[TenantAgents, AddressPolicy]] = field(default_factory=list)
    checked: list[AgentRequest] = field(default_factory=list)
    asked: list[AgentRequest] = field(default_factory=list)
    close_count: int = 0

    def open(self, settings: TenantAgents, policy: AddressPolicy) -> FakeAgent:
        self.opened.append((settings, policy))
        return self

    @override
    async def check(self, request: AgentRequest) -> None:
        self.checked.append(request)
        self._fail()

    @override
    async def ask(self, request: AgentRequest, on_chunk: OnChunk) -> AgentAnswer:
        self.asked.append(request)
        self._fail()
        return self.answer

    @override
    async def aclose(self) -> None:
        self.close_count += 1

    def _fail(self) -> None:
        if self.error:
            raise self.error


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> FakeAgent:
    """An agent with a server of its own, known as `fake`."""
    agent = FakeAgent()
    kind = AgentKind("fake", needs_model_server=False, missing_setting=lambda _: None, open=agent.open)
    monkeypatch.setitem(registry._KINDS, "fake", kind)
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

    assert [*agent.checked, *agent.asked] == [AgentRequest(QUESTION, "llama3.1:8b", 90.0, None, None)]
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
            steps = AgenticAgent(Backends(FakeModelServer().open, None), tenants, policy).steps
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
    assert server.requests[-1].body == {"ask": QUESTION, "model": "fast"}
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
