import asyncio

import pytest

from rune.agents import a2a, driver
from rune.agents.a2a import A2aAgent
from rune.agents.ask import AskAgent
from rune.agents.driver import DriverAgent
from rune.agents.holmes import HINT, HolmesAgent
from rune.agents.kubernetes import KubernetesAgent
from rune.agents.registry import AGENT_NAMES, find_agent, open_agent
from rune.errors import AddressRefusedError, InvalidRequestError
from rune.net.addresses import AddressPolicy
from rune.tenants.document import A2aSettings, DriverSettings, HolmesSettings, TenantAgents

NOTHING = TenantAgents()
HOLMES = TenantAgents(holmes=HolmesSettings(base_url="http://1.1.1.1"))
EVERYTHING = HOLMES.model_copy(
    update={
        "driver": DriverSettings(base_url="http://1.1.1.1"),
        "a2a": A2aSettings(base_url="http://1.1.1.1"),
    }
)


def test_registry_knows_its_agents() -> None:
    assert AGENT_NAMES == ("ask", "kubernetes", "holmes", "driver", "a2a")


@pytest.mark.parametrize(("name", "needs_model_server"), [("ask", True), ("holmes", False)])
def test_find_agent_says_whether_a_job_must_name_a_model_server(
    name: str, *, needs_model_server: bool
) -> None:
    kind = find_agent(name, HOLMES)

    assert (kind.name, kind.needs_model_server) == (name, needs_model_server)


@pytest.mark.parametrize("name", ["", "Ask", "k8sgpt", "holmes "])
def test_find_agent_refuses_by_name_and_lists_those_there_are_when_it_is_unknown(name: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        find_agent(name, HOLMES)

    assert (
        caught.value.sentence
        == f"{name!r} is not an agent that RUNE knows; it knows ask, kubernetes, holmes, driver, a2a."
    )
    assert (caught.value.specific_code, caught.value.pointer) == ("agent_unknown", "/agent")


@pytest.mark.parametrize(("name", "hint"), [("holmes", HINT), ("driver", driver.HINT), ("a2a", a2a.HINT)])
def test_find_agent_refuses_with_a_hint_when_it_is_not_set_up(name: str, hint: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        find_agent(name, NOTHING)

    assert (caught.value.sentence, caught.value.specific_code) == (hint, "agent_not_configured")


def test_open_agent_opens_each_by_its_name() -> None:
    async def go() -> list[type]:
        agents = [open_agent(name, EVERYTHING, AddressPolicy()) for name in AGENT_NAMES]
        for agent in agents:
            await agent.aclose()
        return [type(agent) for agent in agents]

    assert asyncio.run(go()) == [AskAgent, KubernetesAgent, HolmesAgent, DriverAgent, A2aAgent]


@pytest.mark.parametrize(
    ("name", "settings"), [("k8sgpt", HOLMES), ("holmes", NOTHING)], ids=["unknown", "not set up"]
)
def test_open_agent_refuses_what_find_agent_refuses(name: str, settings: TenantAgents) -> None:
    with pytest.raises(InvalidRequestError):
        open_agent(name, settings, AddressPolicy())


def test_open_agent_refuses_an_address_that_the_policy_does_not_allow() -> None:
    settings = TenantAgents(holmes=HolmesSettings(base_url="http://127.0.0.1:9001"))

    with pytest.raises(AddressRefusedError):
        open_agent("holmes", settings, AddressPolicy())
