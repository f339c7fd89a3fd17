"""The agent `kubernetes`: RUNE's own investigator, a model with tools that read a cluster."""

import math
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import override

from rune.agents.investigation import reporting
from rune.agents.investigation.answer import answer_text, artifacts_of, less, metadata_of
from rune.agents.investigation.limits import Limits
from rune.agents.investigation.state import Counts, State, read_state
from rune.agents.investigation.transcript import SMALLEST_TRANSCRIPT_BYTES, messages_of, whole_transcript
from rune.agents.investigation.turns import LAST_ANSWER_TOKENS, Ended, end_early, require_tools, take_turn
from rune.agents.protocol import (
    TURN_ANSWER_TOKENS,
    Agent,
    AgentAnswer,
    AgentKind,
    AgentRequest,
    AgentTokens,
    GoOn,
    Need,
    NeededCall,
    Turn,
    nothing_missing,
)
from rune.agents.tools import Toolbox
from rune.bench.token_bounds import most_prompt_tokens
from rune.errors import InvalidRequestError, ModelNotFoundError
from rune.kubernetes.findings import Report
from rune.kubernetes.masking import mask_text
from rune.llm.protocol import ModelServer, OnChunk
from rune.net.addresses import AddressPolicy
from rune.tenants.document import TenantAgents

NAME = "kubernetes"

CONTEXT_TOKENS = 16_384
"""In which Ollama loads the model. Its own default of 4,096 holds the instructions and one result."""

MOST_TOOL_CALLS = 250
"""Whatever the job allows: each result is kept, and the state of an agent has a bound."""

_NONCE_BYTES = 6
_LAST_ANSWER_RATIO = 0.2
_LAST_ANSWER_SECONDS = 120.0
_JOB_BEGAN = datetime(2000, 1, 1, tzinfo=UTC)
"""Of the job's own clock, which stands still while nothing of it runs; only what has passed since then counts."""


class KubernetesAgent(Agent):
    """Lets the job's model investigate the job's cluster, one turn at a time.

    Raises
    ------
    InvalidRequestError
        From `check` and `take_turn`: the job names no model server, or no cluster.
    """

    @override
    async def check(self, request: AgentRequest) -> None:
        async with _model_server(request) as server:
            if await server.has_model(request.model) is False:
                raise ModelNotFoundError(f"The server does not have the model {request.model!r}.")
            await require_tools(server, request.model)

    @override
    async def take_turn(self, request: AgentRequest, state_json: str | None, on_chunk: OnChunk) -> Turn:
        async with _model_server(request) as server, _toolbox(request) as toolbox:
            if state_json is None:
                state = await _begin(request, server)
            else:
                state = read_state(state_json)
            turn = await take_turn(state, server, toolbox, _limits(request), _now(request), on_chunk=on_chunk)
        if isinstance(turn, Ended):
            return _answer(turn.state, turn.report, state.counts)
        used = less(turn.state.counts, state.counts)
        tools = [result.tool for result in turn.state.results[len(state.results) :]]
        return GoOn(
            turn.state.model_dump_json(),
            progress={"tool_calls": turn.state.counts.tool_calls},
            tokens=_tokens(used),
            phases_ms=_phases_ms(used),
            delay_seconds=turn.pause_seconds,
            labels={"turn": str(turn.state.counts.turns), "tools": ", ".join(tools) or "none"},
        )

    @override
    async def stop(self, request: AgentRequest, state_json: str) -> AgentAnswer | None:
        state = read_state(state_json)
        return _answer(state, end_early(state), state.counts)

    @override
    async def aclose(self) -> None:
        """Do nothing: each call closes what it opened."""


async def _begin(request: AgentRequest, server: ModelServer) -> State:
    # Also of a job that rents, for which nothing was checked before.
    await require_tools(server, request.model)
    return State(
        question=request.question,
        model=request.model,
        nonce=secrets.token_hex(_NONCE_BYTES),
        began_at=_JOB_BEGAN,
        context_tokens=await _context_tokens(server, request.model),
    )


