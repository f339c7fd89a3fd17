"""The steps `measure` and `measure_load`: one point of a workload a turn, or a block of it.

They differ by their lane alone: what one process cannot put is put by several, in a function with as many
processors. A turn that finds the next point to be the other's goes there.

A benchmark without a workload is the measurement of one request (`BenchmarkRequest.measured`). What differs is only
what its caller may ask of it: the question as it is, and a limit on the time of its answer.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

from rune.bench.block_files import read_block, write_block
from rune.bench.costs import add_token_cost
from rune.bench.driver import learn_tokens_per_word
from rune.bench.prompts import NONCE_BYTES, make_prompts
from rune.bench.records import MeasuredPoint, Point
from rune.bench.records_file import record_lines
from rune.bench.reports import make_report
from rune.bench.runs import fold_blocks, fold_run
from rune.bench.sweeps import next_point
from rune.bench.tasks import BlockShare, Task
from rune.bench.token_bounds import UNLIMITED_ANSWER_TOKENS, most_synthetic_tokens, most_tokens
from rune.bench.turns import as_text, has_conversations, longest_tokens
from rune.contracts import BenchmarkBookkeeping, BenchmarkRequest, RunReport, Workload, read_stored
from rune.contracts.benchmarks import EndedBy
from rune.contracts.workloads import MAX_BLOCKS, PROCESS_CONCURRENCY, SEED_COUNT
from rune.errors import (
    AddressError,
    CostCapReachedError,
    InvalidRequestError,
    LoadProcessError,
    ModelServerError,
    RuneError,
    ServerAccessError,
    ServerTimeoutError,
    ServerUnreachableError,
    StoreUnavailableError,
    StreamFailedError,
    UnreadableRowError,
)
from rune.jobs.lifecycle import MAX_ATTEMPTS
from rune.jobs.outcomes import Again, Failed, Next, Note, Outcome
from rune.jobs.plan import CLOSING_SECONDS
from rune.jobs.record import Job, StepName
from rune.jobs.step import StepContext
from rune.jobs.transitions import MAX_FAILURES, clip_sentence, out_of_time
from rune.llm.protocol import ModelFacts, ModelServer
from rune.money.token_prices import TokenPrice
from rune.workflows.acquaintance import acquaintance_in, is_acquaintance
from rune.workflows.benchmark import server_snapshot
from rune.workflows.benchmark.context_size import context_tokens_of
from rune.workflows.benchmark.dependencies import BenchmarkDependencies
from rune.workflows.benchmark.finish import conclude
from rune.workflows.benchmark.result import make_result
from rune.workflows.benchmark.server_snapshot import ServerSnapshot, take_snapshot
from rune.workflows.benchmark.state import MeasuringState, OpenPoint, left_after
from rune.workflows.graph import Fact, step_after
from rune.workflows.model_servers import IDLE_TIMEOUT_SECONDS, Backend, Backends
from rune.workflows.token_meter import MeteredServer, tokens_usd

RESERVE_SECONDS = CLOSING_SECONDS
"""Kept of a turn's time after its point: to fold it, to write its records and to commit."""

_ALMOST = timedelta(seconds=RESERVE_SECONDS)

LEAST_POINT_SECONDS = 20.0
"""With less than this no point is begun."""


@dataclass(frozen=True, slots=True)
class _End:
    """Why no other point is measured."""

    ended_by: EndedBy
    warnings: tuple[str, ...] = ()


_WITHOUT_EOS = " The server was told to go on after the model's end of text; ignore_eos false would not."

_GIVEN_UP = _End("errors", ("point_given_up",))
_OUT_OF_MONEY = _End("cost_cap", ("cost_cap_reached",))


@dataclass(frozen=True, slots=True)
class _Fold:
    """All blocks of the open point are measured: its report is made next."""


