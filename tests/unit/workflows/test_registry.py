import pytest

from rune.contracts import AgenticAgentResult, Document, LlmInstanceResult, StoredBenchmarkResult
from rune.errors import AddressRefusedError, InvalidRequestError
from rune.jobs.outcomes import Again, Done, Next, Released
from rune.jobs.record import RELEASING, Kind, Status, StepName
from rune.net.addresses import AddressPolicy
from rune.tenants.settings import FixedTenants
from rune.workflows.registry import make_steps
from rune.workflows.rental.dependencies import RentalDependencies
from tests.builders import a_step_context
from tests.fake_model_server import FakeModelServer
from tests.measuring import a_tool_box
from tests.tenant_builders import tenants_with
from tests.unit.workflows.rental.world import World, a_renting_job, run_step
from tests.unit.workflows.turns import a_context, run

NO_AGENTS = FixedTenants()
HOLMES_AT_HOME = tenants_with({"agents": {"holmes": {"base_url": "http://127.0.0.1:1"}}})


RENTING = {StepName.RENT, StepName.RECONCILE, StepName.BOOT, StepName.PULL, *RELEASING}


def test_registry_has_every_step_but_renting_when_there_is_no_account() -> None:
    steps = make_steps(FakeModelServer().open, NO_AGENTS, AddressPolicy(), measuring=a_tool_box())

    assert set(steps) == set(StepName) - RENTING


def test_registry_has_the_steps_of_renting_for_jobs_of_an_account_that_was_taken_away() -> None:
    world, loaded_count = World(), 0

    def load() -> RentalDependencies:
        nonlocal loaded_count
        loaded_count += 1
        return world.dependencies

    steps = make_steps(
        FakeModelServer().open, NO_AGENTS, AddressPolicy(), measuring=a_tool_box(), load_rental=load
    )

    assert (set(steps), loaded_count) == (set(StepName), 0)
    for _ in range(2):
        job = a_renting_job(StepName.RELEASE, ends_as=Status.FAILED)
        assert isinstance(run_step(steps[StepName.RELEASE], a_step_context(job, {})), Released)
    assert loaded_count == 1


WAYS: list[tuple[Kind, bool, list[StepName], type[Document]]] = [
    (Kind.BENCHMARK, True, [StepName.CHECK, StepName.WARM_UP, StepName.MEASURE], StoredBenchmarkResult),
    (Kind.BENCHMARK, False, [StepName.CHECK, StepName.MEASURE], StoredBenchmarkResult),
    (
        Kind.AGENTIC_AGENT,
        True,
        [StepName.CHECK_AGENT, StepName.WARM_UP, StepName.RUN_AGENT],
        AgenticAgentResult,
    ),
    (Kind.AGENTIC_AGENT, False, [StepName.CHECK_AGENT, StepName.RUN_AGENT], AgenticAgentResult),
    (Kind.LLM_INSTANCE, False, [StepName.VERIFY], LlmInstanceResult),
]


@pytest.mark.parametrize(("kind", "warmup", "way", "result"), WAYS)
def test_job_comes_from_its_first_step_to_its_result(
    kind: Kind, way: list[StepName], result: type[Document], *, warmup: bool
) -> None:
    steps = make_steps(FakeModelServer().open, NO_AGENTS, AddressPolicy(), measuring=a_tool_box())
    chosen = {} if kind is Kind.LLM_INSTANCE else {"backend_warmup": warmup}
    taken = [way[0]]

    state_json = None
    while True:
        context = a_context(kind, **chosen)
        context.state_json = state_json
        outcome = run(steps, taken[-1], context)
        if not isinstance(outcome, Next | Again):
            break
        state_json = outcome.state_json
        if isinstance(outcome, Next):
            taken.append(outcome.step)

    assert taken == way
    assert isinstance(outcome, Done)
    result.model_validate_json(outcome.result_json)


def test_agents_step_has_the_settings_and_the_policy_of_the_deployment() -> None:
    context = a_context(Kind.AGENTIC_AGENT, agent="holmes")

    with pytest.raises(InvalidRequestError):
        run(
            make_steps(FakeModelServer().open, NO_AGENTS, AddressPolicy(), measuring=a_tool_box()),
            StepName.CHECK_AGENT,
            context,
        )
    with pytest.raises(AddressRefusedError):
        run(
            make_steps(FakeModelServer().open, HOLMES_AT_HOME, AddressPolicy(), measuring=a_tool_box()),
            StepName.CHECK_AGENT,
            context,
        )
