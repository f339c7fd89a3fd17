"""Of each step: where it runs, what its event is called, and what a person is told meanwhile.

Which step follows which is in `rune.workflows.graph`.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from rune.jobs.places import QueuePlace
from rune.jobs.record import RENTING_CLOSED, STOPPED, Job, Status, StepName
from rune.jobs.wants import describe_machine_limit, describe_want


class Lane(StrEnum):
    """A queue with its function: for what a rented machine costs, or for servers that a caller chose.

    `load` is for points of a benchmark with more load than one process puts, in a function with several
    processors; not every deployment has it. No step of the money lane waits for a server that a caller chose, so a
    server that is silent keeps no machine billing.
    """

    MONEY = "money"
    INFERENCE = "inference"
    LOAD = "load"


@dataclass(frozen=True, slots=True)
class StepPlan:
    """What is known of a step before it runs.

    Attributes
    ----------
    event
        Name of the event at its end. Clients know these names.
    doing
        The job's message while the step runs.
    breaks_off
        Whether a cancel request interrupts it. A step that orders or destroys machines runs to its end.
    keeps_state
        Whether it goes on from the `state_json` of its last turn or of the step before. Such a step still runs for
        a while after the deadline, to make a result of what its state holds.
    time_limit_seconds
        Longest run; None leaves it at the lane's.
    winds_down
        Whether it runs once more for a job that is to end, to end what another server does for it; again after a
        while where that failed, for `WINDING_DOWN` at most. The job ends however that went.
    """

    lane: Lane
    event: str
    doing: str
    breaks_off: bool = True
    keeps_state: bool = False
    time_limit_seconds: int | None = None
    winds_down: bool = False


CHECK_SECONDS = 20
"""Longest look at a server. One that is silent for so long is not there."""


STEPS = {
    StepName.RENT: StepPlan(
        Lane.MONEY, "vastai.instance.create", "Looking for a GPU to rent.", breaks_off=False
    ),
    StepName.RECONCILE: StepPlan(
        Lane.MONEY, "vastai.instance.reconcile", "Finding out whether a GPU was rented."
    ),
    StepName.BOOT: StepPlan(Lane.MONEY, "vastai.instance.wait_running", "The rented machine boots."),
    StepName.PULL: StepPlan(Lane.INFERENCE, "vastai.model.pull", "The machine downloads the model."),
    StepName.GIVE_BACK: StepPlan(
        Lane.MONEY, "provider.teardown", "Giving the machine back.", breaks_off=False
    ),
    StepName.RELEASE: StepPlan(Lane.MONEY, "provider.teardown", "Giving the machine back.", breaks_off=False),
    StepName.CHECK: StepPlan(
        Lane.INFERENCE,
        "backend.list_models",
        "Looking for the model on the server.",
        time_limit_seconds=CHECK_SECONDS,
    ),
    StepName.CHECK_AGENT: StepPlan(
        Lane.INFERENCE,
        "agent.check",
        "Looking for the agent and its model.",
        time_limit_seconds=CHECK_SECONDS,
    ),
    StepName.WARM_UP: StepPlan(Lane.INFERENCE, "backend.warmup", "Loading the model."),
    StepName.MEASURE: StepPlan(
        Lane.INFERENCE, "benchmark.measure", "The model is being measured.", keeps_state=True
    ),
    StepName.MEASURE_LOAD: StepPlan(
        Lane.LOAD, "benchmark.measure", "Several processes measure the model.", keeps_state=True
    ),
    StepName.JUDGE: StepPlan(
        Lane.INFERENCE, "benchmark.judge", "The answers are being judged.", keeps_state=True
    ),
    StepName.RUN_AGENT: StepPlan(
        Lane.INFERENCE, "agent.ask", "The agent is at work.", keeps_state=True, winds_down=True
    ),
    StepName.VERIFY: StepPlan(
        Lane.INFERENCE,
        "backend.list_models",
        "Asking the server whether it is there.",
        time_limit_seconds=CHECK_SECONDS,
    ),
}

_MINUTE_SECONDS = 60

CLOSING_SECONDS = 15.0
"""Least time of a step that keeps a state, so that it can make a result of what it has."""

CALL_HEADROOM_SECONDS = 5.0
"""Time of any other step after its longest call, in which the call's failure is committed."""