class MeasureStep:
    """The steps `measure` and `measure_load`."""

    def __init__(self, backends: Backends, dependencies: BenchmarkDependencies) -> None:
        self._backends = backends
        self._dependencies = dependencies

    async def measure(self, context: StepContext) -> Outcome:
        """Measure the next point or block, fold a point's blocks, or make the result of what there is."""
        request = read_stored(BenchmarkRequest, context.request_json)
        workload, state = request.measured, _state_of(context)
        decided = _decide(context, workload, state)
        if isinstance(decided, Point):
            try:
                elsewhere = self._find_lane(context, state, decided)
                return elsewhere or await self._measure_point(context, request, workload, state, decided)
            except CostCapReachedError:
                if state is None or not state.has_answers:
                    raise
                decided = _OUT_OF_MONEY
            except (ModelServerError, AddressError, InvalidRequestError, LoadProcessError) as error:
                if state is None:
                    raise
                if error.retryable:
                    # Not raised: on a rented machine that would begin anew elsewhere, and lose what is measured.
                    return Failed.from_error(error)
                decided = _GIVEN_UP
        if state is None:
            return replace(out_of_time(context.job), retryable=False)
        if state.open_point is not None:
            # What its blocks have is in the result, for whatever reason no other block follows.
            state = self._with_folded(context, request, state, state.open_point)
        if isinstance(decided, _Fold):
            return Again(
                0,
                {"point": len(state.runs), "points": workload.point_count},
                state_json=state.model_dump_json(),
                notes=(Note("benchmark.point", _labels(state.runs[-1])),),
            )
        return await self._finish(context, request, state, decided)

    def _find_lane(self, context: StepContext, state: MeasuringState | None, point: Point) -> Next | None:
        """Return the way to the step that measures the point; None where that is this step.

        Raises
        ------
        InvalidRequestError
            No step does, since the deployment has other lanes than when the job was accepted.
        """
        needs_processes = point.concurrency > PROCESS_CONCURRENCY
        if needs_processes and point.concurrency > self._dependencies.most_concurrency:
            most = self._dependencies.most_concurrency
            raise InvalidRequestError(
                f"This deployment has at most {most} requests under way now.",
                pointer="/workload",
                code="concurrency_too_high",
            )
        if needs_processes is (context.job.step is StepName.MEASURE_LOAD):
            return None
        fact = Fact.LOAD_FOR_PROCESSES if needs_processes else Fact.LOAD_FOR_ONE
        # The phase is that of all points, in whichever step they are measured.
        return Next(step_after(context, fact), phases_ms={"measure": state.measured_ms if state else 0})

    async def _measure_point(
        self,
        context: StepContext,
        request: BenchmarkRequest,
        workload: Workload,
        state: MeasuringState | None,
        point: Point,
    ) -> Outcome:
        clock = self._dependencies.clock
        turn_began_seconds = clock.monotonic_seconds()
        backend = self._backends.find(context.job, request)
        dialect = acquaintance_in(context.state_json).dialect if state is None else state.dialect
        async with self._backends.using(backend, context, dialect) as server:
            if state is None:
                state = await self._begin(context, request, server, point=point, backend=backend)
            task = _task(context, request, point, state.tokens_per_word, ignores_eos=state.ignores_eos)
            task = _with_block(_drawn_anew(task, point, state), workload, state.open_point)
            asked = _announced(server, workload, task) if isinstance(server, MeteredServer) else server
            began_seconds = clock.monotonic_seconds()
            # A server that took long to describe itself has used up some of the turn.
            left_seconds = _time_left_seconds(context) - (began_seconds - turn_began_seconds)
            measure = self._dependencies.measure
            if point.concurrency > PROCESS_CONCURRENCY and self._dependencies.spread is not None:
                measure = partial(self._dependencies.spread, self._backends.access(backend, server.dialect))
            measured = await measure(
                asked,
                task,
                point,
                time_limit_seconds=max(1.0, min(_longest_point_seconds(request), left_seconds)),
                on_progress=_shower(context, workload, task, point),
            )
            took_ms = round((clock.monotonic_seconds() - began_seconds) * 1000)
            dialect = server.dialect
        run = fold_run(measured, workload.limits, request.expected)
        run = _with_sentences(run, {code: error.sentence for code, error in measured.first_errors.items()})
        if ServerAccessError.code in run.errors_by_class:
            # The next point, or the next try of this one, has the key that is there now.
            self._backends.reread_key(context.job)
        if not state.has_answers and not run.completed:
            if _is_out_of_money(context):
                raise CostCapReachedError
            if self._has_met_its_cap(context.job):
                return out_of_time(context.job)
            raise _error_of(run, measured.first_errors, ignores_eos=task.ignore_eos)
        key = None
        if request.workload is not None:
            # Before the commit that names it. The file of a worker that is lost between the two is never read.
            key = f"results/{context.job.job_id}/records/{point.index:02d}-{context.job.epoch}.jsonl"
            lines = record_lines(point.index, measured.records, task.block.index if task.block else 0)
            self._dependencies.records.put(key, lines)
        is_judged_later = request.expected is not None and request.expected.judge is not None
        state = state.with_measured(workload, run, measured, key, took_ms, keeps_answers=is_judged_later)
        # What the cap cut off is told as such, also where no other point would have followed.
        is_out_of_money = _is_out_of_money(context) or (
            run.cut_off + measured.unsent_count > 0 and self._has_met_its_cap(context.job)
        )
        state = state.model_copy(update={"is_out_of_money": is_out_of_money, "dialect": dialect})
        return self._end_turn(
            context, workload, state, task=task, run=run, measured=measured, took_ms=took_ms
        )

    def _has_met_its_cap(self, job: Job) -> bool:
        """Return whether the time that the job's money pays for is over, up to what is kept for its end."""
        return job.is_capped and self._dependencies.clock.now() >= job.ends_at - _ALMOST

    def _end_turn(
        self,
        context: StepContext,
        workload: Workload,
        state: MeasuringState,
        *,
        task: Task,
        run: RunReport,
        measured: MeasuredPoint,
        took_ms: int,
    ) -> Outcome:
        """Return the outcome of a measured point, or of one of its blocks."""
        point, block_index = measured.point, task.block.index if task.block else 0
        if block_index == 0 and (task.block is None or not left_after(task, measured)):
            state, note = state.with_run(run), Note("benchmark.point", _labels(run), duration_ms=took_ms)
            progress = {"point": len(state.runs), "points": workload.point_count}
        else:
            key = f"results/{context.job.job_id}/blocks/{point.index:02d}-{context.job.epoch}.json"
            self._dependencies.records.put(key, write_block(measured))
            before = state.open_point or OpenPoint(
                index=point.index,
                concurrency=point.concurrency,
                request_rate_per_s=point.request_rate_per_s,
            )
            after = before.with_block(workload, task, run, measured, key)
            state = state.model_copy(update={"open_point": after})
            labels = {"block": str(block_index), **_labels(run)}
            note = Note("benchmark.block", labels, duration_ms=took_ms)
            progress = {
                "point": len(state.runs),
                "points": workload.point_count,
                "block": len(after.runs),
                "blocks": workload.max_blocks,
            }
        return Again(0, progress, state_json=state.model_dump_json(), notes=(note,))

    def _with_folded(
        self, context: StepContext, request: BenchmarkRequest, state: MeasuringState, point: OpenPoint
    ) -> MeasuringState:
        """Return the state with the open point's report, which is made anew of all its blocks' requests.

        Where their files cannot be read, and no other try is left, the block with the most answers stands for the
        point.
        """
        try:
            blocks = [read_block(self._dependencies.records.get(key)) for key in point.keys]
        except (StoreUnavailableError, UnreadableRowError) as error:
            is_outage = isinstance(error, StoreUnavailableError) and error.retryable
            if is_outage and not _is_last_try(context.job):
                raise
            run = point.fullest
            return state.with_run(run.model_copy(update={"warnings": [*run.warnings, "blocks_lost"]}))
        told = {code: text for run in point.runs for code, text in run.error_sentences.items()}
        folded = fold_blocks(blocks, request.measured.limits, request.expected)
        return state.with_run(_with_sentences(folded, told))

    async def _begin(
        self,
        context: StepContext,
        request: BenchmarkRequest,
        server: ModelServer,
        *,
        point: Point,
        backend: Backend,
    ) -> MeasuringState:
        """Find out what stays the same for all points."""
        workload = request.measured
        started_at = self._dependencies.clock.now()
        before = await self._look(server, request.model)
        if before.server.parallel_count is None and backend.parallel_count is not None:
            # Ollama does not say it; RUNE told it so.
            facts = replace(before.server, parallel_count=backend.parallel_count)
            before = before.model_copy(update={"server": facts})
        ignores_eos = False
        if request.ignores_eos and workload.output_tokens is not None:
            ignores_eos = (await server.capabilities(request.model)).ignores_eos
        tokens_per_word = None
        if workload.prompt_set == "synthetic":
            task = _task(context, request, point, None, ignores_eos=ignores_eos)
            tokens_per_word = await learn_tokens_per_word(server, task)
        return MeasuringState(
            rental_id=context.job.rental_id,
            backend_url=backend.url,
            started_at=started_at,
            tokens_per_word=tokens_per_word,
            ignores_eos=ignores_eos,
            before=before,
            warnings=("model_not_listed",) if acquaintance_in(context.state_json).is_unlisted else (),
        )

    async def _look(self, server: ModelServer, model: str) -> ServerSnapshot:
        """Return what the server says before the first point; a server that cannot say it can still be measured."""
        try:
            return await self._dependencies.within(
                server_snapshot.TIME_LIMIT_SECONDS, take_snapshot(server, model)
            )
        except ServerUnreachableError:
            # Each request would wait for a connection in vain.
            raise
        except (ModelServerError, TimeoutError):
            return ServerSnapshot()

    async def _finish(
        self,
        context: StepContext,
        request: BenchmarkRequest,
        state: MeasuringState,
        end: _End,
    ) -> Outcome:
        """Make the result, and go on to the judge where answers are to be judged."""
        model, has_changed = await self._look_again(context, request, state)
        representative = state.representative
        if representative is None:
            return Failed("internal_error", "The measurement has no answer.", retryable=False)
        prompts = make_prompts(request.question, request.measured, tokens_per_word=state.tokens_per_word)
        report = make_report(
            job_id=context.job.job_id,
            request=request,
            runs=state.runs,
            ended_by=end.ended_by,
            model=model,
            server=state.before.server,
            prompts=prompts,
            ignores_eos=state.ignores_eos and "ignore_eos" not in state.dialect.left_out,
            context_tokens=context_tokens_of(request, rents=context.job.rents),
            started_at=state.started_at,
            finished_at=self._dependencies.clock.now(),
            warnings=[*end.warnings, *state.warnings, *(["server_changed"] if has_changed else [])],
            notes=state.dialect.notes(),
            client_region=self._dependencies.client_region,
            client_memory_mb=self._dependencies.client_memory_mb,
        )
        cost_usd = tokens_usd(context)
        if cost_usd is not None and request.backend_type == "bedrock":
            report = add_token_cost(
                report,
                self._token_price(context, request),
                tokens_usd=cost_usd,
                warmup_output_tokens=state.warmup_output_tokens,
            )
        phases_ms = {"measure": state.measured_ms}
        result = make_result(
            request,
            backend_url=state.backend_url,
            answer=representative.answer,
            measurements=representative.measurements,
            tokens=state.tokens,
            phases_ms={**context.job.phases_ms, **phases_ms},
            report=report,
            bookkeeping=BenchmarkBookkeeping(
                record_keys=state.record_keys, warmup_output_tokens=state.warmup_output_tokens
            ),
            cost_usd=cost_usd,
        )
        return conclude(
            context,
            request,
            result,
            answers=state.answers,
            prompts=[as_text(prompt) for prompt in prompts],
            tokens_per_word=state.tokens_per_word,
            phases_ms=phases_ms,
            dialect=state.dialect,
        )

    def _token_price(self, context: StepContext, request: BenchmarkRequest) -> TokenPrice | None:
        """Return what the model's tokens cost; None where it is not known any more."""
        try:
            return self._backends.token_price(self._backends.find(context.job, request), request.model)
        except InvalidRequestError:
            return None

    async def _look_again(
        self, context: StepContext, request: BenchmarkRequest, state: MeasuringState
    ) -> tuple[ModelFacts, bool]:
        """Return what the server says of the model now, and whether that is another one than at the beginning.

        A server that is gone by now takes no numbers with it.
        """
        try:
            backend = self._backends.find(context.job, request)
            async with self._backends.using(backend, context, state.dialect) as server:
                looking = take_snapshot(server, request.model)
                after = await self._dependencies.within(server_snapshot.TIME_LIMIT_SECONDS, looking)
        except (ModelServerError, AddressError, InvalidRequestError, TimeoutError):
            return state.before.model, False
        has_changed = server_snapshot.has_changed(request.model, state.before, after)
        return server_snapshot.merge(state.before.model, after.model), has_changed


