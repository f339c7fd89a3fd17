"""What RUNE asks of every agent, and what an agent returns. Plain data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from rune.llm.protocol import Generation, ModelServer, OnChunk
from rune.net.addresses import AddressPolicy
from rune.tenants.document import TenantAgents

type OpenModelServer = Callable[[], ModelServer]
"""Opens the job's model server; the caller closes it."""


@dataclass(frozen=True, slots=True)
class AgentRequest:
    """A question for an agent.

    Attributes
    ----------
    model
        A model on the job's model server, or a name that the agent's own server knows.
    timeout_seconds
        Longest time from the first byte sent to the whole answer.
    idle_timeout_seconds
        Longest silence of a server that streams; None for no limit besides the total.
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
    """Tokens by purpose; 0 also where the server did not count, which the answer's metadata tells.

    Attributes
    ----------
    tool_calls
        Descriptions and results of tools.
    agent_reasoning
        What the model wrote before the answer.
    total
        As the server counts it; more than the sum, since the question is in none of the four.
    """

    system_prompt: int = 0
    tool_calls: int = 0
    agent_reasoning: int = 0
    output: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class AgentAnswer:
    """An agent's answer with its costs in tokens and time.

    Attributes
    ----------
    artifacts
        Intermediate results, such as the tools used, each with a `type`; None for an agent without any.
    metadata
        `agent` is the agent's name, `token_count_source` who counted: `usage`, `server`, `chunks`, or `unreported`
        where no count was given.
    phases_ms
        Milliseconds by phase, in order; `ask` is the question itself.
    generation
        The model server's answer with its stamps, where the server answered RUNE directly.
    """

    answer: str
    metadata: Mapping[str, str]
    tokens: AgentTokens
    phases_ms: Mapping[str, int]
    artifacts: tuple[Mapping[str, str], ...] | None = None
    generation: Generation | None = None


class Agent(Protocol):
    """An agent. Every method may raise any `ModelServerError` or `AddressError`.

    Cancelling a method closes its connection, so that the server stops working on it.
    """

    async def check(self, request: AgentRequest) -> None:
        """Check, without asking the question, that the server answers and has the model.

        Raises
        ------
        ModelNotFoundError
            It does not have the model.
        """
        ...

    async def ask(self, request: AgentRequest, on_chunk: OnChunk) -> AgentAnswer:
        """Return the answer; `on_chunk` is called with each chunk where the server streams."""
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
        Returns what the operator must set for the tenant to have the agent; None where nothing is missing.
    open
        Returns the agent; nothing is sent yet. May raise `AddressRefusedError`.
    """

    name: str
    needs_model_server: bool
    missing_setting: Callable[[TenantAgents], str | None]
    open: Callable[[TenantAgents, AddressPolicy], Agent]
