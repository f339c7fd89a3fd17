"""What RUNE asks of every agent, and what an agent returns. Plain data.

An agent works in turns. A turn is one call of a model, one poll of another server, or the like, and ends with the
agent's state, from which any worker takes the next turn. So a worker that is lost costs one turn.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Protocol

from rune.agents.tools import Toolbox
from rune.bench.token_bounds import most_tokens
from rune.llm.protocol import Generation, ModelServer, OnChunk
from rune.net.addresses import AddressPolicy
from rune.tenants.document import TenantAgents

type OpenModelServer = Callable[[], ModelServer]
"""Opens the job's model server; the caller closes it."""

type OpenToolbox = Callable[[], Toolbox]
"""Opens the tools over the job's cluster; the caller closes them."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one answer may take, all turns together. The agent keeps to them, and says which one it met.

    Attributes
    ----------
    max_tokens
        Of all calls of the model, in and out together.
    seconds
        That the whole job may run.
    micro_usd
        What the job's tokens may cost in millionths of a dollar; None for tokens that RUNE does not pay for. A call
        for which too little is left raises CostCapReachedError.
    """

    max_turns: int
    max_tool_calls: int
    max_tokens: int
    seconds: float
    micro_usd: int | None = None


UNBOUNDED = Limits(sys.maxsize, sys.maxsize, sys.maxsize, float("inf"))


@dataclass(frozen=True, slots=True)
class AgentRequest:
    """A question for an agent, the same in every turn but for the times.

    Attributes
    ----------
    model
        A model on the job's model server, or a name that the agent's own server knows.
    timeout_seconds
        Longest time of this turn's calls, from the first byte sent to the whole answer.
    idle_timeout_seconds
        Longest silence of a server that streams; None for no limit besides the total.
    open_model_server
        None where the job names no model server. What it bills by the token is noted for the job.
    tenant, job_id
        Whose question it is.
    cluster
        Name of the tenant's cluster; None where the job names none.
    open_toolbox
        None where the job names no cluster.
    seconds_left
        Until the job's time is over. A turn that is not to be the last leaves enough of it for the next one.
    try_number
        Above 1 where this turn may have been taken before, and have failed or been lost with its worker.
    """

    question: str
    model: str
    timeout_seconds: float
    idle_timeout_seconds: float | None = None
    open_model_server: OpenModelServer | None = None
    tenant: str = ""
    job_id: str = ""
    cluster: str | None = None
    open_toolbox: OpenToolbox | None = None
    limits: Limits = UNBOUNDED
    seconds_left: float = float("inf")
    try_number: int = 1


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
class GoOn:
    """A turn after which the agent is not at its end.

    Attributes
    ----------
    state_json
        What the next turn goes on from: a JSON document of at most `MAX_STATE_BYTES`. All that earlier turns have
        found is in it.
    progress
        Small counts for people who wait.
    tokens, phases_ms
        Of this turn alone; they are added up.
    delay_seconds
        Before the next turn, 0 to 900.
    labels
        Of an event that tells of the turn; None for a turn that is not worth one. They hold no secret.
    """

    state_json: str
    progress: Mapping[str, int] = field(default_factory=dict)
    tokens: AgentTokens = AgentTokens()
    phases_ms: Mapping[str, int] = field(default_factory=dict)
    delay_seconds: int = 0
    labels: Mapping[str, str] | None = None


MAX_STATE_BYTES = 4 * 1024 * 1024
"""Of an agent's state in UTF-8. A transcript of a million tokens is about as long."""


@dataclass(frozen=True, slots=True)
class AgentAnswer:
    """The last turn: an agent's answer, with what this turn took in tokens and time.

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
    transcript
        The whole conversation, a JSON document a line, without secrets; None for an agent that keeps none.
    """

    answer: str
    metadata: Mapping[str, str]
    tokens: AgentTokens
    phases_ms: Mapping[str, int]
    artifacts: tuple[Mapping[str, str], ...] | None = None
    generation: Generation | None = None
    result_type: Literal["text", "image", "structured", "report"] = "text"
    transcript: str | None = None


type Turn = GoOn | AgentAnswer

TURN_ANSWER_TOKENS = 4096
"""Longest answer to one call of a model by an agent that asks it often; so what that may cost is known before."""


@dataclass(frozen=True, slots=True)
class NeededCall:
    """The most tokens of one call of a model: of its prompt, and of the answer."""

    prompt_tokens: int
    answer_tokens: int


