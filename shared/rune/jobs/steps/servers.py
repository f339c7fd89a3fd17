"""What all steps that talk to a model server share."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from rune.contracts import (
    AgenticAgentRequest,
    BackendChoice,
    BenchmarkRequest,
    LlmInstanceRequest,
    LlmInstanceResult,
    Question,
)
from rune.jobs import plan
from rune.jobs.outcomes import Done, Next, Outcome
from rune.jobs.record import Kind, StepName
from rune.jobs.step import Step, StepContext
from rune.llm.protocol import ModelServer, WarmUpRequest

type OpenServer = Callable[[str, str], ModelServer]
"""Opens the server of a kind at an address."""

IDLE_TIMEOUT_SECONDS = 60.0
"""Longest silence between two pieces of an answer, once the model is loaded."""

HEADROOM_SECONDS = 5.0
"""Left of the step's time when a call must be over, so that its failure can still be written down."""

_QUESTIONS: Mapping[Kind, type[Question]] = {
    Kind.BENCHMARK: BenchmarkRequest,
    Kind.AGENTIC_AGENT: AgenticAgentRequest,
}


class Servers:
    """The steps that only want to know of a server, or make it ready."""

    def __init__(self, open_server: OpenServer) -> None:
        self._open_server = open_server

    @property
    def steps(self) -> Mapping[StepName, Step]:
        """Every step by its name."""
        return {StepName.WARM_UP: self.warm_up, StepName.VERIFY: self.verify}

    async def warm_up(self, context: StepContext) -> Outcome:
        """Load the model and run one token through it."""
        request = _QUESTIONS[context.job.kind].model_validate_json(context.request_json)
        timeout_seconds = min(float(request.backend_warmup_timeout), time_left_seconds(context))
        async with using(self._open_server, request) as server:
            warm_up = await server.warm_up(WarmUpRequest(request.model, timeout_seconds))
        phases_ms = {"load": round(warm_up.load_ms), "first_token": round(warm_up.first_token_ms)}
        return Next(plan.LAST_STEP[context.job.kind], phases_ms=phases_ms)

    async def verify(self, context: StepContext) -> Outcome:
        """Find out that a server answers, and hand over its address."""
        request = LlmInstanceRequest.model_validate_json(context.request_json)
        async with using(self._open_server, request) as server:
            await server.list_models()
        result = LlmInstanceResult(mode="existing", backend_url=request.backend_url or "")
        return Done(result.model_dump_json())


@asynccontextmanager
async def using(open_server: OpenServer, choice: BackendChoice) -> AsyncIterator[ModelServer]:
    """Give the server that was chosen, and close it."""
    server = open_server(choice.backend_type, choice.backend_url or "")
    try:
        yield server
    finally:
        await server.aclose()


def time_left_seconds(context: StepContext) -> float:
    """Return how long a call may take."""
    return max(1.0, context.time_limit_seconds - HEADROOM_SECONDS)
