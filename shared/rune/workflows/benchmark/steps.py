"""The steps of a benchmark: look for the model, measure it, judge its answers.

Measuring and judging are imported with the first turn that does so: another turn's cold start needs none of it.
"""

from collections.abc import Mapping

from rune.contracts import BenchmarkRequest, read_stored
from rune.errors import ModelNotFoundError, ModelServerError, ModelUnsupportedError
from rune.jobs.outcomes import Next, Outcome
from rune.jobs.record import StepName
from rune.jobs.step import Step, StepContext
from rune.workflows.acquaintance import Acquaintance, wait_while_loading
from rune.workflows.benchmark.dependencies import BenchmarkDependencies
from rune.workflows.graph import Fact, step_after
from rune.workflows.model_servers import Backends


class Benchmark:
    """The steps of a benchmark."""

    def __init__(self, backends: Backends, dependencies: BenchmarkDependencies) -> None:
        self._backends = backends
        self._dependencies = dependencies

    @property
    def steps(self) -> Mapping[StepName, Step]:
        """The steps that are a benchmark's own."""
        return {
            StepName.CHECK: self.check,
            StepName.MEASURE: self.measure,
            StepName.MEASURE_LOAD: self.measure,
            StepName.JUDGE: self.judge,
        }

    async def check(self, context: StepContext) -> Outcome:
        """Find out that the server answers and offers the model, and that the model can chat."""
        request = read_stored(BenchmarkRequest, context.request_json)
        try:
            async with self._backends.using(self._backends.find(context.job, request), context) as server:
                has_model = await server.has_model(request.model)
                if has_model is False:
                    raise ModelNotFoundError(f"The server does not have the model {request.model!r}.")
                capabilities = await server.capabilities(request.model)
                if request.suite is not None:
                    from rune.agents.investigation.turns import require_tools  # noqa: PLC0415  # few jobs

                    await require_tools(server, request.model)
                known = Acquaintance(dialect=server.dialect, is_unlisted=has_model is None)
        except ModelServerError as error:
            limit_seconds = request.backend_warmup_timeout if request.backend_warmup else 0
            if again := wait_while_loading(context, error, limit_seconds=limit_seconds):
                return again
            raise
        if capabilities.chats is False:
            raise ModelUnsupportedError(f"The model {request.model!r} cannot chat.")
        return Next(step_after(context, Fact.MODEL_READY), state_json=known.state_json())

    async def measure(self, context: StepContext) -> Outcome:
        """Measure the next point, or take the next turn of a suite's case; see the modules that do it."""
        if read_stored(BenchmarkRequest, context.request_json).suite is not None:
            from rune.workflows.benchmark.suite import SuiteStep  # noqa: PLC0415

            return await SuiteStep(self._backends, self._dependencies).measure(context)
        from rune.workflows.benchmark.measure import MeasureStep  # noqa: PLC0415

        return await MeasureStep(self._backends, self._dependencies).measure(context)

    async def judge(self, context: StepContext) -> Outcome:
        """Judge the next answers; see `rune.workflows.benchmark.judge`."""
        from rune.workflows.benchmark.judge import JudgeStep  # noqa: PLC0415

        return await JudgeStep(self._backends, self._dependencies).judge(context)
