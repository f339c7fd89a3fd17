"""The step `measure` of a benchmark with a suite: one turn of one investigation is a turn of the job.

A worker that is lost costs the turn that it was at. Runs that are over are in the state, each once.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from rune.agents.investigation.limits import Bound, Limits
from rune.agents.investigation.state import State, read_state
from rune.agents.investigation.turns import Ended, Turn, require_tools, take_turn
from rune.agents.protocol import TURN_ANSWER_TOKENS
from rune.bench.diagnoses import grade
from rune.bench.diagnosis_figures import fold_diagnoses
from rune.bench.diagnosis_showing import summarize
from rune.bench.reports import SUITE_TEMPERATURE, make_suite_report
from rune.contracts import (
    BenchmarkBookkeeping,
    BenchmarkReport,
    BenchmarkRequest,
    PhaseLatency,
    StoredBenchmarkResult,
    Telemetry,
    TokenTelemetry,
    read_stored,
)
from rune.contracts.benchmarks import EndedBy, TokenCostReport
from rune.contracts.diagnoses import SuiteReport
from rune.errors import (
    AddressError,
    CostCapReachedError,
    InvalidRequestError,
    ModelServerError,
    ServerTimeoutError,
    ServerUnreachableError,
)
from rune.jobs.lifecycle import MAX_ATTEMPTS
from rune.jobs.outcomes import Again, Done, Failed, Note, Outcome
from rune.jobs.plan import CLOSING_SECONDS
from rune.jobs.step import StepContext
from rune.jobs.transitions import MAX_FAILURES, out_of_time
from rune.kubernetes.recorded.case import Case
from rune.llm.protocol import ModelServer
from rune.workflows.acquaintance import acquaintance_in
from rune.workflows.benchmark.context_size import context_tokens_of
from rune.workflows.benchmark.dependencies import BenchmarkDependencies
from rune.workflows.benchmark.exercises import Exercise, expected_of, open_exercise, read_suite
from rune.workflows.benchmark.server_snapshot import TIME_LIMIT_SECONDS, ServerSnapshot, take_snapshot
from rune.workflows.benchmark.suite_state import (
    Counted,
    OpenRun,
    SuiteState,
    labels_of,
    make_run,
    planned_runs,
    suite_state_in,
)
from rune.workflows.model_servers import Backend, Backends
from rune.workflows.token_meter import tokens_usd

LEAST_TURN_SECONDS = 20.0
"""With less than this no turn is begun."""

MOST_ERRORS_IN_A_ROW = 3
"""Runs that a server ended, one after another: then it is the server that is ill, and no other run is begun."""

WORKER_LOST = "worker_lost"
"""Why a run has no answer whose turn has ended each worker that took it."""

_NONCE_BYTES = 6


@dataclass(frozen=True, slots=True)
class _Work:
    """What a turn is taken with."""

    context: StepContext
    request: BenchmarkRequest
    cases: Mapping[str, Case]
    plan: list[tuple[str, int]]

    @property
    def seconds_left(self) -> float:
        """Of this turn, its end left out."""
        return self.context.time_limit_seconds - CLOSING_SECONDS

    @property
    def limits(self) -> Limits:
        """Of one run."""
        usual, request = Limits(), self.request
        return replace(
            usual,
            turn_count=request.max_turns or usual.turn_count,
            tool_call_count=request.max_tool_calls or usual.tool_call_count,
            token_count=request.max_tokens or usual.token_count,
            seconds=float(request.timeout_seconds),
            turn_seconds=min(usual.turn_seconds, self.seconds_left),
        )

    @property
    def time_end(self) -> EndedBy:
        """Why a job ends whose time is over."""
        return "cost_cap" if self.context.job.is_capped else "time_over"

    @property
    def spent_micro_usd(self) -> int:
        """What the job's tokens have cost."""
        return 0 if self.context.tokens is None else self.context.tokens.spent_micro_usd


