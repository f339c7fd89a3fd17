"""One turn of one step, with a model server in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from rune.errors import RuneError
from rune.jobs.outcomes import Outcome
from rune.jobs.record import Kind, StepName
from rune.jobs.step import Step, StepContext
from tests.builders import REQUEST, a_claimed_job, a_step_context
from tests.fake_model_server import FakeModelServer

URL = REQUEST["backend_url"]

REQUESTS: Mapping[Kind, Mapping[str, object]] = {
    Kind.BENCHMARK: REQUEST,
    Kind.AGENTIC_AGENT: REQUEST,
    Kind.LLM_INSTANCE: {"backend_url": URL},
}
"""The least that each kind of job asks for."""


def a_context(kind: Kind = Kind.BENCHMARK, left_seconds: float = 600.0, **request: object) -> StepContext:
    """Return a turn of a job of this kind, with so much time to go."""
    context = a_step_context(a_claimed_job(kind=kind), {**REQUESTS[kind], **request})
    context.time_limit_seconds = left_seconds
    return context


def run(steps: Mapping[StepName, Step], step: StepName, context: StepContext) -> Outcome:
    """Return how the step ends."""
    context.job = replace(context.job, step=step)

    async def main() -> Outcome:
        return await steps[step](context)

    return asyncio.run(main())


class FailingServer(FakeModelServer):
    """Fails at any call, that for its list of models included."""

    def __init__(self, error: RuneError) -> None:
        super().__init__(error=error)

    async def list_models(self) -> tuple[str, ...]:
        self._fail()
        return self.models