async def _context_tokens(server: ModelServer, model: str) -> int | None:
    """Return the context that Ollama is told, or the one that another server says it has."""
    if (await server.describe_server()).name == "ollama":
        return CONTEXT_TOKENS
    return (await server.describe_model(model)).context_tokens_loaded


def _limits(request: AgentRequest) -> Limits:
    allowed = request.limits
    final_seconds = min(_LAST_ANSWER_SECONDS, allowed.seconds * _LAST_ANSWER_RATIO)
    return Limits(
        # The last one is for the report.
        turn_count=allowed.max_turns - 1,
        tool_call_count=min(allowed.max_tool_calls, MOST_TOOL_CALLS),
        token_count=allowed.max_tokens,
        seconds=allowed.seconds - final_seconds,
        final_seconds=final_seconds,
        turn_seconds=request.timeout_seconds,
    )


def _now(request: AgentRequest) -> datetime:
    passed_seconds = request.limits.seconds - request.seconds_left
    return _JOB_BEGAN + timedelta(seconds=passed_seconds if math.isfinite(passed_seconds) else 0)


def _answer(state: State, report: Report, before: Counts) -> AgentAnswer:
    used = less(state.counts, before)
    return AgentAnswer(
        answer=answer_text(report),
        metadata={"agent": NAME, **metadata_of(report, state)},
        tokens=_tokens(used),
        phases_ms=_phases_ms(used),
        artifacts=artifacts_of(report),
        result_type="structured",
        transcript=whole_transcript(state, mask_text),
    )


def _tokens(used: Counts) -> AgentTokens:
    output = max(0, used.report_tokens - used.reasoning_tokens)
    return AgentTokens(
        system_prompt=used.system_tokens,
        tool_calls=used.tool_tokens,
        agent_reasoning=used.output_tokens - output,
        output=output,
        total=used.prompt_tokens + used.output_tokens,
    )


def _phases_ms(used: Counts) -> dict[str, int]:
    return {"model": used.model_ms, "tools": used.tools_ms}


@asynccontextmanager
async def _model_server(request: AgentRequest) -> AsyncIterator[ModelServer]:
    if request.open_model_server is None:
        raise InvalidRequestError(
            f"The agent '{NAME}' needs a model server: give backend_url.",
            pointer="/backend_url",
            code="backend_url_missing",
        )
    server = request.open_model_server()
    try:
        yield server
    finally:
        await server.aclose()


@asynccontextmanager
async def _toolbox(request: AgentRequest) -> AsyncIterator[Toolbox]:
    if request.open_toolbox is None:
        raise InvalidRequestError(
            f"The agent '{NAME}' needs a cluster: give cluster.", pointer="/cluster", code="cluster_missing"
        )
    toolbox = request.open_toolbox()
    try:
        yield toolbox
    finally:
        await toolbox.aclose()


def least_calls(question: str) -> tuple[NeededCall, NeededCall]:
    """Return the two calls without which there is no investigation: one that reads, and the report.

    The last one, where little money is left, has the shortest transcript there is.
    """
    from rune.kubernetes.tools.specs import SPECS  # noqa: PLC0415  # only where money bounds the job

    nonce = "0" * 2 * _NONCE_BYTES
    beginning = State(question=question, model="", nonce=nonce, began_at=_JOB_BEGAN)
    tokens = most_prompt_tokens(messages_of(beginning, Limits()), (*SPECS, reporting.SPEC))
    last_tokens = tokens + SMALLEST_TRANSCRIPT_BYTES
    return NeededCall(tokens, TURN_ANSWER_TOKENS), NeededCall(last_tokens, LAST_ANSWER_TOKENS)


def _open(_settings: TenantAgents, _policy: AddressPolicy) -> KubernetesAgent:
    return KubernetesAgent()


KIND = AgentKind(
    NAME,
    description="Investigates a cluster with a model of yours and tools that only read it; findings have evidence.",
    needs=frozenset({Need.MODEL_SERVER, Need.CLUSTER}),
    missing_setting=nothing_missing,
    open=_open,
    streams_progress=True,
    asks_often=True,
    least_calls=least_calls,
    context_tokens=CONTEXT_TOKENS,
)
