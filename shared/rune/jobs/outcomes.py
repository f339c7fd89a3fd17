"""What a step may return. A step never sleeps and never sends."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from rune.errors import InvalidRequestError, RuneError, ServerOverloadedError
from rune.jobs.places import RowChange
from rune.jobs.record import StepName
from rune.money.receipts import MachineUse


@dataclass(frozen=True, slots=True)
class Note:
    """An event before it has its number and time."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    error_type: str | None = None
    duration_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Spending:
    """Which rental the job uses now, and what its rentals have cost; None leaves what is known.

    See the fields of the same names in `rune.jobs.record.Job`.
    """

    rental_id: str | None = None
    cost_micro_usd: int | None = None
    borrowed_micro_usd: int | None = None
    cost_cap_at: datetime | None = None
    shared_micro_usd: int | None = None

    @property
    def paid_micro_usd(self) -> int:
        """What the job itself pays of its cost."""
        return (self.cost_micro_usd or 0) - (self.shared_micro_usd or 0)


@dataclass(frozen=True, slots=True)
class Next:
    """The step is complete, and another one follows.

    Attributes
    ----------
    phases_ms
        Time spent in named phases of the step, in milliseconds, kept for the result; without one, the whole step
        is a phase of its name.
    labels
        Added to the event of the step's end.
    error_type
        The code of what went wrong in the step, although the job goes on.
    notes
        Events before the step's end.
    state_json
        What the next step goes on from, in the same write; None leaves what is there.
    """

    step: StepName
    delay_seconds: int = 0
    phases_ms: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    error_type: str | None = None
    notes: tuple[Note, ...] = ()
    spending: Spending = Spending()
    state_json: str | None = None


@dataclass(frozen=True, slots=True)
class Again:
    """Not ready yet; run this step again after a delay of 0 to 900 seconds.

    Attributes
    ----------
    state_json
        What the next turn goes on from, in the same write; None leaves what is there.
    notes
        Events of this turn, such as a point that was measured.
    """

    delay_seconds: int
    progress: Mapping[str, int] = field(default_factory=dict)
    spending: Spending = Spending()
    state_json: str | None = None
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class Requeue:
    """The job may not rent yet: it gives its slot back and waits again, in its place among its tenant's jobs.

    A job that an earlier version has begun keeps its slot, and runs the step again as after `Again`.

    Attributes
    ----------
    delay_seconds
        After which it is begun again, if no machine of its tenant's jobs ends before.
    progress
        What it waits for; see `rune.jobs.wants`.
    """

    delay_seconds: int
    progress: Mapping[str, int]
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """The job has its result, a JSON document.

    Attributes
    ----------
    phases_ms
        As of `Next`.
    """

    result_json: str
    phases_ms: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failed:
    """The step failed.

    Attributes
    ----------
    retryable
        Whether another try may succeed; the number of tries is bounded.
    is_final
        Whether the step has had its tries, so that only another job may succeed.
    retry_after_seconds
        How long the other side asked to wait; None where it did not say.
    """

    code: str
    sentence: str
    retryable: bool
    retry_after_seconds: int | None = None
    notes: tuple[Note, ...] = ()
    is_final: bool = False

    @classmethod
    def from_error(cls, error: RuneError) -> Self:
        """Return the failure with the error's code and sentence."""
        retry_after_seconds = error.retry_after_seconds if isinstance(error, ServerOverloadedError) else None
        code = error.specific_code if isinstance(error, InvalidRequestError) else error.code
        return cls(code, error.sentence, error.retryable, retry_after_seconds)


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A cancel request was seen.

    Attributes
    ----------
    notes, spending
        Of the step that had ended by then.
    """

    notes: tuple[Note, ...] = ()
    spending: Spending = Spending()


@dataclass(frozen=True, slots=True)
class Released:
    """All that the job rented is proven gone, or kept on purpose. The job ends, or rents another machine.

    Attributes
    ----------
    result_json
        The job's result with the receipt in it; None for a job without a result.
    companions
        Changes of other rows that the job's end writes; where the job goes on they are not written.
    uses
        What each machine cost the job, as far as that could be read.
    """

    result_json: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    spending: Spending = Spending()
    companions: tuple[RowChange, ...] = ()
    uses: tuple[MachineUse, ...] = ()


type Outcome = Next | Again | Requeue | Done | Failed | Cancelled | Released
