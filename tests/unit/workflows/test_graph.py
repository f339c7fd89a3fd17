from __future__ import annotations

from itertools import product

import pytest

from rune.contracts import AgenticAgentRequest, BenchmarkRequest, LlmInstanceRequest
from rune.errors import UnreadableRowError
from rune.jobs.outcomes import Cancelled, Done, Failed, Outcome, Released
from rune.jobs.record import RELEASING, Job, Kind, Status, StepName
from rune.jobs.transitions import make_transition
from rune.storage.change import apply
from rune.workflows.graph import (
    EDGES,
    END,
    RENTING,
    UNRENTED,
    USING,
    After,
    Fact,
    Request,
    Trait,
    first_step,
    next_step,
    parse_request,
    step_after,
    traits_of,
)
from tests import job_graph
from tests.builders import NOW, a_claimed_job, a_failure, a_step_context

QUESTION = {"question": "Why?", "model": "llama3.1:8b"}
RENTED: dict[str, object] = {"vastai": True}
NESTED: dict[str, object] = {"provisioning": {"vastai": {}}}
COLD: dict[str, object] = {"backend_warmup": False}
WORK: dict[str, object] = {"workload": {}}
OWN_JUDGE: dict[str, object] = {"expected": {"judge": {"model": "j:1b", "rubric": "Good?"}}}
JUDGE: dict[str, object] = {
    "expected": {"judge": {"model": "j:1b", "rubric": "Good?", "backend_url": "http://judge:11434"}}
}
KEPT: dict[str, object] = {"vastai_stop_instance": False}


def a_benchmark(**members: object) -> BenchmarkRequest:
    return BenchmarkRequest.model_validate({**QUESTION, **members})


def an_agent(**members: object) -> AgenticAgentRequest:
    return AgenticAgentRequest.model_validate({**QUESTION, **members})


def an_instance(**members: object) -> LlmInstanceRequest:
    return LlmInstanceRequest.model_validate(members)


REQUESTS: list[tuple[Kind, Request]] = [
    *(
        (Kind.BENCHMARK, a_benchmark(**a, **b, **c))
        for a, b, c in product(({}, RENTED), ({}, COLD), ({}, WORK))
    ),
    *((Kind.BENCHMARK, a_benchmark(**JUDGE, **a)) for a in ({}, RENTED, {**RENTED, **KEPT})),
    (Kind.AGENTIC_AGENT, an_agent()),
    (Kind.AGENTIC_AGENT, an_agent(**COLD)),
    (Kind.LLM_INSTANCE, an_instance()),
    (Kind.LLM_INSTANCE, an_instance(**RENTED)),
]
"""Every kind of job with every choice that decides its way."""

MACHINE = [Fact.MACHINE_HELD, Fact.MACHINE_ANSWERS]
READY, ALONE, JUDGED = Fact.MODEL_READY, Fact.AGENT_ALONE, Fact.ANSWERS_TO_JUDGE