def _state_of(context: StepContext) -> MeasuringState | None:
    """Return what is measured so far on the job's present machine."""
    if context.state_json is None or is_acquaintance(context.state_json):
        return None
    state = read_stored(MeasuringState, context.state_json)
    return state if state.rental_id == context.job.rental_id else None


def _decide(context: StepContext, workload: Workload, state: MeasuringState | None) -> Point | _Fold | _End:
    """Return the point to measure now, or of which to measure a block, or why there is none."""
    if state is not None and state.is_out_of_money:
        return _OUT_OF_MONEY
    if state is not None and state.open_point is not None:
        return _decide_of_blocks(context, state.open_point)
    following = next_point(workload, state.runs if state else ())
    if isinstance(following, str):
        return _time_end(context) if following == "time_over" else _End(following)
    if _time_left_seconds(context) < LEAST_POINT_SECONDS:
        return _time_end(context)
    if state is not None and _is_last_try(context.job):
        # This point ends every worker. The points before it must not be lost with it.
        return _GIVEN_UP
    return following


def _decide_of_blocks(context: StepContext, point: OpenPoint) -> Point | _Fold | _End:
    if point.is_complete:
        return _Fold()
    if _time_left_seconds(context) < max(LEAST_POINT_SECONDS, point.longest_answer_seconds):
        return _time_end(context)
    return _GIVEN_UP if _is_last_try(context.job) else point.point


