from __future__ import annotations

from dataclasses import replace
from typing import override

import pytest

from rune.errors import ModelServerError, ServerOverloadedError
from rune.jobs.outcomes import Again, Next, Outcome
from rune.jobs.record import Kind, StepName
from rune.jobs.step import StepContext
from rune.llm.dialects import STANDARD, Dialect
from rune.workflows.acquaintance import Acquaintance, acquaintance_in, is_acquaintance
from rune.workflows.benchmark.state import MeasuringState
from rune.workflows.benchmark.steps import Benchmark
from rune.workflows.model_servers import Backends, ModelServerSteps
from tests.fake_model_server import FakeModelServer
from tests.measuring import a_tool_box
from tests.unit.workflows.turns import a_context, run

LEARNT = Dialect(("stream_options",), "max_completion_tokens")


class PickyServer(FakeModelServer):
    """Has a dialect, which it hears of and tells, and a list that lacks its models."""

    heard: Dialect = STANDARD
    learns: Dialect = STANDARD

    @property
    @override
    def dialect(self) -> Dialect:
        return self.learns

    @override
    def speak(self, dialect: Dialect) -> None:
        self.heard = dialect

    @override
    async def has_model(self, model: str) -> bool | None:
        self._fail()
        return None


def a_picky_server(learns: Dialect = STANDARD) -> PickyServer:
    server = PickyServer()
    server.learns = learns
    return server


def take(step: StepName, server: FakeModelServer, context: StepContext) -> Outcome:
    backends = Backends(server.open, None)
    steps = {**Benchmark(backends, a_tool_box()).steps, **ModelServerSteps(backends).steps}
    return run(steps, step, context)


def test_check_goes_on_and_says_so_when_only_a_chat_can_tell() -> None:
    outcome = take(StepName.CHECK, a_picky_server(), a_context())

    assert isinstance(outcome, Next)
    assert acquaintance_in(outcome.state_json) == Acquaintance(is_unlisted=True)


def test_steps_leave_no_state_when_there_is_nothing_to_say() -> None:
    for step in (StepName.CHECK, StepName.WARM_UP):
        outcome = take(step, FakeModelServer(), a_context())

        assert isinstance(outcome, Next)
        assert outcome.state_json is None


def test_what_one_step_has_learnt_the_next_ones_know() -> None:
    context = a_context()
    context.state_json = Acquaintance(is_unlisted=True).state_json()
    warmed = take(StepName.WARM_UP, a_picky_server(LEARNT), context)
    assert isinstance(warmed, Next)
    assert acquaintance_in(warmed.state_json) == Acquaintance(dialect=LEARNT, is_unlisted=True)

    context.state_json, server = warmed.state_json, a_picky_server(LEARNT)
    measured = take(StepName.MEASURE, server, context)

    assert server.heard == LEARNT
    assert isinstance(measured, Again)
    assert measured.state_json is not None
    assert not is_acquaintance(measured.state_json)
    state = MeasuringState.model_validate_json(measured.state_json)
    assert (state.dialect, state.warnings) == (LEARNT, ("model_not_listed",))


def a_loading_error(retry_after_seconds: int | None = None) -> ModelServerError:
    error = ServerOverloadedError("Loading.", retry_after_seconds=retry_after_seconds)
    error.is_loading = True
    return error


@pytest.mark.parametrize("step", [StepName.CHECK, StepName.WARM_UP])
@pytest.mark.parametrize(
    ("waited_seconds", "retry_after_seconds", "pause_seconds"),
    [(0, None, 5), (5, 12, 12), (5, 900, 30), (298, None, 2), (5, 0, 5)],
)
def test_step_waits_for_a_model_that_loads(
    step: StepName, waited_seconds: int, retry_after_seconds: int | None, pause_seconds: int
) -> None:
    context = a_context(backend_warmup_timeout=300)
    context.job = replace(context.job, progress={"loading_seconds": waited_seconds})

    outcome = take(step, FakeModelServer(error=a_loading_error(retry_after_seconds)), context)

    assert outcome == Again(pause_seconds, {"loading_seconds": waited_seconds + pause_seconds})


@pytest.mark.parametrize(
    ("error", "request_members", "waited_seconds"),
    [
        (ServerOverloadedError("Busy."), {}, 0),
        (a_loading_error(), {"backend_warmup": False}, 0),
        (a_loading_error(), {"backend_warmup_timeout": 60}, 60),
    ],
    ids=["busy", "without warm-up", "over"],
)
def test_step_waits_for_nothing_else_and_no_longer(
    error: ModelServerError, request_members: dict[str, object], waited_seconds: int
) -> None:
    context = a_context(Kind.BENCHMARK, 600.0, **request_members)
    context.job = replace(context.job, progress={"loading_seconds": waited_seconds})

    with pytest.raises(ServerOverloadedError):
        take(StepName.CHECK, FakeModelServer(error=error), context)
