"""The steps of an agent's job: check that it can answer, then let it answer.

Each turn of the agent is a turn of the job, and the state between them is committed.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from rune.agents.protocol import (
    MAX_STATE_BYTES,
    Agent,
    AgentAnswer,
    AgentKind,
    AgentRequest,
    GoOn,
    Limits,
    OpenToolbox,
)
from rune.agents.registry import find_agent, open_agent
from rune.clock import Clock
from rune.contracts import (
    AgenticAgentRequest,
    AgenticAgentResult,
    PhaseLatency,
    Telemetry,
    read_stored,
)
from rune.errors import (
    AddressError,
    CostCapReachedError,
    ModelServerError,
    RequestRejectedError,
    RuneError,
    ServerAccessError,
    StoreUnavailableError,
)
from rune.jobs.artifacts import artifact_key
from rune.jobs.outcomes import Again, Cancelled, Done, Failed, Next, Note, Outcome
from rune.jobs.record import StepName
from rune.jobs.step import Step, StepContext
from rune.jobs.transitions import RETRY_DELAYS_SECONDS, failure_of, out_of_time, retry_delay_seconds
from rune.kubernetes.source import ClusterSource
from rune.llm.dialects import Dialect
from rune.llm.protocol import ModelServer
from rune.llm.toolbox import Toolbox
from rune.net.addresses import AddressPolicy
from rune.tenants.document import TenantAgents
from rune.tenants.settings import TenantSource
from rune.workflows.acquaintance import acquaintance_in, wait_while_loading
from rune.workflows.agent_state import AgentState, KeptFailure, agent_state_in
from rune.workflows.answers import keep_answer, keep_artifacts, keep_details
from rune.workflows.benchmark.dependencies import RecordFiles
from rune.workflows.graph import Fact, step_after
from rune.workflows.model_servers import IDLE_TIMEOUT_SECONDS, Backends, time_left_seconds

log = logging.getLogger(__name__)

ENDING_DELAYS_SECONDS = (2, 5, 10, 20, 40)
"""Between two tries to have another server end what it does for a job that is to end. The sixth try is the last."""

# A server that refuses its token is asked again once the tenant's token has changed.
_SAYS_IT_IS_OVER = (RequestRejectedError, ServerAccessError)


class _Opener:
    """Opens the job's model server, and remembers what was learnt of it."""

    def __init__(self, open_server: Callable[[Dialect], ModelServer], dialect: Dialect) -> None:
        self._open_server = open_server
        self._dialect = dialect
        self._opened: ModelServer | None = None

    def __call__(self) -> ModelServer:
        self._opened = self._open_server(self.dialect)
        return self._opened

    @property
    def dialect(self) -> Dialect:
        return self._dialect if self._opened is None else self._opened.dialect


@dataclass(frozen=True, slots=True)
class _Work:
    """What a turn is taken with."""

    context: StepContext
    kind: AgentKind
    state: AgentState
    opener: _Opener | None
    question: AgentRequest
    files: RecordFiles | None

    @property
    def dialect(self) -> Dialect:
        return self.state.dialect if self.opener is None else self.opener.dialect