def _is_out_of_money(context: StepContext) -> bool:
    return context.tokens is not None and context.tokens.was_refused


def _announced(server: MeteredServer, workload: Workload, task: Task) -> MeteredServer:
    """Return the server for a point, all of whose calls are announced at once."""
    answer_tokens = UNLIMITED_ANSWER_TOKENS if task.max_output_tokens is None else task.max_output_tokens
    if workload.input_tokens is None:
        prompt_tokens = longest_tokens(task.prompts, most_tokens, answer_tokens)
        prompt_tokens += NONCE_BYTES if task.is_cache_busted else 0
    else:
        prompt_tokens = most_synthetic_tokens(workload.input_tokens)
    if workload.input_tokens is not None or has_conversations(task.prompts):
        # Answers that are sent again have fewer tokens than bytes.
        server = server.with_prompts_of(prompt_tokens)
    count = task.warmup_count + task.request_count
    server.announce(task.model, count, prompt_tokens, task.max_output_tokens)
    return server


def _time_end(context: StepContext) -> _End:
    return _OUT_OF_MONEY if context.job.is_capped else _End("time_over")


def _time_left_seconds(context: StepContext) -> float:
    return context.time_limit_seconds - RESERVE_SECONDS


def _is_last_try(job: Job) -> bool:
    return job.attempts >= MAX_ATTEMPTS or job.failures + 1 >= MAX_FAILURES


