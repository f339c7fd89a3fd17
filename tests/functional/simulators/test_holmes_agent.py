"""RUNE's agent against the simulated server: both agree on the protocol."""

import asyncio
from dataclasses import replace

import pytest

from local.simulators.faults import FaultKind, StreamFaultKind
from local.simulators.holmes import (
    HolmesFault,
    HolmesFaultKind,
    HolmesSettings,
    SimulatedHolmes,
    create_app,
)
from local.simulators.request_log import Outcome
from rune.agents.protocol import AgentAnswer, AgentRequest, AgentTokens
from rune.agents.registry import open_agent
from rune.errors import (
    BadResponseError,
    ModelNotFoundError,
    RuneError,
    ServerAccessError,
    ServerFailedError,
    ServerOverloadedError,
    ServerTimeoutError,
    StreamFailedError,
    StreamTruncatedError,
)
from rune.net.addresses import AddressPolicy
from tests.functional.simulators.hosting import Host
from tests.functional.simulators.ollama_harness import wait_until
from tests.tenant_builders import a_tenant

KEY = "k" * 32
REQUEST = AgentRequest(question="What is unhealthy?", model="accurate-model", timeout_seconds=10.0)


def simulate(
    host: Host, settings: HolmesSettings | None = None, *, delay_seconds: float = 0.0
) -> SimulatedHolmes:
    settings = settings or HolmesSettings()
    state = SimulatedHolmes(replace(settings, delay_seconds=delay_seconds, api_key=KEY))
    host.app = create_app(state)
    return state


async def ask(host: Host, request: AgentRequest = REQUEST, *, key: str = KEY) -> AgentAnswer:
    tenant = a_tenant({"agents": {"holmes": {"base_url": host.address, "api_key": key}}})
    agent = open_agent("holmes", tenant.agents, AddressPolicy.parse("127.0.0.0/8"))
    try:
        await agent.check(request)
        turn = await agent.take_turn(request, None, lambda _: None)
        assert isinstance(turn, AgentAnswer)
        return turn
    finally:
        await agent.aclose()


def test_agent_brings_the_analysis_home(host: Host) -> None:
    state = simulate(host)

    answer = asyncio.run(ask(host))

    assert answer.answer.startswith("Simulated analysis by accurate-model: a question of 3 words")
    assert [artifact["tool_name"] for artifact in answer.artifacts or ()] == [
        "kubectl_describe",
        "kubectl_logs",
    ]
    assert answer.tokens == AgentTokens(
        system_prompt=11, tool_calls=22, agent_reasoning=6, output=15, total=129
    )
    assert [(record.path, record.credential) for record in state.requests.records] == [
        ("/api/model", "bearer"),
        ("/api/model", "bearer"),
        ("/api/chat", "bearer"),
    ]


@pytest.mark.parametrize("takes_unknown_fields", [True, False])
def test_agent_reads_the_whole_answer_of_an_older_server(host: Host, *, takes_unknown_fields: bool) -> None:
    older = HolmesSettings(streams=False, reports_costs=False, takes_unknown_fields=takes_unknown_fields)
    simulate(host, older)

    answer = asyncio.run(ask(host))

    assert (answer.tokens.total, len(answer.artifacts or ())) == (51, 2)


def test_agent_never_takes_another_models_answer_for_a_name_that_the_server_lacks(host: Host) -> None:
    state = simulate(host)

    with pytest.raises(ModelNotFoundError, match="accurate-model, fast-model"):
        asyncio.run(ask(host, AgentRequest(question="a", model="llama3.1:8b", timeout_seconds=10.0)))

    assert state.requests.select(path="/api/chat") == []


def test_agent_is_denied_when_the_key_is_wrong(host: Host) -> None:
    simulate(host)

    with pytest.raises(ServerAccessError):
        asyncio.run(ask(host, key="w" * 32))


@pytest.mark.parametrize(
    ("fault", "error_type"),
    [
        (HolmesFault(kind=FaultKind.REFUSED), ServerFailedError),
        (HolmesFault(kind=FaultKind.REFUSED, status=429), ServerOverloadedError),
        (HolmesFault(kind=FaultKind.DISCONNECTED), StreamTruncatedError),
        (HolmesFault(kind=StreamFaultKind.TRUNCATED, after_chunks=3), StreamTruncatedError),
        (HolmesFault(kind=StreamFaultKind.STREAM_ERROR), StreamFailedError),
        (HolmesFault(kind=StreamFaultKind.STREAM_ERROR, status=429), ServerOverloadedError),
        (HolmesFault(kind=FaultKind.NOT_JSON), BadResponseError),
        (HolmesFault(kind=HolmesFaultKind.NO_ANALYSIS), BadResponseError),
        (HolmesFault(kind=HolmesFaultKind.HUGE, size_bytes=17 * 1024 * 1024), BadResponseError),
    ],
)
def test_agent_raises_the_named_error_when_the_server_fails(
    host: Host, fault: HolmesFault, error_type: type[RuneError]
) -> None:
    simulate(host).faults.add(fault)

    with pytest.raises(error_type) as caught:
        asyncio.run(ask(host))

    assert type(caught.value) is error_type


def test_agent_gives_up_and_the_server_stops_when_the_time_is_over(host: Host) -> None:
    state = simulate(host, delay_seconds=60.0)

    with pytest.raises(ServerTimeoutError):
        asyncio.run(ask(host, AgentRequest(question="a", model="fast-model", timeout_seconds=0.5)))

    wait_until(lambda: state.requests.records[-1].outcome is Outcome.CANCELLED)


def test_server_stops_when_the_agents_task_is_cancelled(host: Host) -> None:
    state = simulate(host, delay_seconds=60.0)

    async def go() -> None:
        task = asyncio.create_task(ask(host))
        await asyncio.to_thread(wait_until, lambda: state.requests.select(path="/api/chat"))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(go())

    wait_until(lambda: state.requests.records[-1].outcome is Outcome.CANCELLED)
