"""What an agent's job knows between its turns: plain data, kept as JSON."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from rune.agents.protocol import AgentKind, AgentTokens, GoOn
from rune.contracts import Document, TokenTelemetry, read_stored
from rune.errors import UnreadableRowError
from rune.jobs.outcomes import Failed
from rune.llm.dialects import STANDARD, Dialect
from rune.workflows.acquaintance import acquaintance_in, is_acquaintance

NO_TOKENS = TokenTelemetry(system_prompt=0, tool_calls=0, agent_reasoning=0, output=0, total=0)


class KeptFailure(Document):
    """A failure of a job that winds down."""

    code: str
    sentence: str
    retryable: bool

    @classmethod
    def of(cls, outcome: Failed) -> "KeptFailure":
        """Return what is kept of an outcome."""
        return cls(code=outcome.code, sentence=outcome.sentence, retryable=outcome.retryable)

    def as_outcome(self) -> Failed:
        """Return the end of the job."""
        return Failed(self.code, self.sentence, self.retryable, is_final=True)


class AgentState(Document):
    """An agent's job after some of its turns."""

    of: Literal["agent"] = "agent"
    agent: str
    version: int
    """Of the agent's own state."""
    own_json: str | None = None
    """The agent's own state; None where it begins."""
    turn_count: int = 0
    tokens: TokenTelemetry = NO_TOKENS
    phases_ms: dict[str, int] = Field(default_factory=dict)
    dialect: Dialect = STANDARD
    """What the model server takes, as learnt so far."""
    end_count: int = 0
    """How often another server was asked to end its work, and it is not known whether it has."""
    ends_with: KeptFailure | None = None
    """How the job ends once that work has ended; None where the job does not fail by itself."""

    def after(self, turn: GoOn, kind: AgentKind, dialect: Dialect) -> "AgentState":
        """Return the state after another turn."""
        return AgentState(
            agent=kind.name,
            version=kind.state_version,
            own_json=turn.state_json,
            turn_count=self.turn_count + 1,
            tokens=self.with_tokens(turn.tokens),
            phases_ms=self.with_phases(turn.phases_ms),
            dialect=dialect,
        )

    def with_tokens(self, tokens: AgentTokens) -> TokenTelemetry:
        """Return the tokens of all turns so far and of one more."""
        return TokenTelemetry(
            system_prompt=self.tokens.system_prompt + tokens.system_prompt,
            tool_calls=self.tokens.tool_calls + tokens.tool_calls,
            agent_reasoning=self.tokens.agent_reasoning + tokens.agent_reasoning,
            output=self.tokens.output + tokens.output,
            total=self.tokens.total + tokens.total,
        )

    def with_phases(self, phases_ms: Mapping[str, int]) -> dict[str, int]:
        """Return the phases of all turns so far and of one more, in the order in which they were first seen."""
        added = {name: self.phases_ms.get(name, 0) + ms for name, ms in phases_ms.items()}
        return {**self.phases_ms, **added}


def agent_state_in(state_json: str | None, kind: AgentKind) -> AgentState:
    """Return where an agent's job stands.

    An agent's own state that it does not understand any more is left out: it begins again, and what its turns took
    stays counted.

    Raises
    ------
    UnreadableRowError
        A later version wrote the state.
    """
    if state_json is None or is_acquaintance(state_json):
        known = acquaintance_in(state_json)
        return AgentState(agent=kind.name, version=kind.state_version, dialect=known.dialect)
    state = read_stored(AgentState, state_json)
    if state.version > kind.state_version:
        raise UnreadableRowError(f"A later version wrote the state of the agent {kind.name!r}.")
    if state.version < kind.oldest_state_version:
        return state.model_copy(update={"own_json": None})
    return state
