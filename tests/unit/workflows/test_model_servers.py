import json

import pytest

from rune.contracts import BackendChoice, BenchmarkRequest, LlmInstanceResult
from rune.errors import InvalidRequestError, OutOfMemoryError, RuneError, ServerUnreachableError
from rune.jobs.outcomes import Done, Next, Outcome
from rune.jobs.record import Kind, StepName
from rune.jobs.step import StepContext
from rune.llm.bedrock_address import bedrock_url
from rune.llm.protocol import WarmUpRequest
from rune.rentals.record import RentalState
from rune.workflows.model_servers import Backends, ModelServerSteps, time_left_seconds
from tests.builders import a_claimed_job
from tests.fake_model_server import FakeModelServer
from tests.memory_rental_store import MemoryRentalStore
from tests.rental_builders import MODEL, OTHER_JOB_ID, a_kept_rental_of
from tests.tenant_builders import tenants_with
from tests.unit.workflows.turns import URL, FailingServer, a_context, run

KEY = "sk-lab-0123456789abcdef"
LENT = tenants_with(
    {
        "credentials": {"lab": {"api_key": KEY, "url": URL}},
        "bedrock": {"regions": ["eu-north-1"], "models": ["llama3*"]},
    }
)
WARM_UPS = [(StepName.WARM_UP, Kind.BENCHMARK), (StepName.WARM_UP, Kind.AGENTIC_AGENT)]
STEPS = [*WARM_UPS, (StepName.VERIFY, Kind.LLM_INSTANCE)]


def run_at(server: FakeModelServer, step: StepName, context: StepContext) -> Outcome:
    return run(ModelServerSteps(Backends(server.open, None)).steps, step, context)


def test_servers_have_the_steps_that_kinds_share() -> None:
    assert set(ModelServerSteps(Backends(FakeModelServer().open, None)).steps) == {
        StepName.WARM_UP,
        StepName.VERIFY,
    }


@pytest.mark.parametrize("backend_type", ["ollama", "openai"])
@pytest.mark.parametrize(("step", "kind"), STEPS)
def test_step_opens_the_requests_server_and_closes_it(step: StepName, kind: Kind, backend_type: str) -> None:
    server = FakeModelServer()

    run_at(server, step, a_context(kind, backend_type=backend_type))

    assert (server.opened, server.close_count) == ([(backend_type, URL)], 1)


@pytest.mark.parametrize(("step", "kind"), STEPS)
def test_step_sends_the_key_of_the_credential_that_the_request_names(step: StepName, kind: Kind) -> None:
    server = FakeModelServer()
    backends = Backends(server.open, None, LENT)

    run(
        ModelServerSteps(backends).steps,
        step,
        a_context(kind, backend_type="openai", backend_credential="lab"),
    )

    assert (server.opened, server.api_keys) == ([("openai", URL)], [KEY])


@pytest.mark.parametrize(
    ("choice", "code"),
    [
        ({"backend_credential": "own"}, "credential_unknown"),
        ({"backend_credential": "lab", "backend_url": "http://evil.example"}, "credential_wrong_server"),
        ({"backend_type": "bedrock", "backend_url": bedrock_url("us-east-1")}, "bedrock_region_not_allowed"),
        (
            {"backend_type": "bedrock", "backend_url": bedrock_url("eu-north-1"), "model": "claude"},
            "bedrock_model_not_allowed",
        ),
    ],
)
def test_step_opens_nothing_that_the_tenant_may_not_use_any_more(
    choice: dict[str, object], code: str
) -> None:
    server = FakeModelServer()

    with pytest.raises(InvalidRequestError) as caught:
        run(ModelServerSteps(Backends(server.open, None, LENT)).steps, StepName.WARM_UP, a_context(**choice))  # type: ignore[arg-type]  # a table

    assert (caught.value.specific_code, server.opened) == (code, [])


def test_backend_never_shows_its_key() -> None:
    backends = Backends(FakeModelServer().open, None, LENT)

    backend = backends.find_named(
        a_context().job, BackendChoice(backend_url=URL, backend_credential="lab"), None
    )

    assert backend.api_key == KEY
    assert KEY not in f"{backend} {backend!r}"


