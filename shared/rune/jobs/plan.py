"""Of each step: where it runs, what its event is called, and what a person is told meanwhile.

Which step follows which is in `rune.workflows.graph`.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from rune.jobs.record import Job, Status, StepName


class Lane(StrEnum):
    """A queue and a function of its own: short steps, or calls of a model."""

    CONTROL = "control"
    INFERENCE = "inference"


@dataclass(frozen=True, slots=True)
class StepPlan:
    """What is known of a step without running it.

    Attributes
    ----------
    event
        Name of the event that its end leaves behind; the names that clients in the field know.
    doing
        What the job's message says meanwhile.
    breaks_off
        Whether a wish to cancel stops it in its middle. A step that orders or destroys machines runs to its end.
    keeps_state
        Whether it goes on from what its last turn, or the step before, left in `state_json`. Such a step may still
        end when the job's time is over, with what its state holds.
    """

    lane: Lane
    event: str
    doing: str
    breaks_off: bool = True
    keeps_state: bool = False


STEPS = {
    StepName.RENT: StepPlan(
        Lane.CONTROL, "vastai.instance.create", "Looking for a GPU to rent.", breaks_off=False
    ),
    StepName.RECONCILE: StepPlan(
        Lane.CONTROL, "vastai.instance.reconcile", "Finding out whether a GPU was rented."
    ),
    StepName.BOOT: StepPlan(Lane.CONTROL, "vastai.instance.wait_running", "The rented machine boots."),
    StepName.PULL: StepPlan(Lane.INFERENCE, "vastai.model.pull", "The machine downloads the model."),
    StepName.RELEASE: StepPlan(
        Lane.CONTROL, "provider.teardown", "Giving the machine back.", breaks_off=False
    ),
    StepName.CHECK: StepPlan(Lane.CONTROL, "backend.list_models", "Looking for the model on the server."),
    StepName.CHECK_AGENT: StepPlan(Lane.CONTROL, "agent.check", "Looking for the agent and its model."),
    StepName.WARM_UP: StepPlan(Lane.INFERENCE, "backend.warmup", "Loading the model."),
    StepName.ASK: StepPlan(Lane.INFERENCE, "agent.ask", "The model is answering."),
    StepName.MEASURE: StepPlan(
        Lane.INFERENCE, "benchmark.measure", "The model is being measured.", keeps_state=True
    ),
    StepName.JUDGE: StepPlan(
        Lane.INFERENCE, "benchmark.judge", "The answers are being judged.", keeps_state=True
    ),
    StepName.RUN_AGENT: StepPlan(Lane.INFERENCE, "agent.ask", "The agent is at work."),
    StepName.VERIFY: StepPlan(Lane.CONTROL, "backend.list_models", "Asking the server whether it is there."),
}

CLOSING_SECONDS = 15.0
"""Time that a step which keeps a state has at least, so that it can make a result of what it has."""

CLOSING_GRACE = timedelta(minutes=3)
"""How long after the job's deadline such a step may still do that: what it has measured is paid for, and a worker
that was lost near the deadline comes back only after its lease and a tick of the janitor's."""

LANE_TIME_LIMIT_SECONDS = {Lane.CONTROL: 45, Lane.INFERENCE: 870}
"""Longest run of a step: the function's timeout (template.yaml) less time to claim and commit."""


def lane_of(job: Job) -> Lane:
    """Return where the job's turn is to be taken; giving up is short work, whatever the step."""
    return Lane.CONTROL if job.cancel_requested_at else STEPS[job.step].lane


def describe(job: Job) -> str:
    """Return one sentence on where the job stands, for a person who waits."""
    match job.status:
        case Status.QUEUED:
            return "Waiting for a worker."
        case Status.RUNNING if job.cancel_requested_at and not job.is_releasing:
            return "Stopping, as was asked."
        case Status.RUNNING:
            return STEPS[job.step].doing
        case Status.SUCCEEDED:
            return "Done."
        case Status.CANCELLED:
            return "Cancelled, as was asked."
        case Status.FAILED:
            return job.failure.sentence if job.failure else "Failed."
