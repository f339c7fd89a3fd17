"""What a step is given, and what it is."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from rune.jobs.outcomes import Outcome
from rune.jobs.record import Job


def _no_draft() -> str | None:
    return None


@dataclass(slots=True)
class StepContext:
    """One turn of a job, as its step sees it.

    Attributes
    ----------
    job
        The hot item as the claim left it.
    request_json
        The request as it was submitted.
    time_limit_seconds
        Longest time that the step may take: what the lane allows, and what is left of the job's own time.
    read_draft
        Returns the result as the job's last step left it, for the step that adds the receipt; None for the others.
        It is read when it is needed, since nothing may keep a machine from being given back: a large draft is in
        the bucket, and raises StoreUnavailableError where that cannot be reached.
    state_json
        What the step's last turn, or the step before, left for it; None at the first, and for steps that keep none.
    progress
        Small counts for people who watch. The step writes them as it likes; the lease carries them out.
    """

    job: Job
    request_json: str
    time_limit_seconds: float
    read_draft: Callable[[], str | None] = field(default=_no_draft, compare=False)
    state_json: str | None = None
    progress: dict[str, int] = field(default_factory=dict)


type Step = Callable[[StepContext], Coroutine[Any, Any, Outcome]]
"""Runs one turn. May raise any `RuneError`, which stands for a failure with its code and sentence."""

type Progress = Mapping[str, int]
