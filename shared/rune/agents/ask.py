"""The agent `ask`: the question to the model, no tools."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import override

from rune.agents.protocol import (
    Agent,
    AgentAnswer,
    AgentKind,
    AgentRequest,
    AgentTokens,
    Need,
    nothing_missing,
)
from rune.bench import formulas
from rune.errors import InvalidRequestError, ModelNotFoundError
from rune.llm.protocol import ChatRequest, FinishReason, Generation, Message, ModelServer, OnChunk, Role
from rune.net.addresses import AddressPolicy
from rune.tenants.document import TenantAgents

NAME = "ask"


class AskAgent(Agent):
    """Gives the model the question and nothing else.

    Raises
    ------
    InvalidRequestError
        From `check` and `take_turn`: the job names no model server.
    """

    @override
    async def check(self, request: AgentRequest) -> None:
        async with _model_server(request) as server:
            await _require_model(server, request.model)

    @override
    async def take_turn(
        self, request: AgentRequest, state_json: str | None, on_chunk: OnChunk
    ) -> AgentAnswer:
        chat = ChatRequest(
            model=request.model,
            messages=(Message(Role.USER, request.question),),
            timeout_seconds=request.timeout_seconds,
            idle_timeout_seconds=request.idle_timeout_seconds or request.timeout_seconds,
        )
        async with _model_server(request) as server:
            # Also opens the connection that the question then takes, so that neither TCP and TLS nor what this
            # process does for the first time is counted as the model's time.
            await _require_model(server, request.model)
            return _answer(await server.chat(chat, on_chunk))

    @override
    async def aclose(self) -> None:
        """Do nothing: each call closes what it opened."""


def _open(_settings: TenantAgents, _policy: AddressPolicy) -> AskAgent:
    return AskAgent()


KIND = AgentKind(
    NAME,
    description="Puts the question to the model and returns its answer. It has no tools.",
    needs=frozenset({Need.MODEL_SERVER}),
    missing_setting=nothing_missing,
    open=_open,
    streams_progress=True,
)


@asynccontextmanager
async def _model_server(request: AgentRequest) -> AsyncIterator[ModelServer]:
    if request.open_model_server is None:
        raise InvalidRequestError(
            "The agent 'ask' needs a model server: give backend_url.",
            pointer="/backend_url",
            code="backend_url_missing",
        )
    server = request.open_model_server()
    try:
        yield server
    finally:
        await server.aclose()


async def _require_model(server: ModelServer, model: str) -> None:
    if await server.has_model(model) is False:
        raise ModelNotFoundError(f"The server does not have the model {model!r}.")


def _answer(generation: Generation) -> AgentAnswer:
    tokens = generation.tokens
    reasoning_count = min(tokens.reasoning_count or 0, tokens.output_count)
    latency_ms = formulas.end_to_end_latency_ms(generation.stamps)
    return AgentAnswer(
        answer=generation.text,
        metadata={"agent": NAME, "token_count_source": tokens.source.value, **_warnings(generation)},
        tokens=AgentTokens(
            agent_reasoning=reasoning_count,
            output=tokens.output_count - reasoning_count,
            total=(tokens.prompt_count or 0) + tokens.output_count,
        ),
        phases_ms={"ask": 0 if latency_ms is None else math.ceil(latency_ms)},
        generation=generation,
    )


def _warnings(generation: Generation) -> dict[str, str]:
    """Return what makes the answer doubtful, by the names of a benchmark's warnings; empty where nothing does."""
    holds = {
        "empty_answers": not generation.text.strip(),
        "unknown_ends": generation.finish_reason is FinishReason.OTHER,
    }
    names = ",".join(name for name, is_so in holds.items() if is_so)
    return {"warnings": names} if names else {}
