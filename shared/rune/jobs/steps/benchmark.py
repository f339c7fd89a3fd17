"""A benchmark on a model server that exists: look for the model, load it, ask the question, measure the answer."""

import math
from collections.abc import Mapping

from rune.bench import formulas
from rune.contracts import (
    BenchmarkRequest,
    BenchmarkResult,
    Measurements,
    PhaseLatency,
    ServerMeasurements,
    Telemetry,
    TokenTelemetry,
)
from rune.errors import ModelNotFoundError
from rune.jobs.outcomes import Done, Next, Outcome
from rune.jobs.record import StepName
from rune.jobs.step import Step, StepContext
from rune.jobs.steps.servers import IDLE_TIMEOUT_SECONDS, Backend, Backends, time_left_seconds
from rune.llm.protocol import ChatRequest, Generation, Message, Role


class Benchmark:
    """The steps of a benchmark."""

    def __init__(self, backends: Backends) -> None:
        self._backends = backends

    @property
    def steps(self) -> Mapping[StepName, Step]:
        """The steps that are a benchmark's own."""
        return {StepName.CHECK: self.check, StepName.ASK: self.ask}

    async def check(self, context: StepContext) -> Outcome:
        """Find out that the server answers and offers the model."""
        request = _request(context)
        async with self._backends.using(self._backends.find(context.job, request)) as server:
            if not await server.has_model(request.model):
                raise ModelNotFoundError(f"The server does not have the model {request.model!r}.")
        return Next(StepName.WARM_UP if request.backend_warmup else StepName.ASK)

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
        )

        def show_progress(chunk_count: int) -> None:
            context.progress["tokens"] = chunk_count

        backend = self._backends.find(context.job, request)
        async with self._backends.using(backend) as server:
            # Opens the connection that the question then takes, so that neither TCP and TLS nor what this
            # process does for the first time (50 to 130 ms when cold) is counted as the model's.
            await server.list_models()
            generation = await server.chat(chat, show_progress)
        return Done(_result(request, backend, generation, context.job.phases_ms).model_dump_json())


def _request(context: StepContext) -> BenchmarkRequest:
    return BenchmarkRequest.model_validate_json(context.request_json)


def _result(
    request: BenchmarkRequest, backend: Backend, generation: Generation, phases_ms: Mapping[str, int]
) -> BenchmarkResult:
    measurements = _measurements(generation)
    end_to_end_ms = measurements.end_to_end_latency_ms
    phases = {**phases_ms, "ask": 0 if end_to_end_ms is None else math.ceil(end_to_end_ms)}
    tokens = generation.tokens
    reasoning_count = tokens.reasoning_count or 0
    return BenchmarkResult(
        answer=generation.text,
        metadata={"backend_type": request.backend_type, "question": request.question[:200]},
        telemetry=Telemetry(
            tokens=TokenTelemetry(
                system_prompt=0,
                tool_calls=0,
                agent_reasoning=reasoning_count,
                output=tokens.output_count - reasoning_count,
                total=(tokens.prompt_count or 0) + tokens.output_count,
            ),
            latency=[PhaseLatency(phase=phase, ms=ms) for phase, ms in phases.items()],
            cost_estimate_usd=None,
        ),
        model_name=request.model,
        backend_url=backend.url,
        measurements=measurements,
    )


def _measurements(generation: Generation) -> Measurements:
    stamps, tokens, server = generation.stamps, generation.tokens, generation.server_timings
    return Measurements(
        time_to_first_token_ms=_rounded(formulas.time_to_first_token_ms(stamps)),
        time_to_first_visible_token_ms=_rounded(formulas.time_to_first_visible_token_ms(stamps)),
        time_per_output_token_ms=_rounded(formulas.time_per_output_token_ms(stamps, tokens)),
        output_tokens_per_second=_rounded(formulas.output_tokens_per_second(stamps, tokens)),
        decode_tokens_per_second=_rounded(formulas.decode_tokens_per_second(stamps, tokens)),
        end_to_end_latency_ms=_rounded(formulas.end_to_end_latency_ms(stamps)),
        prompt_tokens=tokens.prompt_count,
        output_tokens=tokens.output_count,
        cached_tokens=tokens.cached_count,
        reasoning_tokens=tokens.reasoning_count,
        token_count_source=tokens.source.value,
        finish_reason=generation.finish_reason.value,
        server=ServerMeasurements(
            total_ms=server.total_ms,
            load_ms=server.load_ms,
            prompt_eval_ms=server.prompt_eval_ms,
            eval_ms=server.eval_ms,
            output_tokens_per_second=_rounded(formulas.server_output_tokens_per_second(server, tokens)),
        ),
    )


def _rounded(value: float | None) -> float | None:
    """Return the value to the microsecond, or its like: digits below are noise of the clock."""
    return None if value is None else round(value, 3)
