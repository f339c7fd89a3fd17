"""What the engine asks of a store and of the queues. One file per technology implements it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from rune.jobs.lifecycle import Send
from rune.jobs.metrics import Tallies
from rune.jobs.record import Event, Job, Kind
from rune.jobs.transitions import Transition
from rune.storage.change import Change


@dataclass(frozen=True, slots=True)
class Refused:
    """A requirement did not hold, so nothing was written; `found` is the item as it was, None if there is none."""

    found: Job | None


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A job with its result, a JSON document, once it has one."""

    job: Job
    result_json: str | None


@dataclass(frozen=True, slots=True)
class JobHistory:
    """A job and its events in order, as one consistent read."""

    job: Job
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A caller's own name for a request, and what the request was.

    Attributes
    ----------
    fingerprint
        Digest of the request as it was understood, so that spelling and defaults do not matter.
    """

    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Submission:
    """A job to be stored.

    Attributes
    ----------
    address
        Where the caller is; looked up in the same call, and refused if it is blocked.
    """

    job: Job
    request_json: str
    event: Event
    idempotency_key: IdempotencyKey | None = None
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Submitted:
    """The job that now stands for the request: this one, or an earlier one with the same key."""

    job_id: str
    is_replay: bool = False


@dataclass(frozen=True, slots=True)
class ListedJob:
    """A job in a tenant's list; the position is where an older page goes on."""

    job_id: str
    kind: Kind
    position: str


class JobStore(Protocol):
    """Where jobs live. Every method raises StoreUnavailableError when the store cannot be reached."""

    def submit(self, submission: Submission) -> Submitted:
        """Write a new job with its request and first event, all or nothing.

        Raises
        ------
        IdempotencyKeyReusedError
            The key came before with another request.
        RateLimitedError
            The caller's address is blocked.
        """
        ...

    def update(self, job_id: str, change: Change) -> Job | Refused:
        """Write the hot item if the change's requirements hold; return it as written."""
        ...

    def commit(self, job: Job, transition: Transition, tallies: Tallies | None = None) -> bool:
        """Write change, events, result, state and tallies, all or nothing.

        Return False if a requirement did not hold; then none of it is there.
        """
        ...

    def read(self, job_id: str) -> Job | None:
        """Return the job as all earlier writes left it."""
        ...

    def read_with_result(self, job_id: str, address: str | None = None) -> StoredJob | None:
        """Return the job and its result as all earlier writes left them.

        Where an address is given, the same call looks whether it is blocked: raises RateLimitedError.
        """
        ...

    def read_results(self, job_ids: Sequence[str], address: str | None = None) -> tuple[StoredJob, ...]:
        """Return those of up to 40 jobs that are there with their results, in no order.

        Raises RateLimitedError as `read_with_result` does.
        """
        ...

    def read_events(self, job_id: str, after: int) -> JobHistory | None:
        """Return the job and its events numbered above `after`."""
        ...

    def read_request(self, job: Job) -> str:
        """Return the request as it was submitted, a JSON document; raises JobNotFoundError if it is gone."""
        ...

    def read_state(self, job: Job) -> str | None:
        """Return what the latest commit with a state left for the job's next turn; None where there was none."""
        ...

    def read_many(self, job_ids: Sequence[str]) -> tuple[Job, ...]:
        """Return those of up to 100 jobs that are there, in no order."""
        ...

    def list_jobs(self, tenant: str, before: str | None, limit: int) -> tuple[ListedJob, ...]:
        """Return a tenant's jobs from newest to oldest, beginning after a position."""
        ...

    def read_tallies(self, tenant: str, now: datetime) -> Tallies:
        """Return what a tenant's ended jobs add up to, without those whose time is over."""
        ...

    def find_late(self, now: datetime, limit: int) -> tuple[str, ...]:
        """Return ids of jobs that were due by `now`, longest overdue first; may lag behind the latest writes."""
        ...


class ObjectStore(Protocol):
    """Where documents go that are too large for a row. Raises StoreUnavailableError."""

    def put(self, key: str, text: str) -> None:
        """Store the text under the key; the same key again overwrites."""
        ...

    def get(self, key: str) -> str:
        """Return what `put` stored."""
        ...


class StepQueue(Protocol):
    """Where turns wait for a worker."""

    def send(self, send: Send) -> bool:
        """Send the message; return False if the queue did not take it, which the janitor makes good."""
        ...