class SuiteStep:
    """The step `measure` of a benchmark with a suite."""

    def __init__(self, backends: Backends, dependencies: BenchmarkDependencies) -> None:
        self._backends = backends
        self._dependencies = dependencies

    async def measure(self, context: StepContext) -> Outcome:
        """Take the next turn of the open run, begin the next run, or make the result of those that are over."""
        request = read_stored(BenchmarkRequest, context.request_json)
        state = suite_state_in(context.state_json, context.job.rental_id)
        cases = read_suite(self._dependencies.read_cases, context.job.tenant, request)
        work = _Work(context, request, cases, planned_runs(request))
        if state is not None:
            # Renewals of the lease write the turn's progress in place of what the last turn left.
            context.progress.update(_progress(work, state))
        ended_by = _why_end(work, state)
        if ended_by is None and state is not None and context.job.attempts >= MAX_ATTEMPTS:
            return _broken_off(work, state, WORKER_LOST)
        if ended_by is None:
            try:
                return await self._take_turn(work, state)
            except (ModelServerError, AddressError, InvalidRequestError) as error:
                if state is None:
                    raise
                if isinstance(error, ServerTimeoutError) and work.seconds_left < Limits().turn_seconds:
                    # The turn had less time than it may have, and so it is the job's that is over.
                    ended_by = work.time_end
                elif error.retryable and context.job.failures + 1 < MAX_FAILURES:
                    # Not raised: on a rented machine that would begin anew elsewhere, and lose what has been run.
                    return Failed.from_error(error)
                else:
                    return _broken_off(work, state, error.code)
        if state is None or not state.runs:
            if state is not None and state.is_out_of_money:
                raise CostCapReachedError
            return replace(out_of_time(context.job), retryable=False)
        return await self._finish(work, state, ended_by)

    async def _take_turn(self, work: _Work, state: SuiteState | None) -> Outcome:
        context, request = work.context, work.request
        began_at = self._dependencies.clock.now()
        backend = self._backends.find(context.job, request)
        dialect = acquaintance_in(context.state_json).dialect if state is None else state.dialect
        case_id, number = work.plan[len(state.runs) if state else 0]
        exercise = open_exercise(work.cases[case_id], number)
        async with self._backends.using(backend, context, dialect) as server:
            if state is None:
                await require_tools(server, request.model)
                state = await self._begin(work, server, backend)
            opened = state.open_run or _opened(work, exercise, began_at)
            before = work.spent_micro_usd
            try:
                turn = await take_turn(
                    read_state(opened.investigation_json),
                    server,
                    exercise.toolbox,
                    work.limits,
                    began_at,
                )
            finally:
                await exercise.toolbox.aclose()
            dialect = server.dialect
        opened = opened.after(turn.state, work.spent_micro_usd - before)
        state = state.model_copy(update={"dialect": dialect, "open_run": opened})
        return _end_turn(work, state, turn, exercise)

    async def _begin(self, work: _Work, server: ModelServer, backend: Backend) -> SuiteState:
        """Find out what stays the same for all runs."""
        before = await self._look(server, work.request.model)
        facts = before.server
        if facts.parallel_count is None and backend.parallel_count is not None:
            before = before.model_copy(
                update={"server": replace(facts, parallel_count=backend.parallel_count)}
            )
        is_unlisted = acquaintance_in(work.context.state_json).is_unlisted
        return SuiteState(
            rental_id=work.context.job.rental_id,
            backend_url=backend.url,
            started_at=self._dependencies.clock.now(),
            before=before,
            warnings=("model_not_listed",) if is_unlisted else (),
        )

    async def _look(self, server: ModelServer, model: str) -> ServerSnapshot:
        """Return what the server says of itself; one that cannot say it can still be asked."""
        try:
            return await self._dependencies.within(TIME_LIMIT_SECONDS, take_snapshot(server, model))
        except ServerUnreachableError:
            raise
        except (ModelServerError, TimeoutError):
            return ServerSnapshot()

    async def _finish(self, work: _Work, state: SuiteState, ended_by: EndedBy) -> Outcome:
        context, request = work.context, work.request
        key = f"results/{context.job.job_id}/records/00-{context.job.epoch}.jsonl"
        # Before the commit that names it. The file of a worker that is lost between the two is never read.
        self._dependencies.records.put(key, "".join(f"{run.model_dump_json()}\n" for run in state.runs))
        report = self._report(work, state, ended_by)
        counted, cost_usd = state.all_counted, tokens_usd(context)
        if cost_usd is not None and request.backend_type == "bedrock":
            token_cost = TokenCostReport(tokens_usd=cost_usd, usd_per_million_output_tokens_all_in=None)
            report = report.model_copy(update={"token_cost": token_cost})
        phases_ms = {"measure": counted.ms}
        result = StoredBenchmarkResult(
            answer="" if report.diagnosis is None else summarize(report.diagnosis),
            metadata={"backend_type": request.backend_type, "question": request.question},
            telemetry=Telemetry(
                tokens=_telemetry(counted),
                latency=[
                    PhaseLatency(phase=phase, ms=ms)
                    for phase, ms in {**context.job.phases_ms, **phases_ms}.items()
                ],
                cost_estimate_usd=cost_usd,
            ),
            model_name=request.model,
            backend_url=state.backend_url,
            measurements=None,
            report=report,
            bookkeeping=BenchmarkBookkeeping(record_keys=(key,)),
        )
        return Done(result.model_dump_json(), phases_ms)

    def _report(self, work: _Work, state: SuiteState, ended_by: EndedBy) -> BenchmarkReport:
        context, request, limits = work.context, work.request, work.limits
        diagnosis = fold_diagnoses(
            state.runs,
            {case_id: expected_of(case) for case_id, case in work.cases.items()},
            suite=SuiteReport(
                name=request.suite or "",
                version=request.suite_version or "",
                is_whole=len(request.cases or ()) == len(work.cases),
                runs_per_case=request.runs or 0,
                max_turns=limits.turn_count,
                max_tool_calls=limits.tool_call_count,
                max_tokens=limits.token_count,
                run_seconds=request.timeout_seconds,
            ),
            planned_run_count=len(work.plan),
        )
        return make_suite_report(
            job_id=context.job.job_id,
            request=request,
            diagnosis=diagnosis,
            ended_by=ended_by,
            model=state.before.model,
            server=state.before.server,
            longest_answer_tokens=TURN_ANSWER_TOKENS,
            context_tokens=context_tokens_of(request, rents=context.job.rents),
            started_at=state.started_at,
            finished_at=self._dependencies.clock.now(),
            warnings=[*state.warnings, *_warnings(ended_by, state)],
            notes=state.dialect.notes(),
            client_region=self._dependencies.client_region,
            client_memory_mb=self._dependencies.client_memory_mb,
        )