def _longest_point_seconds(request: BenchmarkRequest) -> float:
    # The one answer of a benchmark without a workload has a limit of its own, and may take all of the turn.
    return math.inf if request.workload is None else float(request.workload.point_seconds)


def _task(
    context: StepContext,
    request: BenchmarkRequest,
    point: Point,
    tokens_per_word: float | None,
    *,
    ignores_eos: bool,
) -> Task:
    workload = request.measured
    prompts = make_prompts(request.question, workload, tokens_per_word=tokens_per_word)
    longest_answer_seconds = float(request.timeout_seconds) if request.workload is None else None
    longest_seconds = longest_answer_seconds or float(workload.point_seconds)
    return Task(
        model=request.model,
        prompts=prompts,
        repetitions=workload.repetitions_at(point.concurrency, len(prompts), grows=request.grows),
        warmup_count=workload.warmups_at(point.concurrency),
        max_output_tokens=workload.output_tokens,
        temperature=workload.temperature,
        ignore_eos=ignores_eos,
        context_tokens=context_tokens_of(request, rents=context.job.rents),
        is_cache_busted=workload.prefix_cache == "busted",
        seed=workload.seed,
        # A server that was not warmed up may stay silent while it loads the model.
        idle_timeout_seconds=IDLE_TIMEOUT_SECONDS if request.backend_warmup else longest_seconds,
        # With more under way than the server answers at a time, the rest waits in its queue, which is measured.
        first_timeout_seconds=None if request.workload is None else longest_seconds,
        request_timeout_seconds=longest_answer_seconds,
        expected=request.expected,
    )


