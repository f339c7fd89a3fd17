"""The graph of steps: which step a job begins with, and which follows which.

A step says what it found, as a `Fact`; `EDGES` says where that leads. The drawing of it is `docs/job-graph.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from rune.contracts import (
    AgenticAgentRequest,
    BenchmarkRequest,
    LlmInstanceRequest,
    RentalChoice,
    read_stored,
)
from rune.jobs.record import Kind, StepName

if TYPE_CHECKING:
    from rune.jobs.step import StepContext

type Request = BenchmarkRequest | AgenticAgentRequest | LlmInstanceRequest


class Fact(StrEnum):
    """What is known at the end of a step and decides what follows."""

    ACCEPTED = "accepted"
    NO_MACHINE = "no machine"
    """The job holds no machine, and no order of it is open."""
    MACHINE_HELD = "machine held"
    """The provider has made a machine for the job, or the job has taken a kept one."""
    ORDER_UNANSWERED = "order unanswered"
    """An order is written down, and whether the provider has carried it out is unknown."""
    ORDER_REFUSED = "order refused"
    """The provider has refused the order and has made nothing."""
    ORDER_LOST = "order lost"
    """It is proven that an unanswered order has made nothing."""
    MACHINE_GIVEN_UP = "machine given up"
    """The machine failed or is lost; what may be left of it is to be destroyed."""
    MACHINE_ANSWERS = "machine answers"
    """The model server on the machine answers."""
    MACHINE_NOT_RUNNING = "machine not running"
    MODEL_READY = "model ready"
    """The model is on its server; after `warm_up` it is also loaded."""
    AGENT_ALONE = "agent has its own server"
    LOAD_FOR_PROCESSES = "load for several processes"
    """The next point has more load than one process puts."""
    LOAD_FOR_ONE = "load for one process"
    ANSWERS_TO_JUDGE = "answers to judge"
    OVER = "over"
    """Done, failed or cancelled."""
    RELEASED_AT_THE_END = "machine gone, job over"
    RELEASED_TO_RENT_ANEW = "machine gone, job not over"
    GIVEN_BACK = "machine given back"
    """It is gone, or the order to destroy it was given and the proof is left to `release`."""


class Trait(StrEnum):
    """What of a job's kind and request decides its way."""

    BENCHMARK = "benchmark"
    AGENTIC_AGENT = "agentic-agent"
    LLM_INSTANCE = "llm-instance"
    RENTS = "rents"
    WARMS_UP = "warm-up"
    JUDGED_ELSEWHERE = "rents, judged elsewhere"
    """The machine is not kept, and another server judges the answers: the machine need not wait for that."""


@dataclass(frozen=True, slots=True)
class After:
    """The end of a step; `step` is None before the first."""

    step: StepName | None
    fact: Fact


@dataclass(frozen=True, slots=True)
class Edge:
    """A row of the graph.

    Attributes
    ----------
    steps
        In any of these the fact may be found; None is before the first step.
    to
        The step that follows; None ends the job.
    only
        The jobs that take this edge; None is all of them.
    """

    steps: tuple[StepName | None, ...]
    fact: Fact
    to: StepName | None
    only: Trait | None = None


BEGIN = (None,)
END = None

RENTING = (StepName.RENT, StepName.RECONCILE, StepName.BOOT, StepName.PULL)
"""Steps on the way to a rented machine with the model on it."""

USING = (StepName.WARM_UP, StepName.MEASURE, StepName.MEASURE_LOAD, StepName.JUDGE, StepName.VERIFY)
"""Steps that use a model server, which may be on a rented machine."""

MEASURING = (StepName.MEASURE, StepName.MEASURE_LOAD)
"""Steps that measure points, each those of its lane."""

UNRENTED = (StepName.CHECK, StepName.CHECK_AGENT, StepName.RUN_AGENT)
"""Steps that only jobs without a rental take."""

