from collections.abc import Mapping

import pytest

from rune.errors import (
    ModelNotFoundError,
    ModelUnsupportedError,
    OutOfMemoryError,
    RuneError,
    ServerUnreachableError,
)
from rune.jobs.outcomes import Next, Outcome
from rune.jobs.record import StepName
from rune.jobs.step import Step, StepContext
from rune.llm.protocol import (
    Capabilities,
)
from rune.workflows.benchmark.steps import Benchmark
from rune.workflows.model_servers import Backends
from tests.fake_model_server import FakeModelServer
from tests.measuring import a_tool_box
from tests.unit.workflows import turns
from tests.unit.workflows.turns import a_context

STEPS = [StepName.CHECK, StepName.MEASURE]


def run(step: StepName, server: FakeModelServer, context: StepContext | None = None) -> Outcome:
    return turns.run(steps_of(server), step, context or a_context())


def steps_of(server: FakeModelServer) -> Mapping[StepName, Step]:
    return Benchmark(Backends(server.open, None), a_tool_box()).steps


def test_benchmark_has_the_steps_that_are_its_own() -> None:
    assert set(steps_of(FakeModelServer())) == {
        StepName.CHECK,
        StepName.MEASURE,
        StepName.MEASURE_LOAD,
        StepName.JUDGE,
    }


@pytest.mark.parametrize("kind", ["ollama", "openai"])
@pytest.mark.parametrize("step", STEPS)
def test_step_opens_the_requests_server_and_closes_it(step: StepName, kind: str) -> None:
    server = FakeModelServer()

    run(step, server, a_context(backend_type=kind))

    assert (server.opened, server.close_count) == ([(kind, "http://127.0.0.1:11434")], 1)


@pytest.mark.parametrize("error", [ServerUnreachableError("Nobody."), OutOfMemoryError("Full.")], ids=repr)
@pytest.mark.parametrize("step", STEPS)
def test_step_closes_the_server_when_it_fails(step: StepName, error: RuneError) -> None:
    server = FakeModelServer(error=error)

    with pytest.raises(type(error)):
        run(step, server)

    assert server.close_count == 1


@pytest.mark.parametrize(
    ("warmup", "following"), [(True, StepName.WARM_UP), (False, StepName.MEASURE)], ids=["warm", "cold"]
)
def test_check_goes_on_when_the_server_has_the_model(*, warmup: bool, following: StepName) -> None:
    assert run(StepName.CHECK, FakeModelServer(), a_context(backend_warmup=warmup)) == Next(following)


def test_check_fails_when_the_server_does_not_have_the_model() -> None:
    with pytest.raises(ModelNotFoundError, match=r"does not have the model 'llama3\.1:8b'"):
        run(StepName.CHECK, FakeModelServer(models=("llama3.1:70b",)))


@pytest.mark.parametrize(("warmup", "following"), [(True, StepName.WARM_UP), (False, StepName.MEASURE)])
def test_check_goes_on_to_the_measurement_when_there_is_a_workload(
    following: StepName, *, warmup: bool
) -> None:
    context = a_context(backend_warmup=warmup, workload={"concurrency": [1]})

    assert run(StepName.CHECK, FakeModelServer(), context) == Next(following)


@pytest.mark.parametrize("chats", [True, None])
def test_check_goes_on_when_the_model_chats_for_all_that_is_known(*, chats: bool | None) -> None:
    assert isinstance(run(StepName.CHECK, FakeModelServer(capable=Capabilities(chats=chats))), Next)


def test_check_fails_when_the_model_cannot_chat() -> None:
    with pytest.raises(ModelUnsupportedError, match="cannot chat"):
        run(StepName.CHECK, FakeModelServer(capable=Capabilities(chats=False)))