class AgenticAgent:
    """The steps of an agent's job."""

    def __init__(
        self,
        backends: Backends,
        tenants: TenantSource,
        policy: AddressPolicy,
        clock: Clock,
        files: RecordFiles | None = None,
        *,
        clusters: ClusterSource | None = None,
    ) -> None:
        self._backends = backends
        self._tenants = tenants
        self._policy = policy
        self._clock = clock
        self._files = files
        self._clusters = clusters

    @property
    def steps(self) -> Mapping[StepName, Step]:
        """The steps of an agent's job, by name."""
        return {StepName.CHECK_AGENT: self.check, StepName.RUN_AGENT: self.run}

    async def check(self, context: StepContext) -> Outcome:
        """Check that the agent is there and has its model."""
        request = _request(context)
        settings = self._settings(context)
        agent = open_agent(request.agent, settings, self._policy)
        opener = self._opener(request, context, acquaintance_in(context.state_json).dialect)
        try:
            await agent.check(self._question(request, context, opener))
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
        """Let the agent take its next turn."""
        request, settings = _request(context), self._settings(context)
        kind = find_agent(request.agent, settings)
        state = agent_state_in(context.state_json, kind)
        ends_with = self._end_of(context, state)
        if ends_with is not None and state.own_json is None and not _may_be_handed_over(context, kind):
            return ends_with
        if state.own_json is not None:
            # Renewals of the lease write the turn's progress in place of what the last turn left.
            context.progress.update(context.job.progress)
        context.works_elsewhere = kind.works_elsewhere and state.own_json is not None
        # The answer to the question's handing over has the name by which that work can be ended.
        context.breaks_off = not kind.works_elsewhere or state.own_json is not None
        opener = self._opener(request, context, state.dialect)
        question = self._question(request, context, opener)
        work = _Work(context, kind, state, opener, question, self._files)
        agent = open_agent(request.agent, settings, self._policy)
        try:
            if ends_with is None:
                return await self._take_turn(agent, work)
            if kind.works_elsewhere:
                return await self._end_elsewhere(agent, work, ends_with)
            is_cancelled = isinstance(ends_with, Cancelled)
            stopped = None if is_cancelled or context.ends_with else await _stop(agent, work)
            return stopped or ends_with
        finally:
            await agent.aclose()

    def _end_of(self, context: StepContext, state: AgentState) -> Cancelled | Failed | None:
        """Return how the job ends where another turn of the agent may not be taken."""
        if context.ends_with is not None:
            return context.ends_with
        if context.job.cancel_requested_at is not None:
            return Cancelled()
        if state.ends_with is not None:
            return state.ends_with.as_outcome()
        return replace(out_of_time(context.job), is_final=True) if self._seconds_left(context) <= 0 else None

    async def _end_elsewhere(self, agent: Agent, work: _Work, ends_with: Cancelled | Failed) -> Outcome:
        """Have another server end its work; return the job's end, or another turn where that is not known."""
        context, state = work.context, work.state
        try_number = state.end_count + 1
        failure: RuneError | None = None
        left_json = state.own_json
        try:
            left_json = await agent.end_elsewhere(work.question, state.own_json)
        except (ModelServerError, AddressError) as error:
            failure = error
        if isinstance(failure, ServerAccessError):
            self._backends.reread_key(context.job)
        note = Note("agent.end", {"try": str(try_number)}, failure.code if failure else None)
        is_over = left_json is None if failure is None else isinstance(failure, RequestRejectedError)
        if not is_over and try_number <= len(ENDING_DELAYS_SECONDS):
            kept = KeptFailure.of(ends_with) if isinstance(ends_with, Failed) else None
            ended = state.model_copy(
                update={"own_json": left_json, "end_count": try_number, "ends_with": kept}
            )
            return Again(
                ENDING_DELAYS_SECONDS[try_number - 1],
                dict(context.progress),
                state_json=ended.model_dump_json(),
                notes=(note,),
            )
        if failure is not None:
            log.warning("agent.may_work_on", extra={"job_id": context.job.job_id, "reason": failure.sentence})
        return replace(ends_with, notes=(*ends_with.notes, note))

    async def _take_turn(self, agent: Agent, work: _Work) -> Outcome:
        context, state, question = work.context, work.state, work.question

        def show_progress(chunk_count: int) -> None:
            context.progress["chunks"] = chunk_count

        try:
            turn = await agent.take_turn(question, state.own_json, show_progress)
        except CostCapReachedError:
            stopped = await _stop(agent, work)
            if stopped is None:
                raise
            return stopped
        except (ModelServerError, AddressError) as error:
            if self._is_last_try(context, state, error):
                # Another turn would only find the time over, and hide why the job failed.
                return replace(failure_of(context.job, error, self._clock.now()), is_final=True)
            if context.works_elsewhere and not isinstance(error, _SAYS_IT_IS_OVER):
                failed = failure_of(context.job, error, self._clock.now())
                if retry_delay_seconds(context.job, failed, self._clock.now()) is None:
                    return await self._end_elsewhere(agent, work, replace(failed, is_final=True))
            raise
        if isinstance(turn, AgentAnswer):
            return _done(work, turn)
        if len(turn.state_json.encode()) > MAX_STATE_BYTES:
            sentence = f"The agent keeps more than {MAX_STATE_BYTES:,} bytes between its turns."
            return Failed("agent_state_too_large", sentence, retryable=False)
        return _again(turn, state.after(turn, work.kind, work.dialect))

    def _is_last_try(self, context: StepContext, state: AgentState, error: RuneError) -> bool:
        """Return whether no time is left for another try of the only turn."""
        delay_seconds = RETRY_DELAYS_SECONDS[min(context.job.failures, len(RETRY_DELAYS_SECONDS) - 1)]
        return error.retryable and state.own_json is None and self._seconds_left(context) <= delay_seconds

    def _settings(self, context: StepContext) -> TenantAgents:
        return self._tenants.of(context.job.tenant).agents

    def _seconds_left(self, context: StepContext) -> float:
        return (context.job.ends_at - self._clock.now()).total_seconds()

    def _opener(self, request: AgenticAgentRequest, context: StepContext, dialect: Dialect) -> _Opener | None:
        if request.backend_url is None:
            return None
        backend = self._backends.find(context.job, request)
        return _Opener(partial(self._backends.open, backend, context), dialect)

    def _open_toolbox(self, tenant: str, cluster: str | None) -> OpenToolbox | None:
        if cluster is None:
            return None

        def open_now() -> Toolbox:
            from rune.workflows.clusters import open_toolbox  # noqa: PLC0415  # few jobs name a cluster

            settings = self._tenants.of(tenant)
            return open_toolbox(
                self._clusters, tenant, settings, cluster, policy=self._policy, clock=self._clock
            )

        return open_now

    def _question(
        self, request: AgenticAgentRequest, context: StepContext, opener: _Opener | None
    ) -> AgentRequest:
        job = context.job
        return AgentRequest(
            question=request.question,
            model=request.model,
            timeout_seconds=min(float(request.timeout_seconds), time_left_seconds(context)),
            # A server that was not warmed up may stay silent while it loads the model.
            idle_timeout_seconds=IDLE_TIMEOUT_SECONDS if request.backend_warmup else None,
            open_model_server=opener,
            tenant=job.tenant,
            job_id=job.job_id,
            cluster=request.cluster,
            open_toolbox=self._open_toolbox(job.tenant, request.cluster),
            limits=Limits(
                max_turns=request.max_turns,
                max_tool_calls=request.max_tool_calls,
                max_tokens=request.max_tokens,
                seconds=float(job.max_runtime_seconds),
                micro_usd=job.cap_micro_usd,
            ),
            seconds_left=self._seconds_left(context),
            try_number=job.attempts + job.failures,
        )