def _why_end(work: _Work, state: SuiteState | None) -> EndedBy | None:
    """Return why no other turn is taken; None where one is."""
    if state is not None:
        if len(state.runs) >= len(work.plan):
            return "all_measured"
        if state.is_out_of_money:
            return "cost_cap"
        if state.errors_in_a_row >= MOST_ERRORS_IN_A_ROW:
            return "errors"
    return work.time_end if work.seconds_left < LEAST_TURN_SECONDS else None


def _warnings(ended_by: EndedBy, state: SuiteState) -> list[str]:
    warnings = ["cost_cap_reached"] if ended_by == "cost_cap" else []
    if any(run.error_code for run in state.runs):
        warnings.append("runs_given_up")
    return warnings


def _opened(work: _Work, exercise: Exercise, now: datetime) -> OpenRun:
    """Return a run that begins."""
    investigation = State(
        question=exercise.question,
        model=work.request.model,
        nonce=secrets.token_hex(_NONCE_BYTES),
        began_at=now,
        context_tokens=context_tokens_of(work.request, rents=work.context.job.rents),
        temperature=SUITE_TEMPERATURE,
    )
    return OpenRun(investigation_json=investigation.model_dump_json())


def _end_turn(work: _Work, state: SuiteState, turn: Turn, exercise: Exercise) -> Outcome:
    opened, pause_seconds = state.open_run, 0
    notes: tuple[Note, ...] = ()
    if opened is None:
        raise AssertionError("a turn was taken of it")
    if turn.state.bound is Bound.DOLLARS:
        # What it has found so far is no measure of the model: the money was the job's.
        state = state.model_copy(update={"is_out_of_money": True})
    elif not isinstance(turn, Ended):
        pause_seconds = turn.pause_seconds
    else:
        report = turn.report
        run = make_run(
            work.plan[len(state.runs)],
            grade(exercise.expected, report),
            opened,
            status=report.status.value,
            finding_count=len(report.findings),
            bound=report.bound,
            is_billed=work.request.backend_type == "bedrock",
        )
        state, notes = state.with_run(run), (Note("benchmark.case", labels_of(run)),)
    return Again(pause_seconds, _progress(work, state), state_json=state.model_dump_json(), notes=notes)


def _broken_off(work: _Work, state: SuiteState, error_code: str) -> Outcome:
    """Return the outcome of a run that has no answer, since its server or its worker failed."""
    place = work.plan[len(state.runs)]
    opened = state.open_run or OpenRun(investigation_json="")
    run = make_run(
        place,
        grade(open_exercise(work.cases[place[0]], place[1]).expected, None),
        opened,
        error_code=error_code,
        is_billed=work.request.backend_type == "bedrock",
    )
    state = state.with_run(run)
    note = Note("benchmark.case", labels_of(run))
    return Again(0, _progress(work, state), state_json=state.model_dump_json(), notes=(note,))


def _progress(work: _Work, state: SuiteState) -> dict[str, int]:
    turns = {} if state.open_run is None else {"turns": state.open_run.counted.turns}
    return {"runs": len(state.runs), "runs_total": len(work.plan), **turns}


def _telemetry(counted: Counted) -> TokenTelemetry:
    return TokenTelemetry(
        system_prompt=counted.system_tokens,
        tool_calls=counted.tool_tokens,
        agent_reasoning=counted.reasoning_tokens,
        output=counted.output_tokens - counted.reasoning_tokens,
        total=counted.input_tokens + counted.output_tokens,
    )