def question_alone(question: str) -> tuple[NeededCall, ...]:
    """Return the one call of an agent that sends the question and nothing else."""
    return (NeededCall(most_tokens(question), TURN_ANSWER_TOKENS),)


class Agent(Protocol):
    """An agent. Every method may raise any `ModelServerError` or `AddressError`.

    Cancelling a method closes its connection, so that the server stops working on it. A turn that raised is taken
    again from the same state, a few times, where the error is retryable.
    """

    async def check(self, request: AgentRequest) -> None:
        """Check, without asking the question, that the server answers and has the model.

        Raises
        ------
        ModelNotFoundError
            It does not have the model.
        """
        ...

    async def take_turn(self, request: AgentRequest, state_json: str | None, on_chunk: OnChunk) -> Turn:
        """Take one turn; `on_chunk` is called with each chunk where the server streams.

        Parameters
        ----------
        state_json
            What the last turn that was committed has left; None for the first. Another worker may have taken this
            very turn before, and may have been lost with what it had found.

        Raises
        ------
        UnreadableRowError
            This version does not understand the state, and a later one does.
        """
        ...

    async def stop(self, request: AgentRequest, state_json: str) -> AgentAnswer | None:  # noqa: ARG002  # few do
        """Return the best answer that the state holds, since the time or the money is over; None for none.

        No model is asked, and nothing is sent.
        """
        return None  # so that it is not abstract

    async def end_elsewhere(self, request: AgentRequest, state_json: str | None) -> str | None:  # noqa: ARG002
        """Have another server end what it does for the job, which is to end: of a kind that `works_elsewhere`.

        It is called again, a few times, until nothing is left to do.

        Parameters
        ----------
        state_json
            None where the first turn may have been taken, and what came of it is not known.

        Returns
        -------
        str or None
            The state from which the next call goes on; None where nothing is left to do.

        Raises
        ------
        RequestRejectedError
            There is nothing to end, or the server cannot end it.
        ModelServerError, AddressError
            It is not known whether it has ended.
        """
        return None  # so that it is not abstract

    async def aclose(self) -> None:
        """Close the connections."""
        ...


class Need(StrEnum):
    """What an agent may need."""

    MODEL_SERVER = "model_server"
    """A model server that the job names; an agent without this need has its own, and ignores the job's."""
    CLUSTER = "cluster"
    """A cluster of the tenant's, which the job names."""
    SETTING = "setting"
    """A server of its own in the tenant's document."""


@dataclass(frozen=True, slots=True)
class AgentKind:
    """What the registry knows of an agent.

    Attributes
    ----------
    description
        One sentence for people who choose.
    missing_setting
        Returns what the operator must set for the tenant to have the agent; None where nothing is missing.
    open
        Returns the agent; nothing is sent yet. May raise `AddressRefusedError`.
    streams_progress
        Whether a job shows how far it is while the agent works.
    takes_model
        Whether the job's `model` is asked; else the result names none.
    works_elsewhere
        Whether another server goes on working for the job between two turns. When the job ends, however that is,
        `end_elsewhere` is called.
    asks_often
        Whether it may ask the job's model more than once. Then `max_tokens` and `max_turns` of the job, and
        `TURN_ANSWER_TOKENS`, bound what that costs.
    least_calls
        Of an agent that asks often: returns the calls without which a question has no answer. A job whose money
        does not cover them is refused.
    context_tokens
        Context with which it asks the model, for the warm-up; None leaves the server's own.
    state_version, oldest_state_version
        Of the states that it writes, and the oldest that it still understands. It begins again where the state is
        older, and a state of a later version waits for a worker of that version.
    """

    name: str
    description: str
    needs: frozenset[Need]
    missing_setting: Callable[[TenantAgents], str | None]
    open: Callable[[TenantAgents, AddressPolicy], Agent]
    streams_progress: bool = False
    takes_model: bool = True
    works_elsewhere: bool = False
    asks_often: bool = False
    least_calls: Callable[[str], Sequence[NeededCall]] = question_alone
    context_tokens: int | None = None
    state_version: int = 1
    oldest_state_version: int = 1

    @property
    def needs_model_server(self) -> bool:
        """Whether a job must name a model server (`backend_url`)."""
        return Need.MODEL_SERVER in self.needs

    @property
    def needs_cluster(self) -> bool:
        """Whether a job must name a cluster (`cluster`)."""
        return Need.CLUSTER in self.needs


def nothing_missing(_settings: TenantAgents) -> str | None:
    """Return None: an agent that needs no setting."""
    return None
