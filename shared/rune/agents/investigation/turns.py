"""One turn: the model is asked once, and what it calls is carried out.

A turn returns the next state, or what the investigation has found. Where a call to a server fails, the error goes
through and the state is as it was, so that the turn can be made again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from rune.agents.investigation import prompt, reporting
from rune.agents.investigation.bounds import reached_bound
from rune.agents.investigation.calls import keep_call
from rune.agents.investigation.limits import Bound, Limits
from rune.agents.investigation.readings import Interrupted, carry_out
from rune.agents.investigation.state import Entry, KeptCall, State
from rune.agents.investigation.text_calls import find_broken_call, find_call
from rune.agents.investigation.transcript import (
    SMALLEST_TRANSCRIPT_BYTES,
    messages_of,
    room_bytes,
    shares,
    size_bytes,
)
from rune.agents.protocol import TURN_ANSWER_TOKENS
from rune.agents.tools import Toolbox
from rune.bench import formulas
from rune.bench.token_bounds import estimate_tokens
from rune.errors import ContextOverflowError, CostCapReachedError, ModelUnsupportedError
from rune.kubernetes.causes import ClusterStatus
from rune.kubernetes.findings import Report
from rune.llm.protocol import (
    ChatRequest,
    Generation,
    Message,
    ModelServer,
    OnChunk,
    TokenCountSource,
    ToolCall,
    ToolSpec,
)

LAST_ANSWER_TOKENS = 1_024
"""Longest answer where little money is left: a report of three findings has some 500 tokens."""

_LONGEST_TEXT_CHARS = 8_000
"""Of what the model writes beside its calls, as it is sent again."""

_MOST_IDLE_TURNS = 2
_MOST_OVERFLOWS = 3
_LONGEST_PAUSE_SECONDS = 60
_NO_TEXT = "(nothing)"
"""Sent again for an answer without anything, since Bedrock refuses a blank text."""


@dataclass(frozen=True, slots=True)
class Going:
    """The investigation goes on.

    Attributes
    ----------
    pause_seconds
        How long the cluster asked to be left alone.
    """

    state: State
    pause_seconds: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """The investigation is over; the state tells what it took."""

    state: State
    report: Report


type Turn = Going | Ended


async def require_tools(server: ModelServer, model: str) -> None:
    """Check that the model can call tools, as far as its server tells.

    Raises
    ------
    ModelUnsupportedError
        The server says that it cannot.
    ModelServerError, AddressError
        As `ModelServer.capabilities`.
    """
    if (await server.capabilities(model)).calls_tools is False:
        raise ModelUnsupportedError(
            f"The model {model!r} cannot call tools, which an investigation needs. Name one that can, such as "
            "qwen3:8b or llama3.1:8b; the agent 'ask' needs none."
        )


async def take_turn(
    state: State,
    server: ModelServer,
    toolbox: Toolbox,
    limits: Limits,
    now: datetime,
    *,
    spent_usd: Decimal | None = None,
    on_chunk: OnChunk = lambda _count: None,
) -> Turn:
    """Return where the investigation stands after one more turn; the given state is left as it is.

    Parameters
    ----------
    spent_usd
        What the job has cost until now, where that is known.

    Raises
    ------
    ModelServerError, AddressError
        The model's server failed; or the cluster did, before anything of it was read.
    """
    state = state.model_copy(deep=True)
    if state.pending:
        return await _read_on(state, toolbox, limits)
    tools = (*toolbox.specs, reporting.SPEC)
    if state.bound is None:
        prompt_bytes = size_bytes(messages_of(state, limits), tools)
        bound = reached_bound(state, limits, now, spent_usd, prompt_bytes)
        if bound is not None:
            _ask_for_report(state, bound)
    tools = (reporting.SPEC,) if state.bound else tools
    messages = messages_of(state, limits)
    try:
        generation = await server.chat(_request(state, messages, tools, limits, now), on_chunk)
    except ContextOverflowError:
        return _shorten(state, limits)
    except CostCapReachedError:
        return _save(state)
    # Also at a bound, so that a call of a tool that is gone is not taken for the answer.
    calls, is_text = _calls_in(generation, (*toolbox.specs, reporting.SPEC))
    _count(state, generation, messages, tools, calls)
    state.counts.text_calls += is_text
    if state.bound is not None:
        return _end_at_bound(state, calls, "" if is_text else generation.text)
    if not calls:
        return _remind(state, generation.text)
    kept = [keep_call(call) for call in calls]
    text = "" if is_text else generation.text[:_LONGEST_TEXT_CHARS]
    state.entries.append(Entry(role="assistant", text=text, calls=kept))
    state.pending = kept
    state.counts.idle_turns = 0
    return await _read_on(state, toolbox, limits)


def end_early(state: State) -> Report:
    """Return what is there where no other turn can be taken, without asking the model."""
    ended = state.model_copy(update={"bound": state.bound or Bound.SECONDS})
    return _without_report(ended, "")


def _request(
    state: State, messages: tuple[Message, ...], tools: tuple[ToolSpec, ...], limits: Limits, now: datetime
) -> ChatRequest:
    left_seconds = limits.seconds + limits.final_seconds - (now - state.began_at).total_seconds()
    return ChatRequest(
        model=state.model,
        messages=messages,
        # At least a minute: the job has its own end.
        timeout_seconds=min(limits.turn_seconds, max(60.0, left_seconds)),
        idle_timeout_seconds=limits.turn_seconds,
        context_tokens=state.context_tokens,
        max_output_tokens=LAST_ANSWER_TOKENS if state.bound is Bound.DOLLARS else TURN_ANSWER_TOKENS,
        temperature=state.temperature,
        tools=tools,
        tool_choice="required" if state.forces_calls else "auto",
        is_free=True,
    )


def _calls_in(generation: Generation, tools: Sequence[ToolSpec]) -> tuple[tuple[ToolCall, ...], bool]:
    """Return the calls of an answer, and whether they were written as text."""
    if generation.tool_calls:
        return generation.tool_calls, False
    known = [tool.name for tool in tools]
    # Some models put their call among the reasoning alone.
    texts = (generation.text, generation.reasoning if not generation.text.strip() else "")
    for find in (find_call, find_broken_call):
        for text in texts:
            if call := find(text, known, reporting.NAME):
                return (call,), True
    return (), False


async def _read_on(state: State, toolbox: Toolbox, limits: Limits) -> Turn:
    """Carry out what the model has called; every call is answered, in order."""
    report_calls = [call for call in state.pending if call.name == reporting.NAME]
    if report_calls:
        ended = _take_report(state, report_calls[-1], is_last_chance=False)
        if ended is not None:
            return ended
    try:
        state.bound = await carry_out(state, toolbox, limits)
    except Interrupted as interrupted:
        return Going(interrupted.state, min(interrupted.pause_seconds, _LONGEST_PAUSE_SECONDS))
    if state.bound is not None:
        bound, state.bound = state.bound, None
        _ask_for_report(state, bound)
    return Going(state)


def _take_report(state: State, call: KeptCall, *, is_last_chance: bool) -> Ended | None:
    """Return the end; None where the report goes back to the model, with the answer in the transcript."""
    if call.arguments is None:
        return None  # answered with the other calls, as any that cannot be read
    read = reporting.read_report(call.arguments, state.by_id, bound=state.bound)
    if is_last_chance:
        return Ended(state, reporting.as_far_as_read(read.report, has_read=state.has_read))
    if read.problems:
        state.counts.invalid_calls += 1
        _answer_report(state, call, prompt.problems_with(read.problems))
        return None
    if not state.has_asked_for_evidence:
        says_well = read.report.status in reporting.WELL
        wrong = reporting.unproven(read.report, state.by_id)
        if says_well and not state.has_read:
            wrong = (prompt.NOTHING_READ,)
        if wrong:
            state.has_asked_for_evidence = True
            text = wrong[0] if wrong[0] == prompt.NOTHING_READ else prompt.unsupported(wrong)
            _answer_report(state, call, text)
            return None
    return Ended(state, reporting.as_far_as_read(read.report, has_read=state.has_read))


def _answer_report(state: State, call: KeptCall, text: str) -> None:
    state.entries.append(Entry(role="tool", text=text, call_id=call.id, tool=call.name))
    state.pending = [each for each in state.pending if each is not call]


def _remind(state: State, text: str) -> Turn:
    """Answer a turn without a call; after the second one the report is asked for."""
    state.counts.idle_turns += 1
    state.entries.append(
        Entry(role="assistant", text=text[:_LONGEST_TEXT_CHARS] if text.strip() else _NO_TEXT)
    )
    if state.counts.idle_turns >= _MOST_IDLE_TURNS:
        _ask_for_report(state, Bound.NO_REPORT)
    else:
        state.entries.append(Entry(role="user", text=prompt.no_call(reporting.NAME)))
    return Going(state)


def _ask_for_report(state: State, bound: Bound) -> None:
    state.bound = bound
    state.entries.append(Entry(role="user", text=prompt.final_request(bound, reporting.NAME)))


def _end_at_bound(state: State, calls: Sequence[ToolCall], text: str) -> Ended:
    """Return what the last answer says; whatever it is, nothing follows."""
    for call in calls:
        kept = keep_call(call)
        if kept.name == reporting.NAME and (ended := _take_report(state, kept, is_last_chance=True)):
            return ended
    return Ended(state, _without_report(state, text))


def _without_report(state: State, text: str) -> Report:
    bound = None if state.bound is None else state.bound.value
    written = [entry.text for entry in state.entries if entry.role == "assistant" and entry.text != _NO_TEXT]
    last = next((each for each in (text, *reversed(written)) if each.strip()), "")
    summary = last.strip()[: reporting.LONGEST_TEXT_CHARS]
    return Report(
        status=ClusterStatus.UNDETERMINED,
        summary=summary or "The model ended without an answer.",
        findings=(),
        bound=bound,
    )


def _shorten(state: State, limits: Limits) -> Turn:
    """Return the state with less room for results: the server has refused the prompt as too long."""
    state.counts.overflows += 1
    room = room_bytes(state, limits) // 2
    if state.counts.overflows > _MOST_OVERFLOWS or room < SMALLEST_TRANSCRIPT_BYTES:
        if state.bound is not None:
            return Ended(state, _without_report(state, ""))
        _ask_for_report(state, Bound.CONTEXT)
    state.transcript_bytes = max(room, SMALLEST_TRANSCRIPT_BYTES)
    return Going(state)


def _save(state: State) -> Turn:
    """Return the state with the shortest prompt there is: for a longer one too little money is left."""
    if state.bound is Bound.DOLLARS:
        return Ended(state, _without_report(state, ""))
    state.transcript_bytes = SMALLEST_TRANSCRIPT_BYTES
    _ask_for_report(state, Bound.DOLLARS)
    return Going(state)


def _count(
    state: State,
    generation: Generation,
    messages: Sequence[Message],
    tools: Sequence[ToolSpec],
    calls: Sequence[ToolCall],
) -> None:
    counts, tokens = state.counts, generation.tokens
    counts.turns += 1
    prompt_count = tokens.prompt_count
    if prompt_count is None or tokens.source is TokenCountSource.CHUNKS:
        counts.estimated_turns += 1
    if prompt_count is None:
        prompt_count = sum(estimate_tokens(each.content) for each in messages)
    system, tool = shares(messages, tools)
    state.last_prompt_tokens, state.last_prompt_bytes = prompt_count, size_bytes(messages, tools)
    counts.prompt_tokens += prompt_count
    counts.output_tokens += tokens.output_count
    counts.system_tokens += round(prompt_count * system)
    counts.tool_tokens += round(prompt_count * tool)
    counts.reasoning_tokens += min(tokens.reasoning_count or 0, tokens.output_count)
    if any(call.name == reporting.NAME for call in calls) or state.bound is not None:
        counts.report_tokens += tokens.output_count
    counts.model_ms += round(formulas.end_to_end_latency_ms(generation.stamps) or 0)