EDGES = (
    Edge(BEGIN, Fact.ACCEPTED, StepName.RENT, Trait.RENTS),
    Edge(BEGIN, Fact.ACCEPTED, StepName.CHECK, Trait.BENCHMARK),
    Edge(BEGIN, Fact.ACCEPTED, StepName.CHECK_AGENT, Trait.AGENTIC_AGENT),
    Edge(BEGIN, Fact.ACCEPTED, StepName.VERIFY, Trait.LLM_INSTANCE),
    # To a machine that answers.
    Edge((StepName.RENT, StepName.RECONCILE), Fact.MACHINE_HELD, StepName.BOOT),
    Edge((StepName.RENT, StepName.BOOT), Fact.ORDER_UNANSWERED, StepName.RECONCILE),
    Edge((StepName.RENT,), Fact.ORDER_REFUSED, StepName.RENT),
    Edge((StepName.RECONCILE,), Fact.ORDER_LOST, StepName.RENT),
    Edge((StepName.RECONCILE, StepName.BOOT), Fact.NO_MACHINE, StepName.RENT),
    Edge((StepName.BOOT,), Fact.MACHINE_ANSWERS, StepName.PULL),
    Edge((StepName.PULL,), Fact.MACHINE_NOT_RUNNING, StepName.BOOT),
    # A machine that fails the job is given back, and the job rents another one.
    Edge(RENTING, Fact.MACHINE_GIVEN_UP, StepName.RELEASE),
    Edge(USING, Fact.MACHINE_GIVEN_UP, StepName.RELEASE, Trait.RENTS),
    Edge(USING, Fact.NO_MACHINE, StepName.RENT, Trait.RENTS),
    # From a model that is there to the work itself.
    Edge(
        (StepName.PULL, StepName.CHECK, StepName.CHECK_AGENT),
        Fact.MODEL_READY,
        StepName.WARM_UP,
        Trait.WARMS_UP,
    ),
    Edge(
        (StepName.PULL, StepName.CHECK, StepName.WARM_UP),
        Fact.MODEL_READY,
        StepName.MEASURE,
        Trait.BENCHMARK,
    ),
    Edge((StepName.CHECK_AGENT, StepName.WARM_UP), Fact.MODEL_READY, StepName.RUN_AGENT, Trait.AGENTIC_AGENT),
    Edge((StepName.WARM_UP,), Fact.MODEL_READY, StepName.VERIFY, Trait.LLM_INSTANCE),
    Edge((StepName.CHECK_AGENT,), Fact.AGENT_ALONE, StepName.RUN_AGENT),
    Edge((StepName.MEASURE,), Fact.LOAD_FOR_PROCESSES, StepName.MEASURE_LOAD),
    Edge((StepName.MEASURE_LOAD,), Fact.LOAD_FOR_ONE, StepName.MEASURE),
    Edge(MEASURING, Fact.ANSWERS_TO_JUDGE, StepName.GIVE_BACK, Trait.JUDGED_ELSEWHERE),
    Edge(MEASURING, Fact.ANSWERS_TO_JUDGE, StepName.JUDGE),
    # The engine decides these (`rune.jobs.transitions`): a job that rents ends only by way of `release`.
    Edge((StepName.GIVE_BACK,), Fact.GIVEN_BACK, StepName.JUDGE),
    Edge(RENTING, Fact.OVER, StepName.RELEASE),
    Edge(USING, Fact.OVER, StepName.RELEASE, Trait.RENTS),
    Edge(USING, Fact.OVER, END),
    Edge(UNRENTED, Fact.OVER, END),
    Edge((StepName.RELEASE,), Fact.RELEASED_AT_THE_END, END),
    Edge((StepName.RELEASE,), Fact.RELEASED_TO_RENT_ANEW, StepName.RENT),
)
"""Every edge of every kind of job. Of the rows for a step and a fact, the first that the job may take counts."""


def next_step(kind: Kind, request: Request, after: After) -> StepName | None:
    """Return the step that follows; None ends the job.

    Raises
    ------
    LookupError
        The graph has no such edge.
    """
    traits = traits_of(kind, request)
    for edge in EDGES:
        if (
            after.step in edge.steps
            and edge.fact is after.fact
            and (edge.only is None or edge.only in traits)
        ):
            return edge.to
    raise LookupError(f"No step of this {kind} job follows {after.step} after: {after.fact}.")


def first_step(kind: Kind, request: Request) -> StepName:
    """Return the step that a job begins with."""
    return _following(kind, request, After(None, Fact.ACCEPTED))


def step_after(context: StepContext, fact: Fact) -> StepName:
    """Return the step that follows the context's own after this fact.

    Raises
    ------
    LookupError
        The graph has no such edge, or it leads to the job's end.
    """
    job = context.job
    return _following(job.kind, parse_request(job.kind, context.request_json), After(job.step, fact))


def traits_of(kind: Kind, request: Request) -> frozenset[Trait]:
    """Return all that decides the way of a job."""
    # An instance is always warmed up once its model is pulled; one that was there begins with its last step.
    known = {
        Trait(kind.value): True,
        Trait.RENTS: isinstance(request, RentalChoice) and request.wants_rental,
        Trait.WARMS_UP: isinstance(request, LlmInstanceRequest) or request.backend_warmup,
        Trait.JUDGED_ELSEWHERE: isinstance(request, BenchmarkRequest) and _is_judged_elsewhere(request),
    }
    return frozenset(trait for trait, holds in known.items() if holds)


REQUESTS: Mapping[Kind, type[BenchmarkRequest | AgenticAgentRequest | LlmInstanceRequest]] = {
    Kind.BENCHMARK: BenchmarkRequest,
    Kind.AGENTIC_AGENT: AgenticAgentRequest,
    Kind.LLM_INSTANCE: LlmInstanceRequest,
}
"""Of each kind of job: the document that asks for it."""


def parse_request(kind: Kind, request_json: str) -> Request:
    """Return the request of a job; raises UnreadableRowError where this version does not understand it."""
    return read_stored(REQUESTS[kind], request_json)


def _is_judged_elsewhere(request: BenchmarkRequest) -> bool:
    judge = None if request.expected is None else request.expected.judge
    is_elsewhere = judge is not None and judge.is_elsewhere
    return is_elsewhere and request.wants_rental and request.rental_terms.stop_instance


def _following(kind: Kind, request: Request, after: After) -> StepName:
    step = next_step(kind, request, after)
    if step is None:
        raise LookupError(f"The job ends after {after.step}: {after.fact}.")
    return step
