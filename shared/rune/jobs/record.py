"""The hot item of a job, and the rows beside it.

The hot item is written at each turn, and a write is billed by the KB, so it stays under 1 KB while the job is at
work. (One whose failure quotes a server at length, or that ends with everything at its longest, has more in its
last writes, and always less than 2 KB.) The request, the result and the events are rows of their own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal


class Status(StrEnum):
    """The status of a job; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


ACTIVE = (Status.QUEUED, Status.RUNNING)


class Kind(StrEnum):
    """The kinds of jobs."""

    BENCHMARK = "benchmark"
    AGENTIC_AGENT = "agentic-agent"
    LLM_INSTANCE = "llm-instance"

    @property
    def hands_over(self) -> bool:
        """Whether its result is a model server that goes on running."""
        return self is Kind.LLM_INSTANCE


class StepName(StrEnum):
    """The steps of all kinds of jobs."""

    RENT = "rent"
    RECONCILE = "reconcile"
    BOOT = "boot"
    PULL = "pull"
    GIVE_BACK = "give_back"
    """As `release`, but the job goes on without the machine."""
    RELEASE = "release"
    CHECK = "check"
    CHECK_AGENT = "check_agent"
    WARM_UP = "warm_up"
    MEASURE = "measure"
    MEASURE_LOAD = "measure_load"
    """As `measure`, of points that one process cannot put."""
    JUDGE = "judge"
    RUN_AGENT = "run_agent"
    VERIFY = "verify"


RELEASING = frozenset({StepName.GIVE_BACK, StepName.RELEASE})
"""Steps that give a machine back, which neither a cancel request nor the deadline interrupts."""


RENTING_CLOSED = "renting_closed"
"""Among the warnings of a job that the operator has cancelled, to have every machine given back."""

STOPPED = "stopped"
"""Among the warnings of a job that was cancelled by a stop of its tenant, or of all tenants."""

LATER_WARNINGS = frozenset({RENTING_CLOSED, STOPPED})
"""Those that a job gets after it was accepted."""


class DueClass(StrEnum):
    """Why a job is due at its `due_at`. The janitor takes the classes in this order."""

    RELEASE = "release"
    """Its machine is being given back, and bills."""
    LEASE = "lease"
    """A worker has the turn; it is lost if its lease is not renewed."""
    MESSAGE = "message"
    """A message is under way; it is lost if no worker takes it."""
    WAIT = "wait"
    """The job waits to be admitted, for so long at most."""


DEFAULT_MAX_RUNTIME_SECONDS = 3600
"""Of a job that was stored without one."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job did not succeed.

    Attributes
    ----------
    code
        Stable snake_case name.
    sentence
        One sentence for a person; at most 360 bytes of it are kept, because the hot item is small.
    stage
        The step in which it happened.
    retryable
        Whether the same job may succeed when it is posted again later.
    """

    code: str
    sentence: str
    stage: StepName
    retryable: bool


