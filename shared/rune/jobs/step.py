"""A step, and what it is given."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rune.jobs.outcomes import Cancelled, Failed, Outcome
from rune.jobs.record import Job
from rune.jobs.tokens import TokenAccount


def _no_draft() -> str | None:
    return None


@dataclass(slots=True)
class StepContext:
    """One turn of a job, for its step.

    Attributes
    ----------
    job
        The hot item as the claim left it.
    request_json
        The request as it was submitted.
    time_limit_seconds
        Longest time that the step may take: the least of the lane's limit and what is left until the deadline.
    read_draft
        Returns the result without its receipt, for `release`; None for other steps and where there is no result.
        `release` calls it only once the machine is gone: a large draft is in the bucket, and the call raises
        StoreUnavailableError where the bucket cannot be reached.
    state_json
        What the last turn of the step, or the step before, left; None at the first turn, and for steps that keep no
        state.
    progress
        Small counts for people who wait. The step sets them at any time; the lease writes them with each renewal.
    cost_at
        Returns what the job has cost by a moment, in millionths of a dollar, while the step runs; None where that
        does not rise. The lease writes it with the progress.
    tokens
        Where a step that buys tokens notes what they cost. The engine gives each turn one.
    ends_with
        How the job ends, where that is decided: a step that winds down (`StepPlan.winds_down`) does nothing but end
        what other servers do for the job. It returns this outcome, or `Again` with a state for another try.
    breaks_off
        Whether a cancel request may interrupt the turn. A step sets it to False while what it asks of another
        server can only be ended by a name that the answer tells.
    works_elsewhere
        Whether another server works for the job. A step sets it; a turn that a cancel request interrupts is then
        followed by one that winds down.
    """

    job: Job
    request_json: str
    time_limit_seconds: float
    read_draft: Callable[[], str | None] = field(default=_no_draft, compare=False)
    state_json: str | None = None
    progress: dict[str, int] = field(default_factory=dict)
    cost_at: Callable[[datetime], int] | None = field(default=None, compare=False)
    tokens: TokenAccount | None = field(default=None, compare=False)
    ends_with: Cancelled | Failed | None = None
    breaks_off: bool = field(default=True, compare=False)
    works_elsewhere: bool = field(default=False, compare=False)


type Step = Callable[[StepContext], Coroutine[Any, Any, Outcome]]
"""Runs one turn. A `RuneError` that it raises is a failure with the error's code and sentence."""

type Progress = Mapping[str, int]
