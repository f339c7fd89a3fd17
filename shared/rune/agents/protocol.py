"""What RUNE asks of every agent, and what comes back. Plain data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from rune.agents.settings import TenantAgents
from rune.llm.protocol import Generation, ModelServer, OnChunk
from rune.net.addresses import AddressPolicy

type OpenModelServer = Callable[[], ModelServer]
"""Opens the model server of the job; whoever calls it closes what it gives."""


@dataclass(frozen=True, slots=True)
class AgentRequest:
    """A question for an agent.

    Attributes
    ----------
    model
        For an agent on a model server, a model there; for one with a server of its own, a name that this knows.
    timeout_seconds
        Longest time from the first byte sent to the whole answer.
    idle_timeout_seconds
        Longest silence of a server that streams; None means only the total counts.
    open_model_server
        None where the job names no model server.
    """

    question: str
    model: str
    timeout_seconds: float
    idle_timeout_seconds: float | None = None
    open_model_server: OpenModelServer | None = None


@dataclass(frozen=True, slots=True)
class AgentTokens:
    """Tokens by what they were spent on; 0 also where nobody said, which the answer's metadata tells.

    Attributes
    ----------
    tool_calls
        Descriptions of tools and what tools gave back.
    agent_reasoning
        What the model wrote on its way to the answer.
    total
        As the server counts it; more than the sum, as the question belongs to none of the four.
    """

    system_prompt: int = 0
    tool_calls: int = 0
    agent_reasoning: int = 0
    output: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class AgentAnswer:
    """An agent's answer with what it took.

    Attributes
    ----------
    artifacts
        What came up on the way, such as tools used, each with a `type`; None for an agent without any.
    metadata
        Of it, `agent` is the agent's name and `token_count_source` who counted: `usage`, `server`, `chunks`, or
        `unreported` where no count was given.
    phases_ms
        Milliseconds by phase, in order; `ask` is the question itself.
    generation
        Evidence for measurements, where a model server answered RUNE directly.
    """

    answer: str
    metadata: Mapping[str, str]
    tokens: AgentTokens
    phases_ms: Mapping[str, int]
    artifacts: tuple[Mapping[str, str], ...] | None = None
    generation: Generation | None = None


class Agent(Protocol):
    """Somebody who answers questions. Every method may raise any `ModelServerError` or `AddressError`.

    Cancelling a method closes its connection, so that whoever works for it stops.
    """

    async def check(self, request: AgentRequest) -> None:
        """Find out, without asking, that the question could be answered."""
        ...

    async def ask(self, request: AgentRequest, on_chunk: OnChunk) -> AgentAnswer:
        """Return the answer; `on_chunk` is called where the agent streams its answer."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...


@dataclass(frozen=True, slots=True)
class AgentKind:
    """What the registry knows of an agent.

    Attributes
    ----------
    needs_model_server
        Whether a job must name a model server (`backend_url`); other agents have their own and ignore it.
    missing_setting
        Returns what a person should do for the tenant to have the agent, or None where nothing is missing.
    open
        Returns the agent; nothing is sent yet. May raise `AddressRefusedError`.
    """

    name: str
    needs_model_server: bool
    missing_setting: Callable[[TenantAgents], str | None]
    open: Callable[[TenantAgents, AddressPolicy], Agent]