PATHS: list[tuple[Kind, Request, list[Fact], str]] = [
    (Kind.BENCHMARK, a_benchmark(), [READY, READY], "check warm_up measure"),
    (Kind.BENCHMARK, a_benchmark(**COLD), [READY], "check measure"),
    (Kind.BENCHMARK, a_benchmark(**WORK), [READY, READY], "check warm_up measure"),
    (Kind.BENCHMARK, a_benchmark(**WORK, **COLD), [READY], "check measure"),
    (Kind.BENCHMARK, a_benchmark(), [READY, READY, JUDGED], "check warm_up measure judge"),
    (Kind.BENCHMARK, a_benchmark(**WORK), [READY, READY, JUDGED], "check warm_up measure judge"),
    (Kind.BENCHMARK, a_benchmark(**RENTED), [*MACHINE, READY, READY], "rent boot pull warm_up measure"),
    (Kind.BENCHMARK, a_benchmark(**NESTED), [*MACHINE, READY, READY], "rent boot pull warm_up measure"),
    (Kind.BENCHMARK, a_benchmark(**RENTED, **COLD), [*MACHINE, READY], "rent boot pull measure"),
    (Kind.BENCHMARK, a_benchmark(**RENTED, **WORK, **COLD), [*MACHINE, READY], "rent boot pull measure"),
    # A machine is given back before another server judges, unless it is kept.
    (
        Kind.BENCHMARK,
        a_benchmark(**RENTED, **COLD, **JUDGE),
        [*MACHINE, READY, JUDGED, Fact.GIVEN_BACK, Fact.OVER],
        "rent boot pull measure give_back judge release",
    ),
    (
        Kind.BENCHMARK,
        a_benchmark(**RENTED, **COLD, **JUDGE, **KEPT),
        [*MACHINE, READY, JUDGED],
        "rent boot pull measure judge",
    ),
    (
        Kind.BENCHMARK,
        a_benchmark(**RENTED, **COLD, **OWN_JUDGE),
        [*MACHINE, READY, JUDGED],
        "rent boot pull measure judge",
    ),
    (Kind.BENCHMARK, a_benchmark(**COLD, **JUDGE), [READY, JUDGED], "check measure judge"),
    (Kind.AGENTIC_AGENT, an_agent(), [READY, READY], "check_agent warm_up run_agent"),
    (Kind.AGENTIC_AGENT, an_agent(**COLD), [READY], "check_agent run_agent"),
    (Kind.AGENTIC_AGENT, an_agent(), [ALONE], "check_agent run_agent"),
    (Kind.LLM_INSTANCE, an_instance(), [], "verify"),
    (Kind.LLM_INSTANCE, an_instance(**RENTED), [*MACHINE, READY, READY], "rent boot pull warm_up verify"),
    # What may go wrong on the way.
    (
        Kind.LLM_INSTANCE,
        an_instance(**RENTED),
        [
            Fact.ORDER_REFUSED,
            Fact.ORDER_UNANSWERED,
            Fact.ORDER_LOST,
            Fact.ORDER_UNANSWERED,
            Fact.MACHINE_HELD,
        ],
        "rent rent reconcile rent reconcile boot",
    ),
    (
        Kind.LLM_INSTANCE,
        an_instance(**RENTED),
        [Fact.MACHINE_HELD, Fact.MACHINE_GIVEN_UP, Fact.RELEASED_TO_RENT_ANEW, *MACHINE],
        "rent boot release rent boot pull",
    ),
    (
        Kind.LLM_INSTANCE,
        an_instance(**RENTED),
        [*MACHINE, Fact.MACHINE_NOT_RUNNING, Fact.ORDER_UNANSWERED, Fact.NO_MACHINE],
        "rent boot pull boot reconcile rent",
    ),
]


def walk(kind: Kind, request: Request, facts: list[Fact]) -> list[StepName]:
    taken = [first_step(kind, request)]
    for fact in facts:
        step = next_step(kind, request, After(taken[-1], fact))
        assert step is not None
        taken.append(step)
    return taken


@pytest.mark.parametrize(("kind", "request_", "facts", "path"), PATHS)
def test_job_goes_its_way(kind: Kind, request_: Request, facts: list[Fact], path: str) -> None:
    assert walk(kind, request_, facts) == [StepName(name) for name in path.split()]


@pytest.mark.parametrize("step", USING)
def test_job_rents_anew_when_its_machine_is_lost_at_work(step: StepName) -> None:
    request = a_benchmark(**RENTED)

    assert next_step(Kind.BENCHMARK, request, After(step, Fact.MACHINE_GIVEN_UP)) is StepName.RELEASE
    assert next_step(Kind.BENCHMARK, request, After(step, Fact.NO_MACHINE)) is StepName.RENT


def test_groups_hold_every_step_once() -> None:
    assert sorted([*RENTING, *USING, *UNRENTED, *RELEASING]) == sorted(StepName)


def ways_of(kind: Kind, request: Request) -> dict[StepName, set[StepName | None]]:
    """Return every step that the job may reach, with all that may follow it."""
    traits = traits_of(kind, request)
    ways: dict[StepName, set[StepName | None]] = {}
    ahead = {first_step(kind, request)}
    while ahead:
        step = ahead.pop()
        ways[step] = {
            next_step(kind, request, After(step, edge.fact))
            for edge in EDGES
            if step in edge.steps and (edge.only is None or edge.only in traits)
        }
        ahead |= {to for to in ways[step] if to is not None and to not in ways}
    return ways


@pytest.mark.parametrize(("kind", "request_"), REQUESTS)
def test_every_step_that_a_job_may_reach_leads_to_its_end(kind: Kind, request_: Request) -> None:
    ways = ways_of(kind, request_)

    ending: set[StepName | None] = {END}
    while more := {step for step in ways if step not in ending and ways[step] & ending}:
        ending |= more
    assert set(ways) <= ending


