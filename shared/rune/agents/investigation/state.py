"""What an investigation keeps between two turns, as JSON: a crash repeats at most one turn of the model."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from rune.agents.investigation.limits import Bound
from rune.errors import UnreadableRowError
from rune.llm.protocol import ToolCall


class _Kept(BaseModel):
    model_config = ConfigDict(extra="forbid")


class KeptCall(_Kept):
    """A call as the model wrote it, to be sent again before its result."""

    id: str
    name: str
    arguments: dict[str, object] | None
    arguments_text: str

    @classmethod
    def of(cls, call: ToolCall) -> "KeptCall":
        """Return a call of an answer."""
        arguments = None if call.arguments is None else dict(call.arguments)
        return cls(id=call.id, name=call.name, arguments=arguments, arguments_text=call.arguments_text)

    def as_call(self) -> ToolCall:
        """Return it as a chat has it."""
        return ToolCall(self.id, self.name, self.arguments, self.arguments_text)


class KeptResult(_Kept):
    """What a tool returned, whole: quotes are looked for here, also once the transcript has one line of it.

    Attributes
    ----------
    digest
        Of tool, scope and text, without what changes with each call.
    """

    id: str
    tool: str
    arguments: dict[str, object]
    text: str
    digest: str
    is_error: bool = False
    ms: int = 0


class Entry(_Kept):
    """One message of the transcript, after the question.

    Attributes
    ----------
    result_id
        Of a tool's message: the result that it shows; its text is in `results`.
    text
        Of a tool's message without a result: what RUNE answers. With one: RUNE's note below it.
    shows
        Whether a tool's message has the whole result, or the note alone.
    """

    role: Literal["user", "assistant", "tool"]
    text: str = ""
    calls: list[KeptCall] = Field(default_factory=list)
    call_id: str = ""
    tool: str = ""
    result_id: str = ""
    shows: bool = False


class Counts(_Kept):
    """What an investigation has used so far.

    Attributes
    ----------
    tool_calls
        That were carried out.
    repeated_calls, invalid_calls, text_calls
        Asked for again; not understood; written as text instead of as a call.
    prompt_tokens, output_tokens
        Of all answers together, by the server's count; by an estimate where `estimated_turns` counts.
    system_tokens, tool_tokens
        The shares of the prompts that were instructions and definitions, and calls with their results.
    report_tokens
        Of the output: the answers that ended, or were to end, the investigation.
    reasoning_tokens
        Of the output: reasoning, as far as servers count it.
    """

    turns: int = 0
    tool_calls: int = 0
    repeated_calls: int = 0
    invalid_calls: int = 0
    text_calls: int = 0
    idle_turns: int = 0
    lost_reads: int = 0
    pauses: int = 0
    overflows: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    estimated_turns: int = 0
    system_tokens: int = 0
    tool_tokens: int = 0
    report_tokens: int = 0
    reasoning_tokens: int = 0
    model_ms: int = 0
    tools_ms: int = 0


class State(_Kept):
    """An investigation between two turns.

    Attributes
    ----------
    nonce
        Marks where data begins and ends; nobody who writes into a cluster knows it.
    context_tokens
        In which the model is loaded; None where the server has its own.
    pending
        Calls of the last answer that are not carried out yet.
    repeats
        How often each call, and each result, came again after its first time. Not in the transcript, which is
        shortened.
    bound
        What has ended the reading: the model is asked once more, for its report.
    transcript_bytes
        Of results, where less than the limits allow was found to fit.
    last_prompt_tokens, last_prompt_bytes
        Of the last answer, from which the next one's tokens are foreseen.
    """

    question: str
    model: str
    nonce: str
    began_at: datetime
    context_tokens: int | None = None
    temperature: float | None = None
    forces_calls: bool = False
    entries: list[Entry] = Field(default_factory=list)
    results: list[KeptResult] = Field(default_factory=list)
    pending: list[KeptCall] = Field(default_factory=list)
    calls: dict[str, str] = Field(default_factory=dict)
    """Result by call, as `repeats.key_of` writes calls."""
    digests: dict[str, str] = Field(default_factory=dict)
    """Result by digest."""
    repeats: dict[str, int] = Field(default_factory=dict)
    counts: Counts = Counts()
    has_asked_for_evidence: bool = False
    bound: Bound | None = None
    transcript_bytes: int | None = None
    last_prompt_tokens: int = 0
    last_prompt_bytes: int = 0

    @property
    def by_id(self) -> Mapping[str, KeptResult]:
        """The results by their ids."""
        return {result.id: result for result in self.results}

    @property
    def has_read(self) -> bool:
        """Whether anything was read at all."""
        return any(not result.is_error for result in self.results)


def read_state(text: str) -> State:
    """Return the state that an earlier turn wrote as JSON.

    Raises
    ------
    UnreadableRowError
        This version does not understand it, and a later one does.
    """
    try:
        return State.model_validate(json.loads(text))
    except ValueError as error:
        raise UnreadableRowError("This version does not understand the state of an investigation.") from error