def _may_be_handed_over(context: StepContext, kind: AgentKind) -> bool:
    """Return whether the first turn of such an agent may have been taken, and was lost or failed."""
    return kind.works_elsewhere and (context.job.attempts > 1 or context.job.failures > 0)


def _request(context: StepContext) -> AgenticAgentRequest:
    return read_stored(AgenticAgentRequest, context.request_json)


async def _stop(agent: Agent, work: _Work) -> Done | None:
    """Return the end with what the agent has so far; None where it has nothing to tell."""
    if work.state.own_json is None:
        return None
    answer = await agent.stop(work.question, work.state.own_json)
    return None if answer is None else _done(work, answer)


def _again(turn: GoOn, state: AgentState) -> Again:
    progress = {"turns": state.turn_count, **turn.progress}
    notes = () if turn.labels is None else (Note("agent.turn", turn.labels),)
    return Again(turn.delay_seconds, progress, state_json=state.model_dump_json(), notes=notes)


def _with_transcript(work: _Work, answer: AgentAnswer) -> AgentAnswer:
    """Return the answer with its transcript as a file; an answer without it is better than none."""
    if answer.transcript is None or work.files is None:
        return answer
    job = work.context.job
    # A worker that has lost its lease writes another file, which no result names.
    name = f"transcript-{job.epoch}.jsonl"
    try:
        work.files.put(artifact_key(job.job_id, name), answer.transcript)
    except StoreUnavailableError:
        return replace(answer, metadata={**answer.metadata, "transcript_warning": "It could not be stored."})
    return replace(answer, artifacts=({"type": "transcript", "file": name}, *(answer.artifacts or ())))


def _done(work: _Work, answer: AgentAnswer) -> Done:
    from rune.workflows.token_meter import tokens_usd  # noqa: PLC0415  # comes with the server that was asked

    context = work.context
    phases_ms, cost_usd = context.job.phases_ms, tokens_usd(context)
    model = _request(context).model if work.kind.takes_model else None
    result = _result(model, work.state, _with_transcript(work, answer), phases_ms, cost_usd)
    return Done(result.model_dump_json())


def _result(
    model: str | None,
    state: AgentState,
    answer: AgentAnswer,
    phases_ms: Mapping[str, int],
    cost_usd: float | None,
) -> AgenticAgentResult:
    text, cut = keep_answer(answer.answer)
    artifacts, left_out = keep_artifacts(answer.artifacts or ())
    phases = {**phases_ms, **state.with_phases(answer.phases_ms)}
    return AgenticAgentResult(
        answer=text,
        result_type=answer.result_type,
        artifacts=None if answer.artifacts is None else [dict(artifact) for artifact in artifacts],
        metadata={
            **keep_details(answer.metadata),
            **cut,
            **left_out,
            **({"model": model} if model else {}),
        },
        telemetry=Telemetry(
            tokens=state.with_tokens(answer.tokens),
            latency=[PhaseLatency(phase=phase, ms=ms) for phase, ms in phases.items()],
            cost_estimate_usd=cost_usd,
        ),
    )