@pytest.mark.parametrize(("kind", "request_"), REQUESTS)
def test_job_that_rents_ends_by_way_of_release_and_no_other_reaches_it(kind: Kind, request_: Request) -> None:
    ways = ways_of(kind, request_)

    if Trait.RENTS in traits_of(kind, request_):
        assert {step for step in ways if END in ways[step]} == {StepName.RELEASE}
    else:
        assert not set(ways) & {*RENTING, *RELEASING}


def test_every_step_is_reached_by_some_job() -> None:
    assert {edge.to for edge in EDGES} == {*StepName, END}


def request_for(*, rents: bool) -> Request:
    return a_benchmark(**(RENTED if rents else {}))


ENDINGS: list[Outcome] = [Done("{}"), Failed("any", "Any.", retryable=False), Cancelled()]


def following(job: Job, outcome: Outcome) -> StepName | None:
    """Return the step in which the engine leaves a job; None where it has ended."""
    after = apply(make_transition(job, outcome, NOW, 1).change, job)
    return after.step if after.is_active else None


@pytest.mark.parametrize("outcome", ENDINGS, ids=repr)
@pytest.mark.parametrize(
    ("step", "rents"),
    [
        *((step, True) for step in (*RENTING, *USING)),
        *((step, False) for step in (*USING, *UNRENTED)),
    ],
)
def test_engine_ends_a_job_as_the_graph_says(step: StepName, outcome: Outcome, *, rents: bool) -> None:
    job = a_claimed_job(step=step, rents=rents)

    assert following(job, outcome) is next_step(job.kind, request_for(rents=rents), After(step, Fact.OVER))


@pytest.mark.parametrize(
    ("ends_as", "fact"),
    [
        (Status.SUCCEEDED, Fact.RELEASED_AT_THE_END),
        (Status.FAILED, Fact.RELEASED_AT_THE_END),
        (Status.CANCELLED, Fact.RELEASED_AT_THE_END),
        (None, Fact.RELEASED_TO_RENT_ANEW),
    ],
)
def test_engine_goes_on_from_a_release_as_the_graph_says(ends_as: Status | None, fact: Fact) -> None:
    job = a_claimed_job(step=StepName.RELEASE, rents=True, ends_as=ends_as, failure=a_failure())

    assert following(job, Released()) is next_step(
        job.kind, request_for(rents=True), After(StepName.RELEASE, fact)
    )


def test_engine_goes_on_to_the_judge_when_the_machine_is_given_back() -> None:
    job = a_claimed_job(step=StepName.GIVE_BACK, rents=True)

    request = a_benchmark(**RENTED, **JUDGE)
    assert following(job, Released()) is next_step(
        job.kind, request, After(StepName.GIVE_BACK, Fact.GIVEN_BACK)
    )


@pytest.mark.parametrize(
    "after",
    [
        After(None, Fact.OVER),
        After(StepName.PULL, Fact.ORDER_LOST),
        After(StepName.CHECK, Fact.MACHINE_HELD),
        After(StepName.RENT, Fact.NO_MACHINE),
        After(StepName.RELEASE, Fact.MACHINE_GIVEN_UP),
    ],
    ids=repr,
)
def test_next_step_refuses_what_a_step_cannot_have_found(after: After) -> None:
    with pytest.raises(LookupError):
        next_step(Kind.BENCHMARK, a_benchmark(**RENTED), after)


def test_step_after_reads_the_job_and_its_request() -> None:
    job = a_claimed_job(step=StepName.CHECK)

    assert step_after(a_step_context(job, QUESTION), Fact.MODEL_READY) is StepName.WARM_UP
    assert step_after(a_step_context(job, {**QUESTION, **COLD}), Fact.MODEL_READY) is StepName.MEASURE


def test_step_after_refuses_a_fact_that_ends_the_job() -> None:
    with pytest.raises(LookupError):
        step_after(a_step_context(a_claimed_job(step=StepName.MEASURE), QUESTION), Fact.OVER)


def test_parse_request_refuses_what_is_no_request_of_the_kind() -> None:
    with pytest.raises(UnreadableRowError, match="BenchmarkRequest"):
        parse_request(Kind.BENCHMARK, "{}")


def test_page_shows_the_graph_as_it_is() -> None:
    shown = job_graph.PAGE.read_text()

    assert shown == job_graph.render(), "run: PYTHONPATH=shared python -m tests.job_graph"
