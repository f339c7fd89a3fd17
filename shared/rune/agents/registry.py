"""Which agents there are. A new agent is a file with a `KIND`, and an entry here."""

from rune.agents import a2a, ask, driver, holmes, kubernetes
from rune.agents.protocol import Agent, AgentKind
from rune.errors import InvalidRequestError, quote
from rune.net.addresses import AddressPolicy
from rune.tenants.document import TenantAgents

_KINDS = {kind.name: kind for kind in (ask.KIND, kubernetes.KIND, holmes.KIND, driver.KIND, a2a.KIND)}

AGENT_NAMES = tuple(_KINDS)
"""What `find_agent` takes as name."""

_MAX_NAME_CHARS = 64


def all_agents() -> tuple[AgentKind, ...]:
    """Return what is known of each agent."""
    return tuple(_KINDS.values())


def known_agent(name: str) -> AgentKind | None:
    """Return what is known of the agent, whichever tenant asks; None where RUNE does not know it."""
    return _KINDS.get(name)


def find_agent(name: str, settings: TenantAgents) -> AgentKind:
    """Return what is known of the agent, if the tenant may use it.

    Raises
    ------
    InvalidRequestError
        RUNE does not know the agent (`agent_unknown`), or it is not set up for the tenant
        (`agent_not_configured`).
    """
    kind = _KINDS.get(name)
    if kind is None:
        raise InvalidRequestError(
            f"{quote(name[:_MAX_NAME_CHARS])} is not an agent that RUNE knows; it knows {', '.join(AGENT_NAMES)}.",
            pointer="/agent",
            code="agent_unknown",
        )
    if hint := kind.missing_setting(settings):
        raise InvalidRequestError(hint, pointer="/agent", code="agent_not_configured")
    return kind


def open_agent(name: str, settings: TenantAgents, policy: AddressPolicy) -> Agent:
    """Return the agent; nothing is sent yet. Close it with `aclose`.

    Raises
    ------
    InvalidRequestError
        As `find_agent`.
    AddressRefusedError
        The policy does not allow the address in the agent's setting.
    """
    return find_agent(name, settings).open(settings, policy)
