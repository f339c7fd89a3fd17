"""A benchmark: look for the model, ask the question and measure the answer; a workload has steps of its own."""

from collections.abc import Mapping
from datetime import datetime

from rune.bench import formulas
from rune.bench.anomalies import is_buffered
from rune.bench.judging import score_answer
from rune.bench.measurements import measurements_of
from rune.bench.records import MeasuredPoint, Point, RequestRecord
from rune.bench.reports import make_report
from rune.bench.runs import fold_run
from rune.clock import to_epoch_ms
from rune.contracts import BenchmarkReport, BenchmarkRequest
from rune.errors import AddressError, ModelNotFoundError, ModelServerError, ModelUnsupportedError
from rune.jobs.outcomes import Next, Outcome
from rune.jobs.record import StepName
from rune.jobs.step import Step, StepContext
from rune.llm.protocol import ChatRequest, Generation, Message, ModelFacts, ModelServer, Role, ServerFacts
from rune.workflows.benchmark import server_snapshot as facts
from rune.workflows.benchmark.context_size import context_tokens_of
from rune.workflows.benchmark.dependencies import MeasuringTools
from rune.workflows.benchmark.finish import conclude
from rune.workflows.benchmark.judge import Judge
from rune.workflows.benchmark.measure import Measure
from rune.workflows.benchmark.result import TokenSums, ceiled_ms, make_result
from rune.workflows.benchmark.state import answer_of
from rune.workflows.graph import Fact, step_after
from rune.workflows.model_servers import IDLE_TIMEOUT_SECONDS, Backends, time_left_seconds


class Benchmark:
    """The steps of a benchmark."""

    def __init__(self, backends: Backends, tools: MeasuringTools) -> None:
        self._backends = backends
        self._tools = tools

    @property
    def steps(self) -> Mapping[StepName, Step]:
        """The steps that are a benchmark's own."""
        return {
            StepName.CHECK: self.check,
            StepName.ASK: self.ask,
            StepName.MEASURE: Measure(self._backends, self._tools).measure,
            StepName.JUDGE: Judge(self._backends, self._tools).judge,
        }

    async def check(self, context: StepContext) -> Outcome:
        """Find out that the server answers and offers the model, and that the model can chat."""
        request = _request(context)
        async with self._backends.using(self._backends.find(context.job, request)) as server:
            if not await server.has_model(request.model):
                raise ModelNotFoundError(f"The server does not have the model {request.model!r}.")
            capabilities = await server.capabilities(request.model)
        if capabilities.chats is False:
            raise ModelUnsupportedError(f"The model {request.model!r} cannot chat.")
        return Next(step_after(context, Fact.MODEL_READY))

    async def ask(self, context: StepContext) -> Outcome:
        """Ask the question and measure the answer."""
        request = _request(context)
        timeout_seconds = min(float(request.timeout_seconds), time_left_seconds(context))
        chat = ChatRequest(
            model=request.model,
            messages=(Message(Role.USER, request.question),),
            timeout_seconds=timeout_seconds,
            # A server that was not warmed up may stay silent while it loads the model.
            idle_timeout_seconds=IDLE_TIMEOUT_SECONDS if request.backend_warmup else timeout_seconds,
            context_tokens=context_tokens_of(request, rents=context.job.rents),
        )

        def show_progress(chunk_count: int) -> None:
            context.progress["chunks"] = chunk_count

        backend = self._backends.find(context.job, request)
        async with self._backends.using(backend) as server:
            # Opens the connection that the question then takes, so that neither TCP and TLS nor what this
            # process does for the first time (50 to 130 ms when cold) is counted as the model's.
            await server.list_models()
            started_at = self._tools.clock.now()
            generation = await server.chat(chat, show_progress)
            known = await self._look_around(server, request.model)
        record = _record(request, generation)
        report = self._report(context, request, record, started_at, known)
        measurements = measurements_of(generation, request.measured)
        phases_ms = {"ask": ceiled_ms(formulas.end_to_end_latency_ms(generation.stamps))}
        result = make_result(
            request,
            backend_url=backend.url,
            answer=generation.text,
            measurements=measurements,
            tokens=TokenSums().plus([generation]),
            phases_ms={**context.job.phases_ms, **phases_ms},
            report=report,
        )
        answers = [answer_of(0, record, generation)]
        return conclude(
            context,
            request,
            result,
            answers=answers,
            prompts=(request.question,),
            tokens_per_word=None,
            phases_ms=phases_ms,
        )

    async def _look_around(
        self, server: ModelServer, model: str
    ) -> tuple[ModelFacts, ServerFacts, float | None]:
        """Return what the server says of the model and itself, and how far it is; nothing where it fails."""

        async def look() -> tuple[ModelFacts, ServerFacts, float | None]:
            model_facts, server_facts, _ = await facts.describe(server, model)
            return model_facts, server_facts, await server.round_trip_ms()

        try:
            return await self._tools.within(facts.TIME_LIMIT_SECONDS, look())
        except (ModelServerError, AddressError, TimeoutError):
            # The answer is there, and worth more.
            return ModelFacts(), ServerFacts(), None

    def _report(
        self,
        context: StepContext,
        request: BenchmarkRequest,
        record: RequestRecord,
        started_at: datetime,
        known: tuple[ModelFacts, ServerFacts, float | None],
    ) -> BenchmarkReport:
        model, server, rtt_ms = known
        measured = MeasuredPoint(
            point=Point(0, 1),
            started_at_ms=to_epoch_ms(started_at),
            records=(record,),
            warmup_count=0,
            warmup_output_tokens=0,
            rtt_ms=rtt_ms,
            loop_lag_p99_ms=None,
        )
        return make_report(
            job_id=context.job.job_id,
            request=request,
            runs=[fold_run(measured, None, request.expected)],
            ended_by="all_measured",
            model=model,
            server=server,
            prompts=(request.question,),
            ignores_eos=False,
            context_tokens=context_tokens_of(request, rents=context.job.rents),
            started_at=started_at,
            finished_at=self._tools.clock.now(),
            client_region=self._tools.client_region,
            client_memory_mb=self._tools.client_memory_mb,
        )


def _request(context: StepContext) -> BenchmarkRequest:
    return BenchmarkRequest.model_validate_json(context.request_json)


def _record(request: BenchmarkRequest, generation: Generation) -> RequestRecord:
    """Return the question as the one request of the one run that it is."""
    expected = request.expected
    is_scored = expected is not None and expected.judge is None
    return RequestRecord(
        number=0,
        prompt_index=0,
        due_ns=generation.stamps.sent_ns,
        sent_ns=generation.stamps.sent_ns,
        ended_ns=generation.stamps.ended_ns,
        status="completed",
        prompt_chars=len(request.question),
        generation=generation,
        is_buffered=is_buffered(generation.chunk_arrivals_ns),
        score=score_answer(expected, generation.text) if expected is not None and is_scored else None,
    )