def _drawn_anew(task: Task, point: Point, state: MeasuringState) -> Task:
    """Return the task with arrivals and an order that no earlier run of the same load had.

    The first run of each load has those of the workload's seed. Where a search or a block repeats a load, the same
    arrivals would be the same evidence.
    """
    load = point.concurrency, point.request_rate_per_s
    earlier_count = sum((run.max_concurrency, run.request_rate_per_s) == load for run in state.runs)
    block_count = 0 if state.open_point is None else len(state.open_point.runs)
    return replace(task, seed=task.seed + SEED_COUNT * (MAX_BLOCKS * earlier_count + block_count))


def _with_block(task: Task, workload: Workload, point: OpenPoint | None) -> Task:
    """Return the task of a point's next block, where it may be several runs."""
    if workload.max_blocks == 1:
        return task
    if point is None:
        return replace(task, block=BlockShare(0, task.order(), 0))
    return replace(task, block=BlockShare(len(point.runs), point.left, point.next_number))


def _shower(context: StepContext, workload: Workload, task: Task, point: Point) -> Callable[[int, int], None]:
    """Return what shows how far a point is."""
    shown = {
        "point": point.index + 1,
        "points": workload.point_count,
        "requests_total": task.request_count,
    }
    if task.block is not None:
        shown |= {"block": task.block.index + 1, "blocks": workload.max_blocks}

    def show(request_count: int, chunk_count: int) -> None:
        context.progress.update(shown, requests=request_count, chunks=chunk_count)

    show(0, 0)
    return show


def _labels(run: RunReport) -> dict[str, str]:
    """Return what an event tells of a point."""
    known = {
        "point": run.index,
        "concurrency": run.max_concurrency,
        "requests_per_s": run.request_rate_per_s,
        "completed": run.completed,
        "failed": run.failed,
        "cut_off": run.cut_off,
        "output_tokens_per_s": run.output_throughput_tokens_per_s,
        "ttft_p50_ms": None if run.ttft_ms is None else run.ttft_ms.median,
        "tpot_p50_ms": None if run.tpot_ms is None else run.tpot_ms.median,
    }
    return {name: f"{value:.6g}" for name, value in known.items() if value is not None}


def _with_sentences(run: RunReport, told: Mapping[str, str]) -> RunReport:
    """Return the run with what its first failed request of each kind was told, shortened as a job's failure is."""
    sentences = {code: clip_sentence(told[code]) for code in run.errors_by_class if code in told}
    return run.model_copy(update={"error_sentences": sentences}) if sentences else run


def _error_of(run: RunReport, first_errors: Mapping[str, RuneError], *, ignores_eos: bool) -> RuneError:
    """Return the error that stands for a first point without a single answer: the most frequent one."""
    if not run.errors_by_class:
        return ServerTimeoutError("No request of the first point ended within its time.")
    code, count = Counter(run.errors_by_class).most_common(1)[0]
    error = first_errors[code]
    # Some models fail after their end of text (gpt-oss on vLLM, vllm-project/guidellm#979).
    hint = _WITHOUT_EOS if ignores_eos and code == StreamFailedError.code else ""
    if run.failed == 1:
        return type(error)(error.sentence + hint) if hint else error
    sentence = (
        f"Every request of the first point failed, {count} of {run.failed} with {code}: {error.sentence}"
    )
    return type(error)(sentence + hint)