@pytest.mark.parametrize("error", [ServerUnreachableError("Nobody."), OutOfMemoryError("Full.")], ids=repr)
@pytest.mark.parametrize(("step", "kind"), STEPS)
def test_step_closes_the_server_when_it_fails(step: StepName, kind: Kind, error: RuneError) -> None:
    server = FailingServer(error)

    with pytest.raises(type(error)):
        run_at(server, step, a_context(kind))

    assert server.close_count == 1


@pytest.mark.parametrize(
    ("kind", "following"),
    [(Kind.BENCHMARK, StepName.MEASURE), (Kind.AGENTIC_AGENT, StepName.RUN_AGENT)],
)
def test_warm_up_goes_on_with_what_the_job_is_for(kind: Kind, following: StepName) -> None:
    outcome = run_at(FakeModelServer(), StepName.WARM_UP, a_context(kind))

    assert outcome == Next(following, phases_ms={"load": 900, "first_token": 30})


def test_warm_up_loads_the_context_that_the_questions_will_ask_for() -> None:
    server = FakeModelServer()

    run_at(server, StepName.WARM_UP, a_context(context_tokens=16_384))

    assert [warm_up.context_tokens for warm_up in server.warm_ups] == [16_384]


@pytest.mark.parametrize("kind", [Kind.BENCHMARK, Kind.AGENTIC_AGENT])
@pytest.mark.parametrize(
    ("asked", "left_seconds", "given"), [(90, 600, 90), (300, 600, 300), (300, 100, 95), (300, 4, 1)]
)
def test_warm_up_takes_no_longer_than_asked_nor_than_there_is_time(
    asked: int, left_seconds: float, given: float, kind: Kind
) -> None:
    server = FakeModelServer()

    run_at(server, StepName.WARM_UP, a_context(kind, left_seconds, backend_warmup_timeout=asked))

    assert server.warm_ups == [WarmUpRequest("llama3.1:8b", timeout_seconds=given)]


def test_verify_hands_over_the_address_of_a_server_that_answers() -> None:
    server = FakeModelServer(models=())

    outcome = run_at(server, StepName.VERIFY, a_context(Kind.LLM_INSTANCE, backend_type="openai"))

    assert isinstance(outcome, Done)
    assert json.loads(outcome.result_json) == {
        "mode": "existing",
        "backend_url": URL,
        "model_name": None,
        "contract_id": None,
        "rental": None,
        "warnings": [],
    }
    LlmInstanceResult.model_validate_json(outcome.result_json)
    assert (server.warm_ups, server.chats) == ([], [])


@pytest.mark.parametrize(
    ("limit_seconds", "left_seconds"), [(870.0, 865.0), (45.0, 40.0), (6.5, 1.5), (6.0, 1.0), (0.0, 1.0)]
)
def test_time_left_keeps_enough_to_write_a_failure_down(limit_seconds: float, left_seconds: float) -> None:
    assert time_left_seconds(a_context(left_seconds=limit_seconds)) == left_seconds


@pytest.mark.parametrize(("is_guarded", "key"), [(True, "of-this-rental"), (False, None)])
def test_rented_machine_gets_its_own_key_also_from_a_job_that_has_borrowed_it(
    is_guarded: bool, key: str | None
) -> None:
    job = a_claimed_job(rents=True)
    rental = a_kept_rental_of(
        OTHER_JOB_ID, state=RentalState.RUNNING, holder=job.job_id, is_guarded=is_guarded
    )
    store = MemoryRentalStore(rental)
    store.keys[rental.rental_id] = "of-this-rental"
    choice = BenchmarkRequest.model_validate({"question": "Why?", "model": MODEL, "vastai": True})

    backend = Backends(FakeModelServer().open, store).find(job, choice)

    assert (backend.url, backend.api_key) == (rental.url, key)
    assert "of-this-rental" not in repr(backend)