@dataclass(frozen=True, slots=True)
class Job:
    """The hot item. None means that the attribute is absent.

    Attributes
    ----------
    seq
        Number of the turn; a message for another turn is stale.
    epoch
        Fencing token: rises with each claim, and only the worker of the last claim may commit.
    version
        Rises with each write.
    lease_owner, lease_until
        Which claim holds the turn, and until when other workers leave it alone. It only saves work: safety rests on
        `epoch`.
    cancelled_by
        Who asked for its end: `token:<name>`, `schedule:<id>` or `operator`; absent where nobody did.
    deadline_at
        Until a worker takes the first turn: when the job's waiting ends. From then on: when its running ends.
    max_runtime_seconds
        How long it may run from its first claim on.
    waiting_since
        Since when it waits for a slot; absent once it is admitted. A waiting job has no message.
    slot
        Number of the slot that it was given; see `rune.jobs.places`.
    begin_by
        When the waiting of a job that rents ends, written with its first claim, which overwrites `deadline_at`: a
        job that may not rent yet waits again, and no longer than that. Absent before, after its first step, and for
        a job that an earlier version has begun, which keeps its slot.
    looks_again_at
        Of a job that waits again: when it looks again whether it may rent.
    due_at, due_class
        When the turn's message or its worker counts as lost, and the janitor sends the message again, and which of
        these it is; absent once the job has ended.
    attempts
        Claims of this turn; more than one means that a worker was lost.
    failures
        Failures of this step after which it was tried again.
    dispatches
        Messages that the janitor sent for this turn.
    progress
        Small counts of the running step, for people who wait.
    phases_ms
        Time spent so far by phase, in milliseconds.
    rents
        Whether machines may be rented for it. Such a job ends only by way of `release`.
    rental_id
        The rental that it uses, or used last.
    ends_as
        The status in which it ends once its rental is proven gone.
    cost_micro_usd
        What its rentals and the tokens that it bought have cost so far, in millionths of a US dollar.
    borrowed_micro_usd
        The part of it for kept machines that it used earlier.
    token_micro_usd
        The part of it for tokens of Amazon Bedrock; absent while none were bought.
    token_bound_micro_usd
        What that part may have become at most by now: written before tokens are bought, and removed with the turn's
        end. What a lost worker bought counts up to it.
    token_cap_micro_usd
        What tokens may cost a job that rents, of its cap; absent for one that buys none, or nothing else.
    cap_micro_usd
        What it may cost at most; absent for a job that neither rents nor buys.
    reserved_micro_usd
        What is reserved for it in the budgets until it ends; absent where it can cost nothing. See
        `rune.jobs.settlement`.
    shared_micro_usd
        The part of its cost that its end does not book: it is booked with a machine that was kept or came back, or
        was told too much.
    cost_cap_at
        When its machine will have cost so much that the job must stop; absent while it has no machine.
    warnings
        What is done otherwise than asked, by name.
    display
        Of one that has ended: how it ended and what it cost, as one sentence for people.
    calls_back
        Whether it has a `Callback`, which stands in a row of its own.
    """

    job_id: str
    tenant: str
    kind: Kind
    status: Status
    step: StepName
    seq: int
    epoch: int
    version: int
    event_count: int
    created_at: datetime
    updated_at: datetime
    deadline_at: datetime
    expires_at: datetime
    max_runtime_seconds: int = DEFAULT_MAX_RUNTIME_SECONDS
    waiting_since: datetime | None = None
    slot: int | None = None
    begin_by: datetime | None = None
    looks_again_at: datetime | None = None
    due_at: datetime | None = None
    due_class: DueClass | None = None
    lease_owner: str | None = None
    lease_until: datetime | None = None
    cancel_requested_at: datetime | None = None
    cancelled_by: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempts: int = 0
    failures: int = 0
    dispatches: int = 0
    failure: Failure | None = None
    progress: Mapping[str, int] = field(default_factory=dict)
    phases_ms: Mapping[str, int] = field(default_factory=dict)
    rents: bool = False
    rental_id: str | None = None
    ends_as: Status | None = None
    cost_micro_usd: int = 0
    borrowed_micro_usd: int = 0
    token_micro_usd: int | None = None
    token_bound_micro_usd: int | None = None
    token_cap_micro_usd: int | None = None
    cap_micro_usd: int | None = None
    reserved_micro_usd: int | None = None
    shared_micro_usd: int | None = None
    cost_cap_at: datetime | None = None
    warnings: tuple[str, ...] | None = None
    display: str | None = None
    calls_back: bool = False

    @property
    def ends_at(self) -> datetime:
        """The end of its time or of its money, whichever comes first."""
        return self.deadline_at if self.cost_cap_at is None else min(self.deadline_at, self.cost_cap_at)

    @property
    def is_capped(self) -> bool:
        """Whether its money ends before its time."""
        return self.cost_cap_at is not None and self.cost_cap_at < self.deadline_at

    @property
    def is_billed(self) -> bool:
        """Whether it may cost money, so that what it has cost is told."""
        return self.rents or self.cap_micro_usd is not None or self.token_micro_usd is not None

    @property
    def is_active(self) -> bool:
        """Whether it has not ended."""
        return self.status in ACTIVE

    @property
    def is_waiting(self) -> bool:
        """Whether it waits for a slot."""
        return self.waiting_since is not None

    @property
    def is_releasing(self) -> bool:
        """Whether its machine is being given back, which neither a cancel request nor the deadline interrupts."""
        return self.step in RELEASING


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a job's history.

    Attributes
    ----------
    number
        1 for the first event of the job, rising by one.
    error_type
        The failure's code where `status` is "error".
    """

    number: int
    name: str
    status: Literal["ok", "error"]
    recorded_at: datetime
    duration_ms: int | None = None
    error_type: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Callback:
    """Who is told of one job's events besides those who are told of all.

    Attributes
    ----------
    callback_url
        Gets them by POST.
    task_token
        Of the workflow that waits for the job; its holder may end that workflow, so it is in no log.
    execution
        The workflow's execution, by its ARN.
    asked_at
        When the workflow asked with this token, by the queue's clock.
    other_tokens
        Of the same workflow, the newest first. Which of all still waits is not known here.
    version
        Rises with each write.
    """

    callback_url: str | None = None
    task_token: str | None = field(default=None, repr=False)
    execution: str | None = None
    asked_at: datetime | None = None
    other_tokens: tuple[str, ...] = field(default=(), repr=False)
    version: int = 1

    @property
    def tokens(self) -> tuple[str, ...]:
        """All that are known."""
        return self.other_tokens if self.task_token is None else (self.task_token, *self.other_tokens)


@dataclass(frozen=True, slots=True)
class StepMessage:
    """The message for a turn: the job, and the number of its turn."""

    job_id: str
    seq: int