CLOSING_GRACE = timedelta(minutes=3)
"""How long after the deadline such a step may still run. What it has measured is paid for, and the turn of a worker
that is lost near the deadline is sent again only after its lease and a tick of the janitor."""

WINDING_DOWN = timedelta(minutes=5)
"""How long after a cancel request a job may still be kept for work on another server that could not be ended."""

GO_ON_SECONDS = {Lane.MONEY: 10, Lane.INFERENCE: 60, Lane.LOAD: 60}
"""So far into an invocation a worker still begins the job's next turn. What is left is enough for each step."""

LANE_TIME_LIMIT_SECONDS = {Lane.MONEY: 45, Lane.INFERENCE: 870, Lane.LOAD: 870}
"""Longest run of a step: the function's timeout (template.yaml) minus the time to claim and commit."""


SPARE_SECONDS = 15
"""Of a function's time, for the claim before a step and the commit after it."""


def time_limit_seconds_of(step: StepName) -> int:
    """Return the longest run of a step."""
    step_plan = STEPS[step]
    return step_plan.time_limit_seconds or LANE_TIME_LIMIT_SECONDS[step_plan.lane]


def closing_grace_of(step: StepName) -> timedelta:
    """Return how long after the job's deadline a step may still run."""
    return CLOSING_GRACE if STEPS[step].keeps_state else timedelta(0)


def headroom_of(step: StepName) -> timedelta:
    """Return how long before the end of its time a step's longest call ends."""
    return timedelta(seconds=CLOSING_SECONDS if STEPS[step].keeps_state else CALL_HEADROOM_SECONDS)


def lane_of(job: Job) -> Lane:
    """Return the lane of the job's turn; a cancel is short work and may give a machine back.

    A step that stops work elsewhere calls a server that a caller chose, so it stays in its lane.
    """
    step = STEPS[job.step]
    return Lane.MONEY if job.cancel_requested_at and not step.winds_down else step.lane


def describe(job: Job, place: QueuePlace | None = None, hindrance: str | None = None) -> str:
    """Return one sentence on the state of the job, for a person who waits for it.

    Parameters
    ----------
    place
        Of a job that waits.
    hindrance
        Why the machine is not given back yet, as a sentence or code.
    """
    match job.status:
        case Status.QUEUED:
            return _describe_waiting(job, place) if job.is_waiting else "Waiting for a worker."
        case Status.RUNNING:
            return _describe_running(job, hindrance)
        case Status.SUCCEEDED:
            return "Done."
        case Status.CANCELLED:
            return f"Cancelled, {_why_cancelled(job)}."
        case Status.FAILED:
            return job.failure.sentence if job.failure else "Failed."


def _describe_running(job: Job, hindrance: str | None) -> str:
    if not job.is_releasing:
        if job.cancel_requested_at:
            return f"Stopping, {_why_cancelled(job)}."
        return describe_want(job.progress) or STEPS[job.step].doing
    return f"{STEPS[job.step].doing} Not yet possible: {hindrance}" if hindrance else STEPS[job.step].doing


def _why_cancelled(job: Job) -> str:
    if RENTING_CLOSED in (job.warnings or ()):
        return "since the operator has every rented machine given back"
    if STOPPED in (job.warnings or ()):
        return "since everything was stopped"
    return "as was asked"


def _describe_waiting(job: Job, place: QueuePlace | None) -> str:
    want = describe_want(job.progress)
    if want is None and place is not None and place.max_machines is not None:
        want = describe_machine_limit(place.max_machines)
    if want is not None:
        before = "" if place is None else f" In the queue it has {_count_before(place)} before it."
        return f"{want}{before} Nothing is billed meanwhile."
    slot = "a GPU slot" if job.rents else "a slot"
    if place is None:
        return f"Waiting for {slot}."
    sentence = f"Waiting for {slot}, {_count_before(place)} before it"
    if place.wait_seconds is None:
        return f"{sentence}."
    if place.wait_seconds < _MINUTE_SECONDS:
        return f"{sentence}, for less than a minute more."
    minutes = round(place.wait_seconds / _MINUTE_SECONDS)
    return f"{sentence}, for about {minutes} more {'minute' if minutes == 1 else 'minutes'}."


def _count_before(place: QueuePlace) -> str:
    before_count = place.position - 1
    if not place.is_exact:
        return f"{before_count} or more of your jobs"
    return "none of your jobs" if before_count == 0 else f"{before_count} of your jobs"
