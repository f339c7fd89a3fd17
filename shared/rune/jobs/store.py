"""What the engine asks of a store and of the queues. One file per technology implements it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from rune.jobs.change import Change
from rune.jobs.lifecycle import Send
from rune.jobs.record import Event, Job
from rune.jobs.settlement import Settlement


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
class History:
    """A job and its events in order, as one consistent read."""

    job: Job
    events: tuple[Event, ...]


class JobStore(Protocol):
    """Where jobs live. Every method raises StoreUnavailableError when the store cannot be reached."""

    def submit(self, job: Job, request_json: str, event: Event) -> None:
        """Write a new job with its request and first event, all or nothing."""
        ...

    def update(self, job_id: str, change: Change) -> Job | Refused:
        """Write the hot item if the change's requirements hold; return it as written."""
        ...

    def commit(self, job: Job, settlement: Settlement) -> bool:
        """Write change, events and result, all or nothing; return False if a requirement did not hold."""
        ...

    def read(self, job_id: str) -> Job | None:
        """Return the job as all earlier writes left it."""
        ...

    def read_with_result(self, job_id: str) -> StoredJob | None:
        """Return the job and its result as all earlier writes left them."""
        ...

    def read_events(self, job_id: str, after: int) -> History | None:
        """Return the job and its events numbered above `after`."""
        ...

    def read_request(self, job: Job) -> str:
        """Return the request as it was submitted, a JSON document."""
        ...

    def find_late(self, now: datetime, limit: int) -> tuple[str, ...]:
        """Return ids of jobs that were due by `now`, longest overdue first; may lag behind the latest writes."""
        ...


class Bodies(Protocol):
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
