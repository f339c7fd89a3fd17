"""The steps of an agent's job: check that it can answer, then let it answer."""

from collections.abc import Mapping
from functools import partial

from rune.agents.protocol import AgentAnswer, AgentRequest
from rune.agents.registry import find_agent, open_agent
from rune.contracts import (
    AgenticAgentRequest,
    AgenticAgentResult,
    PhaseLatency,
    Telemetry,
    TokenTelemetry,
    read_stored,
)
from rune.errors import ModelServerError
from rune.jobs.outcomes import Done, Next, Outcome
from rune.jobs.record import StepName
from rune.jobs.step import Step, StepContext
from rune.net.addresses import AddressPolicy
from rune.tenants.settings import TenantSource
from rune.workflows.acquaintance import acquaintance_in, wait_while_loading
from rune.workflows.answers import keep_answer, keep_artifacts, keep_details
from rune.workflows.graph import Fact, step_after
from rune.workflows.model_servers import IDLE_TIMEOUT_SECONDS, Backends, time_left_seconds


class AgenticAgent:
    """The steps of an agent's job."""

    def __init__(self, backends: Backends, tenants: TenantSource, policy: AddressPolicy) -> None:
        self._backends = backends
        self._tenants = tenants
        self._policy = policy

    @property
    def steps(self) -> Mapping[StepName, Step]:
        """The steps of an agent's job, by name."""
        return {StepName.CHECK_AGENT: self.check, StepName.RUN_AGENT: self.run}

    async def check(self, context: StepContext) -> Outcome:
        """Check that the agent is there and has its model."""
        request = _request(context)
        settings = self._tenants.of(context.job.tenant).agents
        agent = open_agent(request.agent, settings, self._policy)
        try:
            await agent.check(self._question(request, context))
        except ModelServerError as error:
            limit_seconds = request.backend_warmup_timeout if request.backend_warmup else 0
            if again := wait_while_loading(context, error, limit_seconds=limit_seconds):
                return again
            raise
        finally:
            await agent.aclose()
        has_model_server = find_agent(request.agent, settings).needs_model_server
        return Next(step_after(context, Fact.MODEL_READY if has_model_server else Fact.AGENT_ALONE))

    async def run(self, context: StepContext) -> Outcome:
        """Let the agent answer."""
        request = _request(context)

        def show_progress(chunk_count: int) -> None:
            context.progress["chunks"] = chunk_count

        agent = open_agent(request.agent, self._tenants.of(context.job.tenant).agents, self._policy)
        try:
            answer = await agent.ask(self._question(request, context), show_progress)
        finally:
            await agent.aclose()
        from rune.workflows.token_meter import tokens_usd  # noqa: PLC0415  # comes with the server that was asked

        result = _result(request, answer, context.job.phases_ms, tokens_usd(context))
        return Done(result.model_dump_json())

    def _question(self, request: AgenticAgentRequest, context: StepContext) -> AgentRequest:
        open_model_server = None
        if request.backend_url is not None:
            open_model_server = partial(
                self._backends.open,
                self._backends.find(context.job, request),
                context,
                acquaintance_in(context.state_json).dialect,
            )
        return AgentRequest(
            question=request.question,
            model=request.model,
            timeout_seconds=min(float(request.timeout_seconds), time_left_seconds(context)),
            # A server that was not warmed up may stay silent while it loads the model.
            idle_timeout_seconds=IDLE_TIMEOUT_SECONDS if request.backend_warmup else None,
            open_model_server=open_model_server,
        )


def _request(context: StepContext) -> AgenticAgentRequest:
    return read_stored(AgenticAgentRequest, context.request_json)


def _result(
    request: AgenticAgentRequest,
    answer: AgentAnswer,
    phases_ms: Mapping[str, int],
    cost_usd: float | None,
) -> AgenticAgentResult:
    tokens = answer.tokens
    text, cut = keep_answer(answer.answer)
    artifacts, left_out = keep_artifacts(answer.artifacts or ())
    phases = {**phases_ms, **answer.phases_ms}
    return AgenticAgentResult(
        answer=text,
        result_type="text",
        artifacts=None if answer.artifacts is None else [dict(artifact) for artifact in artifacts],
        metadata={**keep_details(answer.metadata), **cut, **left_out, "model": request.model},
        telemetry=Telemetry(
            tokens=TokenTelemetry(
                system_prompt=tokens.system_prompt,
                tool_calls=tokens.tool_calls,
                agent_reasoning=tokens.agent_reasoning,
                output=tokens.output,
                total=tokens.total,
            ),
            latency=[PhaseLatency(phase=phase, ms=ms) for phase, ms in phases.items()],
            cost_estimate_usd=cost_usd,
        ),
    )
