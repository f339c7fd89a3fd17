"""The agent `kubernetes` with scripted models, over each kind of model server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from local.simulators.bedrock import BedrockSettings
from local.simulators.bedrock.catalog import INVESTIGATORS as BEDROCK_INVESTIGATORS
from local.simulators.ollama import SimulatedOllama
from local.simulators.ollama.models import INVESTIGATORS as OLLAMA_INVESTIGATORS
from local.simulators.ollama.settings import OllamaSettings
from rune.agents.kubernetes import CONTEXT_TOKENS, KubernetesAgent
from rune.agents.protocol import AgentAnswer, AgentRequest, GoOn, Limits
from rune.errors import ModelUnsupportedError
from rune.kubernetes.recorded.cluster import RecordedCluster
from rune.kubernetes.tools.toolbox import KubernetesToolbox
from rune.llm.bedrock import BedrockServer
from rune.llm.opener import ServerOpener
from rune.llm.protocol import ModelServer
from rune.net.addresses import AddressPolicy
from tests.functional.simulators.bedrock_harness import REGION, credentials
from tests.functional.simulators.bedrock_harness import simulate as simulate_bedrock
from tests.functional.simulators.hosting import Host
from tests.functional.simulators.ollama_harness import Simulate
from tests.unit.agents.investigation.playing import case_named
from tests.unit.llm.asking import LOOPBACK

FAST = 1_000_000.0
SEVERAL_CAUSES = "case-19"


def ask(
    open_server: Callable[[], ModelServer], model: str, case_id: str = SEVERAL_CAUSES
) -> tuple[AgentAnswer, list[GoOn]]:
    """Return the agent's answer and the turns before it; each state goes to another worker."""
    recorded = RecordedCluster(case_named(case_id))

    async def go() -> tuple[AgentAnswer, list[GoOn]]:
        request = AgentRequest(
            question="What is unhealthy?",
            model=model,
            timeout_seconds=20.0,
            open_model_server=open_server,
            open_toolbox=lambda: KubernetesToolbox(recorded, now=lambda: recorded.stage.world.now),
            limits=Limits(max_turns=30, max_tool_calls=60, max_tokens=2_000_000, seconds=600.0),
            seconds_left=600.0,
        )
        await KubernetesAgent().check(request)
        turns: list[GoOn] = []
        for _ in range(40):
            turn = await KubernetesAgent().take_turn(
                request, turns[-1].state_json if turns else None, lambda _count: None
            )
            if isinstance(turn, AgentAnswer):
                return turn, turns
            turns.append(turn)
        raise AssertionError("the investigation did not end")

    return asyncio.run(go())


@pytest.fixture(params=["ollama", "openai", "bedrock"])
def wire(
    request: pytest.FixtureRequest, host: Host, simulate_ollama: Simulate
) -> Iterator[tuple[Callable[[], ModelServer], str]]:
    """Opens a server of each kind; what stands before and after an investigator's name there."""
    if request.param == "bedrock":
        settings = BedrockSettings(
            models=BEDROCK_INVESTIGATORS, first_token_seconds=0, output_tokens_per_second=FAST
        )
        simulate_bedrock(host, settings=settings)
        with credentials():
            yield lambda: BedrockServer.open(REGION, host.address), "rune.{}-v1:0"
        return
    simulate_ollama(ollama_settings())
    address = host.address + ("/v1" if request.param == "openai" else "")
    yield lambda: ServerOpener(LOOPBACK)(request.param, address), "{}:latest"


def ollama_settings() -> OllamaSettings:
    return OllamaSettings(
        models=OLLAMA_INVESTIGATORS,
        prompt_tokens_per_second=FAST,
        output_tokens_per_second=FAST,
        load_seconds=0,
        context_tokens=CONTEXT_TOKENS,
    )


@pytest.mark.parametrize(
    ("script", "said", "bound"),
    [
        ("good", "bad_credentials", None),
        ("text", "bad_credentials", None),
        ("lazy", "**Undetermined.** The model said healthy, but it had read nothing", "nothing_read"),
        ("looper", "repeated its calls", "repeated_calls"),
        ("broken", "ended early", ("invalid_calls", "no_report")),
        ("silent", "made no call", "no_report"),
    ],
)
def test_investigator_is_the_same_over_every_wire(
    wire: tuple[Callable[[], ModelServer], str], script: str, said: str, bound: str | tuple[str, ...] | None
) -> None:
    open_server, name = wire

    answer, turns = ask(open_server, name.format(f"investigator-{script}"))

    assert said in answer.answer
    assert answer.metadata.get("bound") in ((bound,) if isinstance(bound, str | None) else bound)
    assert answer.result_type == "structured"
    assert answer.metadata["token_count_source"] == "usage"
    total = sum(turn.tokens.total for turn in turns) + answer.tokens.total
    parts = [turn.tokens for turn in turns] + [answer.tokens]
    told = sum(each.system_prompt + each.tool_calls + each.agent_reasoning + each.output for each in parts)
    assert 0 < told <= total
    assert answer.transcript is not None


def test_ollama_is_told_its_context_with_every_chat(host: Host, simulate_ollama: Simulate) -> None:
    state: SimulatedOllama = simulate_ollama(replace(ollama_settings(), context_tokens=None))

    ask(lambda: ServerOpener(LOOPBACK)("ollama", host.address), "investigator-good:latest")

    assert [runner.options.context_tokens for runner, _ in state.runners.running()] == [CONTEXT_TOKENS]


def test_model_without_tools_is_refused_before_anything_is_asked(
    host: Host, simulate_ollama: Simulate
) -> None:
    deaf = replace(OLLAMA_INVESTIGATORS[0], capabilities=("completion",))
    simulate_ollama(replace(ollama_settings(), models=(deaf,)))

    with pytest.raises(ModelUnsupportedError, match="cannot call tools"):
        ask(lambda: ServerOpener(AddressPolicy(LOOPBACK.allowed_networks))("ollama", host.address), deaf.name)


def test_every_answer_is_counted_also_a_call_without_arguments(
    wire: tuple[Callable[[], ModelServer], str],
) -> None:
    open_server, name = wire

    answer, _ = ask(open_server, name.format("investigator-guesser"))

    assert answer.metadata["token_count_source"] == "usage"
